/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that stands for a GPU's: dmabufs that the CPU has mapped, so that the CPU can play the
 * kernel's part. Host memory has the same shape and no dmabuf.
 *
 * The CPU's accesses are not bracketed with DMA_BUF_IOCTL_SYNC: the network stack reads and writes
 * the same pages with the CPU or with coherent DMA, as it does on x86 and on arm64 servers, where
 * the call does nothing but cost.
 */
#ifndef PERF_DEVICE_MEMORY_H
#define PERF_DEVICE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

enum device_memory_kind {
	DEVICE_MEMORY_HOST,
	DEVICE_MEMORY_UDMABUF, /* /dev/udmabuf over a memfd; at most udmabuf.size_limit_mb */
	DEVICE_MEMORY_DMAHEAP, /* /dev/dma_heap/system */
	DEVICE_MEMORY_DRM,     /* a dumb buffer of a DRM device, vgem where there is one */
};

/*
 * @addr: page aligned, zeroed, readable and writable. @size: as asked for, rounded up to pages.
 * @dmabuf_fd: -1 for host memory. Owned by whoever allocated it.
 */
struct device_memory {
	enum device_memory_kind kind;
	void *addr;
	size_t size;
	int dmabuf_fd;
	int drm_fd;
	uint32_t drm_handle;
};

#define DEVICE_MEMORY_NONE                     \
	(struct device_memory)                 \
	{                                      \
		.dmabuf_fd = -1, .drm_fd = -1, \
	}

/* "host", "udmabuf", "dmaheap", "drm" */
const char *device_memory_name(enum device_memory_kind kind);

/* -EINVAL for an unknown word. */
int device_memory_parse(const char *word, enum device_memory_kind *ret);

/*
 * @size > 0 bytes. Reports what failed and what to do about it. Negative errno; *ret is untouched
 * then.
 */
int device_memory_alloc(enum device_memory_kind kind, size_t size, struct device_memory *ret);

/* Frees and resets to DEVICE_MEMORY_NONE, which is fine as input too. */
void device_memory_free(struct device_memory *mem);

#endif
