/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of a GPU that bytes are received in: a stage, and a part for each NIC that fills it. Everything in it is less than 4 GiB from one base,
 * because NCCL's unpack kernel knows one base for each thread block, and offsets of 32 bits
 * (NCCL src/device/network/unpack/unpack_defs.h).
 *
 * Each NIC has a part, and a dmabuf, of its own: a binding deals out the whole of its dmabuf (net/core/devmem.c), so two NICs that were
 * bound to the same one would write over each other.
 */
#ifndef DEVMEM_GPU_BLOCK_H
#define DEVMEM_GPU_BLOCK_H

#include "mem/gpu.h"
#include "mem/stage.h"

struct gpu_block;

/* @gpu's one, made by the first caller. Thread-safe. */
int gpu_block_get(struct gpu *gpu, struct gpu_block **ret, struct verdict *why);
void gpu_block_put(struct gpu_block *b);

uint64_t gpu_block_base(const struct gpu_block *b);
struct stage *gpu_block_stage(const struct gpu_block *b);

/*
 * @size bytes at *ret_offset from the base; 2 MiB aligned. -ENOSPC, -ENOMEM: with @why naming NCCL_DEVMEM_POOL_SIZE. On a GPU without virtual memory
 * management there is one part, of NCCL_DEVMEM_POOL_SIZE. Thread-safe.
 */
int gpu_block_add(struct gpu_block *b, size_t size, uint64_t *ret_offset, struct verdict *why);
void gpu_block_remove(struct gpu_block *b, uint64_t offset);

#endif
