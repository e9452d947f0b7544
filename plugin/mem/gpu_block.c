// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/param.h"
#include "mem/gpu_block.h"
#include "mem/gpu_range.h"

/* Offsets in NCCL's unpack queue have 32 bits. */
#define BLOCK_SPAN (4UL << 30)

struct block_part {
	uint64_t offset;
	size_t size;
	struct block_part *next; /* by offset */
};

/*
 * @range: NULL where the memory had to be taken at once; then @room is all there is.
 * @parts: the first one is the stage. @refs and @parts under blocks_lock.
 */
struct gpu_block {
	struct gpu *gpu;
	struct gpu_range *range;
	uint64_t base;
	size_t room;
	size_t unit;
	struct stage *stage;
	struct block_part *parts;
	int refs;
	struct gpu_block *next;
};

static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gpu_block *blocks;

/* The lowest gap of @size bytes; NULL when there is none. */
static struct block_part *part_insert(struct gpu_block *b, size_t size)
{
	struct block_part *part, **p;
	uint64_t at = 0;

	for (p = &b->parts; *p && (*p)->offset - at < size; p = &(*p)->next)
		at = (*p)->offset + (*p)->size;
	if (at > b->room || size > b->room - at)
		return NULL;
	part = calloc(1, sizeof(*part));
	if (!part)
		return NULL;
	*part = (struct block_part){ .offset = at, .size = size, .next = *p };
	*p = part;
	return part;
}

/* @mapped: there is memory in it. */
static void part_remove(struct gpu_block *b, uint64_t offset, bool mapped)
{
	struct block_part **p = &b->parts, *part;

	while (*p && (*p)->offset != offset)
		p = &(*p)->next;
	part = *p;
	if (!part)
		return;
	if (b->range && mapped)
		gpu_range_unmap(b->range, part->offset, part->size);
	*p = part->next;
	free(part);
}

static int part_add(struct gpu_block *b, size_t size, uint64_t *ret_offset, struct verdict *why)
{
	size_t bytes = (size + b->unit - 1) & ~(b->unit - 1);
	struct block_part *part = part_insert(b, bytes);
	int r;

	if (!part)
		return verdict_set(
			why, -ENOSPC, "lower NCCL_DEVMEM_POOL_SIZE, or use fewer NICs for each GPU",
			"%s: no %zu MiB are left in the %zu MiB that its receive pools share",
			gpu_name(b->gpu), bytes >> 20, b->room >> 20);
	r = b->range ? gpu_range_map(b->range, part->offset, bytes, why) : 0;
	if (r < 0) {
		snprintf(why->remedy, sizeof(why->remedy),
			 "lower NCCL_DEVMEM_POOL_SIZE, or free memory of the GPU");
		part_remove(b, part->offset, false);
		return r;
	}
	*ret_offset = part->offset;
	return 0;
}

static void block_free(struct gpu_block *b)
{
	stage_destroy(b->stage);
	while (b->parts)
		part_remove(b, b->parts->offset, true);
	if (b->range)
		gpu_range_free(b->range);
	else if (b->base)
		gpu_free(b->gpu, b->base);
	free(b);
}

/* Everything at once: the stage, and, unless no NIC will ever fill it, one pool. */
static int block_alloc_fixed(struct gpu_block *b, size_t stage, struct verdict *why)
{
	size_t pool =
		param_choice(PARAM_RECV) == RECV_STAGED ? 0 : (size_t)param_int(PARAM_POOL_SIZE);
	int r;

	b->unit = 64UL << 10;
	b->room = stage + ((pool + b->unit - 1) & ~(b->unit - 1));
	if (b->room > BLOCK_SPAN)
		return verdict_set(why, -ENOSPC, "lower NCCL_DEVMEM_POOL_SIZE",
				   "%s: pool and stage of %zu MiB are above 4 GiB",
				   gpu_name(b->gpu), b->room >> 20);
	r = gpu_alloc(b->gpu, b->room, &b->base, why);
	if (r < 0)
		snprintf(why->remedy, sizeof(why->remedy),
			 "lower NCCL_DEVMEM_POOL_SIZE, or free memory of the GPU");
	return r;
}

static int block_alloc(struct gpu_block *b, size_t stage, struct verdict *why)
{
	int r = gpu_range_create(b->gpu, BLOCK_SPAN, &b->range, why);

	if (r == -ENOTSUP) {
		log_debug("%s; receive pool and stage are one allocation", why->reason);
		return block_alloc_fixed(b, stage, why);
	}
	if (r < 0)
		return r;
	b->base = gpu_range_base(b->range);
	b->room = BLOCK_SPAN;
	b->unit = gpu_range_granularity(b->range);
	return 0;
}

static int block_make(struct gpu *gpu, struct gpu_block **ret, struct verdict *why)
{
	size_t stage = (size_t)param_int(PARAM_STAGE_SIZE) & ~(STAGE_BLOCK - 1);
	struct gpu_block *b = calloc(1, sizeof(*b));
	uint64_t offset = 0;
	int r;

	if (!b) {
		verdict_set(why, -ENOMEM, NULL, "no memory for a receive block");
		return -ENOMEM;
	}
	b->gpu = gpu;
	r = block_alloc(b, stage, why);
	if (r == 0)
		r = part_add(b, stage, &offset, why);
	if (r == 0)
		r = stage_create(gpu, b->base, offset, stage, &b->stage, why);
	if (r < 0) {
		block_free(b);
		return r;
	}
	*ret = b;
	return 0;
}

int gpu_block_get(struct gpu *gpu, struct gpu_block **ret, struct verdict *why)
{
	struct gpu_block *b;
	int r = 0;

	pthread_mutex_lock(&blocks_lock);
	for (b = blocks; b && b->gpu != gpu; b = b->next)
		;
	if (!b) {
		r = block_make(gpu, &b, why);
		if (r < 0)
			goto unlock;
		b->next = blocks;
		blocks = b;
	}
	b->refs++;
	*ret = b;
unlock:
	pthread_mutex_unlock(&blocks_lock);
	return r;
}

void gpu_block_put(struct gpu_block *b)
{
	struct gpu_block **p;

	pthread_mutex_lock(&blocks_lock);
	if (!--b->refs) {
		for (p = &blocks; *p != b; p = &(*p)->next)
			;
		*p = b->next;
		block_free(b);
	}
	pthread_mutex_unlock(&blocks_lock);
}

uint64_t gpu_block_base(const struct gpu_block *b)
{
	return b->base;
}

struct stage *gpu_block_stage(const struct gpu_block *b)
{
	return b->stage;
}

int gpu_block_add(struct gpu_block *b, size_t size, uint64_t *ret_offset, struct verdict *why)
{
	int r;

	pthread_mutex_lock(&blocks_lock);
	r = part_add(b, size, ret_offset, why);
	pthread_mutex_unlock(&blocks_lock);
	return r;
}

void gpu_block_remove(struct gpu_block *b, uint64_t offset)
{
	pthread_mutex_lock(&blocks_lock);
	part_remove(b, offset, true);
	pthread_mutex_unlock(&blocks_lock);
}
