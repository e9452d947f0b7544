/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Version 3 of NCCL's tuner table; the library exports it as ncclTunerPlugin_v3.
 * Against version 2: the tuner is given NCCL's table of costs to change.
 * What each call must do: tuner.h.
 */
#ifndef NCCL_TUNER_V3_H
#define NCCL_TUNER_V3_H

#include "nccl/tuner.h"

/*
 * @costs: in spite of its type the first element of a float[n_algo][n_proto], indexed by NCCL_ALGO_* and
 * NCCL_PROTO_*; NCCL takes the least that is not NCCL_ALGO_PROTO_IGNORE (src/enqueue.cc, topoGetAlgoInfo).
 */
typedef struct {
	const char *name;
	ncclResult_t (*init)(size_t n_ranks, size_t n_nodes, ncclDebugLogger_t log, void **ctx);
	ncclResult_t (*getCollInfo)(void *ctx, ncclFunc_t func, size_t bytes, int pipe_ops,
				    float **costs, int n_algo, int n_proto, int *n_channels);
	ncclResult_t (*destroy)(void *ctx);
} ncclTuner_v3_t;

#endif
