// SPDX-License-Identifier: BSD-3-Clause
/*
 * Completions in sendmsg's control data: taken whatever the call returns, asked for only when something is out.
 * unit-libs: devmem_path
 * unit-wrap: sendmsg recvmsg kernel_features
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "unit.h"
#include "base/counter.h"
#include "base/kernel.h"
#include "path/zc_send.h"
#include "uapi/series.h"

static struct kernel_features features = { .zc_notification = true };

const struct kernel_features *__wrap_kernel_features(void);
const struct kernel_features *__wrap_kernel_features(void)
{
	return &features;
}

/* One answer of the wrapped sendmsg(). @answer: the kernel fills in @nr ranges, whatever it returns. */
struct reply {
	ssize_t ret;
	int err;
	bool answer;
	uint32_t nr;
	struct zc_range ranges[16];
};
static const struct reply *replies;
static unsigned int n_calls, n_asked, n_dmabuf, n_errqueue;
static size_t last_len;

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	const struct reply *r = &replies[n_calls++];
	struct cmsghdr *c;

	(void)fd;
	assert_true(flags & MSG_DONTWAIT);
	last_len = msg->msg_iovlen ? msg->msg_iov->iov_len : 0;
	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR((struct msghdr *)msg, c)) {
		if (c->cmsg_type == SCM_DEVMEM_DMABUF)
			n_dmabuf++;
		if (c->cmsg_type == SCM_ZC_NOTIFICATION) {
			struct zc_notification *ask = (void *)CMSG_DATA(c);

			assert_int_equal(ask->state, ZC_NOTIFICATION_ASK);
			assert_int_equal(ask->nr, 0);
			assert_true(c->cmsg_len >= CMSG_LEN(sizeof(*ask) + sizeof(r->ranges)));
			n_asked++;
			if (r->answer) {
				ask->state = ZC_NOTIFICATION_DONE;
				ask->nr = r->nr;
				memcpy(ask->ranges, r->ranges, sizeof(r->ranges));
			}
		}
	}
	errno = r->err;
	return r->ret;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	(void)fd;
	(void)msg;
	assert_true(flags & MSG_ERRQUEUE);
	n_errqueue++;
	errno = EAGAIN;
	return -1;
}

static struct zc_tracker tracker;
static struct data_sock ds = { .fd = 42, .zc = &tracker };
static struct zc_ref ref;
static const uint32_t dmabuf = 9;

static void begin(const struct reply *r)
{
	zc_tracker_init(&tracker);
	memset(&ref, 0, sizeof(ref));
	replies = r;
	n_calls = n_asked = n_dmabuf = n_errqueue = 0;
	features.zc_notification = true;
}

static ssize_t send_one(const uint32_t *id)
{
	char byte;
	struct iovec iov = { &byte, 1 };

	return zc_send(&ds, &iov, id, &ref);
}

static void test_asks_when_something_is_out(void **state)
{
	const struct reply r[] = {
		{ .ret = 1 },
		{ .ret = 1, .answer = true },
		{ .ret = 1, .answer = true, .nr = 1, .ranges = { { 0, 1, 0 } } },
	};

	(void)state;
	begin(r);
	assert_int_equal(send_one(&dmabuf), 1);
	assert_int_equal(n_asked, 0);
	assert_int_equal(send_one(&dmabuf), 1);
	assert_int_equal(n_asked, 1);
	assert_int_equal(ref.pending, 2);
	assert_int_equal(send_one(&dmabuf), 1);
	assert_int_equal(ref.pending, 1);
	assert_int_equal(n_dmabuf, 3);
	assert_int_equal(n_errqueue, 0);
}

/* The send failed, but what was told is told: it is gone from the error queue. */
static void test_answer_beside_an_error(void **state)
{
	const struct reply r[] = {
		{ .ret = 1 },
		{ .ret = -1, .err = EAGAIN, .answer = true, .nr = 1, .ranges = { { 0, 0, 0 } } },
		{ .ret = 1 },
		{ .ret = -1, .err = EPIPE, .answer = true, .nr = 1, .ranges = { { 1, 1, 0 } } },
	};

	(void)state;
	begin(r);
	send_one(NULL);
	assert_int_equal(send_one(NULL), -EAGAIN);
	assert_int_equal(ref.pending, 0);
	send_one(NULL);
	assert_int_equal(send_one(NULL), -EPIPE);
	assert_int_equal(ref.pending, 0);
	assert_int_equal(tracker.outstanding, 0);
	assert_int_equal(n_dmabuf, 0);
}

/* Even of the send itself, when the kernel copied it. */
static void test_own_completion(void **state)
{
	const struct reply r[] = {
		{ .ret = 1 },
		{ .ret = 1, .answer = true, .nr = 1, .ranges = { { 0, 1, 1 } } },
	};

	(void)state;
	begin(r);
	send_one(NULL);
	send_one(NULL);
	assert_int_equal(tracker.outstanding, 0);
	assert_int_equal(tracker.copied_run, 2);
}

static void test_nonsense(void **state)
{
	const struct reply r[] = {
		{ .ret = 1 },
		{ .ret = 1, .answer = true, .nr = 1, .ranges = { { 7, 7, 0 } } },
		{ .ret = 1, .answer = true, .nr = 17 },
	};

	(void)state;
	begin(r);
	send_one(NULL);
	assert_int_equal(send_one(NULL), -EPROTO);
	assert_int_equal(send_one(NULL), -EPROTO);
}

static void test_reap(void **state)
{
	struct reply r[4] = { { .ret = 1 },
			      { .ret = 0, .answer = true, .nr = 16 },
			      { .ret = 0, .answer = true } };

	(void)state;
	/* A full answer: there may be more, so the kernel is asked again. */
	for (uint32_t i = 0; i < 16; i++)
		r[1].ranges[i] = (struct zc_range){ i, i, 0 };
	begin(r);
	for (int i = 0; i < 17; i++)
		zc_tracker_sent(&tracker, &ref);
	n_calls = 1;
	assert_int_equal(zc_reap(&ds), 16);
	assert_int_equal(n_calls, 3);
	assert_int_equal(last_len, 0);
	assert_int_equal(ref.pending, 1);
	assert_int_equal(n_errqueue, 0);

	/* No answer, though the call went through: the error queue has it. */
	n_calls = 3;
	assert_int_equal(zc_reap(&ds), 0);
	assert_int_equal(n_errqueue, 1);

	/* A kernel without the patch is not asked at all. */
	features.zc_notification = false;
	assert_int_equal(zc_reap(&ds), 0);
	assert_int_equal(n_calls, 4);
	assert_int_equal(n_errqueue, 2);
}

static void test_full_window(void **state)
{
	(void)state;
	begin(NULL);
	for (int i = 0; i < ZC_WINDOW; i++)
		zc_tracker_sent(&tracker, &ref);
	assert_int_equal(send_one(NULL), -ENOBUFS);
	assert_int_equal(n_calls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asks_when_something_is_out),
		cmocka_unit_test(test_answer_beside_an_error),
		cmocka_unit_test(test_own_completion),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_reap),
		cmocka_unit_test(test_full_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
