/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What NCCL's kernels read when they put received bytes together themselves (NCCL_NET_DEVICE_UNPACK, version 0x7).
 * Layout: NCCL src/device/network/unpack/unpack_defs.h, the same from 2.19 to 2.30.
 */
#ifndef DEVMEM_UNPACK_LAYOUT_H
#define DEVMEM_UNPACK_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define UNPACK_SLOTS 16 /* NCCL_NET_DEVICE_UNPACK_MAX_QUEUE_DEPTH */
#define UNPACK_ENTRIES \
	2048 /* NET_UNPACK_MAX_SLICE_PAGES: 4 MiB in 4 KiB pieces, and as many again */

/* Offsets are 32 bits wide: nothing may lie further from the bounce base. */
#define UNPACK_SPAN (1ULL << 32)

/* @len bytes at @src_off from the bounce base belong at @dst_off from the beginning of the receive. (loadMeta) */
struct unpack_entry {
	uint32_t src_off;
	uint32_t len;
	uint64_t dst_off;
} __attribute__((aligned(16)));

/*
 * Of one receive comm. A slot belongs to one irecv, in the order of irecv calls; kernels use slot = head % UNPACK_SLOTS.
 * @cnt: entries of each slot. (netUnpackMeta)
 */
struct unpack_meta {
	struct unpack_entry mem[UNPACK_SLOTS][UNPACK_ENTRIES];
	uint64_t cnt[UNPACK_SLOTS];
};

/*
 * What ncclNetDeviceHandle.handle points to, in memory that kernels may write: @head is advanced before each slice and stored back
 * when a kernel ends (src/device/prims_simple.h). (unpackNetDeviceHandle)
 */
struct unpack_handle {
	uint64_t meta;
	uint64_t bounce;
	uint64_t head;
};

/* The slot of the first irecv is 0, and kernels add 1 first. */
#define UNPACK_HEAD_START UINT64_MAX

_Static_assert(sizeof(struct unpack_entry) == 16, "loadMeta");
_Static_assert(offsetof(struct unpack_meta, cnt) == 512 << 10, "netUnpackMeta.cnt");
_Static_assert(sizeof(struct unpack_meta) == (512 << 10) + 128, "netUnpackMeta");
_Static_assert(sizeof(struct unpack_handle) == 24, "unpackNetDeviceHandle");

#endif
