// SPDX-License-Identifier: BSD-3-Clause
/*
 * Placing by the GPU: its gather kernel or copy engine brings pieces from the pool, and readable bytes from pinned memory, to where NCCL wants
 * them, in memory that the CPU may not see.
 *
 * What is put is collected in a batch; poll() closes it with a mark in the GPU's queue and thereby starts it, so there is one launch for each
 * round of reading the sockets, however many there are. When the mark is passed, the batch's bytes are in place and what they
 * lay in goes back. Nothing is kept for the request.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/log.h"
#include "path/place.h"

#define BATCHES	    8
#define BATCH_PARTS 64
/* Pinned memory of a place, for readable bytes on their way; and the least of it that a receive call is offered. */
#define PLACE_RING   (512UL << 10)
#define PLACE_WINDOW (64UL << 10)

/* @bytes of @req are in a batch. */
struct batch_part {
	struct place_req *req;
	size_t bytes;
};

/* @ring_end: the ring up to there is free when it is done. */
struct batch {
	uint64_t ticket;
	uint64_t ring_end;
	unsigned int n;
	struct batch_part parts[BATCH_PARTS];
	struct loan_list loans;
};

/*
 * @batches: @first to @now, which count up for ever; @now is being filled.
 * @ring_head, @ring_tail: bytes of the ring that have been freed and used, for ever.
 */
struct place_gpu {
	struct place base;
	struct gpu_queue *queue;
	uint8_t *ring;
	uint64_t ring_dev;
	uint64_t ring_head;
	uint64_t ring_tail;
	unsigned int first;
	unsigned int now;
	bool told_unordered;
	struct gpu_move moves[GPU_MOVES];
	struct batch batches[BATCHES];
};

_Static_assert(ARRIVAL_PIECES <= GPU_MOVES, "an arrival is one call");
_Static_assert(PLACE_RING <= GPU_MOVE_BYTES, "and so is what the ring takes");

static struct place_gpu *to_gpu(struct place *pl)
{
	return (struct place_gpu *)pl;
}

static struct batch *batch_now(struct place_gpu *pg)
{
	return &pg->batches[pg->now % BATCHES];
}

static int place_gpu_post(struct place *pl, struct place_req *req)
{
	struct place_gpu *pg = to_gpu(pl);

	if (!req->ordered || gpu_queue_is_ordered(pg->queue))
		return 0;
	if (!pg->told_unordered)
		log_err("%s: a receive of the LL or LL128 protocol, but gathering is done by the %s, in no "
			"known order: set NCCL_DEVMEM_GATHER=kernel or NCCL_PROTO=Simple",
			gpu_name(pl->pool->gpu), gpu_queue_mover(pg->queue));
	pg->told_unordered = true;
	return -ENOTSUP;
}

/* Can the GPU write to @mr? 0 or -ENOTSUP, said. */
static int check_target(const struct place_gpu *pg, const struct mr *mr)
{
	const struct gpu *gpu = pg->base.pool->gpu;

	if (mr->gpu ? gpu_ordinal(mr->gpu) == gpu_ordinal(gpu) : mr->pinned)
		return 0;
	if (mr->gpu)
		log_err("a receive into memory of %s on a connection of %s", gpu_name(mr->gpu),
			gpu_name(gpu));
	else
		log_err("a receive into host memory that %s does not see (not pinned), from a pool in its memory",
			gpu_name(gpu));
	return -ENOTSUP;
}

/*
 * @len bytes at the ring's tail are used. What comes next begins in another 16 bytes: the kernel reads aligned ones, and is not to read what
 * is being written.
 */
static void ring_take(struct place_gpu *pg, size_t len)
{
	pg->ring_tail += (len + 15) & ~15UL;
}

/* Bytes of the ring in one piece; a short rest at its end is passed over. */
static size_t ring_room(struct place_gpu *pg)
{
	size_t at = pg->ring_tail % PLACE_RING;
	size_t free = PLACE_RING - (size_t)(pg->ring_tail - pg->ring_head);

	if (PLACE_RING - at < PLACE_WINDOW && free > PLACE_RING - at) {
		pg->ring_tail += PLACE_RING - at;
		free -= PLACE_RING - at;
		at = 0;
	}
	return free < PLACE_RING - at ? free : PLACE_RING - at;
}

/* May another put come? Its moves must find room, and so must its entry. */
static int check_room(struct place_gpu *pg)
{
	if (batch_now(pg)->n == BATCH_PARTS)
		return -EAGAIN;
	return gpu_queue_room(pg->queue);
}

static int place_gpu_window(struct place *pl, struct place_req *req, const struct mr *mr,
			    uint8_t *p, size_t *len, uint8_t **ret_host)
{
	struct place_gpu *pg = to_gpu(pl);
	size_t room;
	int r;

	(void)req;
	(void)p;
	r = check_target(pg, mr);
	if (r == 0)
		r = check_room(pg);
	if (r < 0)
		return r;
	room = ring_room(pg);
	if (room < PLACE_WINDOW)
		return -EAGAIN;
	if (*len > room)
		*len = room;
	*ret_host = pg->ring + pg->ring_tail % PLACE_RING;
	return 0;
}

/* Where the ring's byte @host is for the GPU. */
static uint64_t ring_at(const struct place_gpu *pg, const uint8_t *host)
{
	return pg->ring_dev + (uint64_t)(host - pg->ring);
}

static unsigned int arrival_moves(struct place_gpu *pg, const struct arrival *a, uint64_t dst)
{
	uint64_t linear = a->linear ? ring_at(pg, a->host) : 0;
	uint64_t base = pg->base.pool->block.priv;
	unsigned int i;

	for (i = 0; i < a->n; i++) {
		const struct gather_piece *g = &a->pieces[i];

		pg->moves[i] = (struct gpu_move){
			.src = g->linear ? linear : base + g->offset,
			.dst = dst,
			.len = g->len,
		};
		if (g->linear)
			linear += g->len;
		dst += g->len;
	}
	return a->n;
}

/* @bytes of @req wait in the batch, for which check_room() found room. */
static void batch_enter(struct place_gpu *pg, struct place_req *req, size_t bytes)
{
	struct batch *b = batch_now(pg);

	if (b->n && b->parts[b->n - 1].req == req)
		b->parts[b->n - 1].bytes += bytes;
	else
		b->parts[b->n++] = (struct batch_part){ .req = req, .bytes = bytes };
	req->pending += bytes;
	counter_add(placed_gpu, bytes);
}

/* Bytes that were received into the host half of a block of the stage go to its other half, from where they are moved like frags. */
static int stage_up(struct place_gpu *pg, const struct arrival *a)
{
	const struct stage_block *b = a->block;

	return b ? gpu_queue_copy(pg->queue, b->dev, b->host_dev, a->total) : 0;
}

static int place_gpu_put(struct place *pl, struct place_req *req, const struct mr *mr, uint8_t *p,
			 struct data_sock *ds, struct arrival *a)
{
	struct place_gpu *pg = to_gpu(pl);
	int r;

	(void)mr;
	r = loan_list_add(&batch_now(pg)->loans, ds, a);
	if (r < 0) {
		arrival_return(ds, a);
		return r;
	}
	r = stage_up(pg, a);
	if (r == 0)
		r = gpu_queue_move(pg->queue, pg->moves,
				   arrival_moves(pg, a, (uint64_t)(uintptr_t)p));
	if (r < 0)
		return r;
	ring_take(pg, a->linear);
	batch_enter(pg, req, a->total);
	return 0;
}

static int place_gpu_put_host(struct place *pl, struct place_req *req, const struct mr *mr,
			      uint8_t *p, const uint8_t *src, size_t len)
{
	struct place_gpu *pg = to_gpu(pl);
	uint8_t *at;
	int r;

	r = check_target(pg, mr);
	if (r == 0)
		r = check_room(pg);
	if (r < 0)
		return r;
	if (len > ring_room(pg))
		return -EAGAIN;
	at = pg->ring + pg->ring_tail % PLACE_RING;
	memcpy(at, src, len);
	pg->moves[0] = (struct gpu_move){
		.src = ring_at(pg, at),
		.dst = (uint64_t)(uintptr_t)p,
		.len = len,
	};
	r = gpu_queue_move(pg->queue, pg->moves, 1);
	if (r < 0)
		return r;
	ring_take(pg, len);
	batch_enter(pg, req, len);
	return 0;
}

/* Starts what has been put, unless as many batches as there may be are under way. */
static int batch_close(struct place_gpu *pg)
{
	struct batch *b = batch_now(pg);
	int r;

	if (!b->n || pg->now + 1 - pg->first == BATCHES)
		return 0;
	r = gpu_queue_mark(pg->queue, &b->ticket);
	if (r < 0)
		return r == -EAGAIN ? 0 : r;
	b->ring_end = pg->ring_tail;
	pg->now++;
	batch_now(pg)->n = 0;
	return 0;
}

static int batch_done(struct place_gpu *pg, struct batch *b)
{
	unsigned int i;

	for (i = 0; i < b->n; i++)
		b->parts[i].req->pending -= b->parts[i].bytes;
	b->n = 0;
	pg->ring_head = b->ring_end;
	return loan_list_return(&b->loans);
}

static int place_gpu_poll(struct place *pl)
{
	struct place_gpu *pg = to_gpu(pl);
	uint64_t done = 0;
	int moved = 0;
	int r;

	r = batch_close(pg);
	if (r < 0)
		return r;
	if (pg->first == pg->now)
		return 0;
	r = gpu_queue_done(pg->queue, &done);
	while (r == 0 && pg->first != pg->now && pg->batches[pg->first % BATCHES].ticket <= done) {
		r = batch_done(pg, &pg->batches[pg->first % BATCHES]);
		pg->first++;
		moved = 1;
	}
	return r < 0 ? r : moved;
}

static int place_gpu_consumed(struct place *pl, struct place_req *req)
{
	(void)pl;
	(void)req;
	return 0;
}

static void place_gpu_destroy(struct place *pl)
{
	struct place_gpu *pg = to_gpu(pl);
	int i;

	gpu_queue_destroy(pg->queue);
	for (i = 0; i < BATCHES; i++) {
		loan_list_return(&pg->batches[i].loans);
		loan_list_free(&pg->batches[i].loans);
	}
	if (pg->ring)
		gpu_host_free(pl->pool->gpu, pg->ring);
	free(pg);
}

static const struct place_ops place_gpu_ops = {
	.name = "gpu",
	.post = place_gpu_post,
	.window = place_gpu_window,
	.put = place_gpu_put,
	.put_host = place_gpu_put_host,
	.poll = place_gpu_poll,
	.consumed = place_gpu_consumed,
	.destroy = place_gpu_destroy,
};

int place_gpu_create(struct pool *pool, struct place **ret, struct verdict *why)
{
	struct place_gpu *pg = calloc(1, sizeof(*pg));
	void *ring;
	int r;

	if (!pg)
		return verdict_set(why, -ENOMEM, NULL, "no memory for gathering");
	pg->base.ops = &place_gpu_ops;
	pg->base.pool = pool;
	r = gpu_host_alloc(pool->gpu, PLACE_RING, &ring, &pg->ring_dev, why);
	if (r == 0) {
		pg->ring = ring;
		r = gpu_queue_create(pool->gpu, &pg->queue, why);
	}
	if (r < 0) {
		place_gpu_destroy(&pg->base);
		return r;
	}
	*ret = &pg->base;
	return 0;
}
