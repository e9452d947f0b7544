// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdlib.h>

#include "mem/gpu_internal.h"
#include "mem/gpu_range.h"

struct gpu_range {
	struct gpu *gpu;
	cu_deviceptr base;
	size_t size;
	size_t granularity;
	bool rdma;
};

static struct cu_mem_prop range_prop(const struct gpu_range *r)
{
	return (struct cu_mem_prop){
		.type = CU_ALLOCATION_PINNED,
		.location = { .type = CU_LOCATION_DEVICE, .id = r->gpu->ordinal },
		.flags.rdma_capable = r->rdma,
	};
}

static bool has_vmm(const struct cuda_api *cu)
{
	return cu->cuMemAddressReserve && cu->cuMemAddressFree && cu->cuMemCreate &&
	       cu->cuMemRelease && cu->cuMemMap && cu->cuMemUnmap && cu->cuMemSetAccess &&
	       cu->cuMemGetAllocationGranularity;
}

static int range_reserve(struct gpu_range *r, size_t size, struct verdict *why)
{
	const struct cuda_api *cu = r->gpu->cu;
	struct cu_mem_prop prop;
	int can = 0, rdma = 0;
	cu_result err;

	if (has_vmm(cu))
		cu->cuDeviceGetAttribute(&can, CU_ATTR_VMM, r->gpu->dev);
	if (!can)
		return verdict_set(why, -ENOTSUP, NULL, "%s has no virtual memory management",
				   r->gpu->name);
	cu->cuDeviceGetAttribute(&rdma, CU_ATTR_VMM_RDMA, r->gpu->dev);
	r->rdma = rdma;
	prop = range_prop(r);
	err = cu->cuMemGetAllocationGranularity(&r->granularity, &prop, CU_GRANULARITY_RECOMMENDED);
	if (err == CU_OK) {
		r->size = (size + r->granularity - 1) & ~(r->granularity - 1);
		err = cu->cuMemAddressReserve(&r->base, r->size, 0, 0, 0);
	}
	return err == CU_OK ? 0 : gpu_verdict(r->gpu, err, NULL, why, "reserving addresses");
}

int gpu_range_create(struct gpu *gpu, size_t size, struct gpu_range **ret, struct verdict *why)
{
	struct gpu_range *r = calloc(1, sizeof(*r));
	struct gpu_scope scope;
	int err;

	if (!r)
		return verdict_set(why, -ENOMEM, NULL, "no memory for an address range");
	r->gpu = gpu;
	err = gpu_enter(gpu, &scope);
	if (err < 0) {
		verdict_set(why, err, NULL, "%s: its CUDA context is gone", gpu->name);
	} else {
		err = range_reserve(r, size, why);
		gpu_leave(gpu, &scope);
	}
	if (err < 0) {
		free(r);
		return err;
	}
	*ret = r;
	return 0;
}

void gpu_range_free(struct gpu_range *r)
{
	struct gpu_scope scope;

	if (!r)
		return;
	if (gpu_enter(r->gpu, &scope) == 0) {
		r->gpu->cu->cuMemAddressFree(r->base, r->size);
		gpu_leave(r->gpu, &scope);
	}
	free(r);
}

uint64_t gpu_range_base(const struct gpu_range *r)
{
	return r->base;
}

size_t gpu_range_granularity(const struct gpu_range *r)
{
	return r->granularity;
}

static cu_result range_map(struct gpu_range *r, size_t offset, size_t size)
{
	const struct cuda_api *cu = r->gpu->cu;
	struct cu_mem_prop prop = range_prop(r);
	struct cu_mem_access access = { .location = prop.location, .flags = CU_ACCESS_READWRITE };
	cu_mem_handle handle;
	cu_result err;

	err = cu->cuMemCreate(&handle, size, &prop, 0);
	if (err != CU_OK)
		return err;
	err = cu->cuMemMap(r->base + offset, size, 0, handle, 0);
	/* The mapping keeps the memory. */
	cu->cuMemRelease(handle);
	if (err != CU_OK)
		return err;
	err = cu->cuMemSetAccess(r->base + offset, size, &access, 1);
	if (err != CU_OK)
		cu->cuMemUnmap(r->base + offset, size);
	return err;
}

int gpu_range_map(struct gpu_range *r, size_t offset, size_t size, struct verdict *why)
{
	struct gpu_scope scope;
	cu_result err;
	int ret;

	ret = gpu_enter(r->gpu, &scope);
	if (ret < 0)
		return verdict_set(why, ret, NULL, "%s: its CUDA context is gone", r->gpu->name);
	err = range_map(r, offset, size);
	ret = err == CU_OK ? 0 : gpu_alloc_verdict(r->gpu, err, size, why);
	gpu_leave(r->gpu, &scope);
	return ret;
}

void gpu_range_unmap(struct gpu_range *r, size_t offset, size_t size)
{
	struct gpu_scope scope;

	if (gpu_enter(r->gpu, &scope) < 0)
		return;
	r->gpu->cu->cuMemUnmap(r->base + offset, size);
	gpu_leave(r->gpu, &scope);
}
