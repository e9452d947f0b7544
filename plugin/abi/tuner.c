// SPDX-License-Identifier: BSD-3-Clause
#include "abi/tuner.h"
#include "base/log.h"
#include "base/param.h"

/* NCCL wants a context back; there is nothing to keep. */
static char tuner_ctx;

bool tuner_is_on(void)
{
	return edge_unpacks() || net_needs_simple();
}

ncclResult_t tuner_init(ncclDebugLogger_t log, void **ctx)
{
	static bool told;

	edge_log_install(log);
	if (ctx)
		*ctx = &tuner_ctx;
	if (__atomic_exchange_n(&told, true, __ATOMIC_RELAXED))
		return ncclSuccess;
	if (edge_unpacks())
		log_info(
			"tuner: NCCL's kernels unpack, so LL, LL128 and PAT are not used; every rank needs %s=unpack",
			param_env_name(PARAM_PLACE));
	else if (net_needs_simple())
		log_info(
			"tuner: %s=copy: received bytes are put in place by the copy engine, so LL and LL128 are not used; "
			"every rank needs the same",
			param_env_name(PARAM_GATHER));
	else
		log_info("tuner: nothing to keep away from, every choice is NCCL's own");
	return ncclSuccess;
}

ncclResult_t tuner_end(void *ctx)
{
	(void)ctx;
	return ncclSuccess;
}

static bool is_barred(int algo, int proto, bool unpack)
{
	return proto == NCCL_PROTO_LL || proto == NCCL_PROTO_LL128 ||
	       (unpack && algo == NCCL_ALGO_PAT);
}

/* NCCL will say that there is no algorithm, not why. */
static void tell_nothing_left(bool unpack)
{
	enum param_id mode = unpack ? PARAM_PLACE : PARAM_GATHER;
	static bool told;

	if (!__atomic_exchange_n(&told, true, __ATOMIC_RELAXED))
		log_err("NCCL_PROTO or NCCL_ALGO leaves only protocols and algorithms that do not go with %s=%s: "
			"allow Simple with Ring or Tree",
			param_env_name(mode), param_text(mode));
}

ncclResult_t tuner_guard_costs(float **costs, int n_algo, int n_proto)
{
	float *table = (float *)costs;
	bool unpack = edge_unpacks();
	bool had = false, left = false;
	int a, p;

	if (!unpack && !net_needs_simple())
		return ncclSuccess;
	for (a = 0; a < n_algo; a++) {
		for (p = 0; p < n_proto; p++) {
			float *cost = &table[a * n_proto + p];

			/* Anything below 0 is not chosen. */
			if (*cost < 0)
				continue;
			had = true;
			if (is_barred(a, p, unpack))
				*cost = NCCL_ALGO_PROTO_IGNORE;
			else
				left = true;
		}
	}
	if (had && !left)
		tell_nothing_left(unpack);
	return ncclSuccess;
}
