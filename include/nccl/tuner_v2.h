/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Version 2 of NCCL's tuner table; the library exports it as ncclTunerPlugin_v2.
 * The tuner names an algorithm and a protocol, or neither; it does not see costs.
 * What each call must do: tuner.h.
 */
#ifndef NCCL_TUNER_V2_H
#define NCCL_TUNER_V2_H

#include "nccl/tuner.h"

/* @algorithm, @protocol and @n_channels come in as "undefined" and may stay so, the first two together. */
typedef struct {
	const char *name;
	ncclResult_t (*init)(size_t n_ranks, size_t n_nodes, ncclDebugLogger_t log, void **ctx);
	ncclResult_t (*getCollInfo)(void *ctx, ncclFunc_t func, size_t bytes, int collnet, int nvls,
				    int pipe_ops, int *algorithm, int *protocol, int *n_channels);
	ncclResult_t (*destroy)(void *ctx);
} ncclTuner_v2_t;

#endif
