// SPDX-License-Identifier: BSD-3-Clause
/* Contexts, and each thread's stack of them. */
#include <stdlib.h>

#include "state.h"

#define STACK_MAX 32

static __thread CUcontext stack[STACK_MAX];
static __thread int depth;

CUresult ctx_current(CUcontext *ret)
{
	CUcontext ctx = depth ? stack[depth - 1] : NULL;

	if (!ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!ctx_check(ctx, "the current context"))
		return CUDA_ERROR_CONTEXT_IS_DESTROYED;
	*ret = ctx;
	return CUDA_SUCCESS;
}

/* A context's memory is never given back, so a stale one can be told. */
bool ctx_check(CUcontext ctx, const char *who)
{
	if (!ctx || ctx->magic != MAGIC_CTX)
		standin_die("%s: %p is no context", who, (void *)ctx);
	return ctx->alive;
}

/* All there ever were. */
static CUcontext contexts;

/* Lock held. */
static CUcontext ctx_new(struct device *device, unsigned int flags)
{
	static unsigned long long ids;
	CUcontext ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return NULL;
	ctx->magic = MAGIC_CTX;
	ctx->device = device;
	ctx->alive = true;
	ctx->flags = flags;
	ctx->id = ++ids;
	ctx->next = contexts;
	contexts = ctx;
	return ctx;
}

static bool range_is_of(struct range *range, void *ctx)
{
	return range->ctx == ctx;
}

/* What a context has goes with it: later uses are uses after free. */
static void ctx_end(CUcontext ctx)
{
	struct range *range;

	stream_wait_all(ctx);
	stream_close_all(ctx);
	module_end_all(ctx);
	while ((range = range_walk(range_is_of, ctx))) {
		if (range->kind != RANGE_REGISTERED)
			arena_forbid((void *)range->start, range->span);
		if (range->phys)
			phys_put(range->phys);
		else
			standin.usage.host_bytes -= range->span;
		range_remove(range);
	}
	ctx->alive = false;
	standin.usage.contexts--;
}

STANDIN_API CUresult cuDevicePrimaryCtxRetain(CUcontext *ret, CUdevice dev)
{
	struct device *device;

	ENTER();
	device = device_get(dev);
	if (!device)
		return CUDA_ERROR_INVALID_DEVICE;
	state_lock();
	if (!device->primary)
		device->primary = ctx_new(device, 0);
	if (!device->primary) {
		state_unlock();
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	device->primary->is_primary = true;
	if (!device->primary_refs++) {
		device->primary->alive = true;
		standin.usage.contexts++;
	}
	*ret = device->primary;
	state_unlock();
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuDevicePrimaryCtxRelease(CUdevice dev)
{
	struct device *device;

	ENTER();
	device = device_get(dev);
	if (!device)
		return CUDA_ERROR_INVALID_DEVICE;
	state_lock();
	if (!device->primary_refs)
		standin_die(
			"cuDevicePrimaryCtxRelease: the primary context of device %d is not retained",
			dev);
	if (!--device->primary_refs)
		ctx_end(device->primary);
	state_unlock();
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuDevicePrimaryCtxGetState(CUdevice dev, unsigned int *flags, int *active)
{
	struct device *device;

	ENTER();
	device = device_get(dev);
	if (!device)
		return CUDA_ERROR_INVALID_DEVICE;
	*flags = device->primary ? device->primary->flags : 0;
	*active = device->primary_refs > 0;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuDevicePrimaryCtxSetFlags(CUdevice dev, unsigned int flags)
{
	ENTER();
	(void)flags;
	return device_get(dev) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

static CUresult ctx_push(CUcontext ctx)
{
	if (depth == STACK_MAX)
		standin_die("%d contexts pushed on one thread and not popped", depth);
	stack[depth++] = ctx;
	return CUDA_SUCCESS;
}

static CUresult ctx_create(CUcontext *ret, unsigned int flags, CUdevice dev)
{
	CUcontext ctx;

	if (!device_get(dev))
		return CUDA_ERROR_INVALID_DEVICE;
	state_lock();
	ctx = ctx_new(device_get(dev), flags);
	if (ctx)
		standin.usage.contexts++;
	state_unlock();
	if (!ctx)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*ret = ctx;
	return ctx_push(ctx);
}

/* The header of each CUDA release declares one of these, so they are declared here. */
CUresult cuCtxCreate_v2(CUcontext *ret, unsigned int flags, CUdevice dev);
CUresult cuCtxCreate_v3(CUcontext *ret, CUexecAffinityParam *params, int n, unsigned int flags,
			CUdevice dev);

STANDIN_API CUresult cuCtxCreate_v2(CUcontext *ret, unsigned int flags, CUdevice dev)
{
	ENTER();
	return ctx_create(ret, flags, dev);
}

STANDIN_API CUresult cuCtxCreate_v3(CUcontext *ret, CUexecAffinityParam *params, int n,
				    unsigned int flags, CUdevice dev)
{
	ENTER();
	(void)params;
	return n ? CUDA_ERROR_NOT_SUPPORTED : ctx_create(ret, flags, dev);
}

#if CUDA_VERSION >= 12050
STANDIN_API CUresult cuCtxCreate_v4(CUcontext *ret, CUctxCreateParams *params, unsigned int flags,
				    CUdevice dev)
{
	ENTER();
	return params ? CUDA_ERROR_NOT_SUPPORTED : ctx_create(ret, flags, dev);
}
#endif

STANDIN_API CUresult cuCtxDestroy(CUcontext ctx)
{
	ENTER();
	if (!ctx_check(ctx, __func__))
		return CUDA_ERROR_CONTEXT_IS_DESTROYED;
	if (ctx->is_primary)
		return CUDA_ERROR_INVALID_CONTEXT;
	state_lock();
	ctx_end(ctx);
	state_unlock();
	if (depth && stack[depth - 1] == ctx)
		depth--;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuCtxGetCurrent(CUcontext *ret)
{
	ENTER();
	*ret = depth ? stack[depth - 1] : NULL;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuCtxSetCurrent(CUcontext ctx)
{
	ENTER();
	if (ctx && !ctx_check(ctx, __func__))
		return CUDA_ERROR_CONTEXT_IS_DESTROYED;
	if (!ctx) {
		if (depth)
			depth--;
		return CUDA_SUCCESS;
	}
	if (!depth)
		return ctx_push(ctx);
	stack[depth - 1] = ctx;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuCtxPushCurrent(CUcontext ctx)
{
	ENTER();
	if (!ctx_check(ctx, __func__))
		return CUDA_ERROR_CONTEXT_IS_DESTROYED;
	return ctx_push(ctx);
}

STANDIN_API CUresult cuCtxPopCurrent(CUcontext *ret)
{
	ENTER();
	if (!depth)
		return CUDA_ERROR_INVALID_CONTEXT;
	depth--;
	if (ret)
		*ret = stack[depth];
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuCtxGetDevice(CUdevice *dev)
{
	ENTER_CTX(ctx);
	*dev = ctx->device->ordinal;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuCtxGetId(CUcontext ctx, unsigned long long *id)
{
	ENTER();
	if (!ctx)
		return cuCtxGetCurrent(&ctx) == CUDA_SUCCESS && ctx ? (*id = ctx->id, CUDA_SUCCESS)
								    : CUDA_ERROR_INVALID_CONTEXT;
	if (!ctx_check(ctx, __func__))
		return CUDA_ERROR_CONTEXT_IS_DESTROYED;
	*id = ctx->id;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
	ENTER_CTX(ctx);
	(void)ctx;
	if (least)
		*least = 0;
	if (greatest)
		*greatest = -5;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuCtxSynchronize(void)
{
	ENTER_CTX(ctx);
	state_lock();
	stream_wait_all(ctx);
	state_unlock();
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuCtxSetLimit(CUlimit limit, size_t value)
{
	ENTER_CTX(ctx);
	(void)ctx;
	(void)limit;
	(void)value;
	return CUDA_SUCCESS;
}
