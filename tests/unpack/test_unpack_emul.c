// SPDX-License-Identifier: BSD-3-Clause
/* The unpack emulation against slices cut into frags by this test, which also knows what they must become. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

#include "unit.h"
#include "unpack/unpack_emul.h"

#define BOUNCE (16u << 20)
#define GUARD  64
#define EMPTY  0xa5

/* A plugin's side of one receive comm: frags taken one after another from a bounce buffer, never the same twice. */
struct queue {
	struct unpack_emul_handle handle;
	uint8_t *bounce;
	uint32_t used;
	uint64_t filled; /* slices */
	uint64_t tail;	 /* slices published, as NCCL's proxy tells the kernel */
	unsigned int seed;
};

static uint8_t pattern(uint64_t slice, uint64_t at)
{
	return (uint8_t)((slice * 131 + at * 7 + (at >> 8) * 31 + 1) & 0xff);
}

static void queue_open(struct queue *q, uint8_t *bounce)
{
	memset(q, 0, sizeof(*q));
	q->bounce = bounce;
	q->handle.bounce_buf = bounce;
	q->handle.head = UINT64_MAX;
	q->handle.meta =
		aligned_alloc(4096, (sizeof(struct unpack_emul_meta) + 4095) / 4096 * 4096);
	assert_non_null(q->handle.meta);
	memset(q->handle.meta, 0xff,
	       sizeof(*q->handle.meta)); /* what is not written must not be read */
	q->seed = 1;
}

static void queue_close(struct queue *q)
{
	free(q->handle.meta);
}

static uint8_t *bounce_new(void)
{
	uint8_t *bounce = aligned_alloc(4096, BOUNCE);

	assert_non_null(bounce);
	memset(bounce, 0x5a, BOUNCE);
	return bounce;
}

static struct unpack_emul_entry *queue_slot(struct queue *q)
{
	return q->handle.meta->mem[q->filled % UNPACK_EMUL_SLOTS];
}

static void queue_publish(struct queue *q, uint64_t entries)
{
	q->handle.meta->cnt[q->filled % UNPACK_EMUL_SLOTS] = entries;
	q->filled++;
	__atomic_store_n(&q->tail, q->filled, __ATOMIC_RELEASE);
}

/* Entry i of the slice being filled: dst_off, len, and src_off congruent to @src_mod modulo 16. */
static void queue_frag(struct queue *q, uint64_t i, uint64_t dst_off, uint32_t len,
		       uint32_t src_mod)
{
	uint32_t at = (q->used + 15) / 16 * 16 + src_mod;

	if (at + len > BOUNCE)
		at = src_mod;
	q->used = at + len;
	for (uint32_t k = 0; k < len; k++)
		q->bounce[at + k] = pattern(q->filled, dst_off + k);
	queue_slot(q)[i] = (struct unpack_emul_entry){ at, len, dst_off };
}

/* A slice in frags of @frag bytes at most; with 0, of lengths by chance. */
static void queue_slice(struct queue *q, size_t nbytes, uint32_t frag, uint32_t src_mod)
{
	uint64_t i = 0;

	for (size_t at = 0; at < nbytes; i++) {
		uint32_t len = frag ? frag : 1 + (uint32_t)rand_r(&q->seed) % 5000;

		if (len > nbytes - at)
			len = (uint32_t)(nbytes - at);
		queue_frag(q, i, at, len, frag ? src_mod : (uint32_t)rand_r(&q->seed) % 16);
		at += len;
	}
	queue_publish(q, i);
}

static bool slice_is(const uint8_t *buf, uint64_t slice, size_t nbytes)
{
	for (size_t k = 0; k < nbytes; k++) {
		if (buf[k] != pattern(slice, k))
			return false;
	}
	return true;
}

/* One slice through one connection, with guards around it. */
static int step_checked(struct unpack_emul *emul, int peer, uint64_t slice, size_t nbytes)
{
	uint8_t *room = aligned_alloc(GUARD, (nbytes + 2 * GUARD + GUARD - 1) / GUARD * GUARD);
	int err;

	assert_non_null(room);
	memset(room, EMPTY, nbytes + 2 * GUARD);
	err = unpack_emul_step(emul, peer, room + GUARD, nbytes);
	for (size_t k = 0; k < GUARD; k++) {
		assert_int_equal(room[k], EMPTY);
		assert_int_equal(room[GUARD + nbytes + k], EMPTY);
	}
	if (!err)
		assert_true(slice_is(room + GUARD, slice, nbytes));
	free(room);
	return err;
}

struct rig {
	uint8_t *bounce;
	struct queue q;
	struct unpack_emul_block block;
	struct unpack_emul emul;
};

static int rig_up(void **state)
{
	static struct rig rig;

	memset(&rig, 0, sizeof(rig));
	rig.bounce = bounce_new();
	queue_open(&rig.q, rig.bounce);
	unpack_emul_init(&rig.emul, &rig.block);
	assert_ok(unpack_emul_setup(&rig.emul, 0, &rig.q.handle));
	*state = &rig;
	return 0;
}

static int rig_down(void **state)
{
	struct rig *r = *state;

	queue_close(&r->q);
	free(r->bounce);
	return 0;
}

/* The unit is the lowest set bit of both offsets; the content is right in each class. */
static void test_alignment(void **state)
{
	static const struct {
		uint32_t src_mod, dst_mod;
		int unit_log;
	} classes[] = {
		{ 0, 0, 4 }, { 8, 0, 3 }, { 0, 8, 3 }, { 8, 8, 3 }, { 4, 8, 2 }, { 12, 0, 2 },
		{ 0, 4, 2 }, { 2, 0, 1 }, { 6, 4, 1 }, { 1, 1, 0 }, { 0, 7, 0 }, { 15, 8, 0 },
	};
	struct rig *r = *state;

	for (size_t c = 0; c < sizeof(classes) / sizeof(classes[0]); c++) {
		uint64_t before = r->emul.n_by_unit[classes[c].unit_log];
		uint32_t first = classes[c].dst_mod;
		uint64_t slice = r->q.filled;

		/* A short entry that is not copied in lines brings dst_off to where the class wants it. */
		queue_frag(&r->q, 0, 0, first, 0);
		queue_frag(&r->q, 1, first, 1000 - first, classes[c].src_mod);
		queue_publish(&r->q, 2);
		assert_ok(step_checked(&r->emul, 0, slice, 1000));
		assert_int_equal(r->emul.n_by_unit[classes[c].unit_log], before + 1);
	}
}

static void test_lengths(void **state)
{
	struct rig *r = *state;

	for (uint32_t len = 1; len <= 70; len++) {
		uint64_t slice = r->q.filled;

		queue_slice(&r->q, len, len, len % 16);
		assert_ok(step_checked(&r->emul, 0, slice, len));
	}
	assert_int_equal(r->emul.n_entries, 70);
	assert_int_equal(r->emul.n_bytes, 70 * 71 / 2);
}

static void test_wrap(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 3 * UNPACK_EMUL_SLOTS + 5; i++) {
		uint64_t slice = r->q.filled;

		queue_slice(&r->q, 20000 + (size_t)i, 0, 0);
		assert_ok(step_checked(&r->emul, 0, slice, 20000 + (size_t)i));
	}
	assert_int_equal(r->emul.head[0], 3 * UNPACK_EMUL_SLOTS + 4);
}

/* The plugin is ahead by as many slices as the queue holds. */
static void test_queue_full(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < UNPACK_EMUL_SLOTS; i++)
		queue_slice(&r->q, 1000 * (size_t)(i + 1), 999, 3);
	for (uint64_t i = 0; i < UNPACK_EMUL_SLOTS; i++)
		assert_ok(step_checked(&r->emul, 0, i, 1000 * (i + 1)));
}

/* 0 bytes: the slot is used up, and must be empty. */
static void test_zero(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 40; i++) {
		uint64_t slice = r->q.filled;

		if (i % 3 == 0)
			queue_slice(&r->q, 500, 100, 0);
		else
			queue_publish(&r->q, 0);
		assert_ok(step_checked(&r->emul, 0, slice, i % 3 == 0 ? 500 : 0));
	}
	assert_int_equal(r->emul.n_slices, 40);
	/* An aborted kernel comes by at a slot that still has what it held. */
	queue_publish(&r->q, 1);
	assert_int_equal(step_checked(&r->emul, 0, 40, 0), -ELOOP);
	assert_non_null(strstr(r->emul.why, "would not end"));
}

static void test_many_entries(void **state)
{
	struct rig *r = *state;

	queue_slice(&r->q, 2048 * 1448, 1448, 2);
	assert_ok(step_checked(&r->emul, 0, 0, 2048 * 1448));
	assert_int_equal(r->emul.n_entries, UNPACK_EMUL_ENTRIES);
	queue_publish(&r->q, UNPACK_EMUL_ENTRIES + 1);
	assert_int_equal(step_checked(&r->emul, 0, 1, 1000), -E2BIG);
	assert_non_null(strstr(r->emul.why, "2049 entries"));
}

/* A kernel ends, another takes up where it was. Without the write-back it would read old slots. */
static void test_relaunch(void **state)
{
	struct rig *r = *state;

	for (int launch = 0; launch < 7; launch++) {
		struct unpack_emul_block block = { 0 };
		struct unpack_emul emul;

		unpack_emul_init(&emul, &block);
		assert_ok(unpack_emul_setup(&emul, 1, &r->q.handle));
		for (int i = 0; i < 5; i++) {
			uint64_t slice = r->q.filled;

			queue_slice(&r->q, 3000, 0, 0);
			assert_ok(step_checked(&emul, 1, slice, 3000));
		}
		unpack_emul_finish(&emul, 1, &r->q.handle);
		assert_int_equal(r->q.handle.head, launch * 5 + 4);
	}
}

static void test_two_peers(void **state)
{
	struct rig *r = *state;
	struct queue other;

	/* The other half of the same bounce buffer. */
	queue_open(&other, r->bounce);
	other.used = BOUNCE / 2;
	assert_ok(unpack_emul_setup(&r->emul, 1, &other.handle));
	for (int i = 0; i < 50; i++) {
		uint64_t a = r->q.filled, b = other.filled;

		r->q.used = r->q.used > BOUNCE / 4 ? 0 : r->q.used;
		other.used = other.used > BOUNCE / 4 * 3 ? BOUNCE / 2 : other.used;
		queue_slice(&r->q, 7000, 0, 0);
		assert_ok(step_checked(&r->emul, 0, a, 7000));
		if (i % 2)
			continue;
		queue_slice(&other, 9000, 0, 0);
		assert_ok(step_checked(&r->emul, 1, b, 9000));
	}
	unpack_emul_finish(&r->emul, 0, &r->q.handle);
	unpack_emul_finish(&r->emul, 1, &other.handle);
	assert_int_equal(r->q.handle.head, 49);
	assert_int_equal(other.handle.head, 24);
	queue_close(&other);
}

static void test_refused(void **state)
{
	struct rig *r = *state;
	struct unpack_emul_handle bad = r->q.handle;
	struct unpack_emul_block block = { 0 };
	struct unpack_emul emul;
	uint64_t head;

	assert_int_equal(unpack_emul_setup(&r->emul, 2, &r->q.handle), -ERANGE);
	bad.bounce_buf = r->bounce + 4096;
	assert_int_equal(unpack_emul_setup(&r->emul, 1, &bad), -EXDEV);
	assert_non_null(strstr(r->emul.why, "two bounce bases"));
	bad.bounce_buf = NULL;
	assert_int_equal(unpack_emul_setup(&r->emul, 1, &bad), -EINVAL);

	/* Past the end of the slice; the offsets do not wrap around either. */
	queue_frag(&r->q, 0, 0, 100, 0);
	queue_publish(&r->q, 1);
	assert_int_equal(step_checked(&r->emul, 0, 0, 99), -ERANGE);
	queue_slot(&r->q)[0] = (struct unpack_emul_entry){ 0, 100, UINT64_MAX - 50 };
	queue_publish(&r->q, 1);
	assert_int_equal(step_checked(&r->emul, 0, 1, 99), -ERANGE);

	/* A byte short, a gap, an overlap; and frags in another order, which are fine. */
	queue_slice(&r->q, 99, 50, 0);
	assert_int_equal(step_checked(&r->emul, 0, 2, 100), -ENODATA);
	queue_frag(&r->q, 0, 0, 50, 0);
	queue_frag(&r->q, 1, 51, 49, 0);
	queue_publish(&r->q, 2);
	assert_int_equal(step_checked(&r->emul, 0, 3, 100), -ENODATA);
	queue_frag(&r->q, 0, 0, 51, 0);
	queue_frag(&r->q, 1, 50, 50, 0);
	queue_publish(&r->q, 2);
	assert_int_equal(step_checked(&r->emul, 0, 4, 100), -ENODATA);
	assert_non_null(strstr(r->emul.why, "covered twice"));
	queue_frag(&r->q, 0, 60, 40, 3);
	queue_frag(&r->q, 1, 0, 0, 0);
	queue_frag(&r->q, 2, 0, 60, 3);
	queue_publish(&r->q, 3);
	assert_ok(step_checked(&r->emul, 0, 5, 100));

	/* A base that is not aligned: the offsets say 16, the address does not. */
	queue_slice(&r->q, 100, 100, 0);
	head = r->emul.head[0];
	bad = r->q.handle;
	bad.bounce_buf = r->bounce + 8;
	bad.head = head;
	unpack_emul_init(&emul, &block);
	assert_ok(unpack_emul_setup(&emul, 0, &bad));
	assert_int_equal(step_checked(&emul, 0, 6, 100), -EFAULT);
}

/* What the byte check is for: a head that starts one off, a slot that is not burnt. */
static void test_wrong_head(void **state)
{
	struct rig *r = *state;
	struct unpack_emul_block block = { 0 };
	struct unpack_emul_handle bad = r->q.handle;
	struct unpack_emul emul;
	uint8_t buf[64];

	bad.head = 0;
	memset(r->q.handle.meta->cnt, 0, sizeof(r->q.handle.meta->cnt));
	unpack_emul_init(&emul, &block);
	assert_ok(unpack_emul_setup(&emul, 0, &bad));
	queue_slice(&r->q, 64, 64, 0);
	assert_int_equal(unpack_emul_step(&emul, 0, buf, 64), -ENODATA);
}

#define BLOCKS 4
#define ROUNDS 400

/* A block of its own with two connections, filled by this thread's partner up to 8 slices ahead. */
struct lane {
	struct queue q[2];
	uint64_t head[2]; /* slices taken */
	pthread_t plugin, kernel;
	int failed;
};

static size_t lane_size(int round, int peer)
{
	return (size_t)((round * 977 + peer * 311) % 30000);
}

static void *lane_plugin(void *arg)
{
	struct lane *l = arg;

	for (int i = 0; i < ROUNDS; i++) {
		for (int p = 0; p < 2; p++) {
			while (l->q[p].filled - __atomic_load_n(&l->head[p], __ATOMIC_ACQUIRE) >= 8)
				sched_yield();
			/* 8 slices of 30000 bytes at most fit into a part of 1 MiB twice over. */
			if (l->q[p].used % (1u << 20) > (1u << 20) - 100000)
				l->q[p].used = l->q[p].used / (1u << 20) * (1u << 20);
			queue_slice(&l->q[p], lane_size(i, p), 0, 0);
		}
	}
	return NULL;
}

static void *lane_kernel(void *arg)
{
	static __thread uint8_t buf[30000] __attribute__((aligned(16)));
	struct unpack_emul_block block = { 0 };
	struct unpack_emul emul;
	struct lane *l = arg;

	unpack_emul_init(&emul, &block);
	for (int p = 0; p < 2; p++)
		l->failed |= unpack_emul_setup(&emul, p, &l->q[p].handle);
	for (uint64_t i = 0; i < ROUNDS; i++) {
		for (int p = 0; p < 2; p++) {
			size_t n = lane_size((int)i, p);

			while (__atomic_load_n(&l->q[p].tail, __ATOMIC_ACQUIRE) <= i)
				sched_yield();
			if (unpack_emul_step(&emul, p, buf, n) || !slice_is(buf, i, n))
				l->failed = 1;
			__atomic_store_n(&l->head[p], i + 1, __ATOMIC_RELEASE);
		}
	}
	for (int p = 0; p < 2; p++)
		unpack_emul_finish(&emul, p, &l->q[p].handle);
	return NULL;
}

/* Several blocks at once, on one bounce buffer. */
static void test_blocks(void **state)
{
	static struct lane lanes[BLOCKS];
	struct rig *r = *state;

	for (int b = 0; b < BLOCKS; b++) {
		for (int p = 0; p < 2; p++) {
			queue_open(&lanes[b].q[p], r->bounce);
			lanes[b].q[p].used = (uint32_t)(b * 2 + p) << 20;
		}
		assert_ok(pthread_create(&lanes[b].plugin, NULL, lane_plugin, &lanes[b]));
		assert_ok(pthread_create(&lanes[b].kernel, NULL, lane_kernel, &lanes[b]));
	}
	for (int b = 0; b < BLOCKS; b++) {
		assert_ok(pthread_join(lanes[b].plugin, NULL));
		assert_ok(pthread_join(lanes[b].kernel, NULL));
		assert_false(lanes[b].failed);
		for (int p = 0; p < 2; p++) {
			assert_int_equal(lanes[b].q[p].handle.head, ROUNDS - 1);
			queue_close(&lanes[b].q[p]);
		}
	}
}

#define rig_test(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(test_alignment),  rig_test(test_lengths),   rig_test(test_wrap),
		rig_test(test_queue_full), rig_test(test_zero),	     rig_test(test_many_entries),
		rig_test(test_relaunch),   rig_test(test_two_peers), rig_test(test_refused),
		rig_test(test_wrong_head), rig_test(test_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
