// SPDX-License-Identifier: BSD-3-Clause
/* udmabuf: a memfd's pages as a dmabuf (drivers/dma-buf/udmabuf.c). */
#include <errno.h>
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "mem/dmabuf.h"
#include "mem/provider_util.h"

#define UDMABUF_NODE  "/dev/udmabuf"
#define UDMABUF_LIMIT "/sys/module/udmabuf/parameters/size_limit_mb"

/* MiB, or -1 when it cannot be told. */
static long udmabuf_limit(void)
{
	_cleanup_close_ int fd = open(UDMABUF_LIMIT, O_RDONLY | O_CLOEXEC);
	char text[24];
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	return strtol(text, NULL, 10);
}

/* The kernel answers EINVAL to a size above its limit, and says no more. */
static int udmabuf_create_verdict(size_t size, int err, struct verdict *why)
{
	size_t mib = (size + (1 << 20) - 1) >> 20;
	long limit = udmabuf_limit();
	char remedy[sizeof(why->remedy)];

	if (err == -EINVAL && limit >= 0 && mib > (size_t)limit) {
		snprintf(remedy, sizeof(remedy),
			 "echo %zu >" UDMABUF_LIMIT
			 " (or boot with udmabuf.size_limit_mb=%zu), use less, or use dmaheap",
			 mib, mib);
		return verdict_set(why, err, remedy,
				   "udmabuf: %zu MiB is above the kernel's limit of %ld MiB", mib,
				   limit);
	}
	if (err == -ENOMEM)
		return verdict_set(why, err, "free memory or ask for less",
				   "udmabuf: no memory for %zu MiB", mib);
	return verdict_set(why, err, NULL, "udmabuf: creating %zu MiB: %s", mib,
			   strerrordesc_np(-err));
}

static int memfd_make(size_t size)
{
	_cleanup_close_ int fd = memfd_create("nccl-devmem", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	/* The driver insists on the seal: pages must not go away under a NIC. */
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int udmabuf_alloc(size_t size, struct mem_block *ret, struct verdict *why)
{
	struct udmabuf_create req = { .flags = UDMABUF_FLAGS_CLOEXEC, .size = size };
	_cleanup_close_ int node = -1;
	_cleanup_close_ int memfd = -1;
	_cleanup_close_ int fd = -1;
	int err;

	node = open(UDMABUF_NODE, O_RDWR | O_CLOEXEC);
	if (node < 0)
		return device_open_verdict("udmabuf", UDMABUF_NODE,
					   "modprobe udmabuf (kernel option CONFIG_UDMABUF)",
					   -errno, why);
	memfd = memfd_make(size);
	if (memfd < 0)
		return verdict_set(why, memfd, NULL, "udmabuf: memfd of %zu bytes: %s", size,
				   strerrordesc_np(-memfd));
	req.memfd = (uint32_t)memfd;
	fd = ioctl(node, UDMABUF_CREATE, &req);
	if (fd < 0)
		return udmabuf_create_verdict(size, -errno, why);
	/*
	 * The memfd and not the dmabuf: the same pages, but in an ordinary mapping. udmabuf's own is
	 * VM_PFNMAP, which get_user_pages() and thus MSG_ZEROCOPY refuse.
	 */
	err = dmabuf_map(memfd, size, &ret->cpu);
	if (err)
		return verdict_set(why, err, NULL, "udmabuf: mapping %zu bytes: %s", size,
				   strerrordesc_np(-err));
	ret->dmabuf_fd = TAKE_FD(fd);
	ret->size = size;
	return 0;
}

const struct memory_provider provider_udmabuf = {
	.name = "udmabuf",
	.alloc = udmabuf_alloc,
	.free = mem_block_unmap,
};
