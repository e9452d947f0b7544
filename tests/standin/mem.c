// SPDX-License-Identifier: BSD-3-Clause
/* Memory: of the device, pinned on the host, and what is known of an address. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "state.h"

static size_t pages(size_t size)
{
	return (size + PAGE - 1) & ~(PAGE - 1);
}

STANDIN_API CUresult cuMemGetInfo(size_t *available, size_t *total)
{
	ENTER_CTX(ctx);
	state_lock();
	*available = ctx->device->memory - ctx->device->used;
	*total = ctx->device->memory;
	state_unlock();
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuMemAlloc(CUdeviceptr *ret, size_t size)
{
	struct range range = { .kind = RANGE_DEVICE, .access = true };
	CUresult result;
	void *at = NULL;

	ENTER_CTX(ctx);
	if (!ret || !size)
		return CUDA_ERROR_INVALID_VALUE;
	range.ctx = ctx;
	range.device = ctx->device;
	range.size = size;
	range.span = pages(size);
	state_lock();
	range.phys = phys_new(ctx->device, range.span, &result);
	/* Large allocations begin at a large page, as on a GPU. */
	if (range.phys)
		at = arena_reserve(range.span, size >= 2ul << 20 ? 2ul << 20 : PAGE);
	if (at && phys_map(range.phys, 0, at, range.span, PROT_READ | PROT_WRITE)) {
		range.start = (uintptr_t)at;
		result = range_add(&range);
	} else if (range.phys) {
		result = CUDA_ERROR_OUT_OF_MEMORY;
	}
	if (result != CUDA_SUCCESS && range.phys)
		phys_put(range.phys);
	state_unlock();
	if (result == CUDA_SUCCESS)
		*ret = range.start;
	return result;
}

STANDIN_API CUresult cuMemFree(CUdeviceptr at)
{
	struct range *range;

	ENTER_CTX(ctx);
	if (!at)
		return CUDA_SUCCESS;
	state_lock();
	range = range_find(at);
	if (!range || range->kind != RANGE_DEVICE || range->start != at)
		standin_die("cuMemFree: %#llx is not what cuMemAlloc() returned, or freed before",
			    at);
	if (range->ctx != ctx)
		standin_die("cuMemFree: %#llx is of another context than the current one", at);
	stream_check_idle(range->start, range->span, __func__);
	arena_forbid((void *)range->start, range->span);
	phys_put(range->phys);
	range_remove(range);
	state_unlock();
	return CUDA_SUCCESS;
}

static CUresult host_alloc(CUcontext ctx, void **ret, size_t size, unsigned int flags)
{
	struct range range = { .kind = RANGE_HOST,
			       .access = true,
			       .ctx = ctx,
			       .size = size,
			       .span = pages(size),
			       .flags = flags };
	CUresult result = CUDA_ERROR_OUT_OF_MEMORY;
	void *at;

	if (!ret || !size)
		return CUDA_ERROR_INVALID_VALUE;
	state_lock();
	at = arena_reserve(range.span, PAGE);
	if (at && mmap(at, range.span, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED) {
		range.start = (uintptr_t)at;
		result = range_add(&range);
		if (result == CUDA_SUCCESS) {
			standin.usage.host_bytes += range.span;
			*ret = at;
		}
	}
	state_unlock();
	return result;
}

STANDIN_API CUresult cuMemHostAlloc(void **ret, size_t size, unsigned int flags)
{
	ENTER_CTX(ctx);
	return host_alloc(ctx, ret, size, flags);
}

STANDIN_API CUresult cuMemAllocHost(void **ret, size_t size)
{
	ENTER_CTX(ctx);
	return host_alloc(ctx, ret, size, 0);
}

STANDIN_API CUresult cuMemFreeHost(void *at)
{
	struct range *range;

	ENTER_CTX(ctx);
	(void)ctx;
	if (!at)
		return CUDA_SUCCESS;
	state_lock();
	range = range_find((uintptr_t)at);
	if (!range || range->kind != RANGE_HOST || range->start != (uintptr_t)at)
		standin_die(
			"cuMemFreeHost: %p is not what cuMemHostAlloc() returned, or freed before",
			at);
	stream_check_idle(range->start, range->span, __func__);
	arena_forbid(at, range->span);
	standin.usage.host_bytes -= range->span;
	range_remove(range);
	state_unlock();
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuMemHostRegister(void *at, size_t size, unsigned int flags)
{
	uintptr_t start = (uintptr_t)at & ~(PAGE - 1);
	struct range range = { .kind = RANGE_REGISTERED,
			       .access = true,
			       .start = (uintptr_t)at,
			       .size = size,
			       .flags = flags };
	CUresult result = CUDA_SUCCESS;
	uintptr_t page;

	ENTER_CTX(ctx);
	if (!at || !size)
		return CUDA_ERROR_INVALID_VALUE;
	range.ctx = ctx;
	range.span = size;
	state_lock();
	for (page = start; page < (uintptr_t)at + size; page += PAGE)
		if (range_find(page) || range_find(page + PAGE - 1))
			result = CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
	if (result == CUDA_SUCCESS)
		result = range_add(&range);
	if (result == CUDA_SUCCESS)
		standin.usage.host_bytes += range.span;
	state_unlock();
	return result;
}

STANDIN_API CUresult cuMemHostUnregister(void *at)
{
	struct range *range;
	CUresult result = CUDA_SUCCESS;

	ENTER_CTX(ctx);
	(void)ctx;
	state_lock();
	range = range_find((uintptr_t)at);
	if (range && range->kind == RANGE_REGISTERED && range->start == (uintptr_t)at) {
		stream_check_idle(range->start, range->span, __func__);
		standin.usage.host_bytes -= range->span;
		range_remove(range);
	} else {
		result = CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
	}
	state_unlock();
	return result;
}

STANDIN_API CUresult cuMemHostGetDevicePointer(CUdeviceptr *ret, void *at, unsigned int flags)
{
	struct range *range;

	ENTER_CTX(ctx);
	(void)ctx;
	state_lock();
	range = range_find((uintptr_t)at);
	state_unlock();
	if (flags || !range || range->device)
		return CUDA_ERROR_INVALID_VALUE;
	*ret = (CUdeviceptr)(uintptr_t)at;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuMemHostGetFlags(unsigned int *flags, void *at)
{
	struct range *range;

	ENTER_CTX(ctx);
	(void)ctx;
	state_lock();
	range = range_find((uintptr_t)at);
	if (range && !range->device)
		*flags = range->flags;
	state_unlock();
	return range && !range->device ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

STANDIN_API CUresult cuMemGetAddressRange(CUdeviceptr *base, size_t *size, CUdeviceptr at)
{
	CUresult result = CUDA_ERROR_NOT_FOUND;
	struct range *range;

	ENTER_CTX(ctx);
	(void)ctx;
	state_lock();
	range = range_find(at);
	if (range) {
		if (base)
			*base = range->start;
		if (size)
			*size = range->size;
		result = CUDA_SUCCESS;
	}
	state_unlock();
	return result;
}

STANDIN_API CUresult cuMemGetHandleForAddressRange(void *handle, CUdeviceptr at, size_t size,
						   CUmemRangeHandleType type,
						   unsigned long long flags)
{
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	struct range *range;
	int fd = -1;

	ENTER_CTX(ctx);
	(void)ctx;
	if (standin.dmabuf == DMABUF_OFF)
		return CUDA_ERROR_NOT_SUPPORTED;
	/* Flag 1 (a mapping by PCIe's BAR) came with 12.8. */
	if (!handle || type != CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD || flags > 1 ||
	    (flags && standin.version < 12080))
		return CUDA_ERROR_INVALID_VALUE;
	if (at % PAGE || size % PAGE || !size)
		return CUDA_ERROR_INVALID_VALUE;
	state_lock();
	range = range_find(at);
	if (range && range->device && at + size <= range->start + range->span) {
		fd = phys_dmabuf(range->phys, range->phys_offset + (at - range->start), size);
		result = fd >= 0 ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
		if (fd < 0)
			fprintf(stderr, "standin: udmabuf of %zu bytes: %s\n", size, strerror(-fd));
	}
	state_unlock();
	if (result == CUDA_SUCCESS)
		*(int *)handle = fd;
	return result;
}

/* 0 bytes: an attribute that is not modelled. */
static size_t attribute_get(const struct range *range, CUdeviceptr at, int attribute,
			    uint64_t *value)
{
	switch (attribute) {
	case CU_POINTER_ATTRIBUTE_CONTEXT:
		*value = (uintptr_t)range->ctx;
		return sizeof(void *);
	case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
		*value = range->device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
		return sizeof(unsigned int);
	case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
		*value = at;
		return sizeof(void *);
	case CU_POINTER_ATTRIBUTE_HOST_POINTER:
		*value = range->device ? 0 : at;
		return sizeof(void *);
	case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
	case CU_POINTER_ATTRIBUTE_IS_MANAGED:
		*value = 0;
		return attribute == CU_POINTER_ATTRIBUTE_SYNC_MEMOPS ? sizeof(unsigned int) : 1;
	case CU_POINTER_ATTRIBUTE_BUFFER_ID:
	case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
		*value = range->id;
		return sizeof(unsigned long long);
	case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
		*value = (uint64_t)(range->device ? range->device->ordinal
						  : range->ctx->device->ordinal);
		return sizeof(int);
	case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
		*value = range->kind == RANGE_DEVICE;
		return 1;
	case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
	case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
		*value = range->start;
		return sizeof(void *);
	case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
	case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
		*value = range->size;
		return sizeof(size_t);
	case CU_POINTER_ATTRIBUTE_MAPPED:
	case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
		*value = 1;
		return 1;
	case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
		*value = range->phys ? range->phys->prop.requestedHandleTypes : 0;
		return sizeof(uint64_t);
	case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
		*value = CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE;
		return sizeof(int);
	case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
		*value = 0;
		return sizeof(void *);
	default:
		return 0;
	}
}

STANDIN_API CUresult cuPointerGetAttribute(void *data, CUpointer_attribute attribute,
					   CUdeviceptr at)
{
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	struct range *range;
	uint64_t value;
	size_t n;

	ENTER();
	state_lock();
	range = range_find(at);
	if (range) {
		n = attribute_get(range, at, (int)attribute, &value);
		if (!n)
			standin_die("cuPointerGetAttribute: attribute %d is not modelled",
				    attribute);
		memcpy(data, &value, n);
		result = CUDA_SUCCESS;
	}
	state_unlock();
	return result;
}

/* For memory that is not CUDA's it succeeds, with zeroes. */
STANDIN_API CUresult cuPointerGetAttributes(unsigned int n, CUpointer_attribute *attributes,
					    void **data, CUdeviceptr at)
{
	struct range none = { .start = 0 }, *range;
	unsigned int i;
	uint64_t value;
	size_t size;

	ENTER();
	state_lock();
	range = range_find(at);
	for (i = 0; i < n; i++) {
		if (range) {
			size = attribute_get(range, at, (int)attributes[i], &value);
		} else {
			static struct device no_device;
			static struct CUctx_st no_ctx = { .device = &no_device };

			none.ctx = &no_ctx;
			size = attribute_get(&none, at, (int)attributes[i], &value);
			value = attributes[i] == CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL ? (uint64_t)-2
										     : 0;
		}
		if (!size)
			standin_die("cuPointerGetAttributes: attribute %d is not modelled",
				    attributes[i]);
		memcpy(data[i], &value, size);
	}
	state_unlock();
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuPointerSetAttribute(const void *value, CUpointer_attribute attribute,
					   CUdeviceptr at)
{
	struct range *range;

	ENTER();
	(void)value;
	state_lock();
	range = range_find(at);
	state_unlock();
	return range && attribute == CU_POINTER_ATTRIBUTE_SYNC_MEMOPS ? CUDA_SUCCESS
								      : CUDA_ERROR_INVALID_VALUE;
}
