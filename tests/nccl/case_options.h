/* SPDX-License-Identifier: BSD-3-Clause */
/* nccl-case's command line. */
#ifndef NCCL_CASE_OPTIONS_H
#define NCCL_CASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "launcher.h"
#include "nccl_lib.h"
#include "reference.h"

#define CASE_MAX_COUNTS 32

enum case_test { TEST_COLLECTIVES, TEST_SPLIT, TEST_ABORT, TEST_PEER_DEATH, TEST_REINIT, TESTS };
enum case_buffers { BUFFERS_CUDA, BUFFERS_NCCL, BUFFERS_REGISTERED };

/*
 * Strings belong to argv. @rank is -1 in the process that launches the ranks. @traffic: how the plugin's byte counts
 * are compared with ref_traffic(): 1 exactly; 2 LL, which doubles bytes and fills up lines; 0 not at all. @placed: who must
 * have put all received bytes in place: 1 the GPU, 2 NCCL's unpack kernel; 0 whoever.
 */
struct case_options {
	int nranks, rank;
	const char *rendezvous, *netns;
	const char *nccl, *cuda, *nvml, *emulation, *plugin;
	enum case_test test;
	enum case_buffers buffers;
	bool in_place;
	bool ops[REF_OPS], types[NCCL_TYPES], redops[NCCL_REDOPS];
	size_t counts[CASE_MAX_COUNTS];
	size_t ncounts;
	uint64_t seed;
	int traffic, placed;
	int timeout_s, limit_s;
	bool verbose;
};

/* 0 go on; 1 --help was asked and answered; -EINVAL wrong, and reported. */
int case_options_parse(int argc, char **argv, struct case_options *ret);

#endif
