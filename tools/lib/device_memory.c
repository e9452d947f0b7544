// SPDX-License-Identifier: BSD-3-Clause
#include "device_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xf86drm.h>

#include "report.h"

#define UDMABUF_NODE  "/dev/udmabuf"
#define DMAHEAP_NODE  "/dev/dma_heap/system"
#define DRM_NODES     64 /* minors of card nodes, Documentation/gpu/drm-uapi.rst */
#define DRM_PREFERRED "vgem"

static const char *const kind_names[] = {
	[DEVICE_MEMORY_HOST] = "host",
	[DEVICE_MEMORY_UDMABUF] = "udmabuf",
	[DEVICE_MEMORY_DMAHEAP] = "dmaheap",
	[DEVICE_MEMORY_DRM] = "drm",
};

const char *device_memory_name(enum device_memory_kind kind)
{
	return kind_names[kind];
}

int device_memory_parse(const char *word, enum device_memory_kind *ret)
{
	for (size_t i = 0; i < sizeof(kind_names) / sizeof(kind_names[0]); i++) {
		if (!strcmp(word, kind_names[i])) {
			*ret = (enum device_memory_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int memory_map(int fd, off_t offset, size_t size, void **ret)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *addr;

	addr = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, offset);
	if (addr == MAP_FAILED)
		return -errno;
	*ret = addr;
	return 0;
}

static int host_alloc(size_t size, struct device_memory *mem)
{
	int err;

	err = memory_map(-1, 0, size, &mem->addr);
	if (err)
		report_err("%zu bytes of host memory: %s", size, strerror(-err));
	return err;
}

static int udmabuf_alloc(size_t size, struct device_memory *mem)
{
	struct udmabuf_create create = { .flags = UDMABUF_FLAGS_CLOEXEC };
	int node, memfd, err;

	node = open(UDMABUF_NODE, O_RDWR | O_CLOEXEC);
	if (node < 0) {
		err = -errno;
		report_err(UDMABUF_NODE
			   ": %s; the kernel needs CONFIG_UDMABUF, and the user access to the node",
			   strerror(-err));
		return err;
	}
	memfd = memfd_create("devmem-perf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	/* udmabuf wants memory that cannot shrink under it, include/uapi/linux/udmabuf.h. */
	if (memfd < 0 || ftruncate(memfd, (off_t)size) < 0 ||
	    fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK) < 0) {
		err = -errno;
		report_err("memfd of %zu bytes for udmabuf: %s", size, strerror(-err));
		goto close_memfd;
	}
	create.memfd = (__u32)memfd;
	create.size = size;
	mem->dmabuf_fd = ioctl(node, UDMABUF_CREATE, &create);
	if (mem->dmabuf_fd < 0) {
		err = -errno;
		report_err("udmabuf of %zu bytes: %s; the most is in "
			   "/sys/module/udmabuf/parameters/size_limit_mb",
			   size, strerror(-err));
		goto close_memfd;
	}
	err = memory_map(memfd, 0, size, &mem->addr);
	if (err)
		report_err("mapping a udmabuf's memfd: %s", strerror(-err));

close_memfd:
	if (memfd >= 0)
		close(memfd);
	close(node);
	return err;
}

static int dmaheap_alloc(size_t size, struct device_memory *mem)
{
	struct dma_heap_allocation_data alloc = { .len = size, .fd_flags = O_RDWR | O_CLOEXEC };
	int node, err = 0;

	node = open(DMAHEAP_NODE, O_RDONLY | O_CLOEXEC);
	if (node < 0) {
		err = -errno;
		report_err(DMAHEAP_NODE ": %s; the kernel needs CONFIG_DMABUF_HEAPS_SYSTEM, and "
					"the user access to the node",
			   strerror(-err));
		return err;
	}
	if (ioctl(node, DMA_HEAP_IOCTL_ALLOC, &alloc) < 0) {
		err = -errno;
		report_err(DMAHEAP_NODE ": allocating %zu bytes: %s", size, strerror(-err));
		goto close_node;
	}
	mem->dmabuf_fd = (int)alloc.fd;
	err = memory_map(mem->dmabuf_fd, 0, size, &mem->addr);
	if (err)
		report_err("mapping a dmabuf of " DMAHEAP_NODE ": %s", strerror(-err));
close_node:
	close(node);
	return err;
}

/*
 * Whether the node's driver makes dumb buffers and exports them; is it the preferred one? The kernel answers
 * DRM_CAP_DUMB_BUFFER for devices that drive a display only (drivers/gpu/drm/drm_ioctl.c, drm_getcap), which vgem
 * does not, though it makes them.
 */
static int drm_node_usable(int fd, int *ret_preferred)
{
	uint64_t dumb = 0, prime = 0;
	drmVersionPtr version;

	if (drmGetCap(fd, DRM_CAP_PRIME, &prime) || !(prime & DRM_PRIME_CAP_EXPORT))
		return 0;
	version = drmGetVersion(fd);
	if (!version)
		return 0;
	*ret_preferred = version->name && !strcmp(version->name, DRM_PREFERRED);
	drmFreeVersion(version);
	return *ret_preferred || (!drmGetCap(fd, DRM_CAP_DUMB_BUFFER, &dumb) && dumb);
}

/* vgem if present, because its buffers are plain memory; else the first that is able. */
static int drm_node_open(void)
{
	int best = -1, preferred, fd;
	char path[32];

	for (int i = 0; i < DRM_NODES; i++) {
		snprintf(path, sizeof(path), "/dev/dri/card%d", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		preferred = 0;
		if (!drm_node_usable(fd, &preferred) || (best >= 0 && !preferred)) {
			close(fd);
			continue;
		}
		if (best >= 0)
			close(best);
		best = fd;
		if (preferred)
			break;
	}
	return best;
}

static int drm_alloc(size_t size, struct device_memory *mem)
{
	long page = sysconf(_SC_PAGESIZE);
	struct drm_mode_create_dumb create = {
		/* One row a page: 32-bit pixels, and no row needs padding. */
		.width = (__u32)page / 4,
		.height = (__u32)(size / (size_t)page),
		.bpp = 32,
	};
	struct drm_mode_map_dumb map = { 0 };
	int err;

	mem->drm_fd = drm_node_open();
	if (mem->drm_fd < 0) {
		report_err("no DRM device in /dev/dri exports dumb buffers; 'modprobe vgem' makes "
			   "one");
		return -ENODEV;
	}
	if (drmIoctl(mem->drm_fd, DRM_IOCTL_MODE_CREATE_DUMB, &create) < 0) {
		err = -errno;
		report_err("DRM dumb buffer of %zu bytes: %s", size, strerror(-err));
		return err;
	}
	mem->drm_handle = create.handle;
	if (create.size < size) {
		report_err("DRM dumb buffer: %llu bytes instead of %zu",
			   (unsigned long long)create.size, size);
		return -ENOMEM;
	}
	if (drmPrimeHandleToFD(mem->drm_fd, create.handle, DRM_CLOEXEC | DRM_RDWR,
			       &mem->dmabuf_fd) < 0) {
		err = -errno;
		report_err("exporting a DRM buffer as dmabuf: %s", strerror(-err));
		return err;
	}
	map.handle = create.handle;
	if (drmIoctl(mem->drm_fd, DRM_IOCTL_MODE_MAP_DUMB, &map) < 0) {
		err = -errno;
		report_err("DRM_IOCTL_MODE_MAP_DUMB: %s", strerror(-err));
		return err;
	}
	err = memory_map(mem->drm_fd, (off_t)map.offset, size, &mem->addr);
	if (err)
		report_err("mapping a DRM buffer: %s", strerror(-err));
	return err;
}

int device_memory_alloc(enum device_memory_kind kind, size_t size, struct device_memory *ret)
{
	static int (*const allocs[])(size_t size, struct device_memory * mem) = {
		[DEVICE_MEMORY_HOST] = host_alloc,
		[DEVICE_MEMORY_UDMABUF] = udmabuf_alloc,
		[DEVICE_MEMORY_DMAHEAP] = dmaheap_alloc,
		[DEVICE_MEMORY_DRM] = drm_alloc,
	};
	struct device_memory mem = DEVICE_MEMORY_NONE;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int err;

	mem.kind = kind;
	mem.size = (size + page - 1) / page * page;
	err = allocs[kind](mem.size, &mem);
	if (err) {
		device_memory_free(&mem);
		return err;
	}
	*ret = mem;
	return 0;
}

void device_memory_free(struct device_memory *mem)
{
	struct drm_mode_destroy_dumb destroy = { .handle = mem->drm_handle };

	if (mem->addr)
		munmap(mem->addr, mem->size);
	if (mem->dmabuf_fd >= 0)
		close(mem->dmabuf_fd);
	if (mem->drm_handle)
		drmIoctl(mem->drm_fd, DRM_IOCTL_MODE_DESTROY_DUMB, &destroy);
	if (mem->drm_fd >= 0)
		close(mem->drm_fd);
	*mem = DEVICE_MEMORY_NONE;
}
