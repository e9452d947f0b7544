/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * /dev/bar-exporter, for tests: dma-bufs of the memory of ivshmems.
 */
#ifndef BAR_EXPORTER_H
#define BAR_EXPORTER_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * struct bar_exporter_create - a part of the BARs becomes a dma-buf
 * @offset: of the part, a multiple of the page size; the BARs of several ivshmems lie
 *	one behind the other, in the order of the PCI bus
 * @size: of it, likewise, and no more than a GiB
 *
 * The ioctl returns a file descriptor, close-on-exec; EINVAL when the part is not in
 * the BARs. Parts may overlap.
 */
struct bar_exporter_create {
	__u64	offset;
	__u64	size;
};

#define BAR_EXPORTER_CREATE	_IOW('B', 1, struct bar_exporter_create)

#endif /* BAR_EXPORTER_H */
