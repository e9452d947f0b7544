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

/*
 * A block of memory. @dmabuf_fd is -1 for host memory. @cpu is the CPU's view of it, NULL where it has none.
 * @size is what was asked for, rounded up to pages. Owned by whoever called mem_block_alloc().
 */
struct mem_block {
	const struct memory_provider *provider;
	int dmabuf_fd;
	uint8_t *cpu;
	size_t size;
	uint64_t priv; /* the provider's own: a GEM handle and node, a memfd... */
};

/*
 * @name: "host", "udmabuf", "dmaheap", "drm"; later "cuda".
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

/* The provider called @name, or NULL. */
const struct memory_provider *memory_provider_find(const char *name);

int mem_block_alloc(const struct memory_provider *p, size_t size, struct mem_block *ret,
		    struct verdict *why);

/* Frees and clears; a cleared block is fine. */
void mem_block_free(struct mem_block *block);

#endif
