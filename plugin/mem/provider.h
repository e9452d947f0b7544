/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where memory that can be exported as a dmabuf comes from.
 */
#ifndef DEVMEM_PROVIDER_H
#define DEVMEM_PROVIDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/verdict.h"

struct memory_provider;

struct gpu;
struct gpu_block;

/*
 * A block of memory. @dmabuf_fd is -1 for host memory. @cpu is the CPU's view of it, NULL where it has none.
 * @size is what was asked for, rounded up to pages (of the GPU: 64 KiB). Owned by whoever called mem_block_alloc().
 *
 * What a GPU sees: @priv is the address of the GPU's base, the memory lies @offset behind it. @gpu_block: the cuda provider's own.
 */
struct mem_block {
	const struct memory_provider *provider;
	int dmabuf_fd;
	uint8_t *cpu;
	size_t size;
	uint64_t priv;
	uint64_t offset;
	struct gpu_block *gpu_block;
};

/*
 * @name: "host", "udmabuf", "dmaheap", "drm", "cuda" (of the GPU whose context is current).
 * @alloc: fills everything but ->provider; untouched on failure, @why says what to do.
 */
struct memory_provider {
	const char *name;
	int (*alloc)(size_t size, struct mem_block *ret, struct verdict *why);
	void (*free)(struct mem_block *block);
};

extern const struct memory_provider provider_host;
extern const struct memory_provider provider_udmabuf;
extern const struct memory_provider provider_dmaheap;
extern const struct memory_provider provider_drm;
extern const struct memory_provider provider_cuda;

/* The provider called @name, or NULL. */
const struct memory_provider *memory_provider_find(const char *name);

int mem_block_alloc(const struct memory_provider *p, size_t size, struct mem_block *ret,
		    struct verdict *why);

/* As provider_cuda, of a GPU that is known. With @size 0 there is no dmabuf, and only the GPU's base and stage. */
int mem_block_alloc_cuda(struct gpu *gpu, size_t size, struct mem_block *ret, struct verdict *why);

/* Frees and clears; a cleared block is fine. */
void mem_block_free(struct mem_block *block);

#endif
