/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * /dev/bar-exporter, for tests: dma-bufs of an ivshmem's memory.
 */
#ifndef BAR_EXPORTER_H
#define BAR_EXPORTER_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * struct bar_exporter_create - a part of BAR 2 becomes a dma-buf
 * @offset: of the part, a multiple of the page size
 * @size: of it, likewise
 *
 * The ioctl returns a file descriptor, close-on-exec; EINVAL when the part is not in
 * the BAR. Parts may overlap.
 */
struct bar_exporter_create {
	__u64	offset;
	__u64	size;
};

#define BAR_EXPORTER_CREATE	_IOW('B', 1, struct bar_exporter_create)

#endif /* BAR_EXPORTER_H */
