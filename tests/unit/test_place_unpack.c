// SPDX-License-Identifier: BSD-3-Clause
/*
 * The place for device unpack, read by the emulation of NCCL's unpack kernel: every receive's bytes, byte by byte, whatever it comes in.
 *
 * unit-libs: devmem_path unpack_emul
 * unit-wrap: gpu_name gpu_alloc gpu_free gpu_host_alloc gpu_host_free gpu_copy_sync gpu_flush gpu_queue_create gpu_queue_destroy gpu_queue_copy gpu_queue_move gpu_queue_mark gpu_queue_done stage_take stage_give stage_block_size
 */
#include "played_gpu.h"
#include "path/place.h"
#include "path/unpack_layout.h"
#include "unpack/unpack_emul.h"

#define KIB   1024UL
#define MIB   (1024UL * KIB)
#define BLOCK (128 * KIB)
#define POOL  (16 * MIB)
#define STAGE (GPU_BLOCKS * BLOCK)

/* A receive buffer; as aligned as NCCL's. */
#define SLOT (4 * MIB)

static struct gpu gpu, other_gpu = { .ordinal = 1 };
static uint8_t *memory; /* the pool, and the stage behind it */
static struct pool pool;
static struct nic_rx *const a_binding = (struct nic_rx *)&gpu;
static struct token_ledger ledgers[2];
static struct data_sock socks[2];
static uint8_t *dst; /* UNPACK_SLOTS receive buffers */
static uint32_t next_token;

static struct place *pl;
static struct place_req reqs[UNPACK_SLOTS];
static struct unpack_emul_block block;
static struct unpack_emul emul;

static struct unpack_emul_handle *handle_of(struct place *p)
{
	return p->ops->device_handle(p);
}

/* A place with @n blocks in the stage, and a kernel that has taken over its handle. */
static void make(unsigned int n)
{
	struct verdict why = { 0 };

	played_stage(n, BLOCK, memory, POOL);
	if (place_unpack_create(&pool, &pl, &why) < 0)
		fail_msg("%s", why.reason);
	memset(&block, 0, sizeof(block));
	unpack_emul_init(&emul, &block);
	assert_ok(unpack_emul_setup(&emul, 0, handle_of(pl)));
}

static int start(void **state)
{
	(void)state;
	played_reset();
	unit_log_clear();
	if (!memory) {
		memory = aligned_alloc(65536, POOL + STAGE);
		dst = aligned_alloc(65536, UNPACK_SLOTS * SLOT);
	}
	pool = (struct pool){
		.nic = { .name = "nic0" },
		.block = { .size = POOL, .priv = (uintptr_t)memory, .dmabuf_fd = -1 },
		.gpu = &gpu,
		.stage = (struct stage *)&played,
		.rx = a_binding,
	};
	for (int i = 0; i < 2; i++) {
		token_ledger_init(&ledgers[i]);
		socks[i] = (struct data_sock){ .fd = -1, .ledger = &ledgers[i], .run_most = 1 };
	}
	next_token = 1;
	pl = NULL;
	return 0;
}

static int end(void **state)
{
	(void)state;
	if (pl) {
		pl->ops->destroy(pl);
		for (int i = 0; i < UNPACK_SLOTS; i++)
			loan_list_return(&reqs[i].loans);
	}
	for (int i = 0; i < UNPACK_SLOTS; i++)
		loan_list_free(&reqs[i].loans);
	assert_int_equal(played.allocs, 0);
	assert_int_equal(played.queues, 0);
	assert_int_equal(played_taken(), 0);
	assert_int_equal(socks[0].lent, 0);
	return 0;
}

static uint8_t *buffer(int i)
{
	return dst + (size_t)i * SLOT;
}

static int post(int i)
{
	reqs[i] = (struct place_req){ .base = buffer(i), .size = SLOT, .loans = reqs[i].loans };
	memset(buffer(i), 0x77, 4096);
	return pl->ops->post(pl, &reqs[i]);
}

/* The bytes at @off of message @i. */
static uint8_t byte_of(int i, size_t off)
{
	return (uint8_t)(off * 31 + off / 253 + (size_t)i * 97);
}

/* @len bytes of message @i from @off on at @at. */
static void write_bytes(uint8_t *at, int i, size_t off, size_t len)
{
	for (size_t k = 0; k < len; k++)
		at[k] = byte_of(i, off + k);
}

/* A NIC has written @len bytes of message @i at @offset of the pool. */
static void frag(struct arrival *a, int i, size_t off, uint64_t offset, uint32_t len)
{
	assert_true(a->n < ARRIVAL_PIECES);
	write_bytes(memory + offset, i, off, len);
	a->pieces[a->n++] = (struct gather_piece){ .offset = offset, .len = len };
	a->tokens[a->n_tokens++] = (struct token_range){ .start = next_token++, .count = 1 };
	a->total += len;
}

static int put(int i, size_t off, int sock, struct arrival *a)
{
	return pl->ops->put(pl, &reqs[i], NULL, buffer(i) + off, &socks[sock], a);
}

static int finish(int i, size_t total)
{
	while (reqs[i].pending) {
		int r;

		gpu_work(SIZE_MAX);
		r = pl->ops->poll(pl);
		assert_true(r >= 0);
		if (r == 0 && played.n_ops == 0 && reqs[i].pending)
			return -EAGAIN; /* nothing moves on */
	}
	return pl->ops->finish(pl, &reqs[i], total);
}

static void check_at(struct unpack_emul *e, int peer, uint8_t *at, int i, size_t total)
{
	int r;

	memset(at, 0x77, total + 1);
	r = unpack_emul_step(e, peer, at, total);
	if (r < 0)
		fail_msg("the kernel: %s", e->why);
	for (size_t k = 0; k < total; k++)
		if (at[k] != byte_of(i, k))
			fail_msg("byte %zu of %zu is %#x, not %#x", k, total, at[k], byte_of(i, k));
	assert_int_equal(at[total], 0x77);
}

/* The kernel's next slice is message @i. */
static void check(int i, size_t total)
{
	check_at(&emul, 0, buffer(i), i, total);
}

static int consumed(int i)
{
	return pl->ops->consumed(pl, &reqs[i]);
}

static const struct unpack_meta *meta(void)
{
	return (const struct unpack_meta *)handle_of(pl)->meta;
}

static void test_handle(void **state)
{
	(void)state;
	make(4);
	assert_true(pl->ops->keeps_loans);
	assert_ptr_equal(handle_of(pl)->bounce_buf, memory);
	assert_true(handle_of(pl)->head == UINT64_MAX);
	for (int i = 0; i < UNPACK_SLOTS; i++)
		assert_int_equal(meta()->cnt[i], 0);
}

static void test_frags(void **state)
{
	struct arrival a;

	(void)state;
	make(4);
	assert_ok(post(0));
	assert_int_equal(reqs[0].slot, 0);
	arrival_clear(&a);
	frag(&a, 0, 0, 4096, 1448);
	frag(&a, 0, 1448, 65536, 1448);
	frag(&a, 0, 2896, 12288 + 7, 1);
	assert_ok(put(0, 0, 0, &a));
	assert_int_equal(reqs[0].pending, 0);
	/* Not before it is all there. */
	assert_int_equal(meta()->cnt[0], 0);
	assert_int_equal(socks[0].lent, 3);
	assert_ok(finish(0, 2897));
	assert_int_equal(meta()->cnt[0], 3);
	/* What the NIC wrote must be seen by a kernel that runs already. */
	assert_int_equal(played.flushes, 1);
	check(0, 2897);
	assert_int_equal(ledgers[0].held, 0);
	assert_ok(consumed(0));
	assert_int_equal(ledgers[0].held, 3);
	assert_int_equal(socks[0].lent, 0);
}

static void test_neighbours_join(void **state)
{
	struct arrival a;

	(void)state;
	make(4);
	assert_ok(post(0));
	arrival_clear(&a);
	frag(&a, 0, 0, 4096, 4096);
	frag(&a, 0, 4096, 8192, 4096);
	assert_ok(put(0, 0, 0, &a));
	/* From another call, even of another socket. */
	arrival_clear(&a);
	frag(&a, 0, 8192, 12288, 100);
	assert_ok(put(0, 8192, 1, &a));
	/* Neighbour in the pool, not in the message; then in the message, not in the pool. */
	arrival_clear(&a);
	frag(&a, 0, 20000, 12388, 100);
	assert_ok(put(0, 20000, 0, &a));
	arrival_clear(&a);
	frag(&a, 0, 20100, 40000, 100);
	assert_ok(put(0, 20100, 0, &a));
	arrival_clear(&a);
	frag(&a, 0, 8292, 50000, 20000 - 8292);
	assert_ok(put(0, 8292, 0, &a));
	assert_ok(finish(0, 20200));
	assert_int_equal(meta()->cnt[0], 4);
	assert_int_equal(meta()->mem[0][0].len, 8292);
	check(0, 20200);
	assert_ok(consumed(0));
}

static void test_empty_receives(void **state)
{
	struct arrival a;

	(void)state;
	make(4);
	for (int i = 0; i < 3; i++)
		assert_ok(post(i));
	arrival_clear(&a);
	frag(&a, 1, 0, 4096, 64);
	assert_ok(put(1, 0, 0, &a));
	assert_ok(finish(0, 0));
	assert_ok(finish(1, 64));
	assert_ok(finish(2, 0));
	assert_int_equal(meta()->cnt[0], 0);
	assert_int_equal(meta()->cnt[1], 1);
	assert_int_equal(meta()->cnt[2], 0);
	check(0, 0);
	check(1, 64);
	check(2, 0);
	for (int i = 0; i < 3; i++)
		assert_ok(consumed(i));
}

/* 16 may be outstanding, and slots are used in the order of irecv calls for ever. */
static void test_slots(void **state)
{
	struct arrival a;

	(void)state;
	make(4);
	for (int i = 0; i < UNPACK_SLOTS; i++)
		assert_ok(post(i));
	for (int n = 0; n < 50; n++) {
		int i = n % UNPACK_SLOTS;

		assert_int_equal(reqs[i].slot, i);
		arrival_clear(&a);
		frag(&a, i, 0, 4096UL * (unsigned int)(n + 1), 1000 + (uint32_t)n);
		assert_ok(put(i, 0, 0, &a));
		assert_ok(finish(i, 1000 + (size_t)n));
		check(i, 1000 + (size_t)n);
		/* Done, and unpacked, but not said to be. */
		{
			struct place_req extra = { .base = dst, .size = SLOT };

			assert_int_equal(pl->ops->post(pl, &extra), -EAGAIN);
		}
		assert_ok(consumed(i));
		assert_ok(post(i));
	}
	for (int i = 0; i < UNPACK_SLOTS; i++)
		assert_true(meta()->cnt[i] <= 1);
}

/* An old list must not be taken for the new one: a slot's second message has fewer entries. */
static void test_slot_again(void **state)
{
	struct arrival a;

	(void)state;
	make(4);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < UNPACK_SLOTS; i++) {
			size_t n = round ? 1 : 3;

			assert_ok(post(i));
			arrival_clear(&a);
			for (size_t k = 0; k < n; k++)
				frag(&a, i, k * 500, 8192 * (k + 1), 500);
			assert_ok(put(i, 0, 0, &a));
			assert_ok(finish(i, n * 500));
			check(i, n * 500);
			assert_ok(consumed(i));
		}
	}
}

/* Bytes of a devmem socket that came in host memory, between frags. */
static void test_linear(void **state)
{
	size_t len = 8192, off;
	struct arrival a;
	uint8_t *host;

	(void)state;
	make(4);
	assert_ok(post(0));
	assert_ok(pl->ops->window(pl, &reqs[0], NULL, buffer(0), &len, &host));
	assert_int_equal(len, 8192);
	arrival_clear(&a);
	a.host = host;
	frag(&a, 0, 0, 4096, 1000);
	a.pieces[a.n++] = (struct gather_piece){ .len = 300, .linear = 1 };
	frag(&a, 0, 1300, 20000, 700);
	a.pieces[a.n++] = (struct gather_piece){ .len = 55, .linear = 1 };
	write_bytes(host, 0, 1000, 300);
	write_bytes(host + 300, 0, 2000, 55);
	a.linear = 355;
	a.total += 355;
	off = a.total;
	assert_ok(put(0, 0, 0, &a));
	assert_int_equal(reqs[0].pending, 355);
	/* The GPU has not copied yet: no ticket, no end. */
	assert_int_equal(pl->ops->poll(pl), 0);
	assert_int_equal(reqs[0].pending, 355);
	assert_int_equal(pl->ops->finish(pl, &reqs[0], off), -EBADE);
	assert_ok(finish(0, off));
	assert_int_equal(meta()->cnt[0], 4);
	check(0, off);
	assert_ok(consumed(0));
}

/* A window that brought nothing but frags is as good as new, and belongs to nobody. */
static void test_window_is_reused(void **state)
{
	uint8_t *first, *again;
	struct arrival a;
	size_t len = 4096;

	(void)state;
	make(4);
	assert_ok(post(0));
	assert_ok(post(1));
	assert_ok(pl->ops->window(pl, &reqs[0], NULL, buffer(0), &len, &first));
	arrival_clear(&a);
	frag(&a, 0, 0, 4096, 4096);
	assert_ok(put(0, 0, 0, &a));
	assert_int_equal(reqs[0].loans.n, 1);
	len = 4096;
	assert_ok(pl->ops->window(pl, &reqs[0], NULL, buffer(0) + 4096, &len, &again));
	assert_ptr_equal(first, again);
	assert_ok(finish(0, 4096));
	check(0, 4096);
	assert_ok(consumed(0));
	/* No more of the stage than what is kept anyway. */
	assert_int_equal(played_taken(), 2);
}

static void test_inline(void **state)
{
	uint8_t bytes[3000];
	size_t off = 0;

	(void)state;
	make(4);
	assert_ok(post(0));
	write_bytes(bytes, 0, 0, sizeof(bytes));
	/* As the control stream brings them: in pieces of any length. They make one entry. */
	for (size_t step = 1; off < sizeof(bytes); step += 37) {
		size_t n = step < sizeof(bytes) - off ? step : sizeof(bytes) - off;

		assert_ok(pl->ops->put_host(pl, &reqs[0], NULL, buffer(0) + off, bytes + off, n));
		off += n;
	}
	memset(bytes, 0, sizeof(bytes)); /* the caller's again */
	assert_ok(finish(0, sizeof(bytes)));
	assert_int_equal(meta()->cnt[0], 1);
	/* No NIC wrote to the GPU's memory. */
	assert_int_equal(played.flushes, 0);
	check(0, sizeof(bytes));
	assert_ok(consumed(0));
}

/* What follows in a block begins where its destination is as aligned, so that kernels may copy in wide units. */
static void test_alignment(void **state)
{
	uint8_t bytes[64];

	(void)state;
	make(4);
	assert_ok(post(0));
	write_bytes(bytes, 0, 0, 13);
	assert_ok(pl->ops->put_host(pl, &reqs[0], NULL, buffer(0), bytes, 13));
	write_bytes(bytes, 0, 1013, 64);
	assert_ok(pl->ops->put_host(pl, &reqs[0], NULL, buffer(0) + 1013, bytes, 64));
	assert_int_equal(reqs[0].n_entries, 2);
	{
		struct arrival a;

		arrival_clear(&a);
		frag(&a, 0, 13, 4096 + 13, 1000);
		assert_ok(put(0, 13, 0, &a));
	}
	assert_ok(finish(0, 1077));
	for (int k = 0; k < 3; k++)
		assert_int_equal(meta()->mem[0][k].src_off % 16, meta()->mem[0][k].dst_off % 16);
	check(0, 1077);
	assert_ok(consumed(0));
}

/* Bytes that were received into a block (staged) and have its offset. */
static void test_staged_block(void **state)
{
	struct stage_block *b;
	struct arrival a;

	(void)state;
	make(4);
	assert_ok(post(0));
	b = __wrap_stage_take(pool.stage);
	write_bytes(b->host, 0, 0, 5000);
	arrival_clear(&a);
	a.block = b;
	a.total = 5000;
	a.n = 1;
	a.pieces[0] = (struct gather_piece){ .offset = b->offset, .len = 5000 };
	assert_ok(put(0, 0, 0, &a));
	assert_int_equal(reqs[0].pending, 5000);
	assert_ok(finish(0, 5000));
	assert_int_equal(meta()->cnt[0], 1);
	check(0, 5000);
	assert_int_equal(played_taken(), 3);
	assert_ok(consumed(0));
	assert_int_equal(played_taken(), 2);
}

static int put_small(int i)
{
	uint8_t bytes[100];

	write_bytes(bytes, i, 0, sizeof(bytes));
	return pl->ops->put_host(pl, &reqs[i], NULL, buffer(i), bytes, sizeof(bytes));
}

/* With the stage empty the oldest receive gets on, and only that. */
static void test_oldest_gets_on(void **state)
{
	(void)state;
	make(3); /* two private, one for all */
	for (int i = 0; i < 4; i++)
		assert_ok(post(i));
	assert_ok(put_small(2)); /* takes the one */
	assert_int_equal(put_small(1), -EAGAIN);
	assert_int_equal(put_small(3), -EAGAIN);
	assert_ok(put_small(0)); /* has a private one */
	assert_ok(finish(0, 100));
	/* Now 1 is the oldest, and has the other: it may be done before 0 is consumed. */
	assert_ok(put_small(1));
	assert_int_equal(put_small(3), -EAGAIN);
	assert_ok(finish(1, 100));
	assert_ok(finish(2, 100));
	/* And 3 is, but nothing is left until the kernel has taken what was before it. */
	assert_int_equal(put_small(3), -EAGAIN);
	check(0, 100);
	assert_int_equal(put_small(3), -EAGAIN);
	assert_ok(consumed(0));
	assert_ok(put_small(3));
	assert_ok(finish(3, 100));
	for (int i = 1; i < 4; i++) {
		check(i, 100);
		assert_ok(consumed(i));
	}
}

/* A window that the oldest had does not give a younger receive the private block. */
static void test_spare_is_kept_for_the_oldest(void **state)
{
	size_t len = 4096;
	uint8_t *host;

	(void)state;
	make(2);
	assert_ok(post(0));
	assert_ok(post(1));
	assert_ok(pl->ops->window(pl, &reqs[0], NULL, buffer(0), &len, &host));
	assert_int_equal(pl->ops->window(pl, &reqs[1], NULL, buffer(1), &len, &host), -EAGAIN);
	assert_int_equal(put_small(1), -EAGAIN);
	assert_ok(put_small(0));
	assert_ok(finish(0, 100));
	check(0, 100);
	assert_ok(consumed(0));
	assert_ok(put_small(1));
	assert_ok(finish(1, 100));
	check(1, 100);
	assert_ok(consumed(1));
}

/* @n frags of @len, each with a gap behind it, in calls of 400. */
static void put_many(int i, size_t n, uint32_t len)
{
	struct arrival a;
	size_t off = 0;

	arrival_clear(&a);
	for (size_t k = 0; k < n; k++) {
		frag(&a, i, k * len, k * (len + 1), len);
		if (a.n == ARRIVAL_PIECES || k == n - 1) {
			size_t total = a.total;

			assert_ok(put(i, off, 0, &a));
			off += total;
			arrival_clear(&a);
		}
	}
}

static void test_a_full_slot(void **state)
{
	(void)state;
	make(8);
	assert_ok(post(0));
	put_many(0, UNPACK_ENTRIES, 700);
	assert_int_equal(reqs[0].pending, 0);
	assert_ok(finish(0, UNPACK_ENTRIES * 700UL));
	assert_int_equal(meta()->cnt[0], UNPACK_ENTRIES);
	assert_int_equal(played.n_calls, 0);
	check(0, UNPACK_ENTRIES * 700UL);
	assert_ok(consumed(0));
}

static void test_too_many_pieces(void **state)
{
	const size_t n = 5001, total = n * 299;

	(void)state;
	make(32);
	assert_ok(post(0));
	put_many(0, n, 299);
	assert_int_equal(reqs[0].pending, total);
	assert_ok(finish(0, total));
	/* An entry for each block that it was copied to. */
	assert_int_equal(meta()->cnt[0], (total + BLOCK - 1) / BLOCK);
	check(0, total);
	assert_ok(consumed(0));
	/* The slot is as any other the next time. */
	for (int i = 1; i <= UNPACK_SLOTS; i++) {
		int k = i % UNPACK_SLOTS;

		assert_ok(post(k));
		put_many(k, 3, 500);
		assert_ok(finish(k, 1500));
		assert_int_equal(meta()->cnt[k], 3);
		check(k, 1500);
		assert_ok(consumed(k));
	}
}

/* One piece too many, and host memory among them; the GPU is busy now and then. */
static void test_one_piece_too_many(void **state)
{
	const size_t total = UNPACK_ENTRIES * 100 + 3;
	uint8_t bytes[100];

	(void)state;
	make(32);
	assert_ok(post(0));
	write_bytes(bytes, 0, UNPACK_ENTRIES * 100, 3);
	assert_ok(
		pl->ops->put_host(pl, &reqs[0], NULL, buffer(0) + UNPACK_ENTRIES * 100, bytes, 3));
	put_many(0, UNPACK_ENTRIES, 100);
	played.busy = 3;
	assert_int_equal(pl->ops->poll(pl), 0); /* neither a move nor a mark */
	assert_int_equal(pl->ops->poll(pl), 0); /* a mark */
	assert_int_equal(pl->ops->poll(pl), 1);
	played.busy = 1;
	assert_ok(finish(0, total));
	assert_int_equal(meta()->cnt[0], (total + BLOCK - 1) / BLOCK);
	check(0, total);
	assert_ok(consumed(0));
}

/* Too few blocks: it waits, and goes on where it was. */
static void test_too_many_pieces_wait(void **state)
{
	const size_t n = 3000, total = n * 299;
	struct stage_block *held[3];

	(void)state;
	make(9);
	for (int i = 0; i < 3; i++)
		held[i] = __wrap_stage_take(pool.stage);
	assert_ok(post(0));
	put_many(0, n, 299);
	assert_int_equal(finish(0, total), -EAGAIN);
	assert_true(reqs[0].pending > 0 && reqs[0].pending < total);
	for (int i = 0; i < 3; i++)
		__wrap_stage_give(held[i]);
	assert_ok(finish(0, total));
	check(0, total);
	assert_ok(consumed(0));
}

static void test_ll_is_refused(void **state)
{
	struct place_req req = { .ordered = true, .base = dst, .size = SLOT };

	(void)state;
	make(4);
	assert_int_equal(pl->ops->post(pl, &req), -ENOTSUP);
	assert_logged("NCCL_PROTO=Simple");
	/* And has not burnt a slot. */
	assert_ok(post(0));
	assert_int_equal(reqs[0].slot, 0);
	assert_ok(finish(0, 0));
	check(0, 0);
	assert_ok(consumed(0));
}

static void test_gpu_error(void **state)
{
	(void)state;
	make(4);
	assert_ok(post(0));
	assert_ok(put_small(0));
	assert_int_equal(pl->ops->poll(pl), 0);
	played.err = -EIO;
	assert_int_equal(pl->ops->poll(pl), -EIO);
	assert_int_equal(put_small(0), -EIO);
	played.err = 0;
}

/* Bytes that nobody put, or that were put twice, never become a finished receive. */
static void test_accounts(void **state)
{
	struct arrival a;

	(void)state;
	make(4);
	assert_ok(post(0));
	arrival_clear(&a);
	frag(&a, 0, 0, 4096, 64);
	assert_ok(put(0, 0, 0, &a));
	assert_int_equal(finish(0, 65), -EBADE);
	assert_int_equal(finish(0, 63), -EBADE);
	assert_logged("bug");
	assert_ok(finish(0, 64));
	check(0, 64);
	assert_ok(consumed(0));
}

/* Linear bytes that are not where the window was. */
static void test_foreign_host(void **state)
{
	static uint8_t elsewhere[64];
	struct arrival a;

	(void)state;
	make(4);
	assert_ok(post(0));
	arrival_readable(&a, elsewhere, 64);
	assert_int_equal(put(0, 0, 0, &a), -EBADE);
}

#define assert_refused(errno_, word)                                                 \
	do {                                                                         \
		struct verdict why_ = { 0 };                                         \
		struct place *none_ = NULL;                                          \
		assert_int_equal(place_unpack_create(&pool, &none_, &why_), errno_); \
		assert_null(none_);                                                  \
		assert_int_equal(why_.err, errno_);                                  \
		if (!strstr(why_.reason, (word)))                                    \
			fail_msg("\"%s\" is not in: %s", (word), why_.reason);       \
		assert_int_equal(played.allocs, 0);                                  \
		assert_int_equal(played.queues, 0);                                  \
		assert_int_equal(played_taken(), 0);                                 \
	} while (0)

static void test_refusals(void **state)
{
	(void)state;
	played_stage(4, BLOCK, memory, POOL);
	pool.block.size = 4096 * MIB - MIB;
	pool.block.offset = 2 * MIB;
	assert_refused(-EOVERFLOW, "4097 MiB");
	pool.block.size = POOL;
	pool.block.offset = 0;
	played.blocks[0].offset = (1ULL << 32) - BLOCK + 1;
	assert_refused(-EOVERFLOW, "stage");
	played.blocks[0].offset = POOL;
	for (int i = 1; i <= 2; i++) {
		played.fail_alloc = i;
		assert_refused(-ENOMEM, "as the test wants");
	}
	played.err = -EIO;
	assert_refused(-EIO, "handle");
	played.err = 0;
	played.block_size = 64 * KIB;
	assert_refused(-EINVAL, "65536");
	played.block_size = BLOCK;
	pool.gpu = NULL;
	assert_refused(-ENODEV, "GPU memory");
	pool.gpu = &gpu;
	played.n_blocks = 0;
	assert_refused(-ENOSPC, "block");
	/* Whole slices come through the stage: more is kept. */
	pool.rx = NULL;
	played_stage(8, BLOCK, memory, POOL);
	assert_refused(-ENOSPC, "9 of 128 KiB");
	played_stage(9, BLOCK, memory, POOL);
	{
		struct verdict why;

		assert_ok(place_unpack_create(&pool, &pl, &why));
		assert_int_equal(played_taken(), 9);
	}
}

static void test_one_bounce_base(void **state)
{
	struct place *second = NULL;
	struct pool theirs = pool;
	struct verdict why = { 0 };

	(void)state;
	make(8);
	/* Another connection on the same pool; another GPU. */
	assert_ok(place_unpack_create(&pool, &second, &why));
	second->ops->destroy(second);
	theirs.block.priv += 4096;
	assert_int_equal(place_unpack_create(&theirs, &second, &why), -EXDEV);
	assert_non_null(strstr(why.remedy, "NCCL_DEVMEM_IFNAME"));
	theirs.gpu = &other_gpu;
	assert_ok(place_unpack_create(&theirs, &second, &why));
	second->ops->destroy(second);
	/* With the last connection the base is forgotten. */
	pl->ops->destroy(pl);
	theirs.gpu = &gpu;
	assert_ok(place_unpack_create(&theirs, &pl, &why));
}

/* Closed in the middle: everything goes back. */
static void test_close_with_receives(void **state)
{
	(void)state;
	make(8);
	for (int i = 0; i < 4; i++)
		assert_ok(post(i));
	assert_ok(put_small(0));
	assert_ok(finish(0, 100)); /* done, not consumed */
	assert_ok(put_small(1));   /* under way */
	put_many(2, 2500, 100);	   /* waits for blocks */
	assert_true(pl->ops->poll(pl) >= 0);
	/* end() looks at what is left. */
}

int main(void)
{
#define unit(test) cmocka_unit_test_setup_teardown(test, start, end)
	const struct CMUnitTest tests[] = {
		unit(test_handle),
		unit(test_frags),
		unit(test_neighbours_join),
		unit(test_empty_receives),
		unit(test_slots),
		unit(test_slot_again),
		unit(test_linear),
		unit(test_window_is_reused),
		unit(test_inline),
		unit(test_alignment),
		unit(test_staged_block),
		unit(test_oldest_gets_on),
		unit(test_spare_is_kept_for_the_oldest),
		unit(test_a_full_slot),
		unit(test_too_many_pieces),
		unit(test_one_piece_too_many),
		unit(test_too_many_pieces_wait),
		unit(test_ll_is_refused),
		unit(test_gpu_error),
		unit(test_accounts),
		unit(test_foreign_host),
		unit(test_refusals),
		unit(test_one_bounce_base),
		unit(test_close_with_receives),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	played_reset();
	free(memory);
	free(dst);
	return r;
}
