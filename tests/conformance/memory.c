// SPDX-License-Identifier: BSD-3-Clause
#include "memory.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The driver's calls, by their names in libcuda.so.1; they return 0 or a CUresult. X(member, symbol, parameters) */
#define CUDA_CALLS(X)                                                                         \
	X(init, "cuInit", (unsigned int flags))                                               \
	X(device_get, "cuDeviceGet", (int *ret, int ordinal))                                 \
	X(ctx_retain, "cuDevicePrimaryCtxRetain", (void **ret, int device))                   \
	X(ctx_set, "cuCtxSetCurrent", (void *ctx))                                            \
	X(alloc, "cuMemAlloc_v2", (unsigned long long *ret, size_t size))                     \
	X(free, "cuMemFree_v2", (unsigned long long at))                                      \
	X(copy_in, "cuMemcpyHtoD_v2", (unsigned long long dst, const void *src, size_t size)) \
	X(copy_out, "cuMemcpyDtoH_v2", (void *dst, unsigned long long src, size_t size))      \
	X(range_handle, "cuMemGetHandleForAddressRange",                                      \
	  (void *ret, unsigned long long at, size_t size, int type, unsigned long long flags))

/* CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD */
#define RANGE_DMABUF 1

/* cuMemAlloc()'s address is aligned to 256 bytes, a dmabuf to the host's pages. */
#define CUDA_ALIGN (64UL << 10)

static struct {
	void *library;
	void *ctx;
#define X(member, symbol, parameters) int(*member) parameters;
	CUDA_CALLS(X)
#undef X
} cuda;

const char *memory_name(enum device_memory_kind kind)
{
	return kind == MEMORY_CUDA ? "cuda" : device_memory_name(kind);
}

int memory_parse(const char *word, enum device_memory_kind *ret)
{
	if (strcmp(word, "cuda") != 0)
		return device_memory_parse(word, ret);
	*ret = MEMORY_CUDA;
	return 0;
}

static int cuda_find(void *call, const char *symbol)
{
	void *found = dlsym(cuda.library, symbol);

	if (!found) {
		fprintf(stderr, "libcuda.so.1 lacks %s\n", symbol);
		return -ENODEV;
	}
	memcpy(call, &found, sizeof(found));
	return 0;
}

int memory_open(enum device_memory_kind kind)
{
	int device, err;

	if (kind != MEMORY_CUDA)
		return 0;
	cuda.library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!cuda.library) {
		fprintf(stderr, "%s\n", dlerror());
		return -ENODEV;
	}
#define X(member, symbol, parameters)                \
	if (cuda_find((void *)&cuda.member, symbol)) \
		return -ENODEV;
	CUDA_CALLS(X)
#undef X
	err = cuda.init(0);
	if (!err)
		err = cuda.device_get(&device, 0);
	if (!err)
		err = cuda.ctx_retain(&cuda.ctx, device);
	if (err) {
		fprintf(stderr, "no GPU: CUresult %d\n", err);
		return -ENODEV;
	}
	return 0;
}

void memory_thread_init(void)
{
	if (cuda.ctx)
		cuda.ctx_set(cuda.ctx);
}

bool memory_is_host(void)
{
	return !cuda.ctx;
}

static int cuda_alloc(size_t size, struct memory *ret)
{
	unsigned long long at;
	int fd = -1;

	size = (size + CUDA_ALIGN - 1) / CUDA_ALIGN * CUDA_ALIGN;
	if (cuda.alloc(&at, size))
		return -ENOMEM;
	/* Where it cannot be exported it is registered by its address. */
	if (cuda.range_handle(&fd, at, size, RANGE_DMABUF, 0))
		fd = -1;
	*ret = (struct memory){
		.cuda = true,
		.dm = { .addr = (void *)(uintptr_t)at, .size = size, .dmabuf_fd = fd, .drm_fd = -1 }
	};
	return 0;
}

int memory_alloc(enum device_memory_kind kind, size_t size, struct memory *ret)
{
	ret->cuda = false;
	ret->dm = DEVICE_MEMORY_NONE;
	return kind == MEMORY_CUDA ? cuda_alloc(size, ret)
				   : device_memory_alloc(kind, size, &ret->dm);
}

void memory_free(struct memory *m)
{
	if (!m->cuda) {
		device_memory_free(&m->dm);
		return;
	}
	if (m->dm.dmabuf_fd >= 0)
		close(m->dm.dmabuf_fd);
	cuda.free((uintptr_t)m->dm.addr);
}

int memory_fds(const struct memory *m)
{
	return (m->dm.dmabuf_fd >= 0) + (m->dm.drm_fd >= 0);
}

static void cuda_check(int err)
{
	if (!err)
		return;
	fprintf(stderr, "a copy from or to the GPU failed: CUresult %d\n", err);
	abort();
}

void memory_write(void *dst, const void *src, size_t size)
{
	if (cuda.ctx)
		cuda_check(cuda.copy_in((uintptr_t)dst, src, size));
	else
		memcpy(dst, src, size);
}

void memory_read(void *dst, const void *src, size_t size)
{
	if (cuda.ctx)
		cuda_check(cuda.copy_out(dst, (uintptr_t)src, size));
	else
		memcpy(dst, src, size);
}
