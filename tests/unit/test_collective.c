// SPDX-License-Identifier: BSD-3-Clause
/*
 * unit-libs: perfcoll Threads::Threads
 *
 * The ring collectives: the schedule by itself, then whole runs of several ranks as threads over a
 * net plugin of the test's own.
 */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "collective.h"
#include "fake_net.h"
#include "ring_schedule.h"
#include "test_pattern.h"

#define MAX_RANKS 5
#define PAGE	  4096
/* Of ranks that should not stall, but on a machine that may. */
#define PATIENCE_S 60

/* What all ranks of one run have in common. */
struct run {
	enum collective_kind kind;
	enum data_type type;
	int nranks;
	size_t count;
	unsigned int nchannels, nslots;
	bool in_place;
	size_t wrong_count; /* rank 1 uses this count, if not 0 */
	int repeats;
	int timeout_s; /* 0: PATIENCE_S */
	int late_ms;   /* rank 2 comes to the first collective that much later */
	int pairs[MAX_RANKS][2];
};

struct rank {
	const struct run *run;
	int rank;
	pthread_t thread;
	int err;
	size_t wrong;
};

/* As the launcher hands it over: descriptors already connected. */
static int rank_rendezvous(const struct rank *r, struct rendezvous **ret)
{
	char spec[64] = "fd:";
	size_t used = 3;

	if (r->rank) {
		snprintf(spec, sizeof(spec), "fd:%d", r->run->pairs[r->rank][1]);
	} else {
		for (int i = 1; i < r->run->nranks; i++)
			used += (size_t)snprintf(spec + used, sizeof(spec) - used, "%s%d",
						 i > 1 ? "," : "", r->run->pairs[i][0]);
	}
	return rendezvous_open(spec, r->rank, r->run->nranks, PATIENCE_S, ret);
}

static int rank_collectives(struct rank *r, struct ring *ring)
{
	const struct run *run = r->run;
	size_t count = r->rank == 1 && run->wrong_count ? run->wrong_count : run->count;
	size_t bytes = (run->count + run->wrong_count) * (size_t)run->nranks * sizeof(double) + 1;
	size_t src_count = run->kind == COLL_REDUCE_SCATTER ? count * (size_t)run->nranks : count;
	void *src = calloc(1, bytes), *dst = calloc(1, bytes);
	int err = 0;

	if (r->rank == 2 && run->late_ms)
		usleep((useconds_t)run->late_ms * 1000);
	for (int i = 0; i < run->repeats && !err; i++) {
		struct collective coll = {
			.kind = run->kind, .type = run->type, .count = count, .src = src, .dst = dst
		};

		test_pattern_poison(dst, bytes);
		if (run->in_place)
			coll.src = dst;
		test_pattern_fill((void *)coll.src, run->type, r->rank, 0, src_count, (uint32_t)i);
		err = collective_run(ring, &coll);
		if (!err)
			r->wrong += test_pattern_wrong(run->kind, run->type, r->rank, run->nranks,
						       count, (uint32_t)i, dst);
	}
	free(src);
	free(dst);
	return err;
}

static void *rank_main(void *arg)
{
	struct rank *r = arg;
	const struct lane_shape shape = { .memory = DEVICE_MEMORY_HOST,
					  .nslots = r->run->nslots,
					  .slot_size = PAGE };
	struct rendezvous *rv;
	struct net_driver drv;
	struct ring *ring;

	fake_driver_init(&drv);
	r->err = rank_rendezvous(r, &rv);
	if (r->err)
		return NULL;
	r->err = ring_open(&drv, rv, r->rank, r->run->nranks, r->run->nchannels, &shape,
			   r->run->timeout_s ?: PATIENCE_S, &ring);
	if (!r->err) {
		r->err = rank_collectives(r, ring);
		if (!r->err)
			r->err = rendezvous_barrier(rv);
		ring_close(ring);
	}
	rendezvous_close(rv);
	return NULL;
}

/* Runs all ranks. *ret_err is the first error by rank; returns the number of wrong elements. */
static size_t run_ranks(struct run *run, int *ret_err)
{
	struct rank ranks[MAX_RANKS] = { 0 };
	size_t wrong = 0;

	for (int r = 1; r < run->nranks; r++)
		assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, run->pairs[r]));
	for (int r = 0; r < run->nranks; r++) {
		ranks[r].run = run;
		ranks[r].rank = r;
		assert_ok(pthread_create(&ranks[r].thread, NULL, rank_main, &ranks[r]));
	}
	*ret_err = 0;
	for (int r = 0; r < run->nranks; r++) {
		pthread_join(ranks[r].thread, NULL);
		wrong += ranks[r].wrong;
		if (!*ret_err)
			*ret_err = ranks[r].err;
	}
	return wrong;
}

static void check_clean(void)
{
	assert_int_equal(fake.breaches, 0);
	assert_int_equal(fake.open_comms, 0);
	assert_int_equal(fake.open_mrs, 0);
}

static void run_good(struct run run)
{
	int err;

	fake_reset();
	if (!run.repeats)
		run.repeats = 2;
	if (!run.nslots)
		run.nslots = 8;
	if (!run.nchannels)
		run.nchannels = 1;
	assert_int_equal(run_ranks(&run, &err), 0);
	assert_int_equal(err, 0);
	check_clean();
}

/* 0, 1, odd, less than ranks or channels, around a slot (4 KiB), many slots. */
static const size_t counts[] = { 0, 1, 2, 3, 7, 1001, 1023, 1024, 1025, 4099, 30011 };

#define NCOUNTS (sizeof(counts) / sizeof(counts[0]))

static void check_schedule(enum collective_kind kind, int nranks, size_t count,
			   unsigned int channel, unsigned int nchannels, size_t slot,
			   unsigned char *stored[MAX_RANKS])
{
	struct ring_schedule s[MAX_RANKS] = { 0 };
	uint64_t si, ri, steps, recvs;
	struct ring_step a, b;

	for (int r = 0; r < nranks; r++)
		ring_schedule_init(&s[r], kind, r, nranks, count, channel, nchannels, slot);
	steps = ring_schedule_steps(&s[0]);
	for (int r = 0; r < nranks; r++) {
		const struct ring_schedule *to = &s[(r + 1) % nranks];

		/* The k-th message of a rank is as long as the k-th that the next one awaits. */
		recvs = 0;
		for (si = 0, ri = 0; si < steps; si++) {
			ring_schedule_step(&s[r], si, &a);
			assert_true(a.len <= slot);
			for (size_t e = 0; a.store && e < a.len; e++)
				stored[r][a.dst + e]++;
			if (!a.send)
				continue;
			do {
				assert_true(ri < steps);
				ring_schedule_step(to, ri++, &b);
			} while (!b.recv);
			assert_int_equal(a.len, b.len);
			recvs++;
		}
		assert_int_equal(recvs, ring_schedule_recvs(to));
	}
}

static void test_schedule(void **state)
{
	unsigned char *stored[MAX_RANKS];
	size_t total;

	(void)state;
	for (int kind = 0; kind < COLLECTIVES; kind++) {
		for (int n = 1; n <= MAX_RANKS; n++) {
			for (size_t i = 0; i < NCOUNTS * 3; i++) {
				unsigned int nchannels = 1 + (unsigned int)(i % 3);
				size_t count = counts[i / 3];

				total = kind == COLL_ALL_GATHER ? count * (size_t)n : count;
				for (int r = 0; r < n; r++)
					stored[r] = calloc(1, total + 1);
				for (unsigned int c = 0; c < nchannels; c++)
					check_schedule((enum collective_kind)kind, n, count, c,
						       nchannels, 512, stored);
				/* Every element of the result is written once, by all channels together. */
				for (int r = 0; r < n; r++) {
					for (size_t e = 0; e < total; e++)
						assert_int_equal(stored[r][e], 1);
					free(stored[r]);
				}
			}
		}
	}
}

static void test_all_kinds(void **state)
{
	(void)state;
	for (int kind = 0; kind < COLLECTIVES; kind++)
		for (int n = 1; n <= 4; n++)
			for (size_t i = 0; i < NCOUNTS; i++)
				run_good((struct run){ .kind = (enum collective_kind)kind,
						       .type = DATA_FLOAT,
						       .nranks = n,
						       .count = counts[i] });
}

static void test_all_types(void **state)
{
	(void)state;
	for (int type = 0; type < DATA_TYPES; type++)
		for (int n = 2; n <= 3; n++)
			run_good((struct run){ .kind = COLL_ALL_REDUCE,
					       .type = (enum data_type)type,
					       .nranks = n,
					       .count = 9973 });
}

static void test_channels_and_slots(void **state)
{
	(void)state;
	for (unsigned int nchannels = 1; nchannels <= 4; nchannels++)
		for (unsigned int nslots = 1; nslots <= 32; nslots *= 2)
			run_good((struct run){ .kind = COLL_ALL_REDUCE,
					       .type = DATA_INT32,
					       .nranks = 3,
					       .count = 20011,
					       .nchannels = nchannels,
					       .nslots = nslots });
}

static void test_in_place(void **state)
{
	(void)state;
	for (int n = 1; n <= 4; n++)
		run_good((struct run){ .kind = COLL_ALL_REDUCE,
				       .type = DATA_INT64,
				       .nranks = n,
				       .count = 5003,
				       .in_place = true,
				       .repeats = 5 });
}

static void test_flush_before_use(void **state)
{
	struct run run = { .kind = COLL_ALL_GATHER,
			   .type = DATA_INT32,
			   .nranks = 3,
			   .count = 4099,
			   .nchannels = 1,
			   .nslots = 8,
			   .repeats = 1 };
	int err;

	(void)state;
	fake_reset();
	fake.force_flush = true;
	assert_int_equal(run_ranks(&run, &err), 0);
	assert_int_equal(err, 0);
	check_clean();
	/* 4099 elements are 5 messages of a page; each goes to 2 ranks from 3. */
	assert_int_equal(fake.flushes, 5 * 2 * 3);
	assert_int_equal(fake.consumed, 5 * 2 * 3);
}

static void test_empty_messages_are_not_flushed(void **state)
{
	struct run run = { .kind = COLL_ALL_REDUCE,
			   .type = DATA_INT32,
			   .nranks = 3,
			   .nchannels = 1,
			   .nslots = 8,
			   .repeats = 2 };
	int err;

	(void)state;
	fake_reset();
	fake.force_flush = true;
	assert_int_equal(run_ranks(&run, &err), 0);
	assert_int_equal(err, 0);
	check_clean();
	assert_int_equal(fake.flushes, 0);
	/* But they are consumed: 4 on each of 3 ranks, twice. */
	assert_int_equal(fake.consumed, 24);
}

static void test_refused_registration(void **state)
{
	struct run run = { .kind = COLL_ALL_REDUCE,
			   .type = DATA_INT32,
			   .nranks = 2,
			   .count = 10,
			   .nchannels = 2,
			   .nslots = 8,
			   .repeats = 1 };
	int err;

	(void)state;
	fake_reset();
	fake.refuse_mr = true;
	run_ranks(&run, &err);
	assert_int_equal(err, -EIO);
	check_clean();
}

/* The check itself must see a single changed bit in each message. */
static void test_corruption_is_seen(void **state)
{
	(void)state;
	for (int kind = 0; kind < COLLECTIVES; kind++) {
		struct run run = { .kind = (enum collective_kind)kind,
				   .type = DATA_UINT8,
				   .nranks = 2,
				   .count = 10000,
				   .nchannels = 1,
				   .nslots = 8,
				   .repeats = 1 };
		int err;

		fake_reset();
		fake.corrupt = true;
		assert_true(run_ranks(&run, &err) > 0);
		assert_int_equal(err, 0);
	}
}

static void test_stall_is_an_error(void **state)
{
	struct run run = { .kind = COLL_ALL_REDUCE,
			   .type = DATA_FLOAT,
			   .nranks = 2,
			   .count = 100,
			   .nchannels = 1,
			   .nslots = 8,
			   .repeats = 1,
			   .timeout_s = 1 };
	int err;

	(void)state;
	fake_reset();
	fake.stuck = true;
	run_ranks(&run, &err);
	assert_int_equal(err, -ETIMEDOUT);
	/* Closing with requests in flight leaves nothing open. */
	check_clean();
}

/* Others have given up and freed their slots when it comes: it must find that out, not write there. */
static void test_late_rank(void **state)
{
	struct run run = { .kind = COLL_ALL_REDUCE,
			   .type = DATA_INT32,
			   .nranks = 3,
			   .count = 20011,
			   .nchannels = 2,
			   .nslots = 8,
			   .repeats = 1,
			   .timeout_s = 1,
			   .late_ms = 1500 };
	int err;

	(void)state;
	fake_reset();
	run_ranks(&run, &err);
	assert_int_equal(err, -ETIMEDOUT);
	check_clean();
}

static void test_other_count_is_an_error(void **state)
{
	struct run run = { .kind = COLL_SENDRECV,
			   .type = DATA_FLOAT,
			   .nranks = 2,
			   .count = 100,
			   .nchannels = 1,
			   .nslots = 8,
			   .repeats = 1,
			   .wrong_count = 60 };
	int err;

	(void)state;
	fake_reset();
	run_ranks(&run, &err);
	assert_int_equal(err, -EPROTO);
	check_clean();
}

static void test_pattern_differs(void **state)
{
	uint32_t a[256], b[256];

	(void)state;
	test_pattern_fill(a, DATA_INT32, 0, 0, 256, 1);
	test_pattern_fill(b, DATA_INT32, 1, 0, 256, 1);
	assert_memory_not_equal(a, b, sizeof(a));
	test_pattern_fill(b, DATA_INT32, 0, 0, 256, 2);
	assert_memory_not_equal(a, b, sizeof(a));
	test_pattern_fill(b, DATA_INT32, 0, 1, 256, 1);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_memory_equal(a + 1, b, sizeof(a) - sizeof(a[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pattern_differs),
		cmocka_unit_test(test_schedule),
		cmocka_unit_test(test_all_kinds),
		cmocka_unit_test(test_all_types),
		cmocka_unit_test(test_channels_and_slots),
		cmocka_unit_test(test_in_place),
		cmocka_unit_test(test_flush_before_use),
		cmocka_unit_test(test_empty_messages_are_not_flushed),
		cmocka_unit_test(test_refused_registration),
		cmocka_unit_test(test_corruption_is_seen),
		cmocka_unit_test(test_stall_is_an_error),
		cmocka_unit_test(test_late_rank),
		cmocka_unit_test(test_other_count_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
