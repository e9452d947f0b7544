/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The part of the CUDA runtime that NCCL uses, over the stand-in driver, by the ABI of CUDA 12 (that of Debian's
 * NCCL). cuda_runtime_api.h is not included: that of CUDA 13 declares several of these functions otherwise, or
 * no more. cudaError_t has CUresult's values, cudaStream_t, cudaEvent_t and cudaFunction_t are the driver's
 * handles (both as documented), so the driver's types are used for all.
 */
#ifndef STANDIN_CUDART_H
#define STANDIN_CUDART_H

#include <cuda.h>
#include <stddef.h>

/* What cuGetProcAddress() is told: the runtime is that of 12.4. */
#define CUDART_RELEASE 12040

#define RT_API __attribute__((visibility("default")))
/* Declares what it defines: no header does. */
#define RT(name, ...)                      \
	RT_API CUresult name(__VA_ARGS__); \
	RT_API CUresult name(__VA_ARGS__)

/* Makes the thread's device's primary context current if none is. */
CUresult rt_enter(void);
/* Keeps an error for cudaGetLastError(). Returns @result. */
CUresult rt_leave(CUresult result);

/* A call of the driver, inside a function that has nothing else to do. */
#define RT_CALL(call)                                                \
	do {                                                         \
		CUresult rt_ = rt_enter();                           \
		return rt_leave(rt_ == CUDA_SUCCESS ? (call) : rt_); \
	} while (0)

#endif
