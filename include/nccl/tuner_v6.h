/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Version 6 of NCCL's tuner table; the library exports it as ncclTunerPlugin_v6.
 * Against version 5: the tuner may change the size of chunks.
 * What each call must do: tuner.h.
 */
#ifndef NCCL_TUNER_V6_H
#define NCCL_TUNER_V6_H

#include "nccl/tuner_v5.h"

typedef ncclNvlDomainInfo_v5_t ncclNvlDomainInfo_v6_t;
typedef ncclTunerConstants_v5_t ncclTunerConstants_v6_t;

/* @costs as in version 3. getChunkSize may be NULL: NCCL's own size stays. */
typedef struct {
	const char *name;
	ncclResult_t (*init)(void **ctx, uint64_t comm_id, size_t n_ranks, size_t n_nodes,
			     ncclDebugLogger_t log, ncclNvlDomainInfo_v6_t *domains,
			     ncclTunerConstants_v6_t *constants);
	ncclResult_t (*getCollInfo)(void *ctx, ncclFunc_t func, size_t bytes, int pipe_ops,
				    float **costs, int n_algo, int n_proto, int registered,
				    int *n_channels);
	ncclResult_t (*finalize)(void *ctx);
	ncclResult_t (*getChunkSize)(void *ctx, ncclFunc_t func, size_t bytes, int algo, int proto,
				     int n_channels, size_t *chunk);
} ncclTuner_v6_t;

#endif
