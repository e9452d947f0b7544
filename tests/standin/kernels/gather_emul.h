/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The gather kernel on the CPU: the kernel's own text (plugin/mem/gather_kernel.h), a block's threads in lock step, warp by warp, so that
 * what one instruction of a warp stores is known to be one.
 */
#ifndef GATHER_EMUL_H
#define GATHER_EMUL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define GATHER_FN static inline
#include "mem/gather_kernel.h"

/* Called with each store, if the includer has defined it; @instruction counts what a warp does at once. */
#ifndef GATHER_EMUL_STORED
#define GATHER_EMUL_STORED(at, bytes, instruction) ((void)(instruction))
#endif

static _Thread_local unsigned long gather_emul_instruction;

static inline void *emul_pointer(u64 at)
{
	return (void *)(uintptr_t)at; // NOLINT(performance-no-int-to-ptr)
}

GATHER_FN struct unit load16(u64 at)
{
	struct unit u;

	memcpy(&u, emul_pointer(at), sizeof(u));
	return u;
}

GATHER_FN u64 load1(u64 at)
{
	return *(const uint8_t *)emul_pointer(at);
}

GATHER_FN void store16(u64 at, struct unit u)
{
	memcpy(emul_pointer(at), &u, sizeof(u));
	GATHER_EMUL_STORED(at, 16, gather_emul_instruction);
}

GATHER_FN void store_some(u64 at, u32 bytes, u64 v)
{
	memcpy(emul_pointer(at), &v, bytes);
	gather_emul_instruction++;
	GATHER_EMUL_STORED(at, bytes, gather_emul_instruction);
}

GATHER_FN void fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* One round of one warp; see devmem_gather() in plugin/mem/gather.cu, of which this is the body of the loop. */
static inline void gather_emul_warp(const struct gather_tile *t, const struct gather_source *s,
				    int unit)
{
	struct lane lanes[32];
	bool tail = false;
	int i;

	for (i = 0; i < 32; i++)
		lanes[i] = lane_load(t, s, unit + i * 16);
	for (i = 0; i < 32; i++)
		if (lanes[i].head)
			lane_store_part(&lanes[i]);
	gather_emul_instruction++;
	for (i = 0; i < 32; i++) {
		if (lanes[i].whole)
			store16(lanes[i].at, lanes[i].u);
		tail |= lanes[i].tail;
	}
	if (!tail)
		return;
	fence();
	for (i = 0; i < 32; i++)
		if (lanes[i].tail)
			lane_store_part(&lanes[i]);
}

/* A block: the loop of each warp, warp after warp. */
static inline void gather_emul_block(const struct gather_tile *tile,
				     const struct gather_source *sources)
{
	const struct gather_tile t = *tile;
	struct gather_source s[GATHER_SOURCES];
	int warp, unit;

	memcpy(s, sources + t.first, t.n * sizeof(s[0]));
	for (warp = 0; warp < GATHER_THREADS / 32; warp++)
		for (unit = warp * 512 - (int)(t.dst % GATHER_LINE); unit < (int)t.len;
		     unit += GATHER_THREADS * 16)
			gather_emul_warp(&t, s, unit);
}

#endif
