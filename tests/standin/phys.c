// SPDX-License-Identifier: BSD-3-Clause
/* Memory of a device: a memfd, so that a udmabuf can be made of it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "state.h"

static unsigned long long ids;

static struct phys *phys_make(struct device *device, int fd, size_t size)
{
	struct phys *phys = calloc(1, sizeof(*phys));

	if (!phys)
		return NULL;
	*phys = (struct phys){ .magic = MAGIC_PHYS,
			       .refs = 1,
			       .fd = fd,
			       .size = size,
			       .device = device,
			       .id = ++ids };
	if (device) {
		device->used += size;
		standin.usage.device_bytes += size;
	} else {
		standin.usage.host_bytes += size;
	}
	return phys;
}

struct phys *phys_new(struct device *device, size_t size, CUresult *ret_why)
{
	struct phys *phys;
	int fd;

	*ret_why = CUDA_ERROR_OUT_OF_MEMORY;
	if (device && size > device->memory - device->used)
		return NULL;
	fd = memfd_create("standin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	/* udmabuf wants the seal. */
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0) {
		fprintf(stderr, "standin: memfd of %zu bytes: %s\n", size, strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	phys = phys_make(device, fd, size);
	if (!phys)
		close(fd);
	return phys;
}

struct phys *phys_adopt(struct device *device, int fd, size_t size)
{
	return phys_make(device, fd, size);
}

void phys_put(struct phys *phys)
{
	if (--phys->refs)
		return;
	if (phys->device) {
		phys->device->used -= phys->size;
		standin.usage.device_bytes -= phys->size;
	} else {
		standin.usage.host_bytes -= phys->size;
	}
	close(phys->fd);
	phys->magic = 0;
	free(phys);
}

bool phys_map(struct phys *phys, size_t offset, void *at, size_t size, int prot)
{
	return mmap(at, size, prot, MAP_SHARED | MAP_FIXED, phys->fd, (off_t)offset) != MAP_FAILED;
}

int phys_dmabuf(struct phys *phys, size_t offset, size_t size)
{
	struct udmabuf_create req = { .memfd = (uint32_t)phys->fd,
				      .flags = UDMABUF_FLAGS_CLOEXEC,
				      .offset = offset,
				      .size = size };
	int node, fd, err;

	if (standin.dmabuf == DMABUF_MEMFD) {
		fd = fcntl(phys->fd, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	node = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	if (node < 0)
		return -errno;
	fd = ioctl(node, UDMABUF_CREATE, &req);
	err = errno;
	close(node);
	return fd < 0 ? -err : fd;
}
