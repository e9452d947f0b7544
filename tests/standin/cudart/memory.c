// SPDX-License-Identifier: BSD-3-Clause
/* Memory and copies. */
#include <stdlib.h>
#include <string.h>

#include "cudart.h"

RT(cudaMalloc, void **ret, size_t size)
{
	*ret = NULL;
	if (!size)
		return CUDA_SUCCESS;
	RT_CALL(cuMemAlloc((CUdeviceptr *)ret, size));
}

RT(cudaFree, void *at)
{
	RT_CALL(cuMemFree((CUdeviceptr)(uintptr_t)at));
}

/* Flags 1, 2, 4 (portable, mapped, write-combined) are the driver's. */
RT(cudaHostAlloc, void **ret, size_t size, unsigned int flags)
{
	RT_CALL(cuMemHostAlloc(ret, size, flags));
}

RT(cudaFreeHost, void *at)
{
	RT_CALL(cuMemFreeHost(at));
}

RT(cudaHostRegister, void *at, size_t size, unsigned int flags)
{
	RT_CALL(cuMemHostRegister(at, size, flags));
}

RT(cudaHostUnregister, void *at)
{
	RT_CALL(cuMemHostUnregister(at));
}

RT(cudaHostGetDevicePointer, void **ret, void *at, unsigned int flags)
{
	RT_CALL(cuMemHostGetDevicePointer((CUdeviceptr *)ret, at, flags));
}

/* The direction is found by the addresses, as with cudaMemcpyDefault. */
RT(cudaMemcpy, void *dst, const void *src, size_t size, int kind)
{
	(void)kind;
	RT_CALL(cuMemcpy((CUdeviceptr)(uintptr_t)dst, (CUdeviceptr)(uintptr_t)src, size));
}

RT(cudaMemcpyAsync, void *dst, const void *src, size_t size, int kind, CUstream stream)
{
	(void)kind;
	RT_CALL(cuMemcpyAsync((CUdeviceptr)(uintptr_t)dst, (CUdeviceptr)(uintptr_t)src, size,
			      stream));
}

RT(cudaMemset, void *dst, int value, size_t size)
{
	RT_CALL(cuMemsetD8((CUdeviceptr)(uintptr_t)dst, (unsigned char)value, size));
}

RT(cudaMemsetAsync, void *dst, int value, size_t size, CUstream stream)
{
	RT_CALL(cuMemsetD8Async((CUdeviceptr)(uintptr_t)dst, (unsigned char)value, size, stream));
}

/* CUDA 12's; CUDA 13 appends to it. */
struct pointer_attributes {
	int type; /* 0 unregistered, 1 host, 2 device */
	int device;
	void *device_pointer;
	void *host_pointer;
};

RT(cudaPointerGetAttributes, struct pointer_attributes *ret, const void *at)
{
	unsigned int type = 0;
	int dev = -2;
	CUdeviceptr device_pointer = 0;
	void *host_pointer = NULL;
	CUpointer_attribute what[] = { CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
				       CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
				       CU_POINTER_ATTRIBUTE_DEVICE_POINTER,
				       CU_POINTER_ATTRIBUTE_HOST_POINTER };
	void *data[] = { &type, &dev, &device_pointer, &host_pointer };
	CUresult result = rt_enter();

	if (result == CUDA_SUCCESS)
		result = cuPointerGetAttributes(4, what, data, (CUdeviceptr)(uintptr_t)at);
	if (result != CUDA_SUCCESS)
		return rt_leave(result);
	/* CU_MEMORYTYPE_HOST and _DEVICE are 1 and 2, too. */
	ret->type = (int)type;
	ret->device = dev;
	ret->device_pointer = (void *)(uintptr_t)device_pointer;
	ret->host_pointer = type ? host_pointer : (void *)at;
	return CUDA_SUCCESS;
}

/* A pool hands out ordinary memory; freeing is done in the stream's order. */
RT(cudaMemPoolCreate, void **ret, const void *props)
{
	(void)props;
	*ret = malloc(1);
	return *ret ? CUDA_SUCCESS : rt_leave(CUDA_ERROR_OUT_OF_MEMORY);
}

RT(cudaMemPoolDestroy, void *pool)
{
	free(pool);
	return CUDA_SUCCESS;
}

RT(cudaMemPoolSetAttribute, void *pool, int attribute, void *value)
{
	(void)pool;
	(void)attribute;
	(void)value;
	return CUDA_SUCCESS;
}

RT(cudaMallocFromPoolAsync, void **ret, size_t size, void *pool, CUstream stream)
{
	(void)pool;
	(void)stream;
	RT_CALL(cuMemAlloc((CUdeviceptr *)ret, size));
}

struct free_later {
	CUcontext ctx;
	CUdeviceptr at;
};

static void free_now(void *arg)
{
	struct free_later *later = arg;

	cuCtxPushCurrent(later->ctx);
	cuMemFree(later->at);
	cuCtxPopCurrent(NULL);
	free(later);
}

RT(cudaFreeAsync, void *at, CUstream stream)
{
	struct free_later *later;
	CUresult result = rt_enter();

	if (result != CUDA_SUCCESS)
		return rt_leave(result);
	later = calloc(1, sizeof(*later));
	if (!later)
		return rt_leave(CUDA_ERROR_OUT_OF_MEMORY);
	cuCtxGetCurrent(&later->ctx);
	later->at = (CUdeviceptr)(uintptr_t)at;
	result = cuLaunchHostFunc(stream, free_now, later);
	if (result != CUDA_SUCCESS)
		free(later);
	return rt_leave(result);
}

/* Each process has a GPU of its own, so there is nobody to share with. */
RT(cudaIpcGetMemHandle, void *handle, void *at)
{
	(void)handle;
	(void)at;
	return rt_leave(CUDA_ERROR_NOT_SUPPORTED);
}

RT(cudaIpcOpenMemHandle, void **ret, const void *handle, unsigned int flags)
{
	(void)ret;
	(void)handle;
	(void)flags;
	return rt_leave(CUDA_ERROR_NOT_SUPPORTED);
}

RT(cudaIpcCloseMemHandle, void *at)
{
	(void)at;
	return rt_leave(CUDA_ERROR_NOT_SUPPORTED);
}
