// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/param.h"
#include "base/stats.h"
#include "base/trace.h"
#include "mem/gpu_block.h"
#include "mem/pool.h"

/* One part in so many is never promised to a socket: it is what the NIC's rings hold ready for packets to come. */
#define POOL_NIC_PART 4

struct pool_failure {
	int ifindex;
	const struct gpu *gpu;
	struct verdict why;
	struct pool_failure *next;
};

/* Guards the lists and every pool's refs and reserved. */
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool *pools;
static struct pool_failure *failures;

/*
 * dmaheap first: it has no size limit of its own and gives long runs of pages. Then udmabuf, which most
 * distributions' kernels have; drm last, because a real GPU's dumb buffers are scarce.
 */
static const struct memory_provider *const auto_order[] = {
	&provider_dmaheap,
	&provider_udmabuf,
	&provider_drm,
};

#define N_AUTO ((int)(sizeof(auto_order) / sizeof(auto_order[0])))

/* Memory that a CPU sees and @pool's GPU, if it has one, too. */
static int pool_alloc_host(struct pool *pool, const struct memory_provider *p, size_t size,
			   struct verdict *why)
{
	int err = mem_block_alloc(p, size, &pool->block, why);

	if (err || !pool->gpu)
		return err;
	err = gpu_host_register(pool->gpu, pool->block.cpu, pool->block.size, &pool->block.priv,
				why);
	if (err)
		mem_block_free(&pool->block);
	return err;
}

static int pool_alloc(struct pool *pool, const struct memory_provider *p, struct verdict *why)
{
	size_t size = (size_t)param_int(PARAM_POOL_SIZE);

	if (p != &provider_cuda)
		return pool_alloc_host(pool, p, size, why);
	if (!pool->gpu)
		return verdict_set(why, -EINVAL, "leave NCCL_DEVMEM_POOL_MEMORY at auto",
				   "%s: a receive pool of GPU memory for receives into host memory",
				   pool->nic.name);
	return mem_block_alloc_cuda(pool->gpu, size, &pool->block, why);
}

static void pool_free_memory(struct pool *pool)
{
	if (pool->gpu && pool->block.cpu)
		gpu_host_unregister(pool->gpu, pool->block.cpu);
	mem_block_free(&pool->block);
}

static size_t pool_limit(const struct pool *pool)
{
	return pool->block.size - pool->block.size / POOL_NIC_PART;
}

/* Under the lock, or before others know @pool. */
static void pool_show(struct pool *pool)
{
	struct nccl_devmem_stats_pool *s = pool->shown;
	size_t limit = pool_limit(pool);
	size_t left = pool->reserved < limit ? limit - pool->reserved : 0;

	if (!s)
		return;
	stats_set(&s->reserved, pool->reserved);
	if (left < s->free_least) {
		TRACE3(pool_low, pool->nic.name, left, limit);
		stats_set(&s->free_least, left);
	}
}

static void pool_show_first(struct pool *pool)
{
	struct nccl_devmem_stats_pool *s = stats_pool_take(pool->block.size);

	pool->shown = s;
	if (!s)
		return;
	s->limit = pool_limit(pool);
	s->free_least = s->limit;
	stats_text(s->nic, sizeof(s->nic), pool->nic.name);
	stats_text(s->memory, sizeof(s->memory), pool->block.provider->name);
	stats_text(s->queues, sizeof(s->queues), nic_rx_queues(pool->rx));
	if (pool->gpu)
		stats_text(s->gpu, sizeof(s->gpu), gpu_name(pool->gpu));
}

/* *ret_memory tells whether there was memory, so that a failure is the NIC's. */
static int pool_try(struct pool *pool, const struct memory_provider *p, bool *ret_memory,
		    struct verdict *why)
{
	int err;

	err = pool_alloc(pool, p, why);
	*ret_memory = !err;
	if (err)
		return err;
	err = nic_rx_bind(&pool->nic, pool->block.dmabuf_fd, (unsigned int)param_int(PARAM_QUEUES),
			  &pool->rx, why);
	if (err)
		pool_free_memory(pool);
	return err;
}

/*
 * All providers have failed. A provider that is there but cannot tells more than one that is not; with none there, say
 * so in one line.
 */
static int pool_auto_verdict(const struct verdict tries[], struct verdict *why)
{
	for (int i = 0; i < N_AUTO; i++) {
		if (tries[i].err != -ENOENT) {
			*why = tries[i];
			return why->err;
		}
	}
	return verdict_set(
		why, -ENOENT,
		"modprobe udmabuf (or vgem), or use a kernel with CONFIG_DMABUF_HEAPS_SYSTEM=y",
		"no memory for the receive pool: neither dma-heap nor udmabuf nor a DRM device is "
		"there");
}

static int pool_try_auto(struct pool *pool, struct verdict *why)
{
	struct verdict tries[N_AUTO];
	bool memory;

	for (int i = 0; i < N_AUTO; i++) {
		if (!pool_try(pool, auto_order[i], &memory, &tries[i]))
			return 0;
		/* A NIC that refuses does so again, unless it is this dmabuf that it does not like. */
		if (memory && tries[i].err != -EINVAL) {
			*why = tries[i];
			return why->err;
		}
	}
	return pool_auto_verdict(tries, why);
}

/*
 * In the GPU's memory; where that cannot be exported (most GPUs for desktops), in host memory that the GPU reads: udmabuf's, the only one
 * that can be pinned a second time.
 */
static int pool_try_gpu(struct pool *pool, struct verdict *why)
{
	struct verdict second;
	bool memory;
	int err;

	err = pool_try(pool, &provider_cuda, &memory, why);
	if (!err || memory || why->err != -ENOTSUP)
		return err;
	if (pool_try(pool, &provider_udmabuf, &memory, &second)) {
		log_info("%s: nor can the receive pool be in host memory: %s", pool->nic.name,
			 second.reason);
		return why->err;
	}
	log_warn("%s: receive pool in host memory: %s%s%s", pool->nic.name, why->reason,
		 why->remedy[0] ? "; remedy: " : "", why->remedy);
	return 0;
}

static struct pool *pool_new(struct gpu *gpu, struct verdict *why)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool) {
		verdict_set(why, -ENOMEM, NULL, "no memory for a receive pool");
		return NULL;
	}
	pool->gpu = gpu;
	pool->block.dmabuf_fd = -1;
	return pool;
}

static int pool_make(const struct nic *nic, struct gpu *gpu, struct pool **ret, struct verdict *why)
{
	struct pool *pool = pool_new(gpu, why);
	bool memory;
	int err;

	if (!pool)
		return -ENOMEM;
	pool->nic = *nic;
	if (param_choice(PARAM_POOL_MEMORY) == POOL_MEMORY_AUTO)
		err = gpu ? pool_try_gpu(pool, why) : pool_try_auto(pool, why);
	else
		err = pool_try(pool, memory_provider_find(param_text(PARAM_POOL_MEMORY)), &memory,
			       why);
	if (err) {
		free(pool);
		return err;
	}
	if (pool->block.gpu_block)
		pool->stage = gpu_block_stage(pool->block.gpu_block);
	log_info("%s: receive pool of %zu MiB %s memory bound to queue %s", nic->name,
		 pool->block.size >> 20, pool->block.provider->name, nic_rx_queues(pool->rx));
	pool_show_first(pool);
	*ret = pool;
	return 0;
}

/* Without memory to remember a failure it is found again, at the price of time. */
static void failure_add(int ifindex, const struct gpu *gpu, const struct verdict *why)
{
	struct pool_failure *f = calloc(1, sizeof(*f));

	if (!f)
		return;
	f->ifindex = ifindex;
	f->gpu = gpu;
	f->why = *why;
	f->next = failures;
	failures = f;
}

int pool_get(const struct nic *nic, struct gpu *gpu, struct pool **ret, struct verdict *why)
{
	const struct pool_failure *f;
	struct verdict lost;
	bool replaces = false;
	struct pool *pool;
	int err = 0;

	pthread_mutex_lock(&pool_lock);
	for (pool = pools; pool; pool = pool->next) {
		if (!pool->rx || pool->nic.ifindex != nic->ifindex || pool->gpu != gpu)
			continue;
		if (!nic_rx_is_lost(pool->rx, &lost))
			goto found;
		/* Its connections end with it; those to come get another. */
		replaces = true;
	}
	for (f = failures; f; f = f->next) {
		if (f->ifindex == nic->ifindex && f->gpu == gpu) {
			*why = f->why;
			err = f->why.err;
			goto unlock;
		}
	}
	err = pool_make(nic, gpu, &pool, why);
	/* A broker that has ended comes back, and the queues of lost pools are free when these end. */
	if (err && !replaces && err != -ECONNRESET)
		failure_add(nic->ifindex, gpu, why);
	if (err)
		goto unlock;
	pool->next = pools;
	pools = pool;
found:
	pool->refs++;
	*ret = pool;
unlock:
	pthread_mutex_unlock(&pool_lock);
	return err;
}

int pool_get_staged(struct gpu *gpu, struct pool **ret, struct verdict *why)
{
	struct pool *pool;
	int err = 0;

	pthread_mutex_lock(&pool_lock);
	for (pool = pools; pool; pool = pool->next)
		if (!pool->rx && pool->gpu == gpu)
			goto found;
	pool = pool_new(gpu, why);
	if (!pool) {
		err = -ENOMEM;
		goto unlock;
	}
	err = mem_block_alloc_cuda(gpu, 0, &pool->block, why);
	if (err) {
		free(pool);
		goto unlock;
	}
	pool->stage = gpu_block_stage(pool->block.gpu_block);
	pool->next = pools;
	pools = pool;
found:
	pool->refs++;
	*ret = pool;
unlock:
	pthread_mutex_unlock(&pool_lock);
	return err;
}

static void pool_unlink(struct pool *pool)
{
	for (struct pool **p = &pools; *p; p = &(*p)->next) {
		if (*p == pool) {
			*p = pool->next;
			return;
		}
	}
}

void pool_put(struct pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool_lock);
	if (!--pool->refs) {
		pool_unlink(pool);
		stats_pool_give(pool->shown);
		/* Under the lock: a pool_get() of the same NIC must find the queues free again. */
		if (pool->rx)
			nic_rx_release(pool->rx);
		pool_free_memory(pool);
		free(pool);
	}
	pthread_mutex_unlock(&pool_lock);
}

int pool_reserve(struct pool *pool, size_t bytes, struct verdict *why)
{
	size_t limit = pool_limit(pool);
	int err = 0;

	pthread_mutex_lock(&pool_lock);
	if (pool->reserved <= limit && bytes <= limit - pool->reserved) {
		pool->reserved += bytes;
	} else {
		TRACE3(pool_short, pool->nic.name, limit - pool->reserved, bytes);
		err = verdict_set(
			why, -ENOSPC,
			"raise NCCL_DEVMEM_POOL_SIZE, or lower NCCL_DEVMEM_SOCKETS or "
			"NCCL_DEVMEM_RCVBUF",
			"%s: the receive pool of %zu KiB has %zu KiB left to promise, this socket "
			"needs %zu KiB",
			pool->nic.name, pool->block.size >> 10, (limit - pool->reserved) >> 10,
			bytes >> 10);
	}
	pool_show(pool);
	pthread_mutex_unlock(&pool_lock);
	return err;
}

void pool_unreserve(struct pool *pool, size_t bytes)
{
	pthread_mutex_lock(&pool_lock);
	pool->reserved -= bytes;
	pool_show(pool);
	pthread_mutex_unlock(&pool_lock);
}

size_t pool_unreserved(struct pool *pool)
{
	size_t limit = pool_limit(pool), left;

	pthread_mutex_lock(&pool_lock);
	left = pool->reserved < limit ? limit - pool->reserved : 0;
	pthread_mutex_unlock(&pool_lock);
	return left;
}

void pool_reset(void)
{
	pthread_mutex_lock(&pool_lock);
	while (failures) {
		struct pool_failure *f = failures;

		failures = f->next;
		free(f);
	}
	pthread_mutex_unlock(&pool_lock);
}
