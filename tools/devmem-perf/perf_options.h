/* SPDX-License-Identifier: BSD-3-Clause */
/* devmem-perf's command line. */
#ifndef PERF_OPTIONS_H
#define PERF_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "collective.h"
#include "data_type.h"
#include "job_options.h"

#define PERF_MAX_SIZES 128

/* @sizes in bytes, as nccl-tests count them: all_gather's and reduce_scatter's are all ranks'. */
struct perf_options {
	struct job_options job;
	enum collective_kind kind;
	enum data_type type;
	size_t sizes[PERF_MAX_SIZES];
	size_t nsizes;
	int iters, warmup;
	bool check;
	bool hollow; /* collective.h */
	bool json;
	const char *json_file; /* NULL: standard output, in place of the table */
};

/* 0 go on; 1 --help or --version was asked and answered; -EINVAL wrong, and reported. */
int perf_options_parse(int argc, char **argv, struct perf_options *ret);

#endif
