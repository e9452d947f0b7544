// SPDX-License-Identifier: BSD-3-Clause
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "report.h"

/* Where texts begin: state, subject and check are in front. */
#define TEXT_COLUMN 33
/* The same of the reasons behind paths. */
#define PATH_COLUMN 44

static const char *colour_of(enum finding_state s, bool colour)
{
	static const char *const on[] = { "\033[32m", "\033[36m", "\033[33m", "\033[1;31m" };

	return colour ? on[s] : "";
}

/* Prints @text, broken at spaces so that it ends before @width, further lines indented. The first begins at @column. */
static void print_wrapped(const char *text, unsigned int column, unsigned int indent,
			  unsigned int width)
{
	unsigned int room = width > indent + 20 ? width : indent + 20;
	bool first = true;

	while (*text) {
		size_t len = strcspn(text, " ");

		if (!first && column + 1 + len > room) {
			printf("\n%*s", (int)indent, "");
			column = indent;
			first = true;
		}
		printf("%s%.*s", first ? "" : " ", (int)len, text);
		column += (unsigned int)len + !first;
		first = false;
		text += len;
		text += strspn(text, " ");
	}
	printf("\n");
}

static void print_finding(const struct finding *f, unsigned int width, bool colour)
{
	printf("%s%-4s%s  %-8s %-17s ", colour_of(f->state, colour), finding_state_name(f->state),
	       colour ? "\033[0m" : "", f->subject, f->check);
	print_wrapped(f->text, TEXT_COLUMN, TEXT_COLUMN, width);
	if (f->state == FINDING_OK || !f->fix[0])
		return;
	printf("%*s%s", TEXT_COLUMN, "", f->safe ? "fix*: " : "fix: ");
	print_wrapped(f->fix, TEXT_COLUMN + 5 + f->safe, TEXT_COLUMN + 5 + f->safe, width);
}

static void print_paths(const struct exam *x, unsigned int width)
{
	printf("\nPaths to peers on other hosts:\n");
	for (unsigned int i = 0; i < x->n_paths; i++) {
		const struct exam_path *p = &x->paths[i];

		printf("  %-10s %-4s memory  %-7s  ", p->nic, p->memory, p->direction);
		if (p->why[0]) {
			printf("%-9s", p->path);
			print_wrapped(p->why, PATH_COLUMN, PATH_COLUMN, width);
		} else {
			printf("%s\n", p->path);
		}
	}
}

static void print_verdict(const struct exam *x)
{
	unsigned int n[4] = { 0 }, safe = 0;

	for (unsigned int i = 0; i < x->findings.n; i++) {
		const struct finding *f = &x->findings.v[i];

		n[f->state]++;
		safe += f->safe && f->state != FINDING_OK;
	}
	printf("\n%u ok, %u to know, %u slower than it could be, %u broken", n[FINDING_OK],
	       n[FINDING_NOTE], n[FINDING_WARN], n[FINDING_FAIL]);
	if (safe)
		printf("; *: devmem-doctor --fix runs these %u", safe);
	printf("\n");
}

void report_text(const struct exam *x, unsigned int width, bool colour, bool all)
{
	for (unsigned int i = 0; i < x->findings.n; i++)
		if (all || x->findings.v[i].state != FINDING_OK)
			print_finding(&x->findings.v[i], width, colour);
	print_paths(x, width);
	print_verdict(x);
}
