/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Buffers that messages are sent from and received into: host memory, dmabufs that the CPU sees (device_memory.h), or a GPU's memory
 * through the CUDA driver, opened at run time.
 */
#ifndef CONFORMANCE_MEMORY_H
#define CONFORMANCE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device_memory.h"

/* One more kind than device_memory.h has. */
#define MEMORY_CUDA ((enum device_memory_kind)(DEVICE_MEMORY_DRM + 1))

const char *memory_name(enum device_memory_kind kind);
/* -EINVAL for an unknown word. */
int memory_parse(const char *word, enum device_memory_kind *ret);

/* Opens the driver where @kind needs it. 0, or -ENODEV with a line on stderr. Once per process, before the plugin is loaded. */
int memory_open(enum device_memory_kind kind);
/* Makes the GPU's context current in the calling thread, as NCCL's threads have it. */
void memory_thread_init(void);

struct memory {
	struct device_memory dm; /* of a GPU: @addr, @size and @dmabuf_fd alone, which may be -1 */
	bool cuda;
};

int memory_alloc(enum device_memory_kind kind, size_t size, struct memory *ret);
void memory_free(struct memory *m);
/* Descriptors that it holds. */
int memory_fds(const struct memory *m);

/* Whether addresses may be used by the CPU. */
bool memory_is_host(void);
/* From and to CPU memory; plain copies where the CPU sees both. */
void memory_write(void *dst, const void *src, size_t size);
void memory_read(void *dst, const void *src, size_t size);

#endif
