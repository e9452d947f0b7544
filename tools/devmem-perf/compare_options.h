/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of "devmem-perf compare". */
#ifndef PERF_COMPARE_OPTIONS_H
#define PERF_COMPARE_OPTIONS_H

#include "compare_cell.h"
#include "competitor.h"

#define COMPARE_MAX_COMPETITORS 8
#define COMPARE_MAX_GROUPS	1000

/* @reference: index of the competitor that the others are compared with. @limit_s: for one run. */
struct compare_options {
	struct competitor competitors[COMPARE_MAX_COMPETITORS];
	size_t ncompetitors, reference;
	struct compare_cell cells[COMPARE_MAX_CELLS];
	size_t ncells;
	int groups, limit_s;
	double seconds;
	unsigned int nslots;
	const char *ifname, *netns;
	bool json;
	const char *json_file; /* NULL: standard output, in place of the table */
	const char *svg_file;
};

/*
 * @argv[0] is the word "compare". Looks at competitors and at the places for the output too, before
 * anything is measured. 0 go on; 1 --help was asked and answered; negative errno, and reported.
 */
int compare_options_parse(int argc, char **argv, struct compare_options *ret);

#endif
