// SPDX-License-Identifier: BSD-3-Clause
/* Writes docs/environment.md to stdout, from the parameter table alone. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

static void size_print(int64_t bytes)
{
	static const struct {
		int shift;
		char suffix;
	} units[] = { { 30, 'G' }, { 20, 'M' }, { 10, 'K' } };

	for (unsigned int i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (bytes && !(bytes & ((INT64_C(1) << units[i].shift) - 1))) {
			printf("%" PRId64 "%c", bytes >> units[i].shift, units[i].suffix);
			return;
		}
	}
	printf("%" PRId64, bytes);
}

static void int_print(int64_t n)
{
	printf("%" PRId64, n);
}

static void number_doc(const char *id, const char *kind, void (*print)(int64_t), int64_t def,
		       int64_t min, int64_t max, const char *help)
{
	printf("\n## `NCCL_DEVMEM_%s`\n\n%s from ", id, kind);
	print(min);
	printf(" to ");
	print(max);
	printf(". Default: `");
	print(def);
	printf("`.\n\n%s\n", help);
}

static void bool_doc(const char *id, int def, const char *help)
{
	printf("\n## `NCCL_DEVMEM_%s`\n\n`0`, `no`, `off`, `false` or `1`, `yes`, `on`, `true`. "
	       "Default: `%d`.\n\n%s\n",
	       id, def, help);
}

static void choice_doc(const char *id, const char *def, const char *choices, const char *help)
{
	printf("\n## `NCCL_DEVMEM_%s`\n\nOne of `", id);
	for (; *choices; choices++)
		if (*choices == '|')
			printf("`, `");
		else
			putchar(*choices);
	printf("`. Default: `%s`.\n\n%s\n", def, help);
}

static void str_doc(const char *id, const char *def, const char *help)
{
	printf("\n## `NCCL_DEVMEM_%s`\n\nText. Default: ", id);
	if (*def)
		printf("`%s`", def);
	else
		printf("empty");
	printf(".\n\n%s\n", help);
}

int main(void)
{
	printf("# Environment variables\n\n"
	       "Made from `plugin/base/param_table.h` by the `update-docs` target; do not edit.\n\n"
	       "They are read when the plugin is initialised. A value that is not accepted, and a\n"
	       "variable that is not known, is warned about with what would be right; the default "
	       "stays.\nSizes are in bytes and take the suffixes `K`, `M` and `G` (powers of "
	       "1024).\n");
#define PARAM_INT(id, def, min, max, help) \
	number_doc(#id, "An integer", int_print, def, min, max, help);
#define PARAM_SIZE(id, def, min, max, help) \
	number_doc(#id, "A size", size_print, def, min, max, help);
#define PARAM_BOOL(id, def, help)	     bool_doc(#id, def, help);
#define PARAM_CHOICE(id, def, choices, help) choice_doc(#id, def, choices, help);
#define PARAM_STR(id, def, help)	     str_doc(#id, def, help);
#include "base/param_table.h"
	return fflush(stdout) || ferror(stdout);
}
