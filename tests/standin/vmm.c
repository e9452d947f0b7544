// SPDX-License-Identifier: BSD-3-Clause
/* Memory, addresses and mappings apart: cuMemCreate(), cuMemAddressReserve(), cuMemMap() and what belongs to them. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state.h"

/* Of memory that is created or mapped; the real one is larger, too, than a page. */
#define GRANULARITY (64ul << 10)

#define RESERVATIONS_MAX 4096

static struct {
	uintptr_t start;
	size_t size;
} reserved[RESERVATIONS_MAX];
static int n_reserved;

static struct phys *handle_get(CUmemGenericAllocationHandle handle, const char *who)
{
	struct phys *phys = (struct phys *)(uintptr_t)handle;

	if (!phys || phys->magic != MAGIC_PHYS)
		standin_die("%s: %#llx is no allocation handle, or it is released", who, handle);
	return phys;
}

static CUresult location_get(const CUmemLocation *location, struct device **ret)
{
	switch ((int)location->type) {
	case CU_MEM_LOCATION_TYPE_DEVICE:
		*ret = device_get(location->id);
		return *ret ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
	case 2: /* host, a NUMA node, the current NUMA node */
	case 3:
	case 4:
		*ret = NULL;
		return CUDA_SUCCESS;
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
}

STANDIN_API CUresult cuMemGetAllocationGranularity(size_t *ret, const CUmemAllocationProp *prop,
						   CUmemAllocationGranularity_flags option)
{
	struct device *device;

	ENTER();
	(void)option;
	*ret = GRANULARITY;
	return location_get(&prop->location, &device);
}

STANDIN_API CUresult cuMemCreate(CUmemGenericAllocationHandle *ret, size_t size,
				 const CUmemAllocationProp *prop, unsigned long long flags)
{
	struct device *device;
	struct phys *phys;
	CUresult result;

	ENTER();
	if (flags || !size || size % GRANULARITY || prop->type != CU_MEM_ALLOCATION_TYPE_PINNED)
		return CUDA_ERROR_INVALID_VALUE;
	if (prop->requestedHandleTypes & ~CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
		return CUDA_ERROR_NOT_SUPPORTED;
	result = location_get(&prop->location, &device);
	if (result != CUDA_SUCCESS)
		return result;
	state_lock();
	phys = phys_new(device, size, &result);
	if (phys) {
		phys->prop = *prop;
		phys->handle_open = true;
		*ret = (uintptr_t)phys;
		result = CUDA_SUCCESS;
	}
	state_unlock();
	return result;
}

STANDIN_API CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
	struct phys *phys;

	ENTER();
	state_lock();
	phys = handle_get(handle, __func__);
	if (!phys->handle_open)
		standin_die("cuMemRelease: handle %#llx is released more often than obtained",
			    handle);
	/* With references of cuMemRetainAllocationHandle() it stays open. */
	if (phys->refs == 1)
		phys->handle_open = false;
	phys_put(phys);
	state_unlock();
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *ret, void *at)
{
	struct range *range;

	ENTER();
	state_lock();
	range = range_find((uintptr_t)at);
	if (range && range->kind == RANGE_MAPPED) {
		range->phys->refs++;
		range->phys->handle_open = true;
		*ret = (uintptr_t)range->phys;
	}
	state_unlock();
	return range && range->kind == RANGE_MAPPED ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

STANDIN_API CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *prop,
							    CUmemGenericAllocationHandle handle)
{
	ENTER();
	state_lock();
	*prop = handle_get(handle, __func__)->prop;
	state_unlock();
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuMemExportToShareableHandle(void *ret, CUmemGenericAllocationHandle handle,
						  CUmemAllocationHandleType type,
						  unsigned long long flags)
{
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	struct phys *phys;
	int fd;

	ENTER();
	state_lock();
	phys = handle_get(handle, __func__);
	if (!flags && type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR &&
	    phys->prop.requestedHandleTypes & CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) {
		fd = fcntl(phys->fd, F_DUPFD_CLOEXEC, 0);
		result = fd >= 0 ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
		if (fd >= 0)
			*(int *)ret = fd;
	}
	state_unlock();
	return result;
}

/* The descriptor stays the caller's. */
STANDIN_API CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *ret,
						    void *os_handle, CUmemAllocationHandleType type)
{
	struct phys *phys;
	struct stat st;
	int fd;

	ENTER_CTX(ctx);
	if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
		return CUDA_ERROR_NOT_SUPPORTED;
	fd = fcntl((int)(intptr_t)os_handle, F_DUPFD_CLOEXEC, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || !st.st_size) {
		if (fd >= 0)
			close(fd);
		return CUDA_ERROR_INVALID_VALUE;
	}
	state_lock();
	phys = phys_adopt(ctx->device, fd, (size_t)st.st_size);
	phys->prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
	phys->prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
	phys->prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
	phys->prop.location.id = ctx->device->ordinal;
	phys->handle_open = true;
	*ret = (uintptr_t)phys;
	state_unlock();
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuMemAddressReserve(CUdeviceptr *ret, size_t size, size_t align,
					 CUdeviceptr hint, unsigned long long flags)
{
	CUresult result = CUDA_ERROR_OUT_OF_MEMORY;
	void *at;

	ENTER();
	(void)hint;
	if (flags || !size || size % GRANULARITY || (align & (align - 1)))
		return CUDA_ERROR_INVALID_VALUE;
	state_lock();
	at = arena_reserve(size, align > GRANULARITY ? align : GRANULARITY);
	if (at && n_reserved < RESERVATIONS_MAX) {
		reserved[n_reserved].start = (uintptr_t)at;
		reserved[n_reserved++].size = size;
		*ret = (uintptr_t)at;
		result = CUDA_SUCCESS;
	}
	state_unlock();
	return result;
}

STANDIN_API CUresult cuMemAddressFree(CUdeviceptr at, size_t size)
{
	int i;

	ENTER();
	state_lock();
	for (i = 0; i < n_reserved; i++)
		if (reserved[i].start == at && reserved[i].size == size)
			break;
	if (i == n_reserved)
		standin_die("cuMemAddressFree: %zu bytes at %#llx are not reserved", size, at);
	if (range_find(at))
		standin_die("cuMemAddressFree: %#llx is still mapped", at);
	reserved[i] = reserved[--n_reserved];
	state_unlock();
	return CUDA_SUCCESS;
}

static bool is_reserved(uintptr_t at, size_t size)
{
	int i;

	for (i = 0; i < n_reserved; i++)
		if (at >= reserved[i].start && at + size <= reserved[i].start + reserved[i].size)
			return true;
	return false;
}

STANDIN_API CUresult cuMemMap(CUdeviceptr at, size_t size, size_t offset,
			      CUmemGenericAllocationHandle handle, unsigned long long flags)
{
	struct range range = { .kind = RANGE_MAPPED, .start = at, .size = size, .span = size };
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	uintptr_t page;

	ENTER();
	if (flags || !size || size % GRANULARITY || at % GRANULARITY)
		return CUDA_ERROR_INVALID_VALUE;
	state_lock();
	range.phys = handle_get(handle, __func__);
	range.phys_offset = offset;
	range.device = range.phys->device;
	/* Memory without a context: it is told to be of the device's primary one. */
	range.ctx = standin.device[range.device ? range.device->ordinal : 0].primary;
	if (offset + size > range.phys->size || !is_reserved(at, size))
		goto out;
	for (page = at; page < at + size; page += GRANULARITY)
		if (range_find(page))
			goto out;
	if (!phys_map(range.phys, offset, (void *)(uintptr_t)at, size, PROT_NONE))
		goto out;
	result = range_add(&range);
	if (result == CUDA_SUCCESS)
		range.phys->refs++;
out:
	state_unlock();
	return result;
}

STANDIN_API CUresult cuMemSetAccess(CUdeviceptr at, size_t size, const CUmemAccessDesc *desc,
				    size_t count)
{
	CUresult result = CUDA_ERROR_INVALID_VALUE;
	struct range *range;
	uintptr_t next;
	size_t i;

	ENTER();
	for (i = 0; i < count; i++)
		if (desc[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
			return CUDA_ERROR_NOT_SUPPORTED;
	state_lock();
	for (next = at; next < at + size; next = range->start + range->span) {
		range = range_find(next);
		if (!range || range->kind != RANGE_MAPPED)
			goto out;
		mprotect((void *)range->start, range->span, PROT_READ | PROT_WRITE);
		range->access = true;
	}
	result = CUDA_SUCCESS;
out:
	state_unlock();
	return result;
}

STANDIN_API CUresult cuMemGetAccess(unsigned long long *flags, const CUmemLocation *location,
				    CUdeviceptr at)
{
	struct range *range;

	ENTER();
	(void)location;
	state_lock();
	range = range_find(at);
	*flags = range && range->access ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : 0;
	state_unlock();
	return range ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

STANDIN_API CUresult cuMemUnmap(CUdeviceptr at, size_t size)
{
	struct range *range;
	uintptr_t next = at;

	ENTER();
	state_lock();
	while (next < at + size) {
		range = range_find(next);
		if (!range || range->kind != RANGE_MAPPED || range->start != next)
			standin_die("cuMemUnmap: %#lx is not mapped", next);
		if (range->start + range->span > at + size)
			standin_die("cuMemUnmap: a part of the mapping at %#lx", next);
		stream_check_idle(range->start, range->span, __func__);
		next = range->start + range->span;
		arena_forbid((void *)range->start, range->span);
		phys_put(range->phys);
		range_remove(range);
	}
	state_unlock();
	return CUDA_SUCCESS;
}
