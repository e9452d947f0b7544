// SPDX-License-Identifier: BSD-3-Clause
/* Which bounce base each GPU is used with. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "path/place_unpack.h"

struct bounce {
	const struct gpu *gpu;
	uint64_t base;
	unsigned int refs;
	struct bounce *next;
};

static pthread_mutex_t bounce_lock = PTHREAD_MUTEX_INITIALIZER;
static struct bounce *bounces;

static int bounce_take_locked(const struct gpu *gpu, uint64_t base, struct verdict *why)
{
	struct bounce *b;

	for (b = bounces; b && b->gpu != gpu; b = b->next)
		;
	if (!b) {
		b = calloc(1, sizeof(*b));
		if (!b)
			return verdict_set(why, -ENOMEM, NULL, "out of memory");
		*b = (struct bounce){ .gpu = gpu, .base = base, .next = bounces };
		bounces = b;
	}
	if (b->base != base)
		return verdict_set(
			why, -EXDEV,
			"one NIC for each GPU (NCCL_DEVMEM_IFNAME), or NCCL_DEVMEM_PLACE=gather",
			"%s receives through another NIC's pool already, and NCCL's kernels take all their connections' bytes from one",
			gpu_name(gpu));
	b->refs++;
	return 0;
}

int unpack_bounce_take(const struct gpu *gpu, uint64_t base, struct verdict *why)
{
	int r;

	pthread_mutex_lock(&bounce_lock);
	r = bounce_take_locked(gpu, base, why);
	pthread_mutex_unlock(&bounce_lock);
	return r;
}

void unpack_bounce_give(const struct gpu *gpu)
{
	struct bounce **p, *b;

	pthread_mutex_lock(&bounce_lock);
	for (p = &bounces; *p && (*p)->gpu != gpu; p = &(*p)->next)
		;
	b = *p;
	if (b && --b->refs == 0) {
		*p = b->next;
		free(b);
	}
	pthread_mutex_unlock(&bounce_lock);
}
