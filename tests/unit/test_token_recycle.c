// SPDX-License-Identifier: BSD-3-Clause
/*
 * Tokens given back in a receive's control data: the answer stands in the request's place.
 * unit-libs: devmem_mem
 * unit-wrap: recvmsg setsockopt kernel_features
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "unit.h"
#include "base/counter.h"
#include "base/kernel.h"
#include "mem/token_ledger.h"
#include "uapi/series.h"

static struct kernel_features features = { .recycle = true };

const struct kernel_features *__wrap_kernel_features(void);
const struct kernel_features *__wrap_kernel_features(void)
{
	return &features;
}

/* @lose: tokens of a call that the kernel does not free. @ignore: it does not know the flag. */
static unsigned int n_calls, lose;
static uint64_t freed_total;
static bool ignore;

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	const struct dmabuf_token *t = (const void *)CMSG_DATA(c);
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(*t);
	uint32_t freed = 0;

	assert_int_equal(fd, 42);
	assert_int_equal(msg->msg_iovlen, 0);
	assert_true((flags & MSG_SOCK_DEVMEM_DONTNEED) && (flags & MSG_DONTWAIT));
	assert_int_equal(c->cmsg_type, SCM_DEVMEM_DONTNEED);
	assert_true(n >= 1 && n <= DEVMEM_DONTNEED_TOKENS);
	n_calls++;
	for (size_t i = 0; i < n; i++)
		freed += t[i].token_count;
	assert_true(freed <= DEVMEM_DONTNEED_FRAGS);
	if (!ignore) {
		freed -= lose;
		freed_total += freed;
		c->cmsg_len = CMSG_LEN(sizeof(freed));
		memcpy(CMSG_DATA(c), &freed, sizeof(freed));
	}
	errno = EAGAIN;
	return -1;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	(void)fd;
	(void)level;
	(void)name;
	(void)value;
	(void)len;
	fail_msg("setsockopt() is not to be called");
	return -1;
}

static struct token_ledger l;

static void fill(uint32_t n, uint32_t gap)
{
	token_ledger_init(&l);
	for (uint32_t i = 0; i < n; i++)
		assert_ok(token_ledger_add(&l, i * gap));
	n_calls = 0;
	freed_total = 0;
	lose = 0;
	ignore = false;
}

static void test_release(void **state)
{
	uint64_t before = counter_read(tokens_in_recv);

	(void)state;
	fill(3000, 1);
	assert_ok(token_ledger_release(&l, 42));
	assert_int_equal(l.held, 0);
	assert_int_equal(n_calls, 3);
	assert_int_equal(freed_total, 3000);
	assert_int_equal(counter_read(tokens_in_recv) - before, 3000);
	fill(300, 2);
	assert_ok(token_ledger_release(&l, 42));
	assert_int_equal(n_calls, 3);
	assert_int_equal(l.issued, l.returned);
}

/* The kernel left the request as it was: nothing was freed, and that is no success. */
static void test_not_answered(void **state)
{
	(void)state;
	fill(5, 1);
	ignore = true;
	assert_int_equal(token_ledger_release(&l, 42), -EAGAIN);
	assert_int_equal(l.held, 5);
}

static void test_freed_tells(void **state)
{
	struct token_range batch[DEVMEM_DONTNEED_TOKENS];
	uint32_t n;

	(void)state;
	fill(10, 1);
	assert_int_equal(token_ledger_batch(&l, batch, &n), 10);
	assert_int_equal(n, 1);
	assert_int_equal(l.held, 10);
	assert_ok(token_ledger_freed(&l, 10, 10));
	assert_int_equal(l.held, 0);
	assert_int_equal(token_ledger_batch(&l, batch, &n), 0);
	/* Ids come back lowest first: the same ones again are new tokens. */
	assert_ok(token_ledger_add(&l, 0));
	assert_int_equal(l.held, 1);

	fill(10, 1);
	assert_int_equal(token_ledger_freed(&l, 10, 7), -EPROTO);
	assert_int_equal(l.held, 3);
	assert_int_equal(token_ledger_freed(&l, 3, 4), -EPROTO);
	assert_int_equal(l.held, 3);
}

static void test_some_lost(void **state)
{
	(void)state;
	fill(4, 1);
	lose = 4;
	assert_int_equal(token_ledger_release(&l, 42), -EPROTO);
	assert_int_equal(l.held, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_release),
		cmocka_unit_test(test_not_answered),
		cmocka_unit_test(test_freed_tells),
		cmocka_unit_test(test_some_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
