// SPDX-License-Identifier: BSD-3-Clause
/*
 * What NCCL_DEVMEM_REQUIRE forbids, and that each step is told once.
 * unit-libs: devmem_path
 */
#include <errno.h>
#include <stdlib.h>

#include "unit.h"
#include "base/counter.h"
#include "base/param.h"
#include "path/ladder.h"

static const struct verdict why = { .err = -EOPNOTSUPP,
				    .reason = "t0: no queues",
				    .remedy = "another NIC" };

static void require(const char *what)
{
	setenv("NCCL_DEVMEM_REQUIRE", what, 1);
	param_load();
	ladder_reset();
	unit_log_clear();
}

static void test_require(void **state)
{
	(void)state;
	require("none");
	assert_ok(ladder_step_down("t0", DIR_SEND, RUNG_DEVMEM, RUNG_COPY, &why));
	assert_ok(ladder_step_down("t0", DIR_RECV, RUNG_DEVMEM, RUNG_COPY, &why));
	require("zerocopy");
	assert_int_equal(ladder_step_down("t0", DIR_SEND, RUNG_ZEROCOPY, RUNG_COPY, &why),
			 -EOPNOTSUPP);
	assert_logged("NCCL_DEVMEM_REQUIRE=zerocopy");
	assert_ok(ladder_step_down("t0", DIR_SEND, RUNG_DEVMEM, RUNG_ZEROCOPY, &why));
	assert_ok(ladder_step_down("t0", DIR_RECV, RUNG_DEVMEM, RUNG_COPY, &why));
	require("devmem");
	assert_int_equal(ladder_step_down("t0", DIR_RECV, RUNG_DEVMEM, RUNG_COPY, &why),
			 -EOPNOTSUPP);
	assert_int_equal(ladder_step_down("t0", DIR_SEND, RUNG_DEVMEM, RUNG_ZEROCOPY, &why),
			 -EOPNOTSUPP);
}

static void test_said_once(void **state)
{
	uint64_t before;

	(void)state;
	require("none");
	before = counter_read(steps_down);
	for (int i = 0; i < 5; i++)
		assert_ok(ladder_step_down("t0", DIR_SEND, RUNG_DEVMEM, RUNG_COPY, &why));
	assert_int_equal(unit_log_lines, 1);
	assert_logged("t0: send path copy instead of devmem: t0: no queues; remedy: another NIC");
	assert_ok(ladder_step_down("t1", DIR_SEND, RUNG_DEVMEM, RUNG_COPY, &why));
	assert_ok(ladder_step_down("t0", DIR_RECV, RUNG_DEVMEM, RUNG_COPY, &why));
	assert_int_equal(unit_log_lines, 3);
	assert_int_equal(counter_read(steps_down) - before, 3);
	/* Never silent about an error, even when the verdict forgot its errno. */
	require("devmem");
	assert_int_equal(ladder_step_down("t0", DIR_RECV, RUNG_DEVMEM, RUNG_COPY,
					  &(struct verdict){ .reason = "x" }),
			 -ENOTSUP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_require),
		cmocka_unit_test(test_said_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
