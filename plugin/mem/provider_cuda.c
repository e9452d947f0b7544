// SPDX-License-Identifier: BSD-3-Clause
/* A part of a GPU's receive block, exported as a dmabuf. */
#include <errno.h>
#include <unistd.h>

#include "mem/gpu_block.h"
#include "mem/provider.h"

/* The GPU's smaller page: a dmabuf is in whole ones. */
#define CUDA_PAGE (64UL << 10)

/* @block's part of its gpu_block, and the dmabuf of that. */
static int cuda_export(struct gpu *gpu, size_t size, struct mem_block *block, struct verdict *why)
{
	int err;

	block->size = (size + CUDA_PAGE - 1) & ~(CUDA_PAGE - 1);
	err = gpu_block_add(block->gpu_block, block->size, &block->offset, why);
	if (err)
		return err;
	err = gpu_export(gpu, block->priv + block->offset, block->size, &block->dmabuf_fd, why);
	if (err)
		gpu_block_remove(block->gpu_block, block->offset);
	return err;
}

int mem_block_alloc_cuda(struct gpu *gpu, size_t size, struct mem_block *ret, struct verdict *why)
{
	struct mem_block block = { .provider = &provider_cuda, .dmabuf_fd = -1 };
	int err;

	err = gpu_block_get(gpu, &block.gpu_block, why);
	if (err)
		return err;
	block.priv = gpu_block_base(block.gpu_block);
	err = size ? cuda_export(gpu, size, &block, why) : 0;
	if (err) {
		gpu_block_put(block.gpu_block);
		return err;
	}
	*ret = block;
	return 0;
}

static int cuda_alloc(size_t size, struct mem_block *ret, struct verdict *why)
{
	struct gpu *gpu;
	int err = gpu_current(&gpu, why);

	return err ? err : mem_block_alloc_cuda(gpu, size, ret, why);
}

static void cuda_free(struct mem_block *block)
{
	if (block->dmabuf_fd >= 0) {
		close(block->dmabuf_fd);
		gpu_block_remove(block->gpu_block, block->offset);
	}
	gpu_block_put(block->gpu_block);
}

const struct memory_provider provider_cuda = {
	.name = "cuda",
	.alloc = cuda_alloc,
	.free = cuda_free,
};
