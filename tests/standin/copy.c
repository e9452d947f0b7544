// SPDX-License-Identifier: BSD-3-Clause
/*
 * Copies and memsets. As the driver does it: from pageable memory the source is read before the call
 * returns, to pageable memory the call waits, and all of it happens in the stream's order.
 */
#include <stdlib.h>
#include <string.h>

#include "state.h"

struct copy_op {
	struct op op;
	void *dst;
	const void *src;
	void *staged; /* the source's bytes, of a pageable source */
	size_t size;
	int width; /* bytes of @value; 0: a copy */
	unsigned int value;
};

enum side { DEVICE_ONLY, HOST_ONLY, ANY };

static void copy_run(struct op *op)
{
	struct copy_op *copy = (struct copy_op *)op;
	size_t i;

	switch (copy->width) {
	case 0:
		memmove(copy->dst, copy->staged ? copy->staged : copy->src, copy->size);
		break;
	case 1:
		memset(copy->dst, (int)copy->value, copy->size);
		break;
	case 2:
		for (i = 0; i < copy->size / 2; i++)
			((uint16_t *)copy->dst)[i] = (uint16_t)copy->value;
		break;
	default:
		for (i = 0; i < copy->size / 4; i++)
			((uint32_t *)copy->dst)[i] = copy->value;
	}
}

static void copy_end(struct op *op)
{
	free(((struct copy_op *)op)->staged);
}

static struct range *side_check(uintptr_t at, size_t size, enum side side, const char *who)
{
	struct range *range = range_check(at, size, side != DEVICE_ONLY, who);

	if (side == HOST_ONLY && range && range->device)
		standin_die("%s: %#lx is device memory where host memory belongs", who, at);
	return range;
}

static CUresult copy_submit(struct copy_op *copy, CUstream handle, CUcontext ctx, bool wait,
			    const char *who)
{
	CUstream stream;
	CUresult result = stream_get(handle, ctx, who, &stream);
	uint64_t seq;

	if (result != CUDA_SUCCESS) {
		free(copy->staged);
		free(copy);
		return result;
	}
	copy->op.run = copy_run;
	copy->op.end = copy_end;
	copy->op.touch[0].at = (uintptr_t)copy->dst;
	copy->op.touch[0].size = copy->size;
	if (!copy->width && !copy->staged) {
		copy->op.touch[1].at = (uintptr_t)copy->src;
		copy->op.touch[1].size = copy->size;
	}
	standin.usage.copies++;
	seq = stream_submit(stream, &copy->op);
	if (wait)
		stream_wait(stream, seq);
	return CUDA_SUCCESS;
}

static CUresult copy(CUcontext ctx, uintptr_t dst, enum side to, uintptr_t src, enum side from,
		     size_t size, CUstream handle, bool wait, const char *who)
{
	struct range *dst_range, *src_range;
	struct copy_op *copy;
	CUresult result;

	if (!size)
		return CUDA_SUCCESS;
	copy = calloc(1, sizeof(*copy));
	if (!copy)
		return CUDA_ERROR_OUT_OF_MEMORY;
	copy->dst = (void *)dst;
	copy->src = (const void *)src;
	copy->size = size;
	state_lock();
	dst_range = side_check(dst, size, to, who);
	src_range = side_check(src, size, from, who);
	if (!src_range && !wait) {
		copy->staged = malloc(size);
		if (!copy->staged) {
			state_unlock();
			free(copy);
			return CUDA_ERROR_OUT_OF_MEMORY;
		}
		memcpy(copy->staged, copy->src, size);
	}
	result = copy_submit(copy, handle, ctx, wait || !dst_range, who);
	state_unlock();
	return result;
}

static CUresult fill(CUcontext ctx, uintptr_t dst, int width, unsigned int value, size_t n,
		     CUstream handle, bool wait, const char *who)
{
	struct copy_op *op;
	CUresult result;

	if (dst % (uintptr_t)width)
		return CUDA_ERROR_INVALID_VALUE;
	if (!n)
		return CUDA_SUCCESS;
	op = calloc(1, sizeof(*op));
	if (!op)
		return CUDA_ERROR_OUT_OF_MEMORY;
	op->dst = (void *)dst;
	op->size = n * (size_t)width;
	op->width = width;
	op->value = value;
	state_lock();
	/* Pinned host memory can be set, too. */
	if (!range_check(dst, op->size, true, who))
		standin_die("%s: %#lx is pageable host memory", who, dst);
	result = copy_submit(op, handle, ctx, wait, who);
	state_unlock();
	return result;
}

STANDIN_API CUresult cuMemcpy(CUdeviceptr dst, CUdeviceptr src, size_t size)
{
	ENTER_CTX(ctx);
	return copy(ctx, dst, ANY, src, ANY, size, NULL, true, __func__);
}

STANDIN_API CUresult cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t size, CUstream stream)
{
	ENTER_CTX(ctx);
	return copy(ctx, dst, ANY, src, ANY, size, stream, false, __func__);
}

STANDIN_API CUresult cuMemcpyHtoD(CUdeviceptr dst, const void *src, size_t size)
{
	ENTER_CTX(ctx);
	return copy(ctx, dst, DEVICE_ONLY, (uintptr_t)src, HOST_ONLY, size, NULL, true, __func__);
}

STANDIN_API CUresult cuMemcpyDtoH(void *dst, CUdeviceptr src, size_t size)
{
	ENTER_CTX(ctx);
	return copy(ctx, (uintptr_t)dst, HOST_ONLY, src, DEVICE_ONLY, size, NULL, true, __func__);
}

STANDIN_API CUresult cuMemcpyDtoD(CUdeviceptr dst, CUdeviceptr src, size_t size)
{
	ENTER_CTX(ctx);
	return copy(ctx, dst, DEVICE_ONLY, src, DEVICE_ONLY, size, NULL, true, __func__);
}

STANDIN_API CUresult cuMemcpyHtoDAsync(CUdeviceptr dst, const void *src, size_t size,
				       CUstream stream)
{
	ENTER_CTX(ctx);
	return copy(ctx, dst, DEVICE_ONLY, (uintptr_t)src, HOST_ONLY, size, stream, false,
		    __func__);
}

STANDIN_API CUresult cuMemcpyDtoHAsync(void *dst, CUdeviceptr src, size_t size, CUstream stream)
{
	ENTER_CTX(ctx);
	return copy(ctx, (uintptr_t)dst, HOST_ONLY, src, DEVICE_ONLY, size, stream, false,
		    __func__);
}

STANDIN_API CUresult cuMemcpyDtoDAsync(CUdeviceptr dst, CUdeviceptr src, size_t size,
				       CUstream stream)
{
	ENTER_CTX(ctx);
	return copy(ctx, dst, DEVICE_ONLY, src, DEVICE_ONLY, size, stream, false, __func__);
}

STANDIN_API CUresult cuMemsetD8(CUdeviceptr dst, unsigned char value, size_t n)
{
	ENTER_CTX(ctx);
	return fill(ctx, dst, 1, value, n, NULL, true, __func__);
}

STANDIN_API CUresult cuMemsetD8Async(CUdeviceptr dst, unsigned char value, size_t n,
				     CUstream stream)
{
	ENTER_CTX(ctx);
	return fill(ctx, dst, 1, value, n, stream, false, __func__);
}

STANDIN_API CUresult cuMemsetD16(CUdeviceptr dst, unsigned short value, size_t n)
{
	ENTER_CTX(ctx);
	return fill(ctx, dst, 2, value, n, NULL, true, __func__);
}

STANDIN_API CUresult cuMemsetD16Async(CUdeviceptr dst, unsigned short value, size_t n,
				      CUstream stream)
{
	ENTER_CTX(ctx);
	return fill(ctx, dst, 2, value, n, stream, false, __func__);
}

STANDIN_API CUresult cuMemsetD32(CUdeviceptr dst, unsigned int value, size_t n)
{
	ENTER_CTX(ctx);
	return fill(ctx, dst, 4, value, n, NULL, true, __func__);
}

STANDIN_API CUresult cuMemsetD32Async(CUdeviceptr dst, unsigned int value, size_t n,
				      CUstream stream)
{
	ENTER_CTX(ctx);
	return fill(ctx, dst, 4, value, n, stream, false, __func__);
}
