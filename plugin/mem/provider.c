// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem/provider.h"
#include "mem/provider_util.h"

static const struct memory_provider *const providers[] = {
	&provider_host, &provider_udmabuf, &provider_dmaheap, &provider_drm, &provider_cuda,
};

const struct memory_provider *memory_provider_find(const char *name)
{
	for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++)
		if (!strcmp(providers[i]->name, name))
			return providers[i];
	return NULL;
}

int mem_block_alloc(const struct memory_provider *p, size_t size, struct mem_block *ret,
		    struct verdict *why)
{
	struct mem_block block = { .dmabuf_fd = -1 };
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int err;

	if (!size || size > SIZE_MAX / 2)
		return verdict_set(why, -EINVAL, NULL, "%s: no block can have %zu bytes", p->name,
				   size);
	err = p->alloc((size + page - 1) & ~(page - 1), &block, why);
	if (err)
		return err;
	block.provider = p;
	*ret = block;
	return 0;
}

void mem_block_free(struct mem_block *block)
{
	if (block->provider)
		block->provider->free(block);
	*block = (struct mem_block){ .dmabuf_fd = -1 };
}

void mem_block_unmap(struct mem_block *block)
{
	if (block->cpu)
		munmap(block->cpu, block->size);
	if (block->dmabuf_fd >= 0)
		close(block->dmabuf_fd);
}

int device_open_verdict(const char *name, const char *node, const char *missing, int err,
			struct verdict *why)
{
	switch (err) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return verdict_set(why, -ENOENT, missing, "%s: %s does not exist", name, node);
	case -EACCES:
	case -EPERM:
		return verdict_set(
			why, err,
			"run as root, or have the administrator give your group read and write "
			"access to the node (chgrp, chmod g+rw, or a udev rule)",
			"%s: no permission to open %s", name, node);
	default:
		return verdict_set(why, err, NULL, "%s: cannot open %s: %s", name, node,
				   strerrordesc_np(-err));
	}
}
