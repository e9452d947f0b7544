// SPDX-License-Identifier: BSD-3-Clause
/*
 * The gather kernel: devmem_gather(const struct gather_tile *tiles, const struct gather_source *sources), a block of GATHER_THREADS for each
 * tile. The plugin carries what scripts/make-gather-ptx makes of it (gather_ptx.h), so neither nvcc nor clang is needed to build or run it.
 *
 * Loads bypass L1, which is not coherent with what a NIC writes.
 */
#define GATHER_FN static __attribute__((device)) inline
#include "gather_kernel.h"

#define ALL_LANES 0xffffffff

GATHER_FN struct unit load16(u64 at)
{
	struct unit u;

	asm volatile("ld.global.cg.v2.u64 {%0, %1}, [%2];" : "=l"(u.lo), "=l"(u.hi) : "l"(at));
	return u;
}

GATHER_FN u64 load1(u64 at)
{
	u32 b;

	asm volatile("ld.global.cg.u8 %0, [%1];" : "=r"(b) : "l"(at));
	return b;
}

GATHER_FN void store16(u64 at, struct unit u)
{
	asm volatile("st.global.v2.u64 [%0], {%1, %2};" : : "l"(at), "l"(u.lo), "l"(u.hi) : "memory");
}

GATHER_FN void store_some(u64 at, u32 bytes, u64 v)
{
	if (bytes == 8)
		asm volatile("st.global.u64 [%0], %1;" : : "l"(at), "l"(v) : "memory");
	else if (bytes == 4)
		asm volatile("st.global.u32 [%0], %1;" : : "l"(at), "r"((u32)v) : "memory");
	else if (bytes == 2)
		asm volatile("st.global.u16 [%0], %1;" : : "l"(at), "h"((unsigned short)v) : "memory");
	else
		asm volatile("st.global.u8 [%0], %1;" : : "l"(at), "r"((u32)v) : "memory");
}

GATHER_FN void fence(void)
{
	__nvvm_membar_sys();
}

extern "C" __attribute__((global)) void devmem_gather(const struct gather_tile *tiles,
						      const struct gather_source *sources)
{
	static __attribute__((shared)) struct gather_source s[GATHER_SOURCES];
	const struct gather_tile t = tiles[__nvvm_read_ptx_sreg_ctaid_x()];
	u32 tid = (u32)__nvvm_read_ptx_sreg_tid_x();
	int unit = (int)(tid * 16) - (int)(t.dst % GATHER_LINE);

	if (tid < t.n)
		s[tid] = sources[t.first + tid];
	__syncthreads();

	/* A warp has the same four lines in each round; all its lanes take part until the last is behind the tile. */
	for (; unit - (int)(tid % 32 * 16) < (int)t.len; unit += GATHER_THREADS * 16) {
		struct lane l = lane_load(&t, s, unit);

		if (l.head)
			lane_store_part(&l);
		__nvvm_bar_warp_sync(ALL_LANES);
		if (l.whole)
			store16(l.at, l.u);
		if (__nvvm_vote_any_sync(ALL_LANES, l.tail)) {
			fence();
			__nvvm_bar_warp_sync(ALL_LANES);
			if (l.tail)
				lane_store_part(&l);
		}
	}
}
