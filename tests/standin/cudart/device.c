// SPDX-License-Identifier: BSD-3-Clause
/* Devices, contexts, errors, and the way to the driver. */
#include <string.h>

#include "cudart.h"
#include "standin.h"

#define DEVICES_MAX 8

static __thread int device;
static __thread CUresult last = CUDA_SUCCESS;
/* Retained once, for the life of the process, as the runtime does. */
static CUcontext primary[DEVICES_MAX];

CUresult rt_leave(CUresult result)
{
	if (result != CUDA_SUCCESS && result != CUDA_ERROR_NOT_READY)
		last = result;
	return result;
}

static CUresult primary_get(int dev, CUcontext *ret)
{
	CUresult result;
	CUcontext ctx;

	if (dev < 0 || dev >= DEVICES_MAX)
		return CUDA_ERROR_INVALID_DEVICE;
	ctx = __atomic_load_n(&primary[dev], __ATOMIC_ACQUIRE);
	if (!ctx) {
		result = cuDevicePrimaryCtxRetain(&ctx, dev);
		if (result != CUDA_SUCCESS)
			return result;
		__atomic_store_n(&primary[dev], ctx, __ATOMIC_RELEASE);
	}
	*ret = ctx;
	return CUDA_SUCCESS;
}

CUresult rt_enter(void)
{
	CUresult result = cuInit(0);
	CUcontext ctx;

	if (result != CUDA_SUCCESS)
		return result;
	result = cuCtxGetCurrent(&ctx);
	if (result != CUDA_SUCCESS || ctx)
		return result;
	result = primary_get(device, &ctx);
	return result == CUDA_SUCCESS ? cuCtxSetCurrent(ctx) : result;
}

RT(cudaSetDevice, int dev)
{
	CUresult result = cuInit(0);
	CUcontext ctx;

	if (result == CUDA_SUCCESS)
		result = primary_get(dev, &ctx);
	if (result == CUDA_SUCCESS)
		result = cuCtxSetCurrent(ctx);
	if (result == CUDA_SUCCESS)
		device = dev;
	return rt_leave(result);
}

RT(cudaGetDevice, int *dev)
{
	CUcontext ctx;
	CUdevice current;

	/* A context that the driver API made current counts. */
	if (cuInit(0) == CUDA_SUCCESS && cuCtxGetCurrent(&ctx) == CUDA_SUCCESS && ctx &&
	    cuCtxGetDevice(&current) == CUDA_SUCCESS)
		device = current;
	*dev = device;
	return CUDA_SUCCESS;
}

RT(cudaGetDeviceCount, int *count)
{
	CUresult result = cuInit(0);

	return rt_leave(result == CUDA_SUCCESS ? cuDeviceGetCount(count) : result);
}

RT(cudaDriverGetVersion, int *version)
{
	return rt_leave(cuDriverGetVersion(version));
}

RT(cudaRuntimeGetVersion, int *version)
{
	*version = CUDART_RELEASE;
	return CUDA_SUCCESS;
}

RT(cudaDeviceGetAttribute, int *value, int attribute, int dev)
{
	CUresult result = cuInit(0);

	return rt_leave(result == CUDA_SUCCESS
				? cuDeviceGetAttribute(value, (CUdevice_attribute)attribute, dev)
				: result);
}

RT(cudaDeviceGetPCIBusId, char *id, int len, int dev)
{
	CUresult result = cuInit(0);

	return rt_leave(result == CUDA_SUCCESS ? cuDeviceGetPCIBusId(id, len, dev) : result);
}

RT(cudaDeviceGetByPCIBusId, int *dev, const char *id)
{
	CUresult result = cuInit(0);

	return rt_leave(result == CUDA_SUCCESS ? cuDeviceGetByPCIBusId(dev, id) : result);
}

RT(cudaDeviceCanAccessPeer, int *can, int dev, int peer)
{
	return rt_leave(cuDeviceCanAccessPeer(can, dev, peer));
}

RT(cudaDeviceEnablePeerAccess, int peer, unsigned int flags)
{
	(void)peer;
	(void)flags;
	return rt_leave(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
}

RT(cudaDeviceSynchronize, void)
{
	RT_CALL(cuCtxSynchronize());
}

RT(cudaDeviceSetLimit, int limit, size_t value)
{
	RT_CALL(cuCtxSetLimit((CUlimit)limit, value));
}

/* The head of CUDA 12's struct cudaDeviceProp, as far as NCCL reads it. */
struct device_prop {
	char name[256];
	char uuid[16];
	char luid[8];
	unsigned int luid_mask;
	size_t total_global_mem;
	size_t shared_mem_per_block;
	int regs_per_block;
	int warp_size;
	size_t mem_pitch;
	int max_threads_per_block;
	int max_threads_dim[3];
	int max_grid_size[3];
	int clock_rate;
	size_t total_const_mem;
	int major;
	int minor;
};

_Static_assert(offsetof(struct device_prop, total_global_mem) == 288, "as in CUDA 12");
_Static_assert(offsetof(struct device_prop, major) == 360, "as in CUDA 12");

static int attribute_of(CUdevice_attribute attribute, int dev)
{
	int value = 0;

	cuDeviceGetAttribute(&value, attribute, dev);
	return value;
}

RT(cudaGetDeviceProperties_v2, struct device_prop *prop, int dev)
{
	CUresult result = cuInit(0);

	if (result == CUDA_SUCCESS)
		result = cuDeviceGetName(prop->name, sizeof(prop->name), dev);
	if (result != CUDA_SUCCESS)
		return rt_leave(result);
	cuDeviceGetUuid((CUuuid *)prop->uuid, dev);
	memset(prop->luid, 0, sizeof(prop->luid));
	prop->luid_mask = 0;
	cuDeviceTotalMem(&prop->total_global_mem, dev);
	prop->shared_mem_per_block =
		(size_t)attribute_of(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, dev);
	prop->regs_per_block = attribute_of(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK, dev);
	prop->warp_size = 32;
	prop->mem_pitch = 0x7fffffff;
	prop->max_threads_per_block = 1024;
	prop->clock_rate = attribute_of(CU_DEVICE_ATTRIBUTE_CLOCK_RATE, dev);
	prop->total_const_mem = 65536;
	prop->major = attribute_of(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, dev);
	prop->minor = attribute_of(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, dev);
	return CUDA_SUCCESS;
}

RT(cudaGetLastError, void)
{
	CUresult result = last;

	last = CUDA_SUCCESS;
	return result;
}

RT(cudaPeekAtLastError, void)
{
	return last;
}

RT_API const char *cudaGetErrorString(CUresult error);
RT_API const char *cudaGetErrorString(CUresult error)
{
	const char *text;

	return cuGetErrorString(error, &text) == CUDA_SUCCESS ? text : "unrecognized error code";
}

RT(cudaGetDriverEntryPoint, const char *symbol, void **ret, unsigned long long flags,
   int *ret_status)
{
	CUdriverProcAddressQueryResult status;
	CUresult result = cuInit(0);

	if (result != CUDA_SUCCESS)
		return rt_leave(result);
	result = cuGetProcAddress_v2(symbol, ret, CUDART_RELEASE, flags, &status);
	if (ret_status)
		*ret_status = (int)status;
	return rt_leave(result);
}

RT(cudaGetDriverEntryPointByVersion, const char *symbol, void **ret, unsigned int version,
   unsigned long long flags, int *ret_status)
{
	CUdriverProcAddressQueryResult status;
	CUresult result = cuInit(0);

	if (result != CUDA_SUCCESS)
		return rt_leave(result);
	result = cuGetProcAddress_v2(symbol, ret, (int)version, flags, &status);
	if (ret_status)
		*ret_status = (int)status;
	return rt_leave(result);
}
