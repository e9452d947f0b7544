// SPDX-License-Identifier: BSD-3-Clause
/* The system dma-heap: large, physically long runs of pages (drivers/dma-buf/heaps/system_heap.c). */
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysinfo.h>

#include "base/cleanup.h"
#include "mem/dmabuf.h"
#include "mem/provider_util.h"

#define DMAHEAP_NODE "/dev/dma_heap/system"

/* The heap takes page after page without looking ahead, and would bring in the OOM killer. */
static int dmaheap_check(size_t size, struct verdict *why)
{
	struct sysinfo si;

	if (!sysinfo(&si) && size / si.mem_unit > si.totalram)
		return verdict_set(why, -ENOMEM, "ask for less",
				   "dmaheap: %zu MiB are more than this machine has", size >> 20);
	return 0;
}

static int dmaheap_alloc(size_t size, struct mem_block *ret, struct verdict *why)
{
	struct dma_heap_allocation_data req = { .len = size, .fd_flags = O_RDWR | O_CLOEXEC };
	_cleanup_close_ int node = open(DMAHEAP_NODE, O_RDWR | O_CLOEXEC);
	_cleanup_close_ int fd = -1;
	int err;

	if (node < 0)
		return device_open_verdict("dmaheap", DMAHEAP_NODE,
					   "use a kernel with CONFIG_DMABUF_HEAPS_SYSTEM=y", -errno,
					   why);
	err = dmaheap_check(size, why);
	if (err)
		return err;
	if (ioctl(node, DMA_HEAP_IOCTL_ALLOC, &req) < 0) {
		err = -errno;
		return verdict_set(why, err, err == -ENOMEM ? "free memory or ask for less" : NULL,
				   "dmaheap: allocating %zu bytes: %s", size,
				   strerrordesc_np(-err));
	}
	fd = (int)req.fd;
	err = dmabuf_map(fd, size, &ret->cpu);
	if (err)
		return verdict_set(why, err, NULL, "dmaheap: mapping %zu bytes: %s", size,
				   strerrordesc_np(-err));
	ret->dmabuf_fd = TAKE_FD(fd);
	ret->size = size;
	return 0;
}

const struct memory_provider provider_dmaheap = {
	.name = "dmaheap",
	.alloc = dmaheap_alloc,
	.free = mem_block_unmap,
};
