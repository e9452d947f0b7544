// SPDX-License-Identifier: BSD-3-Clause
/*
 * Tuner version 2 (NCCL 2.21): to bar a protocol a tuner must name another together with an algorithm, without knowing costs. Ring
 * with Simple is what every collective has; 2.21 has no PAT.
 */
#include "abi/tuner.h"
#include "nccl/tuner_v2.h"

static ncclResult_t v2_init(size_t n_ranks, size_t n_nodes, ncclDebugLogger_t log, void **ctx)
{
	(void)n_ranks;
	(void)n_nodes;
	return tuner_init(log, ctx);
}

/* NOLINTNEXTLINE(readability-function-size): the signature is NCCL's */
static ncclResult_t v2_get_coll_info(void *ctx, ncclFunc_t func, size_t bytes, int collnet,
				     int nvls, int pipe_ops, int *algorithm, int *protocol,
				     int *n_channels)
{
	(void)ctx;
	(void)func;
	(void)bytes;
	(void)collnet;
	(void)nvls;
	(void)pipe_ops;
	(void)n_channels;
	if (tuner_is_on() && algorithm && protocol) {
		*algorithm = NCCL_ALGO_RING;
		*protocol = NCCL_PROTO_SIMPLE;
	}
	return ncclSuccess;
}

EDGE_EXPORT const ncclTuner_v2_t ncclTunerPlugin_v2 = {
	.name = EDGE_NAME,
	.init = v2_init,
	.getCollInfo = v2_get_coll_info,
	.destroy = tuner_end,
};
