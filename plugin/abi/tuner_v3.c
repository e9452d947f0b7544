// SPDX-License-Identifier: BSD-3-Clause
/* Tuner version 3 (NCCL 2.22 and 2.23). */
#include "abi/tuner.h"
#include "nccl/tuner_v3.h"

static ncclResult_t v3_init(size_t n_ranks, size_t n_nodes, ncclDebugLogger_t log, void **ctx)
{
	(void)n_ranks;
	(void)n_nodes;
	return tuner_init(log, ctx);
}

static ncclResult_t v3_get_coll_info(void *ctx, ncclFunc_t func, size_t bytes, int pipe_ops,
				     float **costs, int n_algo, int n_proto, int *n_channels)
{
	(void)ctx;
	(void)func;
	(void)bytes;
	(void)pipe_ops;
	(void)n_channels;
	return tuner_guard_costs(costs, n_algo, n_proto);
}

EDGE_EXPORT const ncclTuner_v3_t ncclTunerPlugin_v3 = {
	.name = EDGE_NAME,
	.init = v3_init,
	.getCollInfo = v3_get_coll_info,
	.destroy = tuner_end,
};
