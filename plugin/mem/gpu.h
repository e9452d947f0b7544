/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * GPUs, through the CUDA driver API that is opened at run time (libcuda.so.1): there is none at build time, and a machine without it
 * is told so once.
 *
 * NCCL's threads have a context of their own current when they call; every function here makes the GPU's primary context current
 * for its own length and puts the caller's back.
 */
#ifndef DEVMEM_GPU_H
#define DEVMEM_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/verdict.h"

/* One GPU of this process. Made at first use, lives until gpu_reset(). */
struct gpu;

/* Is there a driver at all? 0, or the verdict's errno with its reason; asked once per net_init(). Any thread. */
int gpu_driver(struct verdict *why);

/*
 * The GPU whose context is current in this thread. -ENODEV with @why when there is none (no driver, or a thread that uses no GPU).
 * Never makes a context by itself. Any thread.
 */
int gpu_current(struct gpu **ret, struct verdict *why);

/* The GPU whose memory @p is in; -ENODEV when it is not GPU memory (or there is no driver). */
int gpu_of_pointer(const void *p, struct gpu **ret);

/* For log lines: "GPU 0 (NVIDIA H200, 0000:18:00.0)". Valid until gpu_reset(). */
const char *gpu_name(const struct gpu *gpu);
int gpu_ordinal(const struct gpu *gpu);

/* Lets every GPU's primary context go; at plugin finalize, after everything that used them. */
void gpu_reset(void);

/* Memory of the GPU, at least 64 KiB aligned; and host memory that it sees under its own address, *ret_dev. 0 or -errno, @why says. */
int gpu_alloc(struct gpu *gpu, size_t size, uint64_t *ret_dev, struct verdict *why);
void gpu_free(struct gpu *gpu, uint64_t dev);
int gpu_host_alloc(struct gpu *gpu, size_t size, void **ret_host, uint64_t *ret_dev,
		   struct verdict *why);
void gpu_host_free(struct gpu *gpu, void *host);

/*
 * A dmabuf of [dev, dev+size), page aligned: *ret_fd is the caller's. Asks for a mapping for PCIe peers first where the driver knows such
 * (cuMemGetHandleForAddressRange, CU_MEM_RANGE_FLAG_DMA_BUF_MAPPING_TYPE_PCIE).
 */
int gpu_export(struct gpu *gpu, uint64_t dev, size_t size, int *ret_fd, struct verdict *why);

/* Waits until done; for set-up and rare things. Either address may be host or GPU memory. 0 or -EIO. */
int gpu_copy_sync(struct gpu *gpu, uint64_t dst, uint64_t src, size_t len);

/*
 * Work that a GPU does in order, behind the caller's back. Used by one thread at a time.
 * A ticket counts the marks that were set; gpu_queue_done() is the newest that has been passed.
 */
struct gpu_queue;

int gpu_queue_create(struct gpu *gpu, struct gpu_queue **ret, struct verdict *why);
/* Waits for what is under way. */
void gpu_queue_destroy(struct gpu_queue *q);
/* Copies asynchronously. @src and @dst: GPU memory, or pinned host memory. 0 or -EIO. */
int gpu_queue_copy(struct gpu_queue *q, uint64_t dst, uint64_t src, size_t len);

/* @len bytes from @src to @dst, any alignment; both addresses of the GPU's. The layout is the kernel's own. */
struct gpu_move {
	uint64_t src;
	uint64_t dst;
	uint64_t len;
};

/*
 * All @n moves, by one launch or a bounded number of copies per call, whatever gpu_queue_mover() says.
 * @ordered: a reader may be watching the destination for flags beside data (NCCL's LL and LL128): aligned 16 bytes appear at once,
 * never a part of them. -EAGAIN: too much is under way, -EIO, -ENOTSUP: @ordered, and there is only the copy engine.
 */
int gpu_queue_move(struct gpu_queue *q, const struct gpu_move *moves, unsigned int n, bool ordered);
/* "kernel" or "copy engine", with how that was decided; valid as long as @q. */
const char *gpu_queue_mover(const struct gpu_queue *q);

/* The work given so far gets the next ticket; *ret_ticket > 0. 0, -EAGAIN, -EIO. */
int gpu_queue_mark(struct gpu_queue *q, uint64_t *ret_ticket);
/* The newest ticket whose work is finished. 0 or -EIO: the GPU reported an error, which stays. */
int gpu_queue_done(struct gpu_queue *q, uint64_t *ret_ticket);

#endif
