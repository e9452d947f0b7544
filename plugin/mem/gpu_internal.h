/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of a GPU share. Internal to plugin/mem. */
#ifndef DEVMEM_GPU_INTERNAL_H
#define DEVMEM_GPU_INTERNAL_H

#include <pthread.h>

#include "mem/cuda.h"
#include "mem/gpu.h"

/* An allocation: @dev is inside [@base, @base + something), aligned. */
struct gpu_mem {
	cu_deviceptr base;
	cu_deviceptr dev;
	struct gpu_mem *next;
};

/*
 * What moves pieces on this GPU; set by gpu_mover_choose(), once. @kernel: NULL when it is the copy engine.
 */
struct gpu_mover {
	bool chosen;
	cu_module module;
	cu_function kernel;
	char text[160];
};

/*
 * @ctx, @ctx_id: the context. @is_primary: it is the device's primary one and retained by us.
 * @needs_flush: for gpu_flush(). @lock: guards @mems.
 */
struct gpu {
	const struct cuda_api *cu;
	cu_context ctx;
	unsigned long long ctx_id;
	bool is_primary;
	cu_device dev;
	int ordinal;
	int priority;
	bool needs_flush;
	char name[128];
	pthread_mutex_t lock;
	struct gpu_mem *mems;
	struct gpu_mover mover;
	struct gpu *next;
};

/* Between gpu_enter() and gpu_leave() the GPU's context is current in this thread. */
struct gpu_scope {
	bool pushed;
	unsigned int capture;
};

/* 0, or -EIO: the context is gone; then there is nothing to leave. */
int gpu_enter(const struct gpu *gpu, struct gpu_scope *ret);
void gpu_leave(const struct gpu *gpu, struct gpu_scope *scope);

/* @what could not be done: "GPU 0 (...): <what>: <the driver's words>". Returns cuda_errno(). */
int gpu_verdict(const struct gpu *gpu, cu_result err, const char *remedy, struct verdict *why,
		const char *what);
/* The same of an allocation of @size bytes; the context is current. */
int gpu_alloc_verdict(const struct gpu *gpu, cu_result err, size_t size, struct verdict *why);

/* Chooses, at the first call, what moves pieces: loads the kernel, and measures it against the copy engine. gpu_mover.c */
void gpu_mover_choose(struct gpu *gpu);
void gpu_mover_free(struct gpu *gpu);

#endif
