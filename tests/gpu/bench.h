/* SPDX-License-Identifier: BSD-3-Clause */
/* nccl-bench: one rank of the collectives with NCCL alone, as collectives.py is with torch. Its options and JSON are the same. */
#ifndef GPU_BENCH_H
#define GPU_BENCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gpu_lib.h"
#include "nccl_lib.h"
#include "pattern.h"
#include "rendezvous.h"

#define BENCH_MAX_SIZES 32

/* Strings belong to argv. @seconds: for all cases together. @max_bytes: larger sizes are left out; 0 none. */
struct bench_options {
	int rank, world, device;
	const char *rendezvous, *out, *plugin;
	const char *nccl, *cuda, *nvml, *emulation;
	bool ops[PATTERN_OPS], types[PATTERN_TYPES];
	size_t sizes[BENCH_MAX_SIZES];
	size_t nsizes, max_bytes;
	int iterations, seconds, timeout_s;
};

/* 0 go on; 1 --help was asked and answered; -EINVAL wrong, and reported. */
int bench_options_parse(int argc, char **argv, struct bench_options *ret);

/* @host: room for PATTERN_CHUNK elements of the larger type. @must_receive: payload bytes of all calls so far. */
struct bench {
	const struct bench_options *o;
	struct rendezvous *rendezvous;
	struct gpu_lib gpu;
	struct nccl_lib nccl;
	nccl_comm comm;
	void *stream;
	void *host;
	uint64_t must_receive;
};

/* Libraries, the other ranks, a communicator. Negative errno, reported; @b is to be closed anyway. */
int bench_open(const struct bench_options *o, struct bench *b);
/* Ends the communicator if that can be done, aborts it after an error. */
int bench_close(struct bench *b, bool aborting);
/* The plugin's counters, read from the library that NCCL has loaded; JSON null when it has not loaded @o->plugin. */
json_t *bench_counters(const struct bench *b);

double bench_now(void);
/* Waits for the stream: -EIO an error of NCCL's or the GPU's, -ETIMEDOUT. Reported. */
int bench_wait(struct bench *b);
/* The largest of all ranks' @value; a negative errno instead. */
int bench_slowest(struct bench *b, double *value);

/*
 * Checks, times and checks @c again, with at most @seconds for the timing; *@ret_wrong are the wrong elements. A negative errno if it could
 * not be done, else *@ret is the case's JSON and the caller's.
 */
int bench_case_run(struct bench *b, struct pattern_case c, double seconds, json_t **ret,
		   size_t *ret_wrong);

#endif
