// SPDX-License-Identifier: BSD-3-Clause
/*
 * unit-libs: devmem_base
 */
#include <errno.h>

#include "unit.h"
#include "base/counter.h"
#include "base/verdict.h"

static int setup(void **state)
{
	(void)state;
	unit_log_clear();
	log_level_set(LOG_LVL_INFO);
	return 0;
}

static int evaluated;

static int touch(void)
{
	return ++evaluated;
}

static void test_level(void **state)
{
	(void)state;
	log_debug("hidden %d", touch());
	assert_int_equal(unit_log_lines, 0);
	log_info("shown");
	log_level_set(LOG_LVL_WARN);
	log_info("hidden");
	log_warn("warned");
	log_level_set(LOG_LVL_ERROR);
	log_warn("hidden");
	log_err("failed");
	assert_string_equal(unit_log_text, "shown\nwarned\nfailed\n");
	log_level_set(LOG_LVL_DEBUG);
	log_debug("all %d", touch());
	assert_logged("all");
}

static void test_errno_survives(void **state)
{
	(void)state;
	errno = ENODEV;
	log_err("bind: %m");
	assert_int_equal(errno, ENODEV);
	assert_logged("bind: No such device");
}

static void test_long_line_is_cut(void **state)
{
	char word[3000];

	(void)state;
	memset(word, 'w', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	log_info("%s", word);
	assert_int_equal(strlen(unit_log_text), 1024);
	assert_string_equal(unit_log_text + 1020, "...\n");
}

static void test_one_line_stays_one(void **state)
{
	(void)state;
	log_info("peer says %s", "hello\nerror: forged\x1b[31m\r");
	assert_string_equal(unit_log_text, "peer says hello error: forged [31m \n");
}

static void test_verdict(void **state)
{
	struct verdict v = { 0 };
	char word[500];

	(void)state;
	assert_int_equal(verdict_set(&v, -EPERM, "run as %root", "%s: no %s", "eth0", "permission"),
			 -EPERM);
	assert_int_equal(v.err, -EPERM);
	assert_string_equal(v.reason, "eth0: no permission");
	assert_string_equal(v.remedy, "run as %root");

	memset(word, 'w', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	assert_int_equal(verdict_set(&v, 0, NULL, "%s", word), 0);
	assert_int_equal(strlen(v.reason), sizeof(v.reason) - 1);
	assert_string_equal(v.remedy, "");
	verdict_set(&v, 0, word, "short");
	assert_int_equal(strlen(v.remedy), sizeof(v.remedy) - 1);
}

static void test_counters(void **state)
{
	struct nccl_devmem_counters c = { 0 };
	uint64_t two[2] = { 0, 77 };

	(void)state;
	counter_inc(msgs_sent);
	counter_add(tokens_in, 41);
	counter_inc(tokens_in);
	assert_int_equal(nccl_devmem_counters_get(&c, sizeof(c)), sizeof(c));
	assert_int_equal(c.msgs_sent, 1);
	assert_int_equal(c.tokens_in, 42);
	/* An older caller's shorter struct is filled as far as it goes. */
	assert_int_equal(nccl_devmem_counters_get((void *)two, sizeof(two[0])), sizeof(c));
	assert_int_equal(two[0], 1);
	assert_int_equal(two[1], 77);
	assert_int_equal(nccl_devmem_counters_get(NULL, 0), sizeof(c));

	counter_add(sent_devmem, 1 << 20);
	counter_add(sys_send, 5);
	counter_log_summary();
	assert_logged("devmem 1048576");
	assert_logged("5 (5.0 per MiB)");
	assert_logged("42 given back");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_level, setup),
		cmocka_unit_test_setup(test_errno_survives, setup),
		cmocka_unit_test_setup(test_long_line_is_cut, setup),
		cmocka_unit_test_setup(test_one_line_stays_one, setup),
		cmocka_unit_test_setup(test_verdict, setup),
		cmocka_unit_test_setup(test_counters, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
