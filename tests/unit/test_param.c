// SPDX-License-Identifier: BSD-3-Clause
/*
 * unit-libs: devmem_base
 */
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"
#include "base/param.h"

static int setup(void **state)
{
	(void)state;
	clearenv();
	unit_log_clear();
	param_load();
	unit_log_clear();
	return 0;
}

static void load_with(const char *name, const char *value)
{
	setenv(name, value, 1);
	unit_log_clear();
	param_load();
}

static void test_defaults(void **state)
{
	(void)state;
	assert_int_equal(param_int(PARAM_QUEUES), 1);
	assert_int_equal(param_int(PARAM_POOL_SIZE), 64 << 20);
	assert_true(param_bool(PARAM_NIC_SETUP));
	assert_int_equal(param_choice(PARAM_SEND), SEND_AUTO);
	assert_int_equal(param_choice(PARAM_LOG), LOG_LVL_INFO);
	assert_string_equal(param_text(PARAM_LOG), "info");
	assert_string_equal(param_str(PARAM_STATE_DIR), "/run/nccl-devmem");
	assert_false(param_is_set(PARAM_QUEUES));
	assert_string_equal(param_env_name(PARAM_IFNAME), "NCCL_DEVMEM_IFNAME");
}

static void test_good_values(void **state)
{
	static const struct {
		const char *text;
		int64_t bytes;
	} sizes[] = { { "4096", 4096 },
		      { "4k", 4096 },
		      { "128K", 128 << 10 },
		      { "1m", 1 << 20 },
		      { "4M", 4 << 20 } };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		load_with("NCCL_DEVMEM_CHUNK_SIZE", sizes[i].text);
		assert_int_equal(param_int(PARAM_CHUNK_SIZE), sizes[i].bytes);
		assert_true(param_is_set(PARAM_CHUNK_SIZE));
	}
	load_with("NCCL_DEVMEM_ZEROCOPY_MIN", "1G");
	assert_int_equal(param_int(PARAM_ZEROCOPY_MIN), 1 << 30);
	load_with("NCCL_DEVMEM_QUEUES", "64");
	assert_int_equal(param_int(PARAM_QUEUES), 64);
	load_with("NCCL_DEVMEM_NIC_SETUP", "Off");
	assert_false(param_bool(PARAM_NIC_SETUP));
	load_with("NCCL_DEVMEM_NIC_SETUP", "yes");
	assert_true(param_bool(PARAM_NIC_SETUP));
	load_with("NCCL_DEVMEM_REQUIRE", "devmem");
	assert_int_equal(param_choice(PARAM_REQUIRE), REQUIRE_DEVMEM);
	assert_string_equal(param_text(PARAM_REQUIRE), "devmem");
	load_with("NCCL_DEVMEM_IFNAME", "^docker,lo");
	assert_string_equal(param_str(PARAM_IFNAME), "^docker,lo");
	assert_int_equal(unit_log_lines, 0);
}

static void test_bad_values(void **state)
{
	static const struct {
		const char *name, *value, *accepted;
	} bad[] = {
		{ "NCCL_DEVMEM_QUEUES", "", "from 1 to 64" },
		{ "NCCL_DEVMEM_QUEUES", "0", "the default 1 stays" },
		{ "NCCL_DEVMEM_QUEUES", "65", "from 1 to 64" },
		{ "NCCL_DEVMEM_QUEUES", "4x", "from 1 to 64" },
		{ "NCCL_DEVMEM_QUEUES", " 4", "from 1 to 64" },
		{ "NCCL_DEVMEM_QUEUES", "99999999999999999999", "from 1 to 64" },
		{ "NCCL_DEVMEM_CHUNK_SIZE", "1T", "from 4K to 4M" },
		{ "NCCL_DEVMEM_CHUNK_SIZE", "128KB", "the default 256K stays" },
		{ "NCCL_DEVMEM_CHUNK_SIZE", "-4K", "from 4K to 4M" },
		{ "NCCL_DEVMEM_CHUNK_SIZE", "K", "from 4K to 4M" },
		{ "NCCL_DEVMEM_CHUNK_SIZE", "9223372036854775807G", "from 4K to 4M" },
		{ "NCCL_DEVMEM_CHUNK_SIZE", "1000000000000000000000000", "from 4K to 4M" },
		{ "NCCL_DEVMEM_NIC_SETUP", "2", "0, 1, no, yes" },
		{ "NCCL_DEVMEM_SEND", "rdma", "auto|copy|zerocopy|devmem" },
		{ "NCCL_DEVMEM_SEND", "auto|copy", "the default auto stays" },
		{ "NCCL_DEVMEM_SEND", "", "auto|copy|zerocopy|devmem" },
		{ "NCCL_DEVMEM_SEND", "zero", "auto|copy|zerocopy|devmem" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		setup(state);
		load_with(bad[i].name, bad[i].value);
		assert_int_equal(unit_log_lines, 1);
		assert_logged(bad[i].name);
		assert_logged(bad[i].value);
		assert_logged(bad[i].accepted);
		assert_int_equal(param_int(PARAM_QUEUES), 1);
		assert_int_equal(param_int(PARAM_CHUNK_SIZE), 256 << 10);
		assert_true(param_bool(PARAM_NIC_SETUP));
		assert_int_equal(param_choice(PARAM_SEND), SEND_AUTO);
	}
}

static void test_long_text(void **state)
{
	char text[1025];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[1024] = '\0';
	load_with("NCCL_DEVMEM_IFNAME", text);
	assert_int_equal(unit_log_lines, 1);
	assert_logged("longer than 1023");
	assert_string_equal(param_str(PARAM_IFNAME), "");

	text[1023] = '\0';
	load_with("NCCL_DEVMEM_IFNAME", text);
	assert_int_equal(unit_log_lines, 0);
	assert_string_equal(param_str(PARAM_IFNAME), text);
}

static void test_unknown_variable(void **state)
{
	char name[300];

	(void)state;
	load_with("NCCL_DEVMEM_QUEUE", "2");
	assert_int_equal(unit_log_lines, 1);
	assert_logged("did you mean NCCL_DEVMEM_QUEUES?");

	setup(state);
	load_with("NCCL_DEVMEM_FROBNICATE", "2");
	assert_int_equal(unit_log_lines, 1);
	assert_logged("NCCL_DEVMEM_FROBNICATE is not a variable");
	assert_logged("docs/environment.md");

	setup(state);
	memset(name, 'A', sizeof(name));
	memcpy(name, "NCCL_DEVMEM_", 12);
	name[sizeof(name) - 1] = '\0';
	load_with(name, "1");
	assert_int_equal(unit_log_lines, 1);

	setup(state);
	load_with("NCCL_DEBUG", "INFO");
	assert_int_equal(unit_log_lines, 0);
}

static void test_reload_forgets(void **state)
{
	(void)state;
	load_with("NCCL_DEVMEM_QUEUES", "3");
	assert_int_equal(param_int(PARAM_QUEUES), 3);
	unsetenv("NCCL_DEVMEM_QUEUES");
	param_load();
	assert_int_equal(param_int(PARAM_QUEUES), 1);
	assert_false(param_is_set(PARAM_QUEUES));
}

/* NCCL_SOCKET_IFNAME is honoured, but our own variable goes before it. */
static void test_fallback(void **state)
{
	(void)state;
	load_with("NCCL_SOCKET_IFNAME", "eth,ens");
	assert_string_equal(param_str(PARAM_IFNAME), "eth,ens");
	load_with("NCCL_DEVMEM_IFNAME", "=sdm0");
	assert_string_equal(param_str(PARAM_IFNAME), "=sdm0");
	assert_int_equal(unit_log_lines, 0);
}

static void test_log_level_comes_first(void **state)
{
	(void)state;
	setenv("NCCL_DEVMEM_LOG", "error", 1);
	load_with("NCCL_DEVMEM_QUEUES", "none");
	assert_int_equal(unit_log_lines, 0);
	assert_int_equal(param_int(PARAM_QUEUES), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_defaults, setup),
		cmocka_unit_test_setup(test_good_values, setup),
		cmocka_unit_test_setup(test_bad_values, setup),
		cmocka_unit_test_setup(test_long_text, setup),
		cmocka_unit_test_setup(test_unknown_variable, setup),
		cmocka_unit_test_setup(test_reload_forgets, setup),
		cmocka_unit_test_setup(test_fallback, setup),
		cmocka_unit_test_setup(test_log_level_comes_first, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
