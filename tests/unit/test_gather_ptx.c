// SPDX-License-Identifier: BSD-3-Clause
/*
 * The gather kernel's PTX, as the plugin carries it: made from the sources that are there, and good for every GPU that NVIDIA's assembler knows.
 *
 * unit-libs: devmem_base
 */
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"
#include "mem/gather_ptx.h"

/* The first line of a command's output; its exit status. */
static int first_line(const char *command, char *line, size_t size)
{
	FILE *f = popen(command, "r");
	char rest[256];

	assert_non_null(f);
	if (!fgets(line, (int)size, f))
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	while (fgets(rest, sizeof(rest), f))
		;
	return pclose(f);
}

static void test_made_from_sources(void **state)
{
	const char *dir = getenv("DEVMEM_TEST_MEM_DIR");
	char command[600], line[256];

	(void)state;
	assert_non_null(dir);
	snprintf(command, sizeof(command),
		 "cd '%s' && cat gather.cu gather_kernel.h gather_tile.h | sha256sum | cut -c1-64",
		 dir);
	assert_ok(first_line(command, line, sizeof(line)));
	if (strcmp(line, GATHER_PTX_SOURCES))
		fail_msg("gather.cu and gather_ptx.h differ: run scripts/make-gather-ptx");
}

static void test_assembles(void **state)
{
	static const char *const archs[] = { "sm_70", "sm_75",	"sm_80",  "sm_86", "sm_89",
					     "sm_90", "sm_100", "sm_103", "sm_120" };
	char path[] = "/tmp/devmem-ptx.XXXXXX", command[300], line[256];
	int fd = mkstemp(path);
	size_t i;
	int known = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, GATHER_PTX, strlen(GATHER_PTX)), (ssize_t)strlen(GATHER_PTX));
	close(fd);
	if (first_line("ptxas --version 2>&1", line, sizeof(line))) {
		print_message("skip: ptxas is not there\n");
		unlink(path);
		skip();
	}
	for (i = 0; i < sizeof(archs) / sizeof(archs[0]); i++) {
		snprintf(command, sizeof(command), "ptxas --help | grep -q \"'%s'\"", archs[i]);
		if (first_line(command, line, sizeof(line))) {
			print_message("%s: this ptxas does not know it\n", archs[i]);
			continue;
		}
		known++;
		snprintf(command, sizeof(command), "ptxas -arch=%s -o /dev/null '%s' 2>&1",
			 archs[i], path);
		if (first_line(command, line, sizeof(line)))
			fail_msg("%s: %s", archs[i], line);
	}
	unlink(path);
	assert_true(known > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made_from_sources),
		cmocka_unit_test(test_assembles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
