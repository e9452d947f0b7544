// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "mem/dmabuf.h"
#include "mem/gpu.h"
#include "mem/mr.h"

/*
 * One dmabuf on one NIC (ifindex 0: not bound, receiving only), however many registrations point at it. A failed binding
 * stays failed as long as the entry lives, so that NCCL's many registrations of one buffer ask the kernel once.
 */
struct mr_dmabuf {
	struct dmabuf_id id;
	int ifindex;
	size_t size;
	uint8_t *cpu;
	struct nic_tx *tx;
	struct verdict tx_why;
	struct gpu *gpu;
	unsigned int refs;
	struct mr_dmabuf *next;
};

/* Registrations that live, under live_lock: NCCL does not end them after an abort. */
static pthread_mutex_t live_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mr *live;

/* Guards the list, and the entries' refs. */
static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mr_dmabuf *cache;

static struct mr_dmabuf *cache_find(const struct dmabuf_id *id, int ifindex)
{
	struct mr_dmabuf *d;

	for (d = cache; d; d = d->next)
		if (d->id.dev == id->dev && d->id.ino == id->ino && d->ifindex == ifindex)
			break;
	return d;
}

static void mr_dmabuf_free(struct mr_dmabuf *d)
{
	if (d->tx)
		nic_tx_release(d->tx);
	if (d->cpu)
		munmap(d->cpu, d->size);
	free(d);
}

static int mr_dmabuf_make(const struct dmabuf_id *id, size_t size, int fd, struct gpu *gpu,
			  const struct nic *nic, struct mr_dmabuf **ret, struct verdict *why)
{
	struct mr_dmabuf *d = calloc(1, sizeof(*d));
	int map_err = 0;

	if (!d) {
		verdict_set(why, -ENOMEM, NULL, "no memory for a registration");
		return -ENOMEM;
	}
	d->id = *id;
	d->size = size;
	d->gpu = gpu;
	/* The GPU moves the bytes of its memory; the CPU would do so over PCIe, if it could at all. */
	if (!gpu)
		map_err = dmabuf_map(fd, size, &d->cpu);
	if (nic) {
		d->ifindex = nic->ifindex;
		if (nic_tx_bind(nic, fd, &d->tx, &d->tx_why))
			d->tx = NULL;
	} else {
		verdict_set(&d->tx_why, -ENOTSUP, NULL, "registered for receiving only");
	}
	if (!d->tx && !d->cpu && !d->gpu) {
		verdict_set(why, -ENOTSUP, d->tx_why.remedy,
			    "neither sendable nor readable by the CPU: %.140s; mmap: %s",
			    d->tx_why.reason, strerrordesc_np(-map_err));
		mr_dmabuf_free(d);
		return -ENOTSUP;
	}
	*ret = d;
	return 0;
}

static int mr_dmabuf_get(int fd, const struct dmabuf_id *id, size_t size, struct gpu *gpu,
			 const struct nic *nic, struct mr_dmabuf **ret, struct verdict *why)
{
	struct mr_dmabuf *d;
	int err = 0;

	/* Held over the binding, or two comms would bind the same buffer at the same time. */
	pthread_mutex_lock(&cache_lock);
	d = cache_find(id, nic ? nic->ifindex : 0);
	if (!d) {
		err = mr_dmabuf_make(id, size, fd, gpu, nic, &d, why);
		if (err)
			goto unlock;
		d->next = cache;
		cache = d;
	}
	d->refs++;
	*ret = d;
unlock:
	pthread_mutex_unlock(&cache_lock);
	return err;
}

static void mr_dmabuf_put(struct mr_dmabuf *d)
{
	struct mr_dmabuf **p;
	bool last;

	pthread_mutex_lock(&cache_lock);
	last = !--d->refs;
	for (p = &cache; last && *p; p = &(*p)->next) {
		if (*p == d) {
			*p = d->next;
			break;
		}
	}
	pthread_mutex_unlock(&cache_lock);
	if (last)
		mr_dmabuf_free(d);
}

static void mr_link(struct mr *mr)
{
	pthread_mutex_lock(&live_lock);
	mr->next = live;
	if (live)
		live->prev = mr;
	live = mr;
	pthread_mutex_unlock(&live_lock);
}

static void mr_unlink(struct mr *mr)
{
	pthread_mutex_lock(&live_lock);
	if (mr->prev)
		mr->prev->next = mr->next;
	else
		live = mr->next;
	if (mr->next)
		mr->next->prev = mr->prev;
	pthread_mutex_unlock(&live_lock);
}

static void mr_free(struct mr *mr)
{
	mr_unlink(mr);
	if (mr->dmabuf)
		mr_dmabuf_put(mr->dmabuf);
	free(mr);
}

int mr_register_host(void *base, size_t size, struct mr **ret)
{
	struct mr *mr = calloc(1, sizeof(*mr));

	if (!mr)
		return -ENOMEM;
	mr->type = MR_HOST;
	mr->base = base;
	mr->size = size;
	mr->cpu = base;
	mr->pinned = gpu_sees_host(base);
	mr->refs = 1;
	verdict_set(&mr->tx_why, -ENOTSUP, NULL, "host memory");
	mr_link(mr);
	*ret = mr;
	return 0;
}

int mr_register_cuda(void *base, size_t size, struct mr **ret)
{
	struct gpu *gpu;
	struct mr *mr;

	if (gpu_of_pointer(base, &gpu) < 0)
		return -ENOTSUP;
	mr = calloc(1, sizeof(*mr));
	if (!mr)
		return -ENOMEM;
	mr->type = MR_CUDA;
	mr->base = base;
	mr->size = size;
	mr->gpu = gpu;
	mr->refs = 1;
	verdict_set(
		&mr->tx_why, -ENOTSUP,
		"let NCCL register dmabufs: NCCL_DMABUF_ENABLE=1, and a driver that exports them",
		"%s: memory that was registered without a dmabuf", gpu_name(gpu));
	mr_link(mr);
	*ret = mr;
	return 0;
}

int mr_register_dmabuf(void *base, size_t size, uint64_t offset, int fd, const struct nic *nic,
		       struct mr **ret, struct verdict *why)
{
	_cleanup_free_ struct mr *mr = NULL;
	struct gpu *gpu = NULL;
	struct dmabuf_id id;
	size_t total;
	int err;

	err = dmabuf_identify(fd, &id);
	if (err)
		return verdict_set(why, err, NULL, "descriptor %d is no dmabuf", fd);
	err = dmabuf_size(fd, &total);
	if (err)
		return verdict_set(why, err, NULL, "the dmabuf does not tell its size: %s",
				   strerrordesc_np(-err));
	if (offset > total || size > total - offset)
		return verdict_set(why, -EINVAL, NULL,
				   "%zu bytes at offset %llu do not lie in a dmabuf of %zu", size,
				   (unsigned long long)offset, total);
	mr = calloc(1, sizeof(*mr));
	if (!mr)
		return verdict_set(why, -ENOMEM, NULL, "no memory for a registration");
	if (gpu_of_pointer(base, &gpu) < 0)
		gpu = NULL;
	err = mr_dmabuf_get(fd, &id, total, gpu, nic, &mr->dmabuf, why);
	if (err)
		return err;
	mr->type = MR_DMABUF;
	mr->gpu = gpu;
	mr->base = base;
	mr->size = size;
	mr->offset = offset;
	mr->cpu = mr->dmabuf->cpu ? mr->dmabuf->cpu + offset : NULL;
	mr->tx = mr->dmabuf->tx;
	mr->tx_id = mr->tx ? nic_tx_id(mr->tx) : 0;
	mr->tx_why = mr->dmabuf->tx_why;
	mr->refs = 1;
	mr_link(mr);
	*ret = TAKE_PTR(mr);
	return 0;
}

struct mr *mr_get(struct mr *mr)
{
	__atomic_fetch_add(&mr->refs, 1, __ATOMIC_RELAXED);
	return mr;
}

void mr_put(struct mr *mr)
{
	/* Release: the progress thread's reads come before the freeing by whoever is last; acquire: in that one. */
	if (!mr || __atomic_sub_fetch(&mr->refs, 1, __ATOMIC_ACQ_REL))
		return;
	mr_free(mr);
}

void mr_sweep(void)
{
	while (live)
		mr_free(live);
}
