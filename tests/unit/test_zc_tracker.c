// SPDX-License-Identifier: BSD-3-Clause
/*
 * Ranges of finished zerocopy sends: any order, merged, around 2^32, and nonsense.
 * unit-wrap: recvmsg
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <linux/errqueue.h>

#include "unit.h"
#include "path/zc_tracker.h"

static struct zc_tracker t;

static void start_at(uint32_t first)
{
	zc_tracker_init(&t);
	t.next = first;
}

static void test_in_order(void **state)
{
	struct zc_ref a = { 0 }, b = { 0 };

	(void)state;
	start_at(0);
	zc_tracker_sent(&t, &a);
	zc_tracker_sent(&t, &a);
	zc_tracker_sent(&t, &b);
	assert_int_equal(a.pending, 2);
	assert_int_equal(zc_tracker_complete(&t, 0, 0, false), 0);
	assert_int_equal(a.pending, 1);
	assert_int_equal(zc_tracker_complete(&t, 1, 2, false), 0);
	assert_int_equal(a.pending, 0);
	assert_int_equal(b.pending, 0);
	assert_int_equal(t.outstanding, 0);
}

static void test_out_of_order(void **state)
{
	struct zc_ref r[4] = { 0 };
	int i;

	(void)state;
	start_at(100);
	for (i = 0; i < 4; i++)
		zc_tracker_sent(&t, &r[i]);
	assert_int_equal(zc_tracker_complete(&t, 102, 103, false), 0);
	assert_int_equal(r[0].pending + r[1].pending, 2);
	assert_int_equal(r[2].pending + r[3].pending, 0);
	assert_int_equal(zc_tracker_complete(&t, 100, 101, false), 0);
	assert_int_equal(t.outstanding, 0);
}

static void test_wraps_around(void **state)
{
	struct zc_ref r = { 0 };
	int i;

	(void)state;
	start_at(UINT32_MAX - 1);
	for (i = 0; i < 4; i++)
		zc_tracker_sent(&t, &r);
	assert_int_equal(t.next, 2);
	assert_int_equal(zc_tracker_complete(&t, UINT32_MAX - 1, 1, false), 0);
	assert_int_equal(r.pending, 0);
}

static void test_full_window(void **state)
{
	struct zc_ref r = { 0 };
	int i;

	(void)state;
	start_at(7);
	for (i = 0; i < ZC_WINDOW; i++) {
		assert_false(zc_tracker_full(&t));
		zc_tracker_sent(&t, &r);
	}
	assert_true(zc_tracker_full(&t));
	/* The newest finishing first does not make room: the oldest still owns the next slot. */
	assert_int_equal(zc_tracker_complete(&t, 7 + ZC_WINDOW - 1, 7 + ZC_WINDOW - 1, false), 0);
	assert_true(zc_tracker_full(&t));
	assert_int_equal(zc_tracker_complete(&t, 7, 7 + ZC_WINDOW - 2, false), 0);
	assert_false(zc_tracker_full(&t));
	assert_int_equal(r.pending, 0);
}

/* A range that was never sent, or is reported twice, changes nothing. */
static void test_nonsense(void **state)
{
	static const struct {
		uint32_t lo, hi;
	} bad[] = {
		{ 9, 9 },   { 10, 13 },	       { 13, 13 },
		{ 12, 11 }, { 0, UINT32_MAX }, { 10 - ZC_WINDOW, 10 },
	};
	struct zc_ref r = { 0 };
	unsigned int i;

	(void)state;
	start_at(10);
	for (i = 0; i < 3; i++)
		zc_tracker_sent(&t, &r);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(zc_tracker_complete(&t, bad[i].lo, bad[i].hi, false), -EPROTO);
		assert_int_equal(r.pending, 3);
		assert_int_equal(t.outstanding, 3);
	}
	assert_int_equal(zc_tracker_complete(&t, 11, 11, false), 0);
	assert_int_equal(zc_tracker_complete(&t, 11, 11, false), -EPROTO);
	assert_int_equal(zc_tracker_complete(&t, 10, 12, false), -EPROTO);
	assert_int_equal(r.pending, 2);
}

static void test_copied_run(void **state)
{
	struct zc_ref r = { 0 };
	int i;

	(void)state;
	start_at(0);
	for (i = 0; i < 5; i++)
		zc_tracker_sent(&t, &r);
	zc_tracker_complete(&t, 0, 2, true);
	assert_int_equal(t.copied_run, 3);
	zc_tracker_complete(&t, 3, 3, false);
	assert_int_equal(t.copied_run, 0);
}

/* What the wrapped recvmsg() answers, one entry a call; err for errno, else a range. */
static struct answer {
	int err;
	int level;
	int origin;
	uint32_t lo, hi;
} answers[8];
static unsigned int n_answers, n_calls;

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	const struct answer *a = &answers[n_calls++];
	struct sock_extended_err ee = { 0 };
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	assert_int_equal(fd, 42);
	assert_true(flags & MSG_ERRQUEUE);
	assert_true(flags & MSG_DONTWAIT);
	assert_true(n_calls <= n_answers);
	if (a->err) {
		errno = a->err;
		return -1;
	}
	ee.ee_origin = (uint8_t)a->origin;
	ee.ee_info = a->lo;
	ee.ee_data = a->hi;
	c->cmsg_level = a->level;
	c->cmsg_type = a->level == SOL_IP ? IP_RECVERR : IPV6_RECVERR;
	c->cmsg_len = CMSG_LEN(sizeof(ee));
	memcpy(CMSG_DATA(c), &ee, sizeof(ee));
	msg->msg_controllen = CMSG_SPACE(sizeof(ee));
	return 0;
}

static void script(const struct answer *a, unsigned int n)
{
	memcpy(answers, a, n * sizeof(*a));
	n_answers = n;
	n_calls = 0;
}

/* Stops reading as soon as nothing is outstanding: the read that would only say "empty" is not made. */
static void test_reap_stops_when_done(void **state)
{
	const struct answer a[] = {
		{ .level = SOL_IP, .origin = SO_EE_ORIGIN_ZEROCOPY, .lo = 0, .hi = 1 },
		{ .level = SOL_IPV6, .origin = SO_EE_ORIGIN_ZEROCOPY, .lo = 2, .hi = 2 }
	};
	struct zc_ref r = { 0 };
	int i;

	(void)state;
	start_at(0);
	for (i = 0; i < 3; i++)
		zc_tracker_sent(&t, &r);
	script(a, 2);
	assert_int_equal(zc_tracker_reap(&t, 42), 3);
	assert_int_equal(n_calls, 2);
	assert_int_equal(r.pending, 0);
}

/* An ICMP error in the queue is not ours; an empty queue is no error; a real error is. */
static void test_reap_other_answers(void **state)
{
	const struct answer icmp[] = {
		{ .level = SOL_IP, .origin = SO_EE_ORIGIN_ICMP, .lo = 0, .hi = 0 },
		{ .err = EAGAIN }
	};
	const struct answer broken[] = { { .err = ENOTCONN } };
	const struct answer stray[] = {
		{ .level = SOL_IP, .origin = SO_EE_ORIGIN_ZEROCOPY, .lo = 5, .hi = 5 }
	};
	struct zc_ref r = { 0 };

	(void)state;
	start_at(0);
	zc_tracker_sent(&t, &r);
	script(icmp, 2);
	assert_int_equal(zc_tracker_reap(&t, 42), 0);
	assert_int_equal(r.pending, 1);
	script(broken, 1);
	assert_int_equal(zc_tracker_reap(&t, 42), -ENOTCONN);
	script(stray, 1);
	assert_int_equal(zc_tracker_reap(&t, 42), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_order),
		cmocka_unit_test(test_out_of_order),
		cmocka_unit_test(test_wraps_around),
		cmocka_unit_test(test_full_window),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_copied_run),
		cmocka_unit_test(test_reap_stops_when_done),
		cmocka_unit_test(test_reap_other_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
