/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The part of the CUDA driver API that the plugin uses, declared anew so that no CUDA header is needed to build. Values and layouts are
 * the ABI of libcuda.so.1 on LP64; where cuda.h is found the build of tests/unit/test_cuda_abi.c compares them with it. Behaviour was
 * read in NVIDIA's CUDA Driver API reference, 13.0.
 */
#ifndef CUDA_DRIVER_H
#define CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

typedef unsigned int cu_result;
typedef int cu_device;
typedef unsigned long long cu_deviceptr;
typedef unsigned long long cu_mem_handle;
typedef struct CUctx_st *cu_context;
typedef struct CUmod_st *cu_module;
typedef struct CUfunc_st *cu_function;
typedef struct CUstream_st *cu_stream;
typedef struct CUevent_st *cu_event;

/* C(ours, value, cuda.h's) */
#define CUDA_CONSTANTS(C)                                                                       \
	C(CU_OK, 0, CUDA_SUCCESS)                                                               \
	C(CU_E_INVALID_VALUE, 1, CUDA_ERROR_INVALID_VALUE)                                      \
	C(CU_E_OUT_OF_MEMORY, 2, CUDA_ERROR_OUT_OF_MEMORY)                                      \
	C(CU_E_NOT_INITIALIZED, 3, CUDA_ERROR_NOT_INITIALIZED)                                  \
	C(CU_E_STUB_LIBRARY, 34, CUDA_ERROR_STUB_LIBRARY)                                       \
	C(CU_E_NO_DEVICE, 100, CUDA_ERROR_NO_DEVICE)                                            \
	C(CU_E_INVALID_DEVICE, 101, CUDA_ERROR_INVALID_DEVICE)                                  \
	C(CU_E_INVALID_CONTEXT, 201, CUDA_ERROR_INVALID_CONTEXT)                                \
	C(CU_E_NOT_READY, 600, CUDA_ERROR_NOT_READY)                                            \
	C(CU_E_NOT_SUPPORTED, 801, CUDA_ERROR_NOT_SUPPORTED)                                    \
	C(CU_E_SYSTEM_DRIVER_MISMATCH, 803, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)                  \
	C(CU_ATTR_UNIFIED_ADDRESSING, 41, CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING)               \
	C(CU_ATTR_CC_MAJOR, 75, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)                   \
	C(CU_ATTR_CC_MINOR, 76, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)                   \
	C(CU_ATTR_VMM, 102, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED)            \
	C(CU_ATTR_VMM_RDMA, 110, CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED)   \
	C(CU_ATTR_FLUSH_OPTIONS, 117, CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS) \
	C(CU_ATTR_WRITES_ORDERING, 118, CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WRITES_ORDERING)    \
	C(CU_ATTR_DMABUF, 124, CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED)                           \
	C(CU_FLUSH_OPTION_HOST, 1, CU_FLUSH_GPU_DIRECT_RDMA_WRITES_OPTION_HOST)                 \
	C(CU_WRITES_ORDERED_OWNER, 100, CU_GPU_DIRECT_RDMA_WRITES_ORDERING_OWNER)               \
	C(CU_FLUSH_TARGET_CURRENT, 0, CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TARGET_CURRENT_CTX)       \
	C(CU_FLUSH_TO_OWNER, 100, CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TO_OWNER)                     \
	C(CU_POINTER_CONTEXT, 1, CU_POINTER_ATTRIBUTE_CONTEXT)                                  \
	C(CU_POINTER_MEMORY_TYPE, 2, CU_POINTER_ATTRIBUTE_MEMORY_TYPE)                          \
	C(CU_POINTER_ORDINAL, 9, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL)                           \
	C(CU_MEMORY_HOST, 1, CU_MEMORYTYPE_HOST)                                                \
	C(CU_MEMORY_DEVICE, 2, CU_MEMORYTYPE_DEVICE)                                            \
	C(CU_HOSTALLOC_PORTABLE, 1, CU_MEMHOSTALLOC_PORTABLE)                                   \
	C(CU_HOSTALLOC_DEVICEMAP, 2, CU_MEMHOSTALLOC_DEVICEMAP)                                 \
	C(CU_HOSTREGISTER_PORTABLE, 1, CU_MEMHOSTREGISTER_PORTABLE)                             \
	C(CU_HOSTREGISTER_DEVICEMAP, 2, CU_MEMHOSTREGISTER_DEVICEMAP)                           \
	C(CU_RANGE_DMABUF_FD, 1, CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD)                           \
	C(CU_RANGE_DMABUF_PCIE, 1, CU_MEM_RANGE_FLAG_DMA_BUF_MAPPING_TYPE_PCIE)                 \
	C(CU_ALLOCATION_PINNED, 1, CU_MEM_ALLOCATION_TYPE_PINNED)                               \
	C(CU_LOCATION_DEVICE, 1, CU_MEM_LOCATION_TYPE_DEVICE)                                   \
	C(CU_ACCESS_READWRITE, 3, CU_MEM_ACCESS_FLAGS_PROT_READWRITE)                           \
	C(CU_GRANULARITY_RECOMMENDED, 1, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED)                  \
	C(CU_CAPTURE_RELAXED, 2, CU_STREAM_CAPTURE_MODE_RELAXED)                                \
	C(CU_STREAM_NONBLOCKING, 1, CU_STREAM_NON_BLOCKING)                                     \
	C(CU_EVENT_NO_TIMING, 2, CU_EVENT_DISABLE_TIMING)                                       \
	C(CU_PROC_FOUND, 0, CU_GET_PROC_ADDRESS_SUCCESS)

#define C(name, value, theirs) name = (value),
enum { CUDA_CONSTANTS(C) };
#undef C

/* CUmemLocation, CUmemAllocationProp, CUmemAccessDesc */
struct cu_mem_location {
	unsigned int type;
	int id;
};

struct cu_mem_prop {
	unsigned int type;
	unsigned int handle_types;
	struct cu_mem_location location;
	void *win32;
	struct {
		unsigned char compression;
		unsigned char rdma_capable;
		unsigned short usage;
		unsigned char reserved[4];
	} flags;
};

struct cu_mem_access {
	struct cu_mem_location location;
	unsigned int flags;
};

/*
 * F(need, name, symbol, version, parameters): @symbol is the name in the library, with _v2 where that is meant; @version the CUDA release,
 * as cuGetProcAddress() wants it, whose signature this is; @need MUST, or MAY where there is a way without.
 */
#define CUDA_FUNCTIONS(F)                                                                         \
	F(MUST, cuInit, cuInit, 2000, (unsigned int flags))                                       \
	F(MUST, cuDriverGetVersion, cuDriverGetVersion, 2020, (int *ret))                         \
	F(MUST, cuGetErrorString, cuGetErrorString, 6000, (cu_result err, const char **ret))      \
	F(MUST, cuDeviceGet, cuDeviceGet, 2000, (cu_device * ret, int ordinal))                   \
	F(MUST, cuDeviceGetCount, cuDeviceGetCount, 2000, (int *ret))                             \
	F(MUST, cuDeviceGetName, cuDeviceGetName, 2000, (char *ret, int len, cu_device dev))      \
	F(MUST, cuDeviceGetPCIBusId, cuDeviceGetPCIBusId, 4010,                                   \
	  (char *ret, int len, cu_device dev))                                                    \
	F(MUST, cuDeviceGetAttribute, cuDeviceGetAttribute, 2000,                                 \
	  (int *ret, unsigned int attr, cu_device dev))                                           \
	F(MUST, cuDevicePrimaryCtxGetState, cuDevicePrimaryCtxGetState, 7000,                     \
	  (cu_device dev, unsigned int *flags, int *active))                                      \
	F(MUST, cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, 7000,                         \
	  (cu_context * ret, cu_device dev))                                                      \
	F(MUST, cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2, 11000, (cu_device dev))  \
	F(MUST, cuCtxGetCurrent, cuCtxGetCurrent, 4000, (cu_context * ret))                       \
	F(MUST, cuCtxPushCurrent, cuCtxPushCurrent_v2, 4000, (cu_context ctx))                    \
	F(MUST, cuCtxPopCurrent, cuCtxPopCurrent_v2, 4000, (cu_context * ret))                    \
	F(MUST, cuCtxGetDevice, cuCtxGetDevice, 2000, (cu_device * ret))                          \
	F(MAY, cuCtxGetId, cuCtxGetId, 12000, (cu_context ctx, unsigned long long *ret))          \
	F(MAY, cuCtxGetStreamPriorityRange, cuCtxGetStreamPriorityRange, 5050,                    \
	  (int *least, int *greatest))                                                            \
	F(MAY, cuThreadExchangeStreamCaptureMode, cuThreadExchangeStreamCaptureMode, 10010,       \
	  (unsigned int *mode))                                                                   \
	F(MUST, cuMemAlloc, cuMemAlloc_v2, 3020, (cu_deviceptr * ret, size_t size))               \
	F(MUST, cuMemFree, cuMemFree_v2, 3020, (cu_deviceptr p))                                  \
	F(MUST, cuMemGetInfo, cuMemGetInfo_v2, 3020, (size_t * free, size_t * total))             \
	F(MUST, cuMemHostAlloc, cuMemHostAlloc, 2020,                                             \
	  (void **ret, size_t size, unsigned int flags))                                          \
	F(MUST, cuMemFreeHost, cuMemFreeHost, 2000, (void *p))                                    \
	F(MAY, cuMemHostRegister, cuMemHostRegister_v2, 6050,                                     \
	  (void *p, size_t size, unsigned int flags))                                             \
	F(MAY, cuMemHostUnregister, cuMemHostUnregister, 4000, (void *p))                         \
	F(MUST, cuMemHostGetDevicePointer, cuMemHostGetDevicePointer_v2, 3020,                    \
	  (cu_deviceptr * ret, void *p, unsigned int flags))                                      \
	F(MAY, cuMemGetHandleForAddressRange, cuMemGetHandleForAddressRange, 11070,               \
	  (void *ret, cu_deviceptr p, size_t size, unsigned int type, unsigned long long flags))  \
	F(MAY, cuMemAddressReserve, cuMemAddressReserve, 10020,                                   \
	  (cu_deviceptr * ret, size_t size, size_t align, cu_deviceptr hint,                      \
	   unsigned long long flags))                                                             \
	F(MAY, cuMemAddressFree, cuMemAddressFree, 10020, (cu_deviceptr p, size_t size))          \
	F(MAY, cuMemCreate, cuMemCreate, 10020,                                                   \
	  (cu_mem_handle * ret, size_t size, const struct cu_mem_prop *prop,                      \
	   unsigned long long flags))                                                             \
	F(MAY, cuMemRelease, cuMemRelease, 10020, (cu_mem_handle handle))                         \
	F(MAY, cuMemMap, cuMemMap, 10020,                                                         \
	  (cu_deviceptr p, size_t size, size_t offset, cu_mem_handle handle,                      \
	   unsigned long long flags))                                                             \
	F(MAY, cuMemUnmap, cuMemUnmap, 10020, (cu_deviceptr p, size_t size))                      \
	F(MAY, cuMemSetAccess, cuMemSetAccess, 10020,                                             \
	  (cu_deviceptr p, size_t size, const struct cu_mem_access *desc, size_t n))              \
	F(MAY, cuMemGetAllocationGranularity, cuMemGetAllocationGranularity, 10020,               \
	  (size_t * ret, const struct cu_mem_prop *prop, unsigned int option))                    \
	F(MUST, cuPointerGetAttribute, cuPointerGetAttribute, 4000,                               \
	  (void *ret, unsigned int attr, cu_deviceptr p))                                         \
	F(MAY, cuFlushGPUDirectRDMAWrites, cuFlushGPUDirectRDMAWrites, 11030,                     \
	  (unsigned int target, unsigned int scope))                                              \
	F(MUST, cuMemcpyAsync, cuMemcpyAsync, 4000,                                               \
	  (cu_deviceptr dst, cu_deviceptr src, size_t size, cu_stream stream))                    \
	F(MUST, cuStreamCreateWithPriority, cuStreamCreateWithPriority, 5050,                     \
	  (cu_stream * ret, unsigned int flags, int priority))                                    \
	F(MUST, cuStreamDestroy, cuStreamDestroy_v2, 4000, (cu_stream stream))                    \
	F(MUST, cuStreamSynchronize, cuStreamSynchronize, 2000, (cu_stream stream))               \
	F(MUST, cuEventCreate, cuEventCreate, 2000, (cu_event * ret, unsigned int flags))         \
	F(MUST, cuEventDestroy, cuEventDestroy_v2, 4000, (cu_event event))                        \
	F(MUST, cuEventRecord, cuEventRecord, 2000, (cu_event event, cu_stream stream))           \
	F(MUST, cuEventQuery, cuEventQuery, 2000, (cu_event event))                               \
	F(MUST, cuModuleLoadData, cuModuleLoadData, 2000, (cu_module * ret, const void *image))   \
	F(MUST, cuModuleUnload, cuModuleUnload, 2000, (cu_module module))                         \
	F(MUST, cuModuleGetFunction, cuModuleGetFunction, 2000,                                   \
	  (cu_function * ret, cu_module module, const char *name))                                \
	F(MUST, cuLaunchKernel, cuLaunchKernel, 4000,                                             \
	  (cu_function f, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,          \
	   unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared, \
	   cu_stream stream, void **params, void **extra))

#endif
