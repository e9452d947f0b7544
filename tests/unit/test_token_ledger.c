// SPDX-License-Identifier: BSD-3-Clause
/*
 * The ledger against a model of the kernel's side: a socket's table of tokens, and SO_DEVMEM_DONTNEED with its
 * limits (net/core/sock.c, sock_devmem_dontneed()).
 *
 * unit-libs: devmem_mem
 * unit-wrap: setsockopt
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "unit.h"
#include "base/counter.h"
#include "mem/token_ledger.h"
#include "uapi/devmem.h"

#define TABLE 70000
#define FD    42

static bool table[TABLE];
static int n_calls;
static int fail_at;	   /* the call that fails, counted from 1; 0: none */
static uint32_t frag_stop; /* where this kernel stops silently */
static struct token_ledger ledger;

int __wrap_setsockopt(int fd, int level, int name, const void *val, socklen_t len);

int __wrap_setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	const struct dmabuf_token *t = val;
	uint32_t frags = 0;
	int freed = 0;

	n_calls++;
	assert_int_equal(fd, FD);
	assert_int_equal(level, SOL_SOCKET);
	assert_int_equal(name, SO_DEVMEM_DONTNEED);
	if (n_calls == fail_at) {
		errno = EBADF;
		return -1;
	}
	if (len % sizeof(*t) || len > 128 * sizeof(*t)) {
		errno = EINVAL;
		return -1;
	}
	for (size_t i = 0; i < len / sizeof(*t); i++) {
		for (uint32_t j = 0; j < t[i].token_count; j++) {
			uint32_t token = t[i].token_start + j;

			if (++frags > frag_stop)
				return freed;
			if (token >= TABLE || !table[token])
				continue;
			table[token] = false;
			freed++;
		}
	}
	return freed;
}

static int setup(void **state)
{
	(void)state;
	memset(table, 0, sizeof(table));
	n_calls = 0;
	fail_at = 0;
	frag_stop = 1024;
	token_ledger_init(&ledger);
	return 0;
}

static int issue(uint32_t token)
{
	assert_false(table[token]);
	table[token] = true;
	return token_ledger_add(&ledger, token);
}

static void assert_balance(uint64_t issued, uint64_t held)
{
	uint64_t in_ranges = 0;
	uint64_t in_table = 0;

	for (uint32_t i = 0; i < ledger.n_ranges; i++)
		in_ranges += ledger.ranges[i].count;
	for (uint32_t i = 0; i < TABLE; i++)
		in_table += table[i];
	assert_int_equal(ledger.issued, issued);
	assert_int_equal(ledger.held, held);
	assert_int_equal(ledger.returned, issued - held);
	assert_int_equal(in_ranges, held);
	assert_int_equal(in_table, held);
}

static void test_empty(void **state)
{
	(void)state;
	assert_ok(token_ledger_release(&ledger, FD));
	assert_int_equal(n_calls, 0);
}

static void test_runs_become_ranges(void **state)
{
	(void)state;
	for (uint32_t t = 100; t < 1100; t++)
		assert_ok(issue(t));
	assert_int_equal(ledger.n_ranges, 1);
	assert_ok(issue(5));
	assert_ok(issue(6));
	assert_int_equal(ledger.n_ranges, 2);
	assert_balance(1002, 1002);
	assert_ok(token_ledger_release(&ledger, FD));
	assert_int_equal(n_calls, 1);
	assert_int_equal(ledger.n_ranges, 0);
	assert_balance(1002, 0);
}

static void test_frag_limit_splits_a_range(void **state)
{
	(void)state;
	for (uint32_t t = 0; t < 5000; t++)
		assert_ok(issue(t));
	assert_ok(token_ledger_release(&ledger, FD));
	assert_int_equal(n_calls, 5); /* 4 * 1024 + 904 */
	assert_balance(5000, 0);
}

static void test_token_limit(void **state)
{
	(void)state;
	for (uint32_t t = 0; t < 300; t++)
		assert_ok(issue(2 * t));
	assert_int_equal(ledger.n_ranges, 300);
	assert_ok(token_ledger_release(&ledger, FD));
	assert_int_equal(n_calls, 3); /* 128 + 128 + 44 */
	assert_balance(300, 0);
}

static void test_full_ledger(void **state)
{
	(void)state;
	for (uint32_t t = 0; t < TOKEN_LEDGER_RANGES; t++)
		assert_ok(issue(2 * t));
	assert_int_equal(token_ledger_add(&ledger, 60000), -ENOSPC);
	assert_balance(TOKEN_LEDGER_RANGES, TOKEN_LEDGER_RANGES);
	/* One that joins the last range still fits. */
	assert_ok(issue(2 * TOKEN_LEDGER_RANGES - 1));
	assert_ok(token_ledger_release(&ledger, FD));
	assert_balance(TOKEN_LEDGER_RANGES + 1, 0);
	assert_ok(issue(60000));
	assert_balance(TOKEN_LEDGER_RANGES + 2, 1);
}

/* A kernel that stops earlier than 1024: the count that it returns says where to go on. */
static void test_partial_frees(void **state)
{
	(void)state;
	frag_stop = 100;
	for (uint32_t t = 0; t < 250; t++)
		assert_ok(issue(t));
	for (uint32_t t = 1000; t < 1060; t += 2)
		assert_ok(issue(t));
	assert_ok(token_ledger_release(&ledger, FD));
	assert_int_equal(n_calls, 3);
	assert_balance(280, 0);
}

static void test_failure_keeps_the_rest(void **state)
{
	(void)state;
	for (uint32_t t = 0; t < 300; t++)
		assert_ok(issue(2 * t));
	fail_at = 2;
	assert_int_equal(token_ledger_release(&ledger, FD), -EBADF);
	assert_balance(300, 172);
	fail_at = 0;
	assert_ok(token_ledger_release(&ledger, FD));
	assert_balance(300, 0);
}

static void test_foreign_token(void **state)
{
	(void)state;
	assert_ok(issue(10));
	assert_ok(token_ledger_add(&ledger, 20)); /* never issued by this socket */
	assert_ok(issue(30));
	assert_int_equal(token_ledger_release(&ledger, FD), -EPROTO);
	assert_int_equal(ledger.issued - ledger.returned, ledger.held);
	assert_int_equal(ledger.held, 1);
}

static void test_double_token(void **state)
{
	(void)state;
	assert_ok(issue(10));
	assert_ok(token_ledger_add(&ledger, 10));
	assert_int_equal(token_ledger_release(&ledger, FD), -EPROTO);
	assert_int_equal(ledger.held, 1);
}

static void test_last_token_does_not_wrap(void **state)
{
	(void)state;
	assert_ok(token_ledger_add(&ledger, UINT32_MAX));
	assert_ok(issue(0));
	assert_int_equal(ledger.n_ranges, 2);
}

/* Random traffic; every token that the ledger lost or doubled would show in the balance. */
static void test_soak(void **state)
{
	uint64_t before = counter_read(tokens_in);
	uint64_t issued = 0;
	uint64_t held = 0;

	(void)state;
	srandom(1);
	for (int round = 0; round < 2000; round++) {
		uint32_t token = (uint32_t)random() % (TABLE - 600);
		uint32_t run = (uint32_t)random() % 500;

		for (uint32_t i = 0; i < run; i++) {
			if (table[token + i])
				continue;
			if (token_ledger_add(&ledger, token + i) == -ENOSPC)
				break;
			table[token + i] = true;
			issued++;
			held++;
		}
		if (random() % 8 == 0) {
			assert_ok(token_ledger_release(&ledger, FD));
			held = 0;
		}
		if (round % 100 == 0)
			assert_balance(issued, held);
	}
	assert_ok(token_ledger_release(&ledger, FD));
	assert_balance(issued, 0);
	assert_int_equal(counter_read(tokens_in) - before, issued);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_empty, setup),
		cmocka_unit_test_setup(test_runs_become_ranges, setup),
		cmocka_unit_test_setup(test_frag_limit_splits_a_range, setup),
		cmocka_unit_test_setup(test_token_limit, setup),
		cmocka_unit_test_setup(test_full_ledger, setup),
		cmocka_unit_test_setup(test_partial_frees, setup),
		cmocka_unit_test_setup(test_failure_keeps_the_rest, setup),
		cmocka_unit_test_setup(test_foreign_token, setup),
		cmocka_unit_test_setup(test_double_token, setup),
		cmocka_unit_test_setup(test_last_token_does_not_wrap, setup),
		cmocka_unit_test_setup(test_soak, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
