/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Version 4 of NCCL's tuner table; the library exports it as ncclTunerPlugin_v4.
 * Against version 3: tells whether the user's buffers can be registered.
 * What each call must do: tuner.h.
 */
#ifndef NCCL_TUNER_V4_H
#define NCCL_TUNER_V4_H

#include "nccl/tuner.h"

/* @costs as in version 3. */
typedef struct {
	const char *name;
	ncclResult_t (*init)(size_t n_ranks, size_t n_nodes, ncclDebugLogger_t log, void **ctx);
	ncclResult_t (*getCollInfo)(void *ctx, ncclFunc_t func, size_t bytes, int pipe_ops,
				    float **costs, int n_algo, int n_proto, int registered,
				    int *n_channels);
	ncclResult_t (*destroy)(void *ctx);
} ncclTuner_v4_t;

#endif
