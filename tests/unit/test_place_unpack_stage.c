// SPDX-License-Identifier: BSD-3-Clause
/*
 * The place for device unpack, where bytes pass through the stage: what came in host memory, and messages in more pieces than a slot has
 * entries. And who gets a block when there are few.
 *
 * unit-libs: devmem_path unpack_emul
 * unit-wrap: gpu_name gpu_alloc gpu_free gpu_host_alloc gpu_host_free gpu_copy_sync gpu_flush gpu_queue_create gpu_queue_destroy gpu_queue_copy gpu_queue_move gpu_queue_mark gpu_queue_done stage_take stage_give stage_block_size
 */
#include "unpack_rig.h"

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

int main(void)
{
#define unit(test) cmocka_unit_test_setup_teardown(test, start, end)
	const struct CMUnitTest tests[] = {
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
		unit(test_foreign_host),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	played_reset();
	free(memory);
	free(dst);
	return r;
}
