// SPDX-License-Identifier: BSD-3-Clause
/*
 * Names that a driver exports beside the _v2 that cuda.h turns them into. Most are functions of CUDA 3.1 with
 * 32-bit pointers, which nobody means to call: doing so ends the process here, and goes wrong silently there.
 * No cuda.h, which would rename them.
 */
#include <stddef.h>

#include "standin.h"

#define OLD(name)                                                                            \
	STANDIN_EXPORT int name(void);                                                       \
	int name(void)                                                                       \
	{                                                                                    \
		standin_die(#name "() is the form of CUDA 3.1, with 32-bit pointers; " #name \
				  "_v2() is meant");                                         \
	}

OLD(cuDeviceTotalMem)
OLD(cuCtxCreate)
OLD(cuModuleGetGlobal)
OLD(cuMemGetInfo)
OLD(cuMemAlloc)
OLD(cuMemFree)
OLD(cuMemGetAddressRange)
OLD(cuMemAllocHost)
OLD(cuMemHostGetDevicePointer)
OLD(cuMemcpyHtoD)
OLD(cuMemcpyDtoH)
OLD(cuMemcpyDtoD)
OLD(cuMemcpyHtoDAsync)
OLD(cuMemcpyDtoHAsync)
OLD(cuMemcpyDtoDAsync)
OLD(cuMemsetD8)
OLD(cuMemsetD16)
OLD(cuMemsetD32)

/* These do what their _v2 does, as far as it is modelled. */
#define SAME1(name, type)                   \
	extern int name##_v2(type);         \
	STANDIN_EXPORT int name(type);      \
	int name(type argument)             \
	{                                   \
		return name##_v2(argument); \
	}

SAME1(cuCtxDestroy, void *)
SAME1(cuCtxPushCurrent, void *)
SAME1(cuCtxPopCurrent, void **)
SAME1(cuStreamDestroy, void *)
SAME1(cuEventDestroy, void *)
SAME1(cuDevicePrimaryCtxRelease, int)

extern int cuMemHostRegister_v2(void *at, size_t size, unsigned int flags);
STANDIN_EXPORT int cuMemHostRegister(void *at, size_t size, unsigned int flags);
int cuMemHostRegister(void *at, size_t size, unsigned int flags)
{
	return cuMemHostRegister_v2(at, size, flags);
}

extern int cuDeviceGetUuid_v2(void *uuid, int dev);
STANDIN_EXPORT int cuDeviceGetUuid(void *uuid, int dev);
int cuDeviceGetUuid(void *uuid, int dev)
{
	return cuDeviceGetUuid_v2(uuid, dev);
}
