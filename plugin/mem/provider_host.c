// SPDX-License-Identifier: BSD-3-Clause
/* Ordinary memory, in whole pages. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "mem/provider_util.h"

static int host_alloc(size_t size, struct mem_block *ret, struct verdict *why)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		int err = -errno;

		return verdict_set(why, err, "free memory, or raise the limit (ulimit -v, cgroup)",
				   "host: no %zu bytes: %s", size, strerrordesc_np(-err));
	}
	ret->cpu = p;
	ret->size = size;
	return 0;
}

const struct memory_provider provider_host = {
	.name = "host",
	.alloc = host_alloc,
	.free = mem_block_unmap,
};
