// SPDX-License-Identifier: BSD-3-Clause
/*
 * Copying or lending: the decision, and the trials that it rests on. The thread's processor time is made up.
 *
 * unit-libs: devmem_comm
 * unit-wrap: clock_gettime
 */
#include "unit.h"

#include <stdbool.h>
#include <time.h>

#include "base/counter.h"
#include "comm/send_choice.h"

#define MESSAGE (1L << 20)
/* In messages: more than two trials take, and less than what lies between trials. */
#define FEW 32
/* More than what lies between trials. */
#define MANY 2048

/* Processor time that this thread has used, and what a message costs. */
static int64_t used_ns;
static int64_t cost_us[2];

int __real_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (clock != CLOCK_THREAD_CPUTIME_ID)
		return __real_clock_gettime(clock, ts);
	*ts = (struct timespec){ .tv_sec = used_ns / 1000000000, .tv_nsec = used_ns % 1000000000 };
	return 0;
}

static int setup(void **state)
{
	(void)state;
	used_ns = 1;
	cost_us[WAY_COPY] = 160;
	cost_us[WAY_LEND] = 95;
	unit_log_clear();
	return 0;
}

static enum send_way decide(int64_t copy, int64_t lend, bool both_ways)
{
	struct way_cost cost[2] = { [WAY_COPY] = { .ns = copy * 4000, .bytes = 4 << 20 },
				    [WAY_LEND] = { .ns = lend * 4000, .bytes = 4 << 20 } };

	return send_choice_decide(cost, both_ways);
}

static void test_decide(void **state)
{
	(void)state;
	/* One way: whichever is cheaper. */
	assert_int_equal(decide(160, 95, false), WAY_LEND);
	assert_int_equal(decide(95, 160, false), WAY_COPY);
	assert_int_equal(decide(100, 100, false), WAY_COPY);
	/* Both ways: the copy has to cost so much that the receiver's share is paid, too. */
	assert_int_equal(decide(160, 95, true), WAY_COPY);
	assert_int_equal(decide(500, 95, true), WAY_LEND);
	/* What counts is the price of a byte, not of a trial. */
	struct way_cost cost[2] = { [WAY_COPY] = { .ns = 1000, .bytes = 1 << 20 },
				    [WAY_LEND] = { .ns = 4000, .bytes = 8 << 20 } };

	assert_int_equal(send_choice_decide(cost, false), WAY_LEND);
	/* A way that nothing went by is not known to be any good. */
	cost[WAY_LEND] = (struct way_cost){ .ns = 4000 };
	assert_int_equal(send_choice_decide(cost, false), WAY_COPY);
}

/* One message goes, all of it in one call. Returns by which way. */
static enum send_way send_one(struct send_choice *c)
{
	enum send_way way = send_choice_next(c, MESSAGE);
	int64_t begun = send_choice_begin(c);

	used_ns += cost_us[way] * 1000;
	send_choice_end(c, way, begun, MESSAGE);
	if (way == WAY_LEND)
		counter_add(sent_zerocopy, MESSAGE);
	else
		counter_add(sent_copy, MESSAGE);
	return way;
}

/* Sends until both ways have been tried; returns what was settled on. */
static enum send_way send_until_settled(struct send_choice *c)
{
	bool tried[2] = { false, false };

	for (int i = 0; i < FEW; i++) {
		enum send_way way = send_one(c);

		if (!c->trying && tried[WAY_COPY] && tried[WAY_LEND])
			return way;
		assert_true(c->trying);
		tried[way] = true;
	}
	fail_msg("not settled after %d messages", FEW);
	return WAY_COPY;
}

static void test_lending_is_cheaper(void **state)
{
	struct send_choice c = { 0 };

	(void)state;
	assert_int_equal(send_until_settled(&c), WAY_LEND);
	for (int i = 0; i < FEW; i++)
		assert_int_equal(send_one(&c), WAY_LEND);
	/* Said once in a process. */
	assert_logged(
		"host memory is lent to sockets: this thread needs 160 us for a MiB copied, 95 us for one lent");
}

static void test_copying_is_cheaper(void **state)
{
	struct send_choice c = { 0 };

	(void)state;
	cost_us[WAY_COPY] = 60;
	assert_int_equal(send_until_settled(&c), WAY_COPY);
	for (int i = 0; i < FEW; i++)
		assert_int_equal(send_one(&c), WAY_COPY);
}

/* The process receives as much as it sends meanwhile. */
static void test_both_ways(void **state)
{
	struct send_choice c = { 0 };

	(void)state;
	for (int i = 0; i < FEW; i++) {
		send_one(&c);
		counter_add(recv_copy, MESSAGE);
	}
	assert_false(c.trying);
	assert_int_equal(c.way, WAY_COPY);
}

/* Calls that take nothing, and messages that are only queued, end no trial; what the calls cost counts. */
static void test_trial_wants_bytes(void **state)
{
	struct send_choice c = { 0 };
	enum send_way first = send_choice_next(&c, MESSAGE);
	int64_t ns;

	(void)state;
	for (int i = 0; i < MANY; i++) {
		int64_t begun = send_choice_begin(&c);

		used_ns += 1000;
		send_choice_end(&c, first, begun, i % 2 ? 0 : -11 /* EAGAIN */);
		assert_int_equal(send_choice_next(&c, MESSAGE), first);
		assert_true(c.trying);
	}
	ns = c.cost[first].ns;
	assert_int_equal(ns, MANY * 1000);
	assert_int_equal(c.cost[first].bytes, 0);
	/* Then the rest of it, and the other. */
	send_until_settled(&c);
}

/* What was queued before a trial and goes by the other way during it counts for that way, and does not end the trial. */
static void test_late_bytes(void **state)
{
	struct send_choice c = { 0 };
	enum send_way way = send_choice_next(&c, MESSAGE);
	enum send_way other = way == WAY_LEND ? WAY_COPY : WAY_LEND;

	(void)state;
	for (int i = 0; i < FEW; i++) {
		int64_t begun = send_choice_begin(&c);

		send_choice_end(&c, other, begun, MESSAGE);
		assert_int_equal(send_choice_next(&c, MESSAGE), way);
		assert_true(c.trying);
	}
	assert_int_equal(c.cost[way].bytes, 0);
}

/* Between trials the clock is not looked at. */
static void test_settled_costs_nothing(void **state)
{
	struct send_choice c = { 0 };
	struct way_cost before[2];

	(void)state;
	send_until_settled(&c);
	memcpy(before, c.cost, sizeof(before));
	assert_int_equal(send_choice_begin(&c), 0);
	send_choice_end(&c, WAY_COPY, 0, MESSAGE);
	/* A call that began while the trial was on. */
	send_choice_end(&c, WAY_COPY, 5, MESSAGE);
	assert_memory_equal(before, c.cost, sizeof(before));
}

/* What is cheaper changes: it is found out. */
static void test_tries_again(void **state)
{
	struct send_choice c = { 0 };
	int other = 0, n;

	(void)state;
	assert_int_equal(send_until_settled(&c), WAY_LEND);
	cost_us[WAY_LEND] = 400;
	for (n = 0; n < MANY && !c.trying; n++)
		send_one(&c);
	assert_in_range(n, FEW, MANY - 1);
	assert_int_equal(send_until_settled(&c), WAY_COPY);

	/* And a trial of what is worse is short beside what lies between. */
	for (n = 0; n < MANY; n++)
		other += send_one(&c) == WAY_LEND;
	assert_in_range(other, 1, MANY / 64);
}

#define CASE(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_lending_is_cheaper),	  CASE(test_decide),
		CASE(test_copying_is_cheaper),	  CASE(test_both_ways),
		CASE(test_trial_wants_bytes),	  CASE(test_late_bytes),
		CASE(test_settled_costs_nothing), CASE(test_tries_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
