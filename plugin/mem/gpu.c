// SPDX-License-Identifier: BSD-3-Clause
/*
 * GPUs and their contexts, and plain memory.
 *
 * NCCL and PyTorch work in each device's primary context; the plugin joins that and never makes one: a context costs hundreds of MiB, and one
 * on a device that the job does not use is a well-known annoyance. Where the caller's current context is another one, that is used.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "mem/gpu_internal.h"

/* NCCL's unpack kernel and the NIC want no more; GPU pages are 64 KiB or 2 MiB. */
#define GPU_ALIGN (64UL << 10)

/* Guards the list, whose entries stay until gpu_reset(). */
static pthread_mutex_t gpus_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gpu *gpus;

int gpu_driver(struct verdict *why)
{
	return cuda_open(why) ? 0 : why->err;
}

int gpu_verdict(const struct gpu *gpu, cu_result err, const char *remedy, struct verdict *why,
		const char *what)
{
	return verdict_set(why, cuda_errno(err), remedy, "%s: %s: %s", gpu->name, what,
			   cuda_error_text(gpu->cu, err));
}

int gpu_enter(const struct gpu *gpu, struct gpu_scope *ret)
{
	const struct cuda_api *cu = gpu->cu;
	cu_context now = NULL;

	ret->pushed = false;
	if (cu->cuCtxGetCurrent(&now) != CU_OK)
		return -EIO;
	if (now != gpu->ctx) {
		if (cu->cuCtxPushCurrent(gpu->ctx) != CU_OK)
			return -EIO;
		ret->pushed = true;
	}
	/*
	 * While some other thread captures a graph in the default mode, allocations and queries are errors here and spoil the capture there,
	 * unless this thread says that it knows what it does.
	 */
	ret->capture = CU_CAPTURE_RELAXED;
	if (cu->cuThreadExchangeStreamCaptureMode)
		cu->cuThreadExchangeStreamCaptureMode(&ret->capture);
	return 0;
}

void gpu_leave(const struct gpu *gpu, struct gpu_scope *scope)
{
	cu_context popped;

	if (gpu->cu->cuThreadExchangeStreamCaptureMode)
		gpu->cu->cuThreadExchangeStreamCaptureMode(&scope->capture);
	if (scope->pushed)
		gpu->cu->cuCtxPopCurrent(&popped);
}

/* Fills what can be asked without the context being current. */
static void gpu_describe(struct gpu *gpu)
{
	const struct cuda_api *cu = gpu->cu;
	char name[80] = "?", bus[24] = "?";
	int least = 0, greatest = 0;
	int options = 0, ordering = CU_WRITES_ORDERED_OWNER;

	cu->cuDeviceGetName(name, sizeof(name), gpu->dev);
	cu->cuDeviceGetPCIBusId(bus, sizeof(bus), gpu->dev);
	snprintf(gpu->name, sizeof(gpu->name), "GPU %d (%s, %s)", gpu->ordinal, name, bus);
	/* Pieces are small and someone waits for them: ahead of the job's own kernels. */
	if (cu->cuCtxGetStreamPriorityRange &&
	    cu->cuCtxGetStreamPriorityRange(&least, &greatest) == CU_OK)
		gpu->priority = greatest;
	cu->cuDeviceGetAttribute(&options, CU_ATTR_FLUSH_OPTIONS, gpu->dev);
	cu->cuDeviceGetAttribute(&ordering, CU_ATTR_WRITES_ORDERING, gpu->dev);
	gpu->needs_flush = cu->cuFlushGPUDirectRDMAWrites && (options & CU_FLUSH_OPTION_HOST) &&
			   ordering < CU_WRITES_ORDERED_OWNER;
}

static unsigned long long context_id(const struct cuda_api *cu, cu_context ctx)
{
	unsigned long long id = 0;

	if (cu->cuCtxGetId && cu->cuCtxGetId(ctx, &id) != CU_OK)
		id = 0;
	return id;
}

/* Is @ctx the primary context of @dev? If so it is retained. */
static bool retain_primary(const struct cuda_api *cu, cu_device dev, cu_context ctx)
{
	cu_context primary = NULL;
	unsigned int flags;
	int active = 0;

	if (cu->cuDevicePrimaryCtxGetState(dev, &flags, &active) != CU_OK || !active)
		return false;
	if (cu->cuDevicePrimaryCtxRetain(&primary, dev) != CU_OK)
		return false;
	if (primary == ctx)
		return true;
	cu->cuDevicePrimaryCtxRelease(dev);
	return false;
}

/*
 * The GPU of context @ctx of @dev, made if it is new. List lock held. A context that was destroyed may have left its address to a new one:
 * its id tells them apart (CUDA 12).
 */
static int gpu_find(const struct cuda_api *cu, cu_context ctx, cu_device dev, struct gpu **ret)
{
	unsigned long long id = context_id(cu, ctx);
	struct gpu *gpu;

	for (gpu = gpus; gpu; gpu = gpu->next) {
		if (gpu->ctx == ctx && gpu->ctx_id == id) {
			*ret = gpu;
			return 0;
		}
	}
	gpu = calloc(1, sizeof(*gpu));
	if (!gpu)
		return -ENOMEM;
	gpu->cu = cu;
	gpu->ctx = ctx;
	gpu->ctx_id = id;
	gpu->dev = dev;
	gpu->ordinal =
		dev; /* cuDeviceGet(): handles are ordinals; nothing but names depends on it */
	gpu->is_primary = retain_primary(cu, dev, ctx);
	pthread_mutex_init(&gpu->lock, NULL);
	gpu_describe(gpu);
	gpu->next = gpus;
	gpus = gpu;
	*ret = gpu;
	return 0;
}

int gpu_current(struct gpu **ret, struct verdict *why)
{
	const struct cuda_api *cu = cuda_open(why);
	cu_context ctx = NULL;
	cu_device dev;
	cu_result r;
	int err;

	if (!cu)
		return -ENODEV;
	r = cu->cuCtxGetCurrent(&ctx);
	if (r == CU_OK && !ctx)
		return verdict_set(why, -ENODEV, NULL, "no CUDA context is current in this thread");
	if (r == CU_OK)
		r = cu->cuCtxGetDevice(&dev);
	if (r != CU_OK)
		return verdict_set(why, -ENODEV, NULL, "asking for the current CUDA context: %s",
				   cuda_error_text(cu, r));
	pthread_mutex_lock(&gpus_lock);
	err = gpu_find(cu, ctx, dev, ret);
	pthread_mutex_unlock(&gpus_lock);
	return err ? verdict_set(why, err, NULL, "no memory for a GPU's state") : 0;
}

/* Memory of cuMemCreate() belongs to a device and to no context: the primary one, if somebody works in that, sees it. */
static int gpu_of_device(const struct cuda_api *cu, cu_device dev, struct gpu **ret)
{
	cu_context primary = NULL;
	unsigned int flags;
	struct gpu *gpu;
	int active = 0;
	int err;

	for (gpu = gpus; gpu; gpu = gpu->next) {
		if (gpu->dev == dev && gpu->is_primary) {
			*ret = gpu;
			return 0;
		}
	}
	if (cu->cuDevicePrimaryCtxGetState(dev, &flags, &active) == CU_OK && active &&
	    cu->cuDevicePrimaryCtxRetain(&primary, dev) == CU_OK) {
		err = gpu_find(cu, primary, dev, ret);
		cu->cuDevicePrimaryCtxRelease(dev);
		return err;
	}
	for (gpu = gpus; gpu; gpu = gpu->next) {
		if (gpu->dev == dev) {
			*ret = gpu;
			return 0;
		}
	}
	return -ENODEV;
}

int gpu_of_pointer(const void *p, struct gpu **ret)
{
	struct verdict why = { 0 };
	const struct cuda_api *cu = cuda_open(&why);
	cu_deviceptr at = (uintptr_t)p;
	unsigned int type = 0;
	cu_context ctx = NULL;
	int ordinal = -1;
	cu_device dev;
	int err = -ENODEV;

	if (!cu || !p || cu->cuPointerGetAttribute(&type, CU_POINTER_MEMORY_TYPE, at) != CU_OK ||
	    type != CU_MEMORY_DEVICE)
		return -ENODEV;
	if (cu->cuPointerGetAttribute(&ordinal, CU_POINTER_ORDINAL, at) != CU_OK ||
	    cu->cuDeviceGet(&dev, ordinal) != CU_OK)
		return -ENODEV;
	if (cu->cuPointerGetAttribute(&ctx, CU_POINTER_CONTEXT, at) != CU_OK)
		ctx = NULL;
	pthread_mutex_lock(&gpus_lock);
	err = ctx ? gpu_find(cu, ctx, dev, ret) : gpu_of_device(cu, dev, ret);
	pthread_mutex_unlock(&gpus_lock);
	return err;
}

bool gpu_sees_host(const void *p)
{
	struct verdict why = { 0 };
	const struct cuda_api *cu = cuda_open(&why);
	unsigned int type = 0;

	return cu &&
	       cu->cuPointerGetAttribute(&type, CU_POINTER_MEMORY_TYPE, (uintptr_t)p) == CU_OK &&
	       type == CU_MEMORY_HOST;
}

const char *gpu_name(const struct gpu *gpu)
{
	return gpu->name;
}

int gpu_ordinal(const struct gpu *gpu)
{
	return gpu->ordinal;
}

/* What was allocated goes with the context, if the job has ended that before us: then there is nothing to be freed. */
static void gpu_destroy(struct gpu *gpu)
{
	struct gpu_scope scope;
	bool inside = gpu_enter(gpu, &scope) == 0;

	while (gpu->mems) {
		struct gpu_mem *m = gpu->mems;

		gpu->mems = m->next;
		if (inside)
			gpu->cu->cuMemFree(m->base);
		free(m);
	}
	if (inside) {
		gpu_mover_free(gpu);
		gpu_leave(gpu, &scope);
	}
	if (gpu->is_primary)
		gpu->cu->cuDevicePrimaryCtxRelease(gpu->dev);
	pthread_mutex_destroy(&gpu->lock);
	free(gpu);
}

void gpu_reset(void)
{
	/* A child has copies of its parent's objects, which belong to the parent's driver. */
	if (cuda_is_forked())
		return;
	pthread_mutex_lock(&gpus_lock);
	while (gpus) {
		struct gpu *gpu = gpus;

		gpus = gpu->next;
		gpu_destroy(gpu);
	}
	pthread_mutex_unlock(&gpus_lock);
	cuda_close();
}

int gpu_alloc_verdict(const struct gpu *gpu, cu_result err, size_t size, struct verdict *why)
{
	size_t room = 0, total = 0;

	if (err == CU_E_OUT_OF_MEMORY && gpu->cu->cuMemGetInfo(&room, &total) == CU_OK)
		return verdict_set(why, -ENOMEM, "ask for less, or free memory of the GPU",
				   "%s: no %zu KiB of memory, %zu of %zu MiB are free", gpu->name,
				   size >> 10, room >> 20, total >> 20);
	return gpu_verdict(gpu, err, NULL, why, "allocating memory");
}

int gpu_alloc(struct gpu *gpu, size_t size, uint64_t *ret_dev, struct verdict *why)
{
	struct gpu_mem *m = calloc(1, sizeof(*m));
	struct gpu_scope scope;
	cu_result r;
	int err;

	if (!m)
		return verdict_set(why, -ENOMEM, NULL, "no memory for an allocation's entry");
	if (gpu_enter(gpu, &scope) < 0) {
		free(m);
		return verdict_set(why, -EIO, NULL, "%s: its CUDA context is gone", gpu->name);
	}
	r = gpu->cu->cuMemAlloc(&m->base, size);
	if (r == CU_OK && m->base % GPU_ALIGN) {
		/* Small allocations may share a page with others: then as much more as the alignment takes. */
		gpu->cu->cuMemFree(m->base);
		r = gpu->cu->cuMemAlloc(&m->base, size + GPU_ALIGN);
	}
	err = r == CU_OK ? 0 : gpu_alloc_verdict(gpu, r, size, why);
	gpu_leave(gpu, &scope);
	if (err) {
		free(m);
		return err;
	}
	m->dev = (m->base + GPU_ALIGN - 1) & ~(GPU_ALIGN - 1);
	pthread_mutex_lock(&gpu->lock);
	m->next = gpu->mems;
	gpu->mems = m;
	pthread_mutex_unlock(&gpu->lock);
	*ret_dev = m->dev;
	return 0;
}

void gpu_free(struct gpu *gpu, uint64_t dev)
{
	struct gpu_mem **p, *m = NULL;
	struct gpu_scope scope;

	pthread_mutex_lock(&gpu->lock);
	for (p = &gpu->mems; *p; p = &(*p)->next) {
		if ((*p)->dev == dev) {
			m = *p;
			*p = m->next;
			break;
		}
	}
	pthread_mutex_unlock(&gpu->lock);
	if (m && gpu_enter(gpu, &scope) == 0) {
		gpu->cu->cuMemFree(m->base);
		gpu_leave(gpu, &scope);
	}
	free(m);
}

int gpu_host_alloc(struct gpu *gpu, size_t size, void **ret_host, uint64_t *ret_dev,
		   struct verdict *why)
{
	struct gpu_scope scope;
	cu_deviceptr dev;
	void *host;
	cu_result r;
	int err = 0;

	if (gpu_enter(gpu, &scope) < 0)
		return verdict_set(why, -EIO, NULL, "%s: its CUDA context is gone", gpu->name);
	r = gpu->cu->cuMemHostAlloc(&host, size, CU_HOSTALLOC_PORTABLE | CU_HOSTALLOC_DEVICEMAP);
	if (r != CU_OK) {
		err = gpu_verdict(gpu, r, "raise the limit of locked memory, or free memory", why,
				  "pinning host memory");
		goto leave;
	}
	r = gpu->cu->cuMemHostGetDevicePointer(&dev, host, 0);
	if (r != CU_OK) {
		gpu->cu->cuMemFreeHost(host);
		err = gpu_verdict(gpu, r, NULL, why, "mapping pinned host memory");
		goto leave;
	}
	/* The GPU and the NIC write there: a child must not hold, or copy, those pages. */
	madvise(host, size, MADV_DONTFORK);
	*ret_host = host;
	*ret_dev = dev;
leave:
	gpu_leave(gpu, &scope);
	return err;
}

void gpu_host_free(struct gpu *gpu, void *host)
{
	struct gpu_scope scope;

	if (!host || gpu_enter(gpu, &scope) < 0)
		return;
	gpu->cu->cuMemFreeHost(host);
	gpu_leave(gpu, &scope);
}

int gpu_host_register(struct gpu *gpu, void *host, size_t size, uint64_t *ret_dev,
		      struct verdict *why)
{
	struct gpu_scope scope;
	cu_deviceptr dev;
	cu_result r;
	int err = 0;

	if (!gpu->cu->cuMemHostRegister || !gpu->cu->cuMemHostUnregister)
		return verdict_set(why, -ENOTSUP, NULL, "%s: the driver cannot map host memory",
				   gpu->name);
	if (gpu_enter(gpu, &scope) < 0)
		return verdict_set(why, -EIO, NULL, "%s: its CUDA context is gone", gpu->name);
	r = gpu->cu->cuMemHostRegister(host, size,
				       CU_HOSTREGISTER_PORTABLE | CU_HOSTREGISTER_DEVICEMAP);
	if (r != CU_OK) {
		err = gpu_verdict(gpu, r, NULL, why, "mapping host memory");
		goto leave;
	}
	r = gpu->cu->cuMemHostGetDevicePointer(&dev, host, 0);
	if (r != CU_OK) {
		gpu->cu->cuMemHostUnregister(host);
		err = gpu_verdict(gpu, r, NULL, why, "mapping host memory");
		goto leave;
	}
	*ret_dev = dev;
leave:
	gpu_leave(gpu, &scope);
	return err;
}

void gpu_host_unregister(struct gpu *gpu, void *host)
{
	struct gpu_scope scope;

	if (gpu_enter(gpu, &scope) < 0)
		return;
	gpu->cu->cuMemHostUnregister(host);
	gpu_leave(gpu, &scope);
}

/* cuMemGetHandleForAddressRange: the range is in whole pages of the host. */
static cu_result export_range(const struct gpu *gpu, uint64_t dev, size_t size, int *ret_fd)
{
	const struct cuda_api *cu = gpu->cu;
	cu_result r;

	/* Where GPU and CPU share a coherent link the default mapping is not over PCIe, which a NIC needs (CUDA 12.8). */
	r = cu->cuMemGetHandleForAddressRange(ret_fd, dev, size, CU_RANGE_DMABUF_FD,
					      CU_RANGE_DMABUF_PCIE);
	if (r != CU_OK)
		r = cu->cuMemGetHandleForAddressRange(ret_fd, dev, size, CU_RANGE_DMABUF_FD, 0);
	return r;
}

#define EXPORT_REMEDY                                                                              \
	"use NVIDIA's open kernel modules (R515 or later), a driver of CUDA 11.7 or later, and a " \
	"data-centre or workstation GPU"

int gpu_export(struct gpu *gpu, uint64_t dev, size_t size, int *ret_fd, struct verdict *why)
{
	struct gpu_scope scope;
	int can = 0;
	int fd = -1;
	cu_result r;

	if (!gpu->cu->cuMemGetHandleForAddressRange)
		return verdict_set(why, -ENOTSUP, EXPORT_REMEDY,
				   "%s: the driver is too old to export memory as a dmabuf",
				   gpu->name);
	if (gpu->cu->cuDeviceGetAttribute(&can, CU_ATTR_DMABUF, gpu->dev) != CU_OK || !can)
		return verdict_set(why, -ENOTSUP, EXPORT_REMEDY,
				   "%s: its memory cannot be exported as a dmabuf", gpu->name);
	if (gpu_enter(gpu, &scope) < 0)
		return verdict_set(why, -EIO, NULL, "%s: its CUDA context is gone", gpu->name);
	r = export_range(gpu, dev, size, &fd);
	gpu_leave(gpu, &scope);
	if (r != CU_OK)
		return gpu_verdict(gpu, r, EXPORT_REMEDY, why, "exporting memory as a dmabuf");
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	*ret_fd = fd;
	return 0;
}

int gpu_flush(struct gpu *gpu)
{
	struct gpu_scope scope;
	cu_result r;

	if (!gpu->needs_flush)
		return 0;
	if (gpu_enter(gpu, &scope) < 0)
		return -EIO;
	r = gpu->cu->cuFlushGPUDirectRDMAWrites(CU_FLUSH_TARGET_CURRENT, CU_FLUSH_TO_OWNER);
	gpu_leave(gpu, &scope);
	return r == CU_OK ? 0 : -EIO;
}

int gpu_copy_sync(struct gpu *gpu, uint64_t dst, uint64_t src, size_t len)
{
	const struct cuda_api *cu = gpu->cu;
	struct gpu_scope scope;
	cu_stream stream;
	cu_result r;

	if (gpu_enter(gpu, &scope) < 0)
		return -EIO;
	/* Not cuMemcpy(): that waits for the default stream, where the job's kernels are. */
	r = cu->cuStreamCreateWithPriority(&stream, CU_STREAM_NONBLOCKING, gpu->priority);
	if (r == CU_OK) {
		r = cu->cuMemcpyAsync(dst, src, len, stream);
		if (r == CU_OK)
			r = cu->cuStreamSynchronize(stream);
		cu->cuStreamDestroy(stream);
	}
	gpu_leave(gpu, &scope);
	if (r != CU_OK)
		log_err("%s: copying %zu bytes: %s", gpu->name, len, cuda_error_text(cu, r));
	return r == CU_OK ? 0 : -EIO;
}
