// SPDX-License-Identifier: BSD-3-Clause
/* Tuner version 4 (NCCL 2.24 to 2.27). */
#include "abi/tuner.h"
#include "nccl/tuner_v4.h"

static ncclResult_t v4_init(size_t n_ranks, size_t n_nodes, ncclDebugLogger_t log, void **ctx)
{
	(void)n_ranks;
	(void)n_nodes;
	return tuner_init(log, ctx);
}

/* NOLINTNEXTLINE(readability-function-size): the signature is NCCL's */
static ncclResult_t v4_get_coll_info(void *ctx, ncclFunc_t func, size_t bytes, int pipe_ops,
				     float **costs, int n_algo, int n_proto, int registered,
				     int *n_channels)
{
	(void)ctx;
	(void)func;
	(void)bytes;
	(void)pipe_ops;
	(void)registered;
	(void)n_channels;
	return tuner_guard_costs(costs, n_algo, n_proto);
}

EDGE_EXPORT const ncclTuner_v4_t ncclTunerPlugin_v4 = {
	.name = EDGE_NAME,
	.init = v4_init,
	.getCollInfo = v4_get_coll_info,
	.destroy = tuner_end,
};
