// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "mem/dmabuf.h"

int dmabuf_identify(int fd, struct dmabuf_id *ret)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (fs.f_type != DMA_BUF_MAGIC)
		return -EINVAL;
	*ret = (struct dmabuf_id){ .dev = st.st_dev, .ino = st.st_ino };
	return 0;
}

int dmabuf_size(int fd, size_t *ret)
{
	off_t size = lseek(fd, 0, SEEK_END);

	if (size < 0)
		return -errno;
	*ret = (size_t)size;
	return 0;
}

int dmabuf_map(int fd, size_t size, uint8_t **ret)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	madvise(p, size, MADV_DONTFORK);
	*ret = p;
	return 0;
}
