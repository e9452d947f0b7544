// SPDX-License-Identifier: BSD-3-Clause
/*
 * include/cuda/driver.h against cuda.h: it is the compiler that tests. Without cuda.h there is nothing to compare with.
 *
 * unit-libs: devmem_base
 */
#include <stdio.h>

#if __has_include(<cuda.h>)

#include <cuda.h>

#if CUDA_VERSION >= 12080
#define COMPARED 1

/* Ours do without the names of their own versions. */
#undef cuDevicePrimaryCtxRelease
#undef cuCtxPushCurrent
#undef cuCtxPopCurrent
#undef cuMemAlloc
#undef cuMemFree
#undef cuMemGetInfo
#undef cuMemHostGetDevicePointer
#undef cuMemHostRegister
#undef cuStreamDestroy
#undef cuEventDestroy

#include "cuda/driver.h"

#define C(ours, value, theirs) \
	_Static_assert((long long)(ours) == (long long)(theirs), #ours " is not " #theirs);
CUDA_CONSTANTS(C)
#undef C

#define SAME_SIZE(ours, theirs) _Static_assert(sizeof(ours) == sizeof(theirs), #theirs)
#define SAME_PLACE(ours, field, theirs, their_field)                                             \
	_Static_assert(offsetof(ours, field) == offsetof(theirs, their_field) &&                 \
			       sizeof(((ours *)0)->field) == sizeof(((theirs *)0)->their_field), \
		       #theirs "." #their_field)

SAME_SIZE(cu_result, CUresult);
SAME_SIZE(cu_device, CUdevice);
SAME_SIZE(cu_deviceptr, CUdeviceptr);
SAME_SIZE(cu_mem_handle, CUmemGenericAllocationHandle);
SAME_SIZE(struct cu_mem_prop, CUmemAllocationProp);
SAME_PLACE(struct cu_mem_prop, type, CUmemAllocationProp, type);
SAME_PLACE(struct cu_mem_prop, handle_types, CUmemAllocationProp, requestedHandleTypes);
SAME_PLACE(struct cu_mem_prop, location.type, CUmemAllocationProp, location.type);
SAME_PLACE(struct cu_mem_prop, location.id, CUmemAllocationProp, location.id);
SAME_PLACE(struct cu_mem_prop, win32, CUmemAllocationProp, win32HandleMetaData);
SAME_PLACE(struct cu_mem_prop, flags.rdma_capable, CUmemAllocationProp,
	   allocFlags.gpuDirectRDMACapable);
SAME_SIZE(struct cu_mem_access, CUmemAccessDesc);
SAME_PLACE(struct cu_mem_access, flags, CUmemAccessDesc, flags);

/*
 * C holds an unsigned int of ours to be compatible with an enum of theirs. Left out are cuMemCreate, cuMemSetAccess and
 * cuMemGetAllocationGranularity, whose structures have names of their own here and are compared above.
 */
#define F(need, name, symbol, version, params) typedef cu_result ours_##name params;
CUDA_FUNCTIONS(F)
#undef F

#define SAME(name, symbol) \
	_Static_assert(__builtin_types_compatible_p(ours_##name, __typeof__(symbol)), #symbol)

SAME(cuInit, cuInit);
SAME(cuDriverGetVersion, cuDriverGetVersion);
SAME(cuGetErrorString, cuGetErrorString);
SAME(cuDeviceGet, cuDeviceGet);
SAME(cuDeviceGetCount, cuDeviceGetCount);
SAME(cuDeviceGetName, cuDeviceGetName);
SAME(cuDeviceGetPCIBusId, cuDeviceGetPCIBusId);
SAME(cuDeviceGetAttribute, cuDeviceGetAttribute);
SAME(cuDevicePrimaryCtxGetState, cuDevicePrimaryCtxGetState);
SAME(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain);
SAME(cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2);
SAME(cuCtxGetCurrent, cuCtxGetCurrent);
SAME(cuCtxPushCurrent, cuCtxPushCurrent_v2);
SAME(cuCtxPopCurrent, cuCtxPopCurrent_v2);
SAME(cuCtxGetDevice, cuCtxGetDevice);
SAME(cuCtxGetId, cuCtxGetId);
SAME(cuCtxGetStreamPriorityRange, cuCtxGetStreamPriorityRange);
SAME(cuMemAlloc, cuMemAlloc_v2);
SAME(cuMemFree, cuMemFree_v2);
SAME(cuMemGetInfo, cuMemGetInfo_v2);
SAME(cuMemHostAlloc, cuMemHostAlloc);
SAME(cuMemFreeHost, cuMemFreeHost);
SAME(cuMemHostRegister, cuMemHostRegister_v2);
SAME(cuMemHostUnregister, cuMemHostUnregister);
SAME(cuMemHostGetDevicePointer, cuMemHostGetDevicePointer_v2);
SAME(cuMemGetHandleForAddressRange, cuMemGetHandleForAddressRange);
SAME(cuFlushGPUDirectRDMAWrites, cuFlushGPUDirectRDMAWrites);
SAME(cuThreadExchangeStreamCaptureMode, cuThreadExchangeStreamCaptureMode);
SAME(cuMemAddressReserve, cuMemAddressReserve);
SAME(cuMemAddressFree, cuMemAddressFree);
SAME(cuMemRelease, cuMemRelease);
SAME(cuMemMap, cuMemMap);
SAME(cuMemUnmap, cuMemUnmap);
SAME(cuPointerGetAttribute, cuPointerGetAttribute);
SAME(cuMemcpyAsync, cuMemcpyAsync);
SAME(cuStreamCreateWithPriority, cuStreamCreateWithPriority);
SAME(cuStreamDestroy, cuStreamDestroy_v2);
SAME(cuStreamSynchronize, cuStreamSynchronize);
SAME(cuEventCreate, cuEventCreate);
SAME(cuEventDestroy, cuEventDestroy_v2);
SAME(cuEventRecord, cuEventRecord);
SAME(cuEventQuery, cuEventQuery);
SAME(cuModuleLoadData, cuModuleLoadData);
SAME(cuModuleUnload, cuModuleUnload);
SAME(cuModuleGetFunction, cuModuleGetFunction);
SAME(cuLaunchKernel, cuLaunchKernel);
#endif
#endif

int main(void)
{
#ifdef COMPARED
	printf("compared with cuda.h of CUDA %d.%d by the compiler\n", CUDA_VERSION / 1000,
	       CUDA_VERSION % 1000 / 10);
	return 0;
#else
	printf("there was no cuda.h of CUDA 12.8 or later when this was built (see DEVMEM_CUDA_INCLUDE_DIR)\n");
	return 77;
#endif
}
