/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where bytes stay on their way between host memory and a GPU: blocks that each exist twice, as pinned host memory and as GPU memory
 * of the GPU's block (gpu_block.h), so that they have offsets from its base as frags do. For receives that do not come from a devmem
 * NIC (staged), for bytes of a devmem socket that came in host memory, and for messages with more pieces than a slot of NCCL's
 * queue holds.
 */
#ifndef DEVMEM_STAGE_H
#define DEVMEM_STAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/verdict.h"
#include "mem/gpu.h"

#define STAGE_BLOCK (256UL << 10)

struct stage;

/*
 * @host: pinned, @host_dev the GPU's address of it. @dev: the GPU's own copy, @offset from the base.
 * All are @size bytes. Owned by whoever took the block.
 */
struct stage_block {
	struct stage *stage;
	uint8_t *host;
	uint64_t host_dev;
	uint64_t dev;
	uint64_t offset;
	size_t size;
	struct stage_block *next;
};

/* Over @size bytes (whole blocks) of GPU memory at @base + @offset, which stay the caller's; the host half is made here. */
int stage_create(struct gpu *gpu, uint64_t base, uint64_t offset, size_t size, struct stage **ret,
		 struct verdict *why);
/* All blocks must have come back. */
void stage_destroy(struct stage *s);

/* A free block, or NULL: none now. Any thread. */
struct stage_block *stage_take(struct stage *s);
void stage_give(struct stage_block *b);

/* What blocks hold, bytes; a power of two. */
size_t stage_block_size(const struct stage *s);

#endif
