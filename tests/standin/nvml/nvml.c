// SPDX-License-Identifier: BSD-3-Clause
/*
 * A stand-in for NVML: the devices that the stand-in driver has, which have no NVLink, no fabric and no peers.
 * Return values are nvmlReturn_t's: 0 success, 2 invalid argument, 3 not supported.
 */
#include <cuda.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "standin.h"

#define NVML_SUCCESS		 0
#define NVML_INVALID_ARGUMENT	 2
#define NVML_NOT_SUPPORTED	 3
#define NVML_NOT_FOUND		 6
#define NVML_UNKNOWN		 999
#define P2P_STATUS_NOT_SUPPORTED 4

#define ML(name, ...)                         \
	STANDIN_EXPORT int name(__VA_ARGS__); \
	int name(__VA_ARGS__)

/* A device's handle: its number, from 1, since 0 would be NULL. */
static void *handle_of(int n)
{
	return (void *)(uintptr_t)(n + 1);
}

static int number_of(void *handle)
{
	return (int)(uintptr_t)handle - 1;
}

ML(nvmlInit_v2, void)
{
	return cuInit(0) == CUDA_SUCCESS ? NVML_SUCCESS : NVML_UNKNOWN;
}

ML(nvmlInit, void)
{
	return nvmlInit_v2();
}

ML(nvmlShutdown, void)
{
	return NVML_SUCCESS;
}

ML(nvmlDeviceGetCount_v2, unsigned int *count)
{
	int n;

	if (cuDeviceGetCount(&n) != CUDA_SUCCESS)
		return NVML_UNKNOWN;
	*count = (unsigned int)n;
	return NVML_SUCCESS;
}

ML(nvmlDeviceGetCount, unsigned int *count)
{
	return nvmlDeviceGetCount_v2(count);
}

ML(nvmlDeviceGetHandleByIndex, unsigned int index, void **handle)
{
	unsigned int n;

	if (nvmlDeviceGetCount_v2(&n) || index >= n)
		return NVML_INVALID_ARGUMENT;
	*handle = handle_of((int)index);
	return NVML_SUCCESS;
}

ML(nvmlDeviceGetHandleByPciBusId, const char *id, void **handle)
{
	CUdevice dev;

	if (cuDeviceGetByPCIBusId(&dev, id) != CUDA_SUCCESS)
		return NVML_NOT_FOUND;
	*handle = handle_of(dev);
	return NVML_SUCCESS;
}

ML(nvmlDeviceGetIndex, void *handle, unsigned int *index)
{
	*index = (unsigned int)number_of(handle);
	return NVML_SUCCESS;
}

ML(nvmlDeviceGetCudaComputeCapability, void *handle, int *major, int *minor)
{
	if (cuDeviceGetAttribute(major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
				 number_of(handle)) != CUDA_SUCCESS)
		return NVML_INVALID_ARGUMENT;
	cuDeviceGetAttribute(minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
			     number_of(handle));
	return NVML_SUCCESS;
}

ML(nvmlDeviceGetP2PStatus, void *a, void *b, int index, int *status)
{
	(void)index;
	*status = a == b ? 0 : P2P_STATUS_NOT_SUPPORTED;
	return NVML_SUCCESS;
}

STANDIN_EXPORT const char *nvmlErrorString(int error);
const char *nvmlErrorString(int error)
{
	return error == NVML_SUCCESS		? "Success"
	       : error == NVML_NOT_SUPPORTED	? "Not Supported"
	       : error == NVML_INVALID_ARGUMENT ? "Invalid Argument"
						: "Unknown Error";
}

/* A link, a fabric, a platform, confidential computing: there is none, whatever is asked. */
#define NONE(name)                         \
	ML(name, void)                     \
	{                                  \
		return NVML_NOT_SUPPORTED; \
	}

NONE(nvmlDeviceGetNvLinkState)
NONE(nvmlDeviceGetNvLinkRemotePciInfo)
NONE(nvmlDeviceGetNvLinkCapability)
NONE(nvmlDeviceGetFieldValues)
NONE(nvmlDeviceGetGpuFabricInfoV)
NONE(nvmlDeviceGetPlatformInfo)
NONE(nvmlSystemGetConfComputeState)
NONE(nvmlSystemGetConfComputeSettings)
