/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A range of a GPU's addresses, parts of which get memory when they are wanted (CUDA's virtual memory management). So memory that has to have
 * one base need not all be there from the beginning.
 */
#ifndef DEVMEM_GPU_RANGE_H
#define DEVMEM_GPU_RANGE_H

#include "mem/gpu.h"

struct gpu_range;

/* Reserves addresses alone. -ENOTSUP with @why where the GPU or its driver cannot. */
int gpu_range_create(struct gpu *gpu, size_t size, struct gpu_range **ret, struct verdict *why);
/* All memory must have been unmapped. */
void gpu_range_free(struct gpu_range *r);

uint64_t gpu_range_base(const struct gpu_range *r);
/* Parts begin at multiples of it and are that many bytes long; a power of two. */
size_t gpu_range_granularity(const struct gpu_range *r);

/* Memory for [offset, offset+size). -ENOMEM with @why telling how much is free. */
int gpu_range_map(struct gpu_range *r, size_t offset, size_t size, struct verdict *why);
void gpu_range_unmap(struct gpu_range *r, size_t offset, size_t size);

#endif
