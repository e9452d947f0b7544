// SPDX-License-Identifier: BSD-3-Clause
/*
 * What arrivals lie in: lent to requests, and given back whole, in whatever order they end.
 * unit-libs: devmem_path
 * unit-wrap: setsockopt kernel_features stage_give
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "unit.h"
#include "base/kernel.h"
#include "path/place.h"
#include "uapi/devmem.h"

static struct kernel_features features;
static struct token_ledger ledgers[2];
static struct data_sock socks[2];
static struct stage_block *given;
static unsigned int n_given;
static uint32_t freed;
static bool kernel_refuses;

const struct kernel_features *__wrap_kernel_features(void);
const struct kernel_features *__wrap_kernel_features(void)
{
	return &features;
}

void __wrap_stage_give(struct stage_block *b);
void __wrap_stage_give(struct stage_block *b)
{
	given = b;
	n_given++;
}

int __wrap_setsockopt(int fd, int level, int name, const void *val, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	const struct token_range *r = val;
	uint32_t n = 0;

	(void)fd;
	assert_int_equal(level, SOL_SOCKET);
	assert_int_equal(name, SO_DEVMEM_DONTNEED);
	if (kernel_refuses)
		return 0;
	for (size_t i = 0; i < len / sizeof(*r); i++)
		n += r[i].count;
	freed += n;
	return (int)n;
}

static int setup(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		token_ledger_init(&ledgers[i]);
		socks[i] = (struct data_sock){ .fd = 40 + i, .ledger = &ledgers[i], .run_most = 1 };
	}
	given = NULL;
	n_given = 0;
	freed = 0;
	kernel_refuses = false;
	return 0;
}

static void arrive(struct arrival *a, uint32_t start, uint32_t count)
{
	arrival_clear(a);
	a->n_tokens = 1;
	a->tokens[0] = (struct token_range){ .start = start, .count = count };
}

static void test_lent_and_returned(void **state)
{
	static struct arrival a;
	static struct stage_block block;
	struct loan_list one = { 0 }, two = { 0 };

	(void)state;
	arrive(&a, 10, 3);
	assert_ok(loan_list_add(&one, &socks[0], &a));
	arrive(&a, 13, 2); /* goes on from the last */
	assert_ok(loan_list_add(&one, &socks[0], &a));
	assert_int_equal(one.n, 1);
	arrive(&a, 15, 1); /* the same number, another socket's */
	assert_ok(loan_list_add(&one, &socks[1], &a));
	assert_int_equal(one.n, 2);
	arrive(&a, 20, 4);
	a.block = &block;
	assert_ok(loan_list_add(&two, &socks[0], &a));
	assert_int_equal(socks[0].lent, 9);
	assert_int_equal(socks[1].lent, 1);
	assert_int_equal(ledgers[0].held, 0);

	assert_ok(loan_list_return(&two));
	assert_ptr_equal(given, &block);
	assert_int_equal(socks[0].lent, 5);
	assert_int_equal(ledgers[0].held, 4);
	assert_ok(loan_list_return(&one));
	assert_ok(loan_list_return(&one)); /* nothing is given back twice */
	assert_int_equal(ledgers[0].held, 9);
	assert_int_equal(ledgers[1].held, 1);
	assert_int_equal(socks[0].lent + socks[1].lent, 0);
	assert_int_equal(n_given, 1);
	loan_list_free(&one);
	loan_list_free(&two);
}

/* Far more ranges than a ledger has room for: the kernel gets them as it fills. */
static void test_many_ranges(void **state)
{
	static struct arrival a;
	struct loan_list l = { 0 };
	const uint32_t n = 5 * TOKEN_LEDGER_RANGES;

	(void)state;
	for (uint32_t i = 0; i < n; i++) {
		arrive(&a, 2 * i, 1);
		assert_ok(loan_list_add(&l, &socks[0], &a));
	}
	assert_int_equal(l.n, n);
	assert_int_equal(socks[0].lent, n);
	assert_ok(loan_list_return(&l));
	assert_int_equal(freed + ledgers[0].held, n);
	assert_int_equal(socks[0].lent, 0);
	loan_list_free(&l);
}

/* A kernel that takes nothing back is an error, not a loop or a lost loan list. */
static void test_kernel_refuses(void **state)
{
	static struct arrival a;
	struct loan_list l = { 0 };

	(void)state;
	kernel_refuses = true;
	for (uint32_t i = 0; i < TOKEN_LEDGER_RANGES + 1; i++) {
		arrive(&a, 2 * i, 1);
		assert_ok(loan_list_add(&l, &socks[0], &a));
	}
	assert_true(loan_list_return(&l) < 0);
	assert_int_equal(l.n, 0);
	assert_int_equal(socks[0].lent, 0);
	loan_list_free(&l);
}

static void test_arrival_return(void **state)
{
	static struct arrival a;
	static struct stage_block block;

	(void)state;
	arrive(&a, 7, 2);
	a.block = &block;
	assert_ok(arrival_return(&socks[0], &a));
	assert_ok(arrival_return(&socks[0], &a));
	assert_int_equal(ledgers[0].held, 2);
	assert_int_equal(n_given, 1);
}

/* Cut at ends of pieces, within them and within linear ones; what the whole lies in comes with the last part. */
static void test_cut(void **state)
{
	static const size_t lens[] = { 100, 50, 350, 500, 1000 };
	static struct arrival a, part;
	static uint8_t host[600];
	struct arrival_cut cut = { 0 };

	(void)state;
	arrive(&a, 7, 2);
	a.host = host;
	a.pieces[a.n++] = (struct gather_piece){ .offset = 4096, .len = 400 };
	a.pieces[a.n++] = (struct gather_piece){ .len = 300, .linear = 1 };
	a.pieces[a.n++] = (struct gather_piece){ .offset = 8192, .len = 200 };
	a.pieces[a.n++] = (struct gather_piece){ .len = 300, .linear = 1 };
	a.total = 1200;
	a.linear = 600;

	arrival_cut(&a, &cut, lens[0], &part);
	assert_int_equal(part.n, 1);
	assert_int_equal(part.pieces[0].offset, 4096);
	assert_int_equal(part.total, 100);
	arrival_cut(&a, &cut, lens[1], &part);
	assert_int_equal(part.pieces[0].offset, 4196);
	assert_int_equal(part.total, 50);
	arrival_cut(&a, &cut, lens[2], &part);
	assert_int_equal(part.n, 2);
	assert_int_equal(part.pieces[0].offset, 4246);
	assert_int_equal(part.pieces[0].len, 250);
	assert_true(part.pieces[1].linear);
	assert_int_equal(part.linear, 100);
	assert_ptr_equal(part.host, host);
	assert_int_equal(part.n_tokens, 0);
	arrival_cut(&a, &cut, lens[3], &part);
	assert_int_equal(part.n, 3);
	assert_ptr_equal(part.host, host + 100);
	assert_int_equal(part.pieces[1].offset, 8192);
	assert_int_equal(part.linear, 300);
	assert_int_equal(part.n_tokens, 0);
	arrival_cut(&a, &cut, lens[4], &part);
	assert_int_equal(part.total, 200);
	assert_ptr_equal(part.host, host + 400);
	assert_int_equal(part.n_tokens, 1);
	assert_int_equal(part.tokens[0].start, 7);
	assert_int_equal(a.n_tokens, 0);
	assert_int_equal(cut.done, a.total);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_cut, setup),
		cmocka_unit_test_setup(test_lent_and_returned, setup),
		cmocka_unit_test_setup(test_many_ranges, setup),
		cmocka_unit_test_setup(test_kernel_refuses, setup),
		cmocka_unit_test_setup(test_arrival_return, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
