// SPDX-License-Identifier: BSD-3-Clause
/* Tuner version 6 (NCCL 2.30): a chunk's size is NCCL's to choose, so getChunkSize is NULL. */
#include "abi/tuner.h"
#include "nccl/tuner_v6.h"

static ncclResult_t v6_init(void **ctx, uint64_t comm_id, size_t n_ranks, size_t n_nodes,
			    ncclDebugLogger_t log, ncclNvlDomainInfo_v6_t *domains,
			    ncclTunerConstants_v6_t *constants)
{
	(void)comm_id;
	(void)n_ranks;
	(void)n_nodes;
	(void)domains;
	(void)constants;
	return tuner_init(log, ctx);
}

/* NOLINTNEXTLINE(readability-function-size): the signature is NCCL's */
static ncclResult_t v6_get_coll_info(void *ctx, ncclFunc_t func, size_t bytes, int pipe_ops,
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

EDGE_EXPORT const ncclTuner_v6_t ncclTunerPlugin_v6 = {
	.name = EDGE_NAME,
	.init = v6_init,
	.getCollInfo = v6_get_coll_info,
	.finalize = tuner_end,
	.getChunkSize = NULL,
};
