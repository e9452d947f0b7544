/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Version 5 of NCCL's tuner table; the library exports it as ncclTunerPlugin_v5.
 * Against version 4: init() knows the communicator and its NVLink domains and may change the constants of NCCL's cost model;
 * destroy() is called finalize().
 * What each call must do: tuner.h.
 */
#ifndef NCCL_TUNER_V5_H
#define NCCL_TUNER_V5_H

#include "nccl/tuner.h"

typedef struct {
	int nNvlDomains;
	int minRanksPerNvlDomain;
	int maxRanksPerNvlDomain;
} ncclNvlDomainInfo_v5_t;

/* Of NCCL's cost model: latencies in microseconds by algorithm and protocol, bandwidths in GB/s by GPU generation and number of nodes. */
typedef struct {
	double baseLatencies[7][3];
	double hwLatencies[3][7][3];
	double llMaxBws[4][3];
	double perChMaxRingLL128Bws[4][3];
	double perChMaxTreeLL128Bws[4][3];
	double perChMaxTreeBws[4][3];
	double perChMaxNVLSTreeBws[4][3];
} ncclTunerConstants_v5_t;

/* @costs as in version 3. */
typedef struct {
	const char *name;
	ncclResult_t (*init)(void **ctx, uint64_t comm_id, size_t n_ranks, size_t n_nodes,
			     ncclDebugLogger_t log, ncclNvlDomainInfo_v5_t *domains,
			     ncclTunerConstants_v5_t *constants);
	ncclResult_t (*getCollInfo)(void *ctx, ncclFunc_t func, size_t bytes, int pipe_ops,
				    float **costs, int n_algo, int n_proto, int registered,
				    int *n_channels);
	ncclResult_t (*finalize)(void *ctx);
} ncclTuner_v5_t;

#endif
