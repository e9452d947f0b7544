/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * GPUs, through the CUDA driver API that is opened at run time (libcuda.so.1): there is none at build time, and a machine without it
 * is told so once.
 *
 * NCCL's threads have the communicator's context current when they call, the device's primary one as a rule. A GPU here is such a context:
 * found, never made. Every function makes it current for its own length and puts the caller's back. None is of use in a forked child.
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

/* Is @p host memory that every GPU reaches under its own address (pinned, and mapped by unified addressing)? */
bool gpu_sees_host(const void *p);

/* For log lines: "GPU 0 (NVIDIA H200, 0000:18:00.0)". Valid until gpu_reset(). */
const char *gpu_name(const struct gpu *gpu);
int gpu_ordinal(const struct gpu *gpu);

/* Lets every GPU's context, and the driver, go; at plugin finalize, after everything that used them. */
void gpu_reset(void);

/*
 * Memory of the GPU, at least 64 KiB aligned; what is not freed goes at gpu_reset(). Freeing may wait for everything that the GPU does, as cudaFree()
 * does: only where a connection ends. And host memory that it sees under its own
 * address, *ret_dev. 0 or -errno, @why says.
 */
int gpu_alloc(struct gpu *gpu, size_t size, uint64_t *ret_dev, struct verdict *why);
void gpu_free(struct gpu *gpu, uint64_t dev);
int gpu_host_alloc(struct gpu *gpu, size_t size, void **ret_host, uint64_t *ret_dev,
		   struct verdict *why);
void gpu_host_free(struct gpu *gpu, void *host);
/* The same of memory that is there already: pins it and maps it. -ENOTSUP: not this memory (a dmabuf's own mapping, as a rule). */
int gpu_host_register(struct gpu *gpu, void *host, size_t size, uint64_t *ret_dev,
		      struct verdict *why);
void gpu_host_unregister(struct gpu *gpu, void *host);

/*
 * A dmabuf of [dev, dev+size), page aligned: *ret_fd is the caller's. Asks for a mapping for PCIe peers first where the driver knows such
 * (cuMemGetHandleForAddressRange, CU_MEM_RANGE_FLAG_DMA_BUF_MAPPING_TYPE_PCIE).
 */
int gpu_export(struct gpu *gpu, uint64_t dev, size_t size, int *ret_fd, struct verdict *why);

/* Waits until done; for set-up and rare things. Either address may be host or GPU memory. 0 or -EIO. */
int gpu_copy_sync(struct gpu *gpu, uint64_t dst, uint64_t src, size_t len);

/*
 * Makes what a NIC has written to the GPU's memory visible to kernels that are already running, on GPUs where that does not come by itself
 * (cuFlushGPUDirectRDMAWrites; up to compute capability 8). Kernels launched later see it anyway. 0 or -EIO.
 */
int gpu_flush(struct gpu *gpu);

/*
 * Work that a GPU does in order, behind the caller's back. Used by one thread at a time. Everything that takes time, or could wait for the
 * job's kernels, is done by gpu_queue_create() and gpu_queue_destroy().
 *
 * A ticket counts the marks that were set; gpu_queue_done() is the newest that has been passed.
 */
struct gpu_queue;

int gpu_queue_create(struct gpu *gpu, struct gpu_queue **ret, struct verdict *why);
/* One for gpu_queue_copy(): moves are copies in it, too. It costs less. */
int gpu_queue_create_copies(struct gpu *gpu, struct gpu_queue **ret, struct verdict *why);
/* Waits for what is under way. */
void gpu_queue_destroy(struct gpu_queue *q);
/* Copies asynchronously. @src and @dst: GPU memory, or pinned host memory. 0 or -EIO. Moves that wait are not ordered against it. */
int gpu_queue_copy(struct gpu_queue *q, uint64_t dst, uint64_t src, size_t len);

/* @len bytes from @src to @dst, any alignment; both addresses of the GPU's. */
struct gpu_move {
	uint64_t src;
	uint64_t dst;
	uint64_t len;
};

/* The most moves, and bytes in them, that one call takes. */
#define GPU_MOVES      512
#define GPU_MOVE_BYTES (1UL << 20)

/*
 * All @n moves. Where the kernel does it they wait for gpu_queue_flush() or gpu_queue_mark(), so that one launch serves many calls; the copy engine
 * begins at once, with one copy for each run of bytes. -EAGAIN: too much is under way, nothing was taken; -E2BIG; -EIO.
 *
 * What the kernel writes may be watched for flags behind their data, as NCCL's LL and LL128 do, if moves to one line of memory (128 bytes) are
 * given in order of their addresses: aligned 16 bytes appear at once, and of a line nothing appears before what is in front of it. Of the copy
 * engine nothing of the kind is known: see gpu_queue_is_ordered().
 */
int gpu_queue_move(struct gpu_queue *q, const struct gpu_move *moves, unsigned int n);
/* 0: the next call, whatever it is, is taken. -EAGAIN: not sure. -EIO. */
int gpu_queue_room(struct gpu_queue *q);
/* Starts the moves that wait. 0, -EAGAIN, -EIO. */
int gpu_queue_flush(struct gpu_queue *q);
/* "kernel" or "copy engine", with how that was decided; valid as long as the GPU. */
const char *gpu_queue_mover(const struct gpu_queue *q);
bool gpu_queue_is_ordered(const struct gpu_queue *q);
/* The same of queues to be made on @gpu; chooses, which takes some milliseconds the first time. */
bool gpu_is_ordered(struct gpu *gpu);

/* The work given so far gets a ticket, *ret_ticket > 0, the last one's if there is none since. 0, -EAGAIN, -EIO. */
int gpu_queue_mark(struct gpu_queue *q, uint64_t *ret_ticket);
/* The newest ticket whose work is finished. 0 or -EIO: the GPU reported an error, which stays. */
int gpu_queue_done(struct gpu_queue *q, uint64_t *ret_ticket);

#endif
