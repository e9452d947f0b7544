/* SPDX-License-Identifier: BSD-3-Clause */
/* What can be asked of a dmabuf's descriptor, whoever exported it. */
#ifndef DEVMEM_DMABUF_H
#define DEVMEM_DMABUF_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A dmabuf's identity: each has an inode of its own (drivers/dma-buf/dma-buf.c), whose number is not used
 * again, so two descriptors with the same pair are the same memory.
 */
struct dmabuf_id {
	dev_t dev;
	ino_t ino;
};

/* -EBADF: not open; -EINVAL: some other kind of file. */
int dmabuf_identify(int fd, struct dmabuf_id *ret);

/* Bytes, always a multiple of pages for the providers here. */
int dmabuf_size(int fd, size_t *ret);

/*
 * Maps all @size bytes for reading and writing. The mapping keeps the memory; @fd may be closed. It is not
 * inherited by fork(): a child must not reach into buffers that the NIC fills for its parent.
 * -errno of mmap; exporters that do not support it answer -ENOTSUP, -EINVAL or -ENODEV.
 */
int dmabuf_map(int fd, size_t size, uint8_t **ret);

#endif
