// SPDX-License-Identifier: BSD-3-Clause
/*
 * Two connections with device unpack, of one kernel that takes the slices of both together: messages of all sizes, in frags, in host memory and in
 * both, in any order, with too few blocks and a GPU that takes its time. Every byte must be right, and it must never stand still.
 *
 * unit-libs: devmem_path unpack_emul
 * unit-wrap: gpu_name gpu_alloc gpu_free gpu_host_alloc gpu_host_free gpu_copy_sync gpu_flush gpu_queue_create gpu_queue_destroy gpu_queue_copy gpu_queue_move gpu_queue_mark gpu_queue_done stage_take stage_give stage_block_size
 * unit-args: 1 2 3 4
 */
#include "played_gpu.h"
#include "path/place.h"
#include "path/unpack_layout.h"
#include "unpack/unpack_emul.h"

#define PEERS	     2
#define MESSAGES     400
#define BLOCK	     (128UL << 10)
#define BLOCKS	     6 /* of which each connection keeps two */
#define NIOV	     4096UL
#define NIOVS	     8192UL
#define POOL	     (NIOV * NIOVS)
#define SIZE_MAX_MSG (192UL << 10)

/* Bounds what one run may do; some ten times what it does. */
#define STEPS_MAX 20000000UL

enum kind { FRAGS, MIXED, READABLE, INLINE, CRUMBS };

/*
 * @total is brought up to @off[] on each of two sockets, whose halves meet at @split. @niovs: those of the pool that it lies in.
 */
struct message {
	enum kind kind;
	size_t total;
	size_t split;
	size_t off[2];
	bool posted, finished;
	struct place_req *req;
	uint16_t *niovs;
	size_t n_niovs, room;
};

struct peer {
	struct place *pl;
	struct message msgs[MESSAGES];
	struct place_req reqs[UNPACK_SLOTS];
	struct data_sock socks[2];
	struct token_ledger ledgers[2];
	unsigned int posted, unpacked, consumed;
};

static struct gpu gpu;
static struct pool pool;
static uint8_t *memory, *dst;
static bool niov_used[NIOVS];
static struct peer peers[PEERS];
static struct unpack_emul_block block;
static struct unpack_emul emul;
static uint64_t seed;
static unsigned long regrouped;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33) % below;
}

static uint8_t byte_of(const struct message *m, size_t off)
{
	return (uint8_t)(off * 7 + off / 251 + (uintptr_t)m / sizeof(*m) * 101);
}

static void write_bytes(uint8_t *at, const struct message *m, size_t off, size_t len)
{
	for (size_t k = 0; k < len; k++)
		at[k] = byte_of(m, off + k);
}

/* A free niov, often the one behind @last; -1: none. */
static int take_niov(struct message *m, int last)
{
	unsigned int i = last >= 0 && rnd(4) ? (unsigned int)last + 1 : rnd(NIOVS);
	unsigned int tries;

	for (tries = 0; tries < NIOVS && niov_used[i % NIOVS]; tries++)
		i++;
	if (tries == NIOVS)
		return -1;
	i %= NIOVS;
	niov_used[i] = true;
	if (m->n_niovs == m->room) {
		m->room = m->room ? 2 * m->room : 64;
		m->niovs = realloc(m->niovs, m->room * sizeof(*m->niovs));
		assert_non_null(m->niovs);
	}
	m->niovs[m->n_niovs++] = (uint16_t)i;
	return (int)i;
}

static void plan(struct peer *p)
{
	for (unsigned int i = 0; i < MESSAGES; i++) {
		struct message *m = &p->msgs[i];
		uint32_t k = rnd(100);

		memset(m, 0, sizeof(*m));
		m->kind = k < 45   ? FRAGS
			  : k < 65 ? MIXED
			  : k < 75 ? READABLE
			  : k < 97 ? INLINE
				   : CRUMBS;
		if (k % 10 == 0)
			m->total = 0;
		else if (m->kind == INLINE)
			m->total = 1 + rnd(9000);
		else if (m->kind == CRUMBS)
			/* In more pieces than a slot has entries, and no larger than one block. */
			m->total = 4000 + rnd(60000);
		else
			m->total = 1 + rnd(rnd(3) ? 30000 : SIZE_MAX_MSG);
		/* Bytes in host memory fit in a block, as they do where they are the exception. */
		if (m->kind == READABLE && m->total > BLOCK / 2)
			m->total = BLOCK / 2;
		m->split = m->kind == INLINE ? m->total : rnd((uint32_t)m->total + 1);
	}
}

/* Frags of @m from @off on, up to @len bytes; linear pieces between them if @host. Returns how much. */
static size_t make_frags(struct message *m, size_t off, size_t len, uint8_t *host,
			 struct arrival *a)
{
	unsigned int most = m->kind == CRUMBS ? ARRIVAL_PIECES : 1 + rnd(40);
	size_t done = 0;
	int last = -1;

	arrival_clear(a);
	a->host = host;
	while (done < len && a->n < most) {
		uint32_t n = m->kind == CRUMBS ? 1 + rnd(3) : 1 + rnd(NIOV);
		struct gather_piece *piece = &a->pieces[a->n];

		if (n > len - done)
			n = (uint32_t)(len - done);
		*piece = (struct gather_piece){ .len = n };
		if (m->kind == MIXED && rnd(6) == 0) {
			if (n > 200)
				piece->len = n = 200;
			piece->linear = 1;
			write_bytes(host + a->linear, m, off + done, n);
			a->linear += n;
		} else if (m->kind == CRUMBS && last >= 0 && a->n % 64) {
			/* Several to a niov, apart from each other. */
			piece->offset = (uint64_t)last * NIOV + (a->n % 64) * 8;
			write_bytes(memory + piece->offset, m, off + done, n);
		} else {
			last = take_niov(m, last);
			if (last < 0)
				break;
			piece->offset = (uint64_t)last * NIOV +
					(rnd(2) ? 0 : rnd((uint32_t)(NIOV - n + 1)));
			if (m->kind == CRUMBS)
				piece->offset = (uint64_t)last * NIOV;
			write_bytes(memory + piece->offset, m, off + done, n);
			a->tokens[a->n_tokens++] =
				(struct token_range){ .start = (uint32_t)last, .count = 1 };
		}
		a->n++;
		done += n;
	}
	a->total = done;
	return done;
}

/* What socket @i has next of @m. */
static bool receive(struct peer *p, struct message *m, int i)
{
	size_t end = i ? m->total : m->split, off = m->off[i], len = end - off, n;
	uint8_t *to = m->req->base + off, *host = NULL, bytes[2000];
	static struct arrival a;
	int r;

	if (len == 0)
		return false;
	if (m->kind == INLINE) {
		n = 1 + rnd(sizeof(bytes));
		n = n < len ? n : len;
		write_bytes(bytes, m, off, n);
		r = p->pl->ops->put_host(p->pl, m->req, NULL, to, bytes, n);
		if (r == -EAGAIN)
			return false;
		assert_ok(r);
		m->off[i] += n;
		return true;
	}
	r = p->pl->ops->window(p->pl, m->req, NULL, to, &len, &host);
	if (r == -EAGAIN)
		return false;
	assert_ok(r);
	if (m->kind == READABLE) {
		n = 1 + rnd((uint32_t)len);
		write_bytes(host, m, off, n);
		arrival_readable(&a, host, n);
	} else {
		n = make_frags(m, off, len, host, &a);
	}
	if (n == 0)
		return false;
	assert_ok(p->pl->ops->put(p->pl, m->req, NULL, to, &p->socks[i], &a));
	m->off[i] += n;
	return true;
}

static bool post(struct peer *p)
{
	struct message *m = &p->msgs[p->posted];
	struct place_req *req = &p->reqs[p->posted % UNPACK_SLOTS];
	struct place_req fresh = { .loans = req->loans };
	int r;

	if (p->posted == MESSAGES || p->posted - p->consumed == UNPACK_SLOTS)
		return false;
	fresh.base = dst +
		     ((size_t)(p - peers) * UNPACK_SLOTS + p->posted % UNPACK_SLOTS) * SIZE_MAX_MSG;
	fresh.size = SIZE_MAX_MSG;
	r = p->pl->ops->post(p->pl, &fresh);
	assert_ok(r);
	*req = fresh;
	m->req = req;
	m->posted = true;
	p->posted++;
	return true;
}

static bool finish(struct peer *p, struct message *m)
{
	if (!m->posted || m->finished || m->off[0] != m->split ||
	    (m->kind != INLINE && m->off[1] != m->total - 0 && m->total != m->split))
		return false;
	if (m->req->pending)
		return false;
	assert_ok(p->pl->ops->finish(p->pl, m->req, m->total));
	m->finished = true;
	return true;
}

/* The kernel takes the next slices, once both are there. */
static bool unpack(void)
{
	for (int i = 0; i < PEERS; i++)
		if (peers[i].unpacked == MESSAGES || !peers[i].msgs[peers[i].unpacked].finished)
			return false;
	for (int i = 0; i < PEERS; i++) {
		struct message *m = &peers[i].msgs[peers[i].unpacked++];
		const struct unpack_emul_meta *meta = emul.meta[i];

		if (m->kind == CRUMBS && meta->cnt[m->req->slot] == 1)
			regrouped++;
		memset(m->req->base, 0x55, m->total);
		if (unpack_emul_step(&emul, i, m->req->base, m->total) < 0)
			fail_msg("peer %d, message %u of %zu bytes: %s", i, peers[i].unpacked - 1,
				 m->total, emul.why);
		for (size_t k = 0; k < m->total; k++)
			if (m->req->base[k] != byte_of(m, k))
				fail_msg("peer %d, message %u: byte %zu of %zu is wrong", i,
					 peers[i].unpacked - 1, k, m->total);
	}
	return true;
}

static bool consume(struct peer *p)
{
	struct message *m = &p->msgs[p->consumed];

	if (p->consumed == p->unpacked)
		return false;
	assert_ok(p->pl->ops->consumed(p->pl, m->req));
	/* Only now may the NIC have the niovs again, and writes to them at once. */
	for (size_t k = 0; k < m->n_niovs; k++) {
		niov_used[m->niovs[k]] = false;
		memset(memory + m->niovs[k] * NIOV, 0xee, NIOV);
	}
	free(m->niovs);
	m->niovs = NULL;
	p->consumed++;
	/* The ledgers are the kernel's to empty. */
	for (int i = 0; i < 2; i++)
		token_ledger_init(&p->ledgers[i]);
	return true;
}

/* In the order of the connection on each socket, as TCP has it. */
static bool receive_any(struct peer *p)
{
	int i = (int)rnd(2);

	for (unsigned int k = p->consumed; k < p->posted; k++) {
		struct message *m = &p->msgs[k];
		size_t end = i ? m->total : m->split;

		if (i == 1 && m->off[1] < m->split)
			m->off[1] = m->split;
		if (m->off[i] < end)
			return receive(p, m, i);
	}
	return false;
}

static bool finish_any(struct peer *p)
{
	unsigned int n = p->posted - p->consumed;

	return n && finish(p, &p->msgs[p->consumed + rnd(n)]);
}

static void test_everything(void **state)
{
	unsigned long idle = 0;

	(void)state;
	for (unsigned long step = 0; step < STEPS_MAX; step++) {
		struct peer *p = &peers[rnd(PEERS)];
		bool moved = false;

		if (peers[0].consumed == MESSAGES && peers[1].consumed == MESSAGES) {
			print_message("%lu steps, %lu regrouped, %llu entries for %llu bytes\n",
				      step, regrouped, (unsigned long long)emul.n_entries,
				      (unsigned long long)emul.n_bytes);
			assert_true(regrouped > 0);
			return;
		}
		switch (rnd(8)) {
		case 0:
			moved = post(p);
			break;
		case 1:
		case 2:
			moved = receive_any(p);
			break;
		case 3: {
			int r = p->pl->ops->poll(p->pl);

			assert_true(r >= 0);
			moved = r > 0;
			break;
		}
		case 4:
			moved = played.n_ops > 0;
			gpu_work(1 + rnd(20));
			break;
		case 5:
			moved = finish_any(p);
			break;
		case 6:
			moved = unpack();
			break;
		default:
			moved = consume(p);
			if (rnd(50) == 0)
				played.busy = (int)rnd(3);
		}
		idle = moved ? 0 : idle + 1;
		if (idle > 20000)
			fail_msg(
				"it stands still: %u/%u posted, %u/%u unpacked, %u/%u consumed, %u blocks taken",
				peers[0].posted, peers[1].posted, peers[0].unpacked,
				peers[1].unpacked, peers[0].consumed, peers[1].consumed,
				played_taken());
	}
	fail_msg("not done after %lu steps", STEPS_MAX);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_everything) };
	struct verdict why = { 0 };
	int r;

	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	log_sink_set(unit_log_sink);
	memory = aligned_alloc(65536, POOL + BLOCKS * BLOCK);
	dst = aligned_alloc(65536, PEERS * UNPACK_SLOTS * SIZE_MAX_MSG);
	if (!memory || !dst)
		return 1;
	pool = (struct pool){
		.block = { .size = POOL, .priv = (uintptr_t)memory, .dmabuf_fd = -1 },
		.gpu = &gpu,
		.stage = (struct stage *)&played,
		.rx = (struct nic_rx *)&gpu,
	};
	played_stage(BLOCKS, BLOCK, memory, POOL);
	unpack_emul_init(&emul, &block);
	for (int i = 0; i < PEERS; i++) {
		struct peer *p = &peers[i];

		plan(p);
		for (int k = 0; k < 2; k++) {
			token_ledger_init(&p->ledgers[k]);
			p->socks[k] = (struct data_sock){ .fd = -1,
							  .ledger = &p->ledgers[k],
							  .run_most = 1 };
		}
		if (place_unpack_create(&pool, &p->pl, &why) < 0 ||
		    unpack_emul_setup(&emul, i, p->pl->ops->device_handle(p->pl)) < 0) {
			fprintf(stderr, "%s%s\n", why.reason, emul.why);
			return 1;
		}
	}
	r = cmocka_run_group_tests(tests, NULL, NULL);
	for (int i = 0; i < PEERS; i++) {
		peers[i].pl->ops->destroy(peers[i].pl);
		for (int k = 0; k < UNPACK_SLOTS; k++) {
			loan_list_return(&peers[i].reqs[k].loans);
			loan_list_free(&peers[i].reqs[k].loans);
		}
	}
	if (r == 0 && (played_taken() || played.allocs || played.queues)) {
		fprintf(stderr, "%u blocks, %d allocations and %d queues are left\n",
			played_taken(), played.allocs, played.queues);
		r = 1;
	}
	played_reset();
	free(memory);
	free(dst);
	return r;
}
