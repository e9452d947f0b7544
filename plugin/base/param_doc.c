// SPDX-License-Identifier: BSD-3-Clause
/*
 * Writes docs/environment.md to stdout, or with --man the ENVIRONMENT section of a man page, from the parameter table alone.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* As man page. */
static bool man;

/* Text of a man page: a backslash is no text, a hyphen would be a typographic one, and a dot or quote at a line's beginning a request. */
static void text_print(const char *s)
{
	if (!man) {
		fputs(s, stdout);
		return;
	}
	if (*s == '.' || *s == '\'')
		fputs("\\&", stdout);
	for (; *s; s++)
		if (*s == '\\')
			fputs("\\e", stdout);
		else if (*s == '-')
			fputs("\\-", stdout);
		else
			putchar(*s);
}

/* A word as it is typed. */
static void code_print(const char *s)
{
	fputs(man ? "\\fB" : "`", stdout);
	text_print(s);
	fputs(man ? "\\fR" : "`", stdout);
}

static void entry_begin(const char *id)
{
	if (man)
		printf(".TP\n.B NCCL_DEVMEM_%s\n", id);
	else
		printf("\n## `NCCL_DEVMEM_%s`\n\n", id);
}

static void entry_end(const char *def, const char *help)
{
	printf(" Default: ");
	if (*def)
		code_print(def);
	else
		printf("empty");
	printf(man ? ".\n.br\n" : ".\n\n");
	text_print(help);
	putchar('\n');
}

static const char *size_text(int64_t bytes, char *buf, size_t len)
{
	static const struct {
		int shift;
		const char *suffix;
	} units[] = { { 30, "G" }, { 20, "M" }, { 10, "K" }, { 0, "" } };
	unsigned int i = 0;

	while (units[i].shift && (!bytes || (bytes & ((INT64_C(1) << units[i].shift) - 1))))
		i++;
	snprintf(buf, len, "%" PRId64 "%s", bytes >> units[i].shift, units[i].suffix);
	return buf;
}

static const char *int_text(int64_t n, char *buf, size_t len)
{
	snprintf(buf, len, "%" PRId64, n);
	return buf;
}

static void number_doc(const char *id, const char *kind,
		       const char *(*text)(int64_t n, char *buf, size_t len), int64_t def,
		       int64_t min, int64_t max, const char *help)
{
	char least[32], most[32], usual[32];

	entry_begin(id);
	printf("%s from %s to %s.", kind, text(min, least, sizeof(least)),
	       text(max, most, sizeof(most)));
	entry_end(text(def, usual, sizeof(usual)), help);
}

static void bool_doc(const char *id, int def, const char *help)
{
	static const char *const words[] = { "0", "no", "off", "false", "1", "yes", "on", "true" };

	entry_begin(id);
	for (unsigned int i = 0; i < 8; i++) {
		if (i)
			fputs(i == 4 ? " or " : ", ", stdout);
		code_print(words[i]);
	}
	putchar('.');
	entry_end(def ? "1" : "0", help);
}

static void choice_doc(const char *id, const char *def, const char *choices, const char *help)
{
	char word[64];
	size_t len;

	entry_begin(id);
	fputs("One of ", stdout);
	for (;; choices += len + 1) {
		len = strcspn(choices, "|");
		snprintf(word, sizeof(word), "%.*s", (int)len, choices);
		code_print(word);
		if (!choices[len])
			break;
		fputs(", ", stdout);
	}
	putchar('.');
	entry_end(def, help);
}

static void str_doc(const char *id, const char *def, const char *help)
{
	entry_begin(id);
	fputs("Text.", stdout);
	entry_end(def, help);
}

static void head_doc(void)
{
	if (man)
		printf(".SH ENVIRONMENT\n");
	else
		printf("# Environment variables\n\n"
		       "Made from `plugin/base/param_table.h` by the `update-docs` target; do not edit.\n\n");
	printf("They are read when the plugin is initialised. A value that is not accepted, and a\n"
	       "variable that is not known, is warned about with what would be right; the default "
	       "stays.\nSizes are in bytes and take the suffixes ");
	code_print("K");
	printf(", ");
	code_print("M");
	printf(" and ");
	code_print("G");
	printf(" (powers of 1024).\n");
}

int main(int argc, char **argv)
{
	man = argc == 2 && !strcmp(argv[1], "--man");
	if (argc > 1 + man) {
		fputs("usage: param_doc [--man]\n", stderr);
		return 2;
	}
	head_doc();
#define PARAM_INT(id, def, min, max, help) \
	number_doc(#id, "An integer", int_text, def, min, max, help);
#define PARAM_SIZE(id, def, min, max, help) \
	number_doc(#id, "A size", size_text, def, min, max, help);
#define PARAM_BOOL(id, def, help)	     bool_doc(#id, def, help);
#define PARAM_CHOICE(id, def, choices, help) choice_doc(#id, def, choices, help);
#define PARAM_STR(id, def, help)	     str_doc(#id, def, help);
#include "base/param_table.h"
	return fflush(stdout) || ferror(stdout);
}
