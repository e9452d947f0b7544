// SPDX-License-Identifier: BSD-3-Clause
#include "comm/net.h"
#include "comm/reg_gate.h"

/* NCCL_NUM_PROTOCOLS */
#define OWN_MAX 3

/*
 * A shared buffer is at least one channel's 16 chunks of 128 KiB (NCCL_SHARED_STEPS, NCCL_P2P_NET_CHUNKSIZE's default); LL's is 512 KiB
 * (NCCL_LL_BUFFSIZE's). What lies behind a shared one is not NCCL's, though it may begin where that ends.
 */
#define SHARED_MIN (16UL * (128 << 10))

static bool goes_on(const struct reg_gate *g, uintptr_t base, int type)
{
	/* LL of a sender lies in host memory, the next in the GPU's. */
	if (g->n == 1 && g->type == NET_PTR_HOST && type != NET_PTR_HOST)
		return true;
	return g->first < SHARED_MIN && type == g->type && base == g->end;
}

bool reg_gate_admit(struct reg_gate *g, const void *base, size_t size, int type)
{
	uintptr_t at = (uintptr_t)base;

	if (g->n == OWN_MAX || (g->n && !goes_on(g, at, type)))
		return false;
	if (g->n == 0)
		g->first = size;
	g->n++;
	g->type = type;
	g->end = at + size;
	return true;
}
