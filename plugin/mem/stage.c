// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "mem/stage.h"

/* @free: under @lock. What was given back last is taken first: it is the likeliest to be in the cache. */
struct stage {
	struct gpu *gpu;
	void *host;
	pthread_mutex_t lock;
	struct stage_block *free;
	size_t n_free;
	size_t n;
	struct stage_block blocks[];
};

int stage_create(struct gpu *gpu, uint64_t base, uint64_t offset, size_t size, struct stage **ret,
		 struct verdict *why)
{
	size_t n = size / STAGE_BLOCK;
	struct stage *s = calloc(1, sizeof(*s) + n * sizeof(s->blocks[0]));
	uint64_t host_dev;
	size_t i;
	int r;

	if (!s)
		return verdict_set(why, -ENOMEM, NULL, "no memory for a stage");
	r = gpu_host_alloc(gpu, n * STAGE_BLOCK, &s->host, &host_dev, why);
	if (r < 0) {
		free(s);
		return r;
	}
	s->gpu = gpu;
	s->n = n;
	pthread_mutex_init(&s->lock, NULL);
	for (i = n; i-- > 0;) {
		s->blocks[i] = (struct stage_block){
			.stage = s,
			.host = (uint8_t *)s->host + i * STAGE_BLOCK,
			.host_dev = host_dev + i * STAGE_BLOCK,
			.dev = base + offset + i * STAGE_BLOCK,
			.offset = offset + i * STAGE_BLOCK,
			.size = STAGE_BLOCK,
		};
		stage_give(&s->blocks[i]);
	}
	*ret = s;
	return 0;
}

void stage_destroy(struct stage *s)
{
	if (!s)
		return;
	if (s->n_free != s->n)
		log_err("%s: %zu blocks of its stage are still lent at the end", gpu_name(s->gpu),
			s->n - s->n_free);
	gpu_host_free(s->gpu, s->host);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

struct stage_block *stage_take(struct stage *s)
{
	struct stage_block *b;

	pthread_mutex_lock(&s->lock);
	b = s->free;
	if (b) {
		s->free = b->next;
		s->n_free--;
		b->next = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	return b;
}

void stage_give(struct stage_block *b)
{
	struct stage *s = b->stage;

	pthread_mutex_lock(&s->lock);
	b->next = s->free;
	s->free = b;
	s->n_free++;
	pthread_mutex_unlock(&s->lock);
}

size_t stage_block_size(const struct stage *s)
{
	(void)s;
	return STAGE_BLOCK;
}
