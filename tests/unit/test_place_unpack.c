// SPDX-License-Identifier: BSD-3-Clause
/*
 * The place for device unpack, read by the emulation of NCCL's unpack kernel: every receive's bytes, byte by byte, whatever it comes in.
 *
 * unit-libs: devmem_path unpack_emul
 * unit-wrap: gpu_name gpu_alloc gpu_free gpu_host_alloc gpu_host_free gpu_copy_sync gpu_flush gpu_queue_create gpu_queue_destroy gpu_queue_copy gpu_queue_move gpu_queue_mark gpu_queue_done stage_take stage_give stage_block_size
 */
#include "unpack_rig.h"

static struct gpu other_gpu = { .ordinal = 1 };

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

/* A kernel that is aborted goes on without waiting, with 0 bytes a slice: slots that are consumed, or not filled yet, must not hold it up. */
static void test_aborted_kernel(void **state)
{
	struct arrival a;

	(void)state;
	make(4);
	for (int i = 0; i < UNPACK_SLOTS; i++) {
		assert_ok(post(i));
		arrival_clear(&a);
		frag(&a, i, 0, 4096 * (uint64_t)(i + 1), 64);
		assert_ok(put(i, 0, 0, &a));
		assert_ok(finish(i, 64));
		assert_int_equal(meta()->cnt[i], 1);
		check(i, 64);
	}
	/* In another order than they were posted in. */
	for (int i = UNPACK_SLOTS - 1; i >= 0; i--) {
		assert_ok(consumed(i));
		assert_int_equal(meta()->cnt[i], 0);
	}
	assert_ok(post(0));
	arrival_clear(&a);
	frag(&a, 0, 0, 4096, 64);
	assert_ok(put(0, 0, 0, &a)); /* under way */
	for (int i = 0; i < 2 * UNPACK_SLOTS; i++)
		assert_ok(unpack_emul_step(&emul, 0, NULL, 0));
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
		unit(test_aborted_kernel),
		unit(test_slots),
		unit(test_slot_again),
		unit(test_ll_is_refused),
		unit(test_gpu_error),
		unit(test_accounts),
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
