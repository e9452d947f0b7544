// SPDX-License-Identifier: BSD-3-Clause
/* Tuner version 5 (NCCL 2.28 and 2.29). */
#include "abi/tuner.h"
#include "nccl/tuner_v5.h"

static ncclResult_t v5_init(void **ctx, uint64_t comm_id, size_t n_ranks, size_t n_nodes,
			    ncclDebugLogger_t log, ncclNvlDomainInfo_v5_t *domains,
			    ncclTunerConstants_v5_t *constants)
{
	(void)comm_id;
	(void)n_ranks;
	(void)n_nodes;
	(void)domains;
	(void)constants;
	return tuner_init(log, ctx);
}

/* NOLINTNEXTLINE(readability-function-size): the signature is NCCL's */
static ncclResult_t v5_get_coll_info(void *ctx, ncclFunc_t func, size_t bytes, int pipe_ops,
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

EDGE_EXPORT const ncclTuner_v5_t ncclTunerPlugin_v5 = {
	.name = EDGE_NAME,
	.init = v5_init,
	.getCollInfo = v5_get_coll_info,
	.finalize = tuner_end,
};
