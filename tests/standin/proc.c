// SPDX-License-Identifier: BSD-3-Clause
/*
 * cuGetProcAddress(): which functions there are, since which CUDA release. For a name with several forms it
 * gives the youngest that the caller's release (its cudaVersion argument) knows, as NVIDIA's does.
 */
#include <string.h>

#include "state.h"

CUresult cuCtxCreate_v2(CUcontext *ret, unsigned int flags, CUdevice dev);
CUresult cuCtxCreate_v3(CUcontext *ret, CUexecAffinityParam *params, int n, unsigned int flags,
			CUdevice dev);
#undef cuCtxCreate
#undef cuGetProcAddress

#define F(since, name)                       \
	{                                    \
#name, since, (void *)(name) \
	}
#define V(since, plain, name)                \
	{                                    \
		plain, since, (void *)(name) \
	}

CUresult cuGetProcAddress(const char *symbol, void **ret, int version, cuuint64_t flags);

static const struct {
	const char *name;
	int since;
	void *function;
} functions[] = {
	F(2000, cuInit),
	F(2020, cuDriverGetVersion),
	V(11030, "cuGetProcAddress", cuGetProcAddress),
	V(12000, "cuGetProcAddress", cuGetProcAddress_v2),
	F(6000, cuGetErrorName),
	F(6000, cuGetErrorString),
	F(2000, cuDeviceGet),
	F(2000, cuDeviceGetCount),
	F(2000, cuDeviceGetName),
	F(2000, cuDeviceGetAttribute),
	V(3020, "cuDeviceTotalMem", cuDeviceTotalMem),
	F(4010, cuDeviceGetPCIBusId),
	F(4010, cuDeviceGetByPCIBusId),
	V(9020, "cuDeviceGetUuid", cuDeviceGetUuid),
	F(4000, cuDeviceCanAccessPeer),
	F(8000, cuDeviceGetP2PAttribute),
	F(7000, cuDevicePrimaryCtxRetain),
	V(7000, "cuDevicePrimaryCtxRelease", cuDevicePrimaryCtxRelease),
	F(7000, cuDevicePrimaryCtxGetState),
	V(7000, "cuDevicePrimaryCtxSetFlags", cuDevicePrimaryCtxSetFlags),
	V(3020, "cuCtxCreate", cuCtxCreate_v2),
	V(11040, "cuCtxCreate", cuCtxCreate_v3),
#if CUDA_VERSION >= 12050
	V(12050, "cuCtxCreate", cuCtxCreate_v4),
#endif
	V(4000, "cuCtxDestroy", cuCtxDestroy),
	F(4000, cuCtxGetCurrent),
	F(4000, cuCtxSetCurrent),
	V(4000, "cuCtxPushCurrent", cuCtxPushCurrent),
	V(4000, "cuCtxPopCurrent", cuCtxPopCurrent),
	F(2000, cuCtxGetDevice),
	F(12000, cuCtxGetId),
	F(5050, cuCtxGetStreamPriorityRange),
	F(2000, cuCtxSynchronize),
	F(3010, cuCtxSetLimit),
	V(3020, "cuMemGetInfo", cuMemGetInfo),
	V(3020, "cuMemAlloc", cuMemAlloc),
	V(3020, "cuMemFree", cuMemFree),
	V(3020, "cuMemAllocHost", cuMemAllocHost),
	F(2020, cuMemHostAlloc),
	F(2000, cuMemFreeHost),
	V(3020, "cuMemHostGetDevicePointer", cuMemHostGetDevicePointer),
	F(3000, cuMemHostGetFlags),
	V(6050, "cuMemHostRegister", cuMemHostRegister),
	F(4000, cuMemHostUnregister),
	V(3020, "cuMemGetAddressRange", cuMemGetAddressRange),
	F(11070, cuMemGetHandleForAddressRange),
	F(4000, cuPointerGetAttribute),
	F(7000, cuPointerGetAttributes),
	F(6000, cuPointerSetAttribute),
	F(4000, cuMemcpy),
	F(4000, cuMemcpyAsync),
	V(3020, "cuMemcpyHtoD", cuMemcpyHtoD),
	V(3020, "cuMemcpyDtoH", cuMemcpyDtoH),
	V(3020, "cuMemcpyDtoD", cuMemcpyDtoD),
	V(3020, "cuMemcpyHtoDAsync", cuMemcpyHtoDAsync),
	V(3020, "cuMemcpyDtoHAsync", cuMemcpyDtoHAsync),
	V(3020, "cuMemcpyDtoDAsync", cuMemcpyDtoDAsync),
	V(3020, "cuMemsetD8", cuMemsetD8),
	V(3020, "cuMemsetD16", cuMemsetD16),
	V(3020, "cuMemsetD32", cuMemsetD32),
	F(3020, cuMemsetD8Async),
	F(3020, cuMemsetD16Async),
	F(3020, cuMemsetD32Async),
	F(10020, cuMemGetAllocationGranularity),
	F(10020, cuMemCreate),
	F(10020, cuMemRelease),
	F(11000, cuMemRetainAllocationHandle),
	F(10020, cuMemGetAllocationPropertiesFromHandle),
	F(10020, cuMemExportToShareableHandle),
	F(10020, cuMemImportFromShareableHandle),
	F(10020, cuMemAddressReserve),
	F(10020, cuMemAddressFree),
	F(10020, cuMemMap),
	F(10020, cuMemSetAccess),
	F(10020, cuMemGetAccess),
	F(10020, cuMemUnmap),
	F(2000, cuStreamCreate),
	F(5050, cuStreamCreateWithPriority),
	V(4000, "cuStreamDestroy", cuStreamDestroy),
	F(2000, cuStreamQuery),
	F(2000, cuStreamSynchronize),
	F(3020, cuStreamWaitEvent),
	F(12000, cuStreamGetId),
	F(5050, cuStreamGetPriority),
	F(5050, cuStreamGetFlags),
	F(10000, cuStreamIsCapturing),
	F(10010, cuThreadExchangeStreamCaptureMode),
	F(10000, cuLaunchHostFunc),
	F(2000, cuEventCreate),
	V(4000, "cuEventDestroy", cuEventDestroy),
	F(2000, cuEventRecord),
	F(11010, cuEventRecordWithFlags),
	F(2000, cuEventQuery),
	F(2000, cuEventSynchronize),
	V(2000, "cuEventElapsedTime", cuEventElapsedTime),
	F(2000, cuModuleLoadData),
	F(2010, cuModuleLoadDataEx),
	F(2000, cuModuleUnload),
	F(2000, cuModuleGetFunction),
	F(2020, cuFuncGetAttribute),
	F(9000, cuFuncSetAttribute),
	F(11000, cuFuncGetModule),
	F(4000, cuLaunchKernel),
	F(11060, cuLaunchKernelEx),
};

/* Whether the driver is too old for it, or younger than the caller. */
static CUdriverProcAddressQueryResult lookup(const char *symbol, int version, void **ret)
{
	CUdriverProcAddressQueryResult status = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
	char plain[48];
	size_t i;

	name_plain(symbol, plain, sizeof(plain));
	*ret = NULL;
	if (env_missing(plain))
		return status;
	for (i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		/* Names are given without _v2: cuGetProcAddress() of "cuMemAlloc_v2" finds nothing. */
		if (strcmp(functions[i].name, symbol) || functions[i].since > standin.version)
			continue;
		if (functions[i].since <= version) {
			*ret = functions[i].function;
			status = CU_GET_PROC_ADDRESS_SUCCESS;
		} else if (status != CU_GET_PROC_ADDRESS_SUCCESS) {
			status = CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
		}
	}
	return status;
}

STANDIN_API CUresult cuGetProcAddress_v2(const char *symbol, void **ret, int version,
					 cuuint64_t flags,
					 CUdriverProcAddressQueryResult *ret_status)
{
	CUdriverProcAddressQueryResult status;
	CUresult result;
	int any;

	/* Reads the environment; cuInit() need not have been called. */
	cuDriverGetVersion(&any);
	result = call_enter_uninitialised(__func__);
	if (result != CUDA_SUCCESS)
		return result;
	(void)flags;
	if (!symbol || !ret)
		return CUDA_ERROR_INVALID_VALUE;
	status = lookup(symbol, version, ret);
	if (ret_status)
		*ret_status = status;
	if (status == CU_GET_PROC_ADDRESS_SUCCESS)
		return CUDA_SUCCESS;
	return ret_status ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

STANDIN_API CUresult cuGetProcAddress(const char *symbol, void **ret, int version, cuuint64_t flags)
{
	return cuGetProcAddress_v2(symbol, ret, version, flags, NULL);
}
