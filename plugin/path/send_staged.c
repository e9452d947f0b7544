// SPDX-License-Identifier: BSD-3-Clause
/*
 * Sending GPU memory that has no send binding: the copy engine brings it to pinned blocks, from which it is sent by copy. A call never waits for
 * the GPU; while the first block is on its way it answers -EAGAIN.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/counter.h"
#include "base/log.h"
#include "path/path.h"
#include "path/send_stage.h"

#define SEND_BLOCK (128UL << 10)

/*
 * [p, p+len) of the sender's memory is in @host, or will be when @ticket has passed; 0: the copy has no mark yet. @sent of it the socket has.
 * Free when @len is 0.
 */
struct send_block {
	uint8_t *host;
	uint64_t host_dev;
	const uint8_t *p;
	size_t len;
	size_t sent;
	uint64_t ticket;
};

/* A socket's blocks; @front is sent first. */
struct send_slot {
	struct send_stage *stage;
	int front;
	struct send_block blocks[2];
};

/* @done: newest ticket that is known to have passed. */
struct send_stage {
	struct gpu *gpu;
	struct gpu_queue *queue;
	uint8_t *host;
	uint64_t done;
	int n;
	struct send_slot slots[];
};

int send_stage_create(struct gpu *gpu, struct data_sock *socks, int n, struct send_stage **ret,
		      struct verdict *why)
{
	struct send_stage *s = calloc(1, sizeof(*s) + (size_t)n * sizeof(s->slots[0]));
	uint64_t dev = 0;
	void *host;
	int i, r;

	if (!s)
		return verdict_set(why, -ENOMEM, NULL, "no memory for a send stage");
	s->gpu = gpu;
	s->n = n;
	r = gpu_host_alloc(gpu, (size_t)n * 2 * SEND_BLOCK, &host, &dev, why);
	if (r == 0) {
		s->host = host;
		r = gpu_queue_create_copies(gpu, &s->queue, why);
	}
	if (r < 0) {
		send_stage_destroy(s);
		return r;
	}
	for (i = 0; i < 2 * n; i++) {
		struct send_slot *slot = &s->slots[i / 2];

		slot->stage = s;
		slot->blocks[i % 2].host = s->host + (size_t)i * SEND_BLOCK;
		slot->blocks[i % 2].host_dev = dev + (size_t)i * SEND_BLOCK;
	}
	for (i = 0; i < n; i++)
		socks[i].stage = &s->slots[i];
	*ret = s;
	return 0;
}

void send_stage_destroy(struct send_stage *s)
{
	if (!s)
		return;
	gpu_queue_destroy(s->queue);
	gpu_host_free(s->gpu, s->host);
	free(s);
}

/* Bytes from @p on that the blocks have; what they have of something else (another path took over) is dropped. */
static size_t slot_covers(struct send_slot *slot, const uint8_t *p)
{
	size_t covered = 0;
	int i;

	for (i = 0; i < 2; i++) {
		struct send_block *b = &slot->blocks[(slot->front + i) % 2];

		if (b->len && b->p + b->sent != p + covered)
			b->len = 0;
		covered += b->len ? b->len - b->sent : 0;
	}
	return covered;
}

/* Starts copies to the free blocks, in order. 0, or -EIO. */
static int slot_fill(struct send_slot *slot, const uint8_t *p, size_t len)
{
	size_t covered = slot_covers(slot, p);
	int i, r;

	for (i = 0; i < 2 && covered < len; i++) {
		struct send_block *b = &slot->blocks[(slot->front + i) % 2];
		size_t n = len - covered < SEND_BLOCK ? len - covered : SEND_BLOCK;

		if (b->len)
			continue;
		r = gpu_queue_copy(slot->stage->queue, b->host_dev,
				   (uint64_t)(uintptr_t)(p + covered), n);
		if (r < 0)
			return r;
		*b = (struct send_block){
			.host = b->host, .host_dev = b->host_dev, .p = p + covered, .len = n
		};
		r = gpu_queue_mark(slot->stage->queue, &b->ticket);
		if (r < 0 && r != -EAGAIN)
			return r;
		covered += n;
	}
	return 0;
}

/* Are @b's bytes there? 0, -EAGAIN, -EIO. */
static int block_is_ready(struct send_stage *s, struct send_block *b)
{
	int r = 0;

	if (!b->ticket)
		r = gpu_queue_mark(s->queue, &b->ticket);
	if (r == 0 && b->ticket > s->done)
		r = gpu_queue_done(s->queue, &s->done);
	if (r < 0)
		return r;
	return b->ticket > s->done ? -EAGAIN : 0;
}

static ssize_t send_staged(struct data_sock *ds, const struct mr *mr, const uint8_t *p, size_t len,
			   struct zc_ref *ref)
{
	struct send_slot *slot = ds->stage;
	struct send_block *b;
	size_t left;
	ssize_t n;
	int r;

	(void)mr;
	(void)ref;
	r = slot_fill(slot, p, len);
	if (r < 0)
		return r;
	b = &slot->blocks[slot->front];
	r = block_is_ready(slot->stage, b);
	if (r < 0)
		return r;
	left = b->len - b->sent;
	counter_inc(sys_send);
	n = send(ds->fd, b->host + b->sent, left < len ? left : len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	counter_add(sent_staged, n);
	b->sent += (size_t)n;
	if (b->sent == b->len) {
		b->len = 0;
		slot->front = !slot->front;
	}
	return n;
}

const struct path_ops path_send_staged = {
	.name = "staged",
	.rung = RUNG_COPY,
	.send = send_staged,
};
