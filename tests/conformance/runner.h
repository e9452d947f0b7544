/* SPDX-License-Identifier: BSD-3-Clause */
/* Which cases run, each in a process of its own, and the table of how they ended. */
#ifndef CONFORMANCE_RUNNER_H
#define CONFORMANCE_RUNNER_H

#include "conformance.h"

/* The line of a case's output that goes into the table. */
#define REASON_PREFIX "reason: "

#define PATTERNS_MAX 32

/* @versions: a bit for each; 0: all. */
struct runner_options {
	unsigned int versions;
	const char *only[PATTERNS_MAX];
	const char *skip[PATTERNS_MAX];
	int n_only;
	int n_skip;
	bool no_slow;
	bool fail_fast;
	bool json;
	bool list;
};

void runner_pattern(struct runner_options *run, const char *pattern, bool skip);
int runner_list(const struct runner_options *run);
/* Ends the program when there is none. */
const struct conf_case *runner_find(const char *name);
/* @argv: of this program, for the processes of the cases. The exit status. */
int runner_main(const struct runner_options *run, char **argv);

#endif
