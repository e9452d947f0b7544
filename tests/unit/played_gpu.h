/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A GPU for tests of plugin/path: its memory is the test's, and what a queue is given happens when gpu_work() says so, in order. Wrap
 * gpu_name gpu_alloc gpu_free gpu_host_alloc gpu_host_free gpu_copy_sync gpu_flush gpu_queue_create gpu_queue_destroy
 * gpu_queue_copy gpu_queue_move gpu_queue_mark gpu_queue_done stage_take stage_give stage_block_size.
 */
#ifndef PLAYED_GPU_H
#define PLAYED_GPU_H

#include <errno.h>
#include <stdlib.h>

#include "unit.h"
#include "mem/gpu.h"
#include "mem/stage.h"

#define GPU_OPS	   65536
#define GPU_BLOCKS 64

struct gpu {
	int ordinal;
};

/* A copy that was asked for, or, with @len 0, a mark. */
struct gpu_op {
	uint64_t dst;
	uint64_t src;
	size_t len;
	uint64_t ticket;
};

/*
 * @allocs: of both kinds that live. @fail_alloc: the nth from now fails. @busy: calls that answer -EAGAIN from now on.
 * @n_calls: of gpu_queue_move().
 */
static struct {
	struct gpu_op ops[GPU_OPS];
	size_t n_ops, n_done;
	uint64_t tickets, passed;
	int allocs, queues, flushes, n_calls;
	int fail_alloc, busy;
	int err;
	struct stage_block blocks[GPU_BLOCKS];
	bool taken[GPU_BLOCKS];
	unsigned int n_blocks;
	size_t block_size;
	uint8_t *block_host, *block_dev;
} played;

/* @n blocks of @size at offset @offset of GPU memory at @base; their GPU halves are memory at base + offset. */
static inline void played_stage(unsigned int n, size_t size, uint8_t *base, uint64_t offset)
{
	assert_true(n <= GPU_BLOCKS);
	free(played.block_host);
	played.block_host = calloc(n, size);
	assert_non_null(played.block_host);
	played.n_blocks = n;
	played.block_size = size;
	for (unsigned int i = 0; i < n; i++) {
		uint8_t *host = played.block_host + i * size;

		played.taken[i] = false;
		/* What the GPU calls host memory differs from what the CPU does, so that a mix-up shows. */
		played.blocks[i] = (struct stage_block){
			.host = host,
			.host_dev = (uintptr_t)host,
			.dev = (uintptr_t)base + offset + i * size,
			.offset = offset + i * size,
			.size = size,
		};
	}
}

static inline unsigned int played_taken(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < played.n_blocks; i++)
		n += played.taken[i];
	return n;
}

static inline void played_reset(void)
{
	uint8_t *host = played.block_host;

	free(host);
	memset(&played, 0, sizeof(played));
}

/* The GPU does the next @n things. */
static inline void gpu_work(size_t n)
{
	while (n-- && played.n_done < played.n_ops) {
		const struct gpu_op *op = &played.ops[played.n_done++];

		if (op->len)
			memmove((void *)(uintptr_t)op->dst, (const void *)(uintptr_t)op->src,
				op->len);
		else
			played.passed = op->ticket;
	}
	if (played.n_done == played.n_ops) {
		played.n_done = 0;
		played.n_ops = 0;
	}
}

static inline struct gpu_op *played_op(void)
{
	assert_true(played.n_ops < GPU_OPS);
	return &played.ops[played.n_ops++];
}

const char *__wrap_gpu_name(const struct gpu *gpu);
const char *__wrap_gpu_name(const struct gpu *gpu)
{
	return gpu->ordinal ? "GPU 1" : "GPU 0";
}

static inline void *played_alloc(size_t size, struct verdict *why)
{
	void *p;

	if (played.fail_alloc && --played.fail_alloc == 0) {
		verdict_set(why, -ENOMEM, NULL, "out of memory, as the test wants");
		return NULL;
	}
	p = aligned_alloc(65536, (size + 65535) / 65536 * 65536);
	assert_non_null(p);
	/* Nothing comes zeroed. */
	memset(p, 0xa5, size);
	played.allocs++;
	return p;
}

int __wrap_gpu_alloc(struct gpu *gpu, size_t size, uint64_t *ret_dev, struct verdict *why);
int __wrap_gpu_alloc(struct gpu *gpu, size_t size, uint64_t *ret_dev, struct verdict *why)
{
	void *p = played_alloc(size, why);

	(void)gpu;
	if (!p)
		return -ENOMEM;
	*ret_dev = (uintptr_t)p;
	return 0;
}

void __wrap_gpu_free(struct gpu *gpu, uint64_t dev);
void __wrap_gpu_free(struct gpu *gpu, uint64_t dev)
{
	(void)gpu;
	free((void *)(uintptr_t)dev);
	played.allocs--;
}

int __wrap_gpu_host_alloc(struct gpu *gpu, size_t size, void **ret_host, uint64_t *ret_dev,
			  struct verdict *why);
int __wrap_gpu_host_alloc(struct gpu *gpu, size_t size, void **ret_host, uint64_t *ret_dev,
			  struct verdict *why)
{
	void *p = played_alloc(size, why);

	(void)gpu;
	if (!p)
		return -ENOMEM;
	*ret_host = p;
	*ret_dev = (uintptr_t)p;
	return 0;
}

void __wrap_gpu_host_free(struct gpu *gpu, void *host);
void __wrap_gpu_host_free(struct gpu *gpu, void *host)
{
	__wrap_gpu_free(gpu, (uintptr_t)host);
}

int __wrap_gpu_copy_sync(struct gpu *gpu, uint64_t dst, uint64_t src, size_t len);
int __wrap_gpu_copy_sync(struct gpu *gpu, uint64_t dst, uint64_t src, size_t len)
{
	(void)gpu;
	if (played.err)
		return played.err;
	memcpy((void *)(uintptr_t)dst, (const void *)(uintptr_t)src, len);
	return 0;
}

int __wrap_gpu_flush(struct gpu *gpu);
int __wrap_gpu_flush(struct gpu *gpu)
{
	(void)gpu;
	played.flushes++;
	return played.err;
}

int __wrap_gpu_queue_create(struct gpu *gpu, struct gpu_queue **ret, struct verdict *why);
int __wrap_gpu_queue_create(struct gpu *gpu, struct gpu_queue **ret, struct verdict *why)
{
	(void)gpu;
	if (played.err)
		return verdict_set(why, played.err, NULL, "no queue, as the test wants");
	played.queues++;
	*ret = (struct gpu_queue *)&played;
	return 0;
}

void __wrap_gpu_queue_destroy(struct gpu_queue *q);
void __wrap_gpu_queue_destroy(struct gpu_queue *q)
{
	assert_ptr_equal(q, &played);
	gpu_work(SIZE_MAX);
	played.queues--;
}

int __wrap_gpu_queue_copy(struct gpu_queue *q, uint64_t dst, uint64_t src, size_t len);
int __wrap_gpu_queue_copy(struct gpu_queue *q, uint64_t dst, uint64_t src, size_t len)
{
	assert_ptr_equal(q, &played);
	assert_true(len > 0);
	if (played.err)
		return played.err;
	*played_op() = (struct gpu_op){ .dst = dst, .src = src, .len = len };
	return 0;
}

int __wrap_gpu_queue_move(struct gpu_queue *q, const struct gpu_move *moves, unsigned int n);
int __wrap_gpu_queue_move(struct gpu_queue *q, const struct gpu_move *moves, unsigned int n)
{
	uint64_t bytes = 0;

	assert_ptr_equal(q, &played);
	assert_true(n > 0 && n <= GPU_MOVES);
	played.n_calls++;
	if (played.err)
		return played.err;
	if (played.busy) {
		played.busy--;
		return -EAGAIN;
	}
	for (unsigned int i = 0; i < n; i++) {
		bytes += moves[i].len;
		__wrap_gpu_queue_copy(q, moves[i].dst, moves[i].src, moves[i].len);
	}
	assert_true(bytes <= GPU_MOVE_BYTES);
	return 0;
}

int __wrap_gpu_queue_mark(struct gpu_queue *q, uint64_t *ret_ticket);
int __wrap_gpu_queue_mark(struct gpu_queue *q, uint64_t *ret_ticket)
{
	assert_ptr_equal(q, &played);
	if (played.err)
		return played.err;
	if (played.busy) {
		played.busy--;
		return -EAGAIN;
	}
	*ret_ticket = ++played.tickets;
	*played_op() = (struct gpu_op){ .ticket = played.tickets };
	return 0;
}

int __wrap_gpu_queue_done(struct gpu_queue *q, uint64_t *ret_ticket);
int __wrap_gpu_queue_done(struct gpu_queue *q, uint64_t *ret_ticket)
{
	assert_ptr_equal(q, &played);
	*ret_ticket = played.passed;
	return played.err;
}

struct stage_block *__wrap_stage_take(struct stage *s);
struct stage_block *__wrap_stage_take(struct stage *s)
{
	assert_ptr_equal(s, &played);
	for (unsigned int i = 0; i < played.n_blocks; i++) {
		if (!played.taken[i]) {
			played.taken[i] = true;
			return &played.blocks[i];
		}
	}
	return NULL;
}

void __wrap_stage_give(struct stage_block *b);
void __wrap_stage_give(struct stage_block *b)
{
	unsigned int i = (unsigned int)(b - played.blocks);

	assert_true(i < played.n_blocks);
	assert_true(played.taken[i]);
	played.taken[i] = false;
	/* Whoever still reads it gets that. */
	memset(b->host, 0xdd, b->size);
}

size_t __wrap_stage_block_size(const struct stage *s);
size_t __wrap_stage_block_size(const struct stage *s)
{
	assert_ptr_equal(s, &played);
	return played.block_size;
}

#endif
