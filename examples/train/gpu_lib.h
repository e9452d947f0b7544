/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The CUDA driver, opened at run time: what a program needs that hands memory to NCCL. Declared anew from the
 * documentation of the driver API, so that nothing of CUDA is needed to build. All calls return 0 or a CUresult.
 */
#ifndef TRAIN_GPU_LIB_H
#define TRAIN_GPU_LIB_H

#include <stddef.h>

typedef unsigned long long gpu_ptr; /* CUdeviceptr */

/* X(member, exported symbol, parameters) */
#define GPU_LIB_CALLS(X)                                                               \
	X(init, "cuInit", (unsigned int flags))                                        \
	X(error_name, "cuGetErrorName", (int error, const char **ret))                 \
	X(device_get, "cuDeviceGet", (int *ret, int ordinal))                          \
	X(device_name, "cuDeviceGetName", (char *ret, int size, int device))           \
	X(ctx_retain, "cuDevicePrimaryCtxRetain", (void **ret, int device))            \
	X(ctx_release, "cuDevicePrimaryCtxRelease_v2", (int device))                   \
	X(ctx_set, "cuCtxSetCurrent", (void *ctx))                                     \
	X(alloc, "cuMemAlloc_v2", (gpu_ptr * ret, size_t size))                        \
	X(free, "cuMemFree_v2", (gpu_ptr at))                                          \
	X(host_alloc, "cuMemHostAlloc", (void **ret, size_t size, unsigned int flags)) \
	X(host_free, "cuMemFreeHost", (void *at))                                      \
	X(copy_in, "cuMemcpyHtoD_v2", (gpu_ptr dst, const void *src, size_t size))     \
	X(copy_out, "cuMemcpyDtoH_v2", (void *dst, gpu_ptr src, size_t size))          \
	X(fill, "cuMemsetD8_v2", (gpu_ptr dst, unsigned char value, size_t size))      \
	X(stream_create, "cuStreamCreate", (void **ret, unsigned int flags))           \
	X(stream_destroy, "cuStreamDestroy_v2", (void *stream))                        \
	X(stream_query, "cuStreamQuery", (void *stream))                               \
	X(stream_wait, "cuStreamSynchronize", (void *stream))

#define GPU_STREAM_NON_BLOCKING 1
#define GPU_NOT_READY		600

/* @device: its number; @ctx: its primary context, current on the thread that opened the library. */
struct gpu_lib {
	void *handle;
	int device;
	void *ctx;
	char name[64];
#define X(member, symbol, parameters) int(*member) parameters;
	GPU_LIB_CALLS(X)
#undef X
};

/*
 * Opens libcuda.so.1 (or what @path names) and takes device @device. Negative errno, reported: -ENOENT no
 * library, -ENOSYS it lacks a function, -ENODEV no such GPU. *ret is untouched then, else to be closed.
 */
int gpu_lib_open(const char *path, int device, struct gpu_lib *ret);

/* Releases the context; the library stays loaded, since NCCL uses it. A zeroed struct is fine. */
void gpu_lib_close(struct gpu_lib *gpu);

/* Reports @error of @what. -EIO; 0 for no error. */
int gpu_lib_check(const struct gpu_lib *gpu, int error, const char *what);

#endif
