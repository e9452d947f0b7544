// SPDX-License-Identifier: BSD-3-Clause
/*
 * Queues of a GPU: a stream, events to know how far it is, and plans for the gather kernel in pinned memory that the kernel reads.
 *
 * A plan is filled by gpu_queue_move() and belongs to the GPU from its launch until the mark behind that has been passed. There are a few, so
 * that one can be filled while others are worked off.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/counter.h"
#include "base/log.h"
#include "mem/gather_plan.h"
#include "mem/gpu_internal.h"

#define QUEUE_PLANS 4
#define QUEUE_MARKS 16

/* @ticket: the mark behind its launch; until that is passed the plan is the GPU's. */
struct queue_plan {
	struct gather_plan plan;
	cu_deviceptr tiles_dev;
	cu_deviceptr sources_dev;
	uint64_t ticket;
};

/*
 * @last, @done: newest ticket given, newest passed. @dirty: something was given to the stream since @last.
 * @events: of ticket t at t % QUEUE_MARKS. @now: the plan that is being filled. @host: the plans' memory; NULL where moves are copies.
 * @err: the first error, for good.
 */
struct gpu_queue {
	struct gpu *gpu;
	cu_stream stream;
	int err;
	bool dirty;
	uint64_t last;
	uint64_t done;
	cu_event events[QUEUE_MARKS];
	unsigned int now;
	void *host;
	struct queue_plan plans[QUEUE_PLANS];
};

static int queue_fail(struct gpu_queue *q, cu_result r, const char *what)
{
	if (!q->err)
		log_err("%s: %s: %s", q->gpu->name, what, cuda_error_text(q->gpu->cu, r));
	q->err = -EIO;
	return q->err;
}

static int queue_enter(struct gpu_queue *q, struct gpu_scope *ret)
{
	if (q->err)
		return q->err;
	if (gpu_enter(q->gpu, ret) < 0) {
		log_err("%s: its CUDA context is gone", q->gpu->name);
		q->err = -EIO;
	}
	return q->err;
}

#define PLAN_BYTES                                        \
	(GATHER_PLAN_TILES * sizeof(struct gather_tile) + \
	 GATHER_PLAN_SOURCES * sizeof(struct gather_source))

static int plans_create(struct gpu_queue *q, struct verdict *why)
{
	uint64_t dev;
	char *host;
	int i, r;

	r = gpu_host_alloc(q->gpu, QUEUE_PLANS * PLAN_BYTES, &q->host, &dev, why);
	if (r < 0)
		return r;
	host = q->host;
	for (i = 0; i < QUEUE_PLANS; i++) {
		struct queue_plan *p = &q->plans[i];
		size_t at = i * PLAN_BYTES;

		p->plan.sources = (struct gather_source *)(host + at);
		p->sources_dev = dev + at;
		at += GATHER_PLAN_SOURCES * sizeof(struct gather_source);
		p->plan.tiles = (struct gather_tile *)(host + at);
		p->tiles_dev = dev + at;
	}
	return 0;
}

static int events_create(struct gpu_queue *q, struct verdict *why)
{
	cu_result r;
	int i;

	for (i = 0; i < QUEUE_MARKS; i++) {
		r = q->gpu->cu->cuEventCreate(&q->events[i], CU_EVENT_NO_TIMING);
		if (r != CU_OK) {
			q->events[i] = NULL;
			return gpu_verdict(q->gpu, r, NULL, why, "making an event");
		}
	}
	return 0;
}

static int queue_create(struct gpu *gpu, bool by_kernel, struct gpu_queue **ret,
			struct verdict *why)
{
	struct gpu_queue *q = calloc(1, sizeof(*q));
	struct gpu_scope scope;
	cu_result r;
	int err;

	if (!q)
		return verdict_set(why, -ENOMEM, NULL, "no memory for a GPU queue");
	q->gpu = gpu;
	err = gpu_enter(gpu, &scope);
	if (err < 0) {
		free(q);
		return verdict_set(why, err, NULL, "%s: its CUDA context is gone", gpu->name);
	}
	/* Non-blocking: not ordered against the default stream, which belongs to the job. */
	r = gpu->cu->cuStreamCreateWithPriority(&q->stream, CU_STREAM_NONBLOCKING, gpu->priority);
	if (r != CU_OK) {
		q->stream = NULL;
		err = gpu_verdict(gpu, r, NULL, why, "making a stream");
	} else {
		err = events_create(q, why);
	}
	if (err == 0 && by_kernel)
		err = plans_create(q, why);
	gpu_leave(gpu, &scope);
	if (err < 0) {
		gpu_queue_destroy(q);
		return err;
	}
	*ret = q;
	return 0;
}

int gpu_queue_create(struct gpu *gpu, struct gpu_queue **ret, struct verdict *why)
{
	gpu_mover_choose(gpu);
	return queue_create(gpu, gpu->mover.kernel != NULL, ret, why);
}

int gpu_queue_create_copies(struct gpu *gpu, struct gpu_queue **ret, struct verdict *why)
{
	return queue_create(gpu, false, ret, why);
}

void gpu_queue_destroy(struct gpu_queue *q)
{
	struct gpu_scope scope;
	int i;

	if (!q)
		return;
	/* With a context that is gone everything in it is. */
	if (gpu_enter(q->gpu, &scope) == 0) {
		if (q->stream) {
			q->gpu->cu->cuStreamSynchronize(q->stream);
			q->gpu->cu->cuStreamDestroy(q->stream);
		}
		for (i = 0; i < QUEUE_MARKS; i++)
			if (q->events[i])
				q->gpu->cu->cuEventDestroy(q->events[i]);
		if (q->host)
			q->gpu->cu->cuMemFreeHost(q->host);
		gpu_leave(q->gpu, &scope);
	}
	free(q);
}

static int queue_copy(struct gpu_queue *q, uint64_t dst, uint64_t src, size_t len)
{
	cu_result r = q->gpu->cu->cuMemcpyAsync(dst, src, len, q->stream);

	if (r != CU_OK)
		return queue_fail(q, r, "copying");
	q->dirty = true;
	counter_inc(gpu_copies);
	return 0;
}

int gpu_queue_copy(struct gpu_queue *q, uint64_t dst, uint64_t src, size_t len)
{
	struct gpu_scope scope;
	int r = queue_enter(q, &scope);

	if (r < 0)
		return r;
	r = queue_copy(q, dst, src, len);
	gpu_leave(q->gpu, &scope);
	return r;
}

/* How far the GPU is. Context current. */
static int queue_poll(struct gpu_queue *q)
{
	while (q->done < q->last) {
		cu_result r = q->gpu->cu->cuEventQuery(q->events[(q->done + 1) % QUEUE_MARKS]);

		if (r == CU_E_NOT_READY)
			break;
		if (r != CU_OK)
			return queue_fail(q, r, "work for received bytes");
		q->done++;
	}
	return 0;
}

/* Can a launch, or a mark, be had? Context current. */
static int mark_is_free(struct gpu_queue *q)
{
	int r = 0;

	if (q->last - q->done == QUEUE_MARKS)
		r = queue_poll(q);
	if (r < 0)
		return r;
	return q->last - q->done == QUEUE_MARKS ? -EAGAIN : 0;
}

/* A mark, whether anything is new or not. Context current. */
static int queue_mark(struct gpu_queue *q)
{
	cu_result r;
	int err = mark_is_free(q);

	if (err < 0)
		return err;
	r = q->gpu->cu->cuEventRecord(q->events[(q->last + 1) % QUEUE_MARKS], q->stream);
	if (r != CU_OK)
		return queue_fail(q, r, "recording an event");
	q->last++;
	q->dirty = false;
	return 0;
}

/*
 * Launches the plan that is being filled, with a mark behind it. That must be possible first: a launch without a mark would leave the plan's
 * end unknown.
 */
static int queue_flush(struct gpu_queue *q)
{
	struct queue_plan *p = &q->plans[q->now];
	void *params[] = { &p->tiles_dev, &p->sources_dev };
	cu_result r;
	int err;

	if (!p->plan.n_tiles)
		return 0;
	err = mark_is_free(q);
	if (err < 0)
		return err;
	r = q->gpu->cu->cuLaunchKernel(q->gpu->mover.kernel, p->plan.n_tiles, 1, 1, GATHER_THREADS,
				       1, 1, 0, q->stream, params, NULL);
	if (r != CU_OK)
		return queue_fail(q, r, "launching the gather kernel");
	counter_inc(gpu_launches);
	gather_plan_clear(&p->plan);
	err = queue_mark(q);
	if (err < 0)
		return err;
	p->ticket = q->last;
	q->now = (q->now + 1) % QUEUE_PLANS;
	return 0;
}

int gpu_queue_flush(struct gpu_queue *q)
{
	struct gpu_scope scope;
	int r = queue_enter(q, &scope);

	if (r < 0)
		return r;
	r = queue_flush(q);
	gpu_leave(q->gpu, &scope);
	return r;
}

/* The plan that is being filled is ours again? Context current. */
static int plan_is_free(struct gpu_queue *q)
{
	int r = 0;

	if (q->plans[q->now].ticket > q->done)
		r = queue_poll(q);
	if (r < 0)
		return r;
	return q->plans[q->now].ticket > q->done ? -EAGAIN : 0;
}

/* Room for @n moves of @bytes in the plan, and no line of theirs begun in it by another's. Context current. */
static int plan_make_room(struct gpu_queue *q, const struct gpu_move *moves, unsigned int n,
			  uint64_t bytes)
{
	struct gather_plan *plan = &q->plans[q->now].plan;
	unsigned int most = n + (unsigned int)(bytes / (GATHER_TILE - GATHER_LINE)) + 2;
	int r = plan_is_free(q);

	if (r < 0)
		return r;
	if (plan->n_tiles + most <= GATHER_PLAN_TILES &&
	    plan->n_sources + most + n <= GATHER_PLAN_SOURCES &&
	    !gather_plan_shares_line(plan, &moves[0]))
		return 0;
	r = queue_flush(q);
	return r < 0 ? r : plan_is_free(q);
}

/* A plan has room for one call of any kind when it is empty; otherwise it must be possible to begin the next. */
static int queue_room(struct gpu_queue *q)
{
	int r = plan_is_free(q);

	if (r < 0 || !q->plans[q->now].plan.n_tiles)
		return r;
	r = mark_is_free(q);
	if (r == 0 && q->plans[(q->now + 1) % QUEUE_PLANS].ticket > q->done)
		r = queue_poll(q);
	if (r < 0)
		return r;
	return q->plans[(q->now + 1) % QUEUE_PLANS].ticket > q->done ? -EAGAIN : 0;
}

int gpu_queue_room(struct gpu_queue *q)
{
	struct gpu_scope scope;
	int r;

	if (q->err || !q->host)
		return q->err;
	/* Mostly, without a word to the driver. */
	if (q->plans[q->now].ticket <= q->done && !q->plans[q->now].plan.n_tiles)
		return 0;
	r = queue_enter(q, &scope);
	if (r < 0)
		return r;
	r = queue_room(q);
	gpu_leave(q->gpu, &scope);
	return r;
}

static int move_by_kernel(struct gpu_queue *q, const struct gpu_move *moves, unsigned int n,
			  uint64_t bytes)
{
	int r = plan_make_room(q, moves, n, bytes);
	unsigned int i;

	if (r < 0)
		return r;
	for (i = 0; i < n; i++)
		gather_plan_add(&q->plans[q->now].plan, &moves[i]);
	return 0;
}

static int move_by_copy(struct gpu_queue *q, const struct gpu_move *moves, unsigned int n)
{
	unsigned int i = 0;
	int r = 0;

	while (i < n && r == 0) {
		struct gpu_move run = moves[i++];

		while (i < n && moves[i].src == run.src + run.len &&
		       moves[i].dst == run.dst + run.len)
			run.len += moves[i++].len;
		r = queue_copy(q, run.dst, run.src, run.len);
	}
	return r;
}

int gpu_queue_move(struct gpu_queue *q, const struct gpu_move *moves, unsigned int n)
{
	struct gpu_scope scope;
	uint64_t bytes = 0;
	unsigned int i;
	int r;

	for (i = 0; i < n; i++)
		bytes += moves[i].len;
	if (n > GPU_MOVES || bytes > GPU_MOVE_BYTES)
		return -E2BIG;
	r = queue_enter(q, &scope);
	if (r < 0)
		return r;
	if (n && q->host)
		r = move_by_kernel(q, moves, n, bytes);
	else
		r = move_by_copy(q, moves, n);
	gpu_leave(q->gpu, &scope);
	return r;
}

const char *gpu_queue_mover(const struct gpu_queue *q)
{
	return q->gpu->mover.text;
}

bool gpu_queue_is_ordered(const struct gpu_queue *q)
{
	return q->host != NULL;
}

int gpu_queue_mark(struct gpu_queue *q, uint64_t *ret_ticket)
{
	struct gpu_scope scope;
	int r = queue_enter(q, &scope);

	if (r < 0)
		return r;
	r = queue_flush(q);
	if (r == 0 && (q->dirty || q->last == 0))
		r = queue_mark(q);
	gpu_leave(q->gpu, &scope);
	if (r == 0)
		*ret_ticket = q->last;
	return r;
}

int gpu_queue_done(struct gpu_queue *q, uint64_t *ret_ticket)
{
	struct gpu_scope scope;
	int r;

	if (q->err || q->done == q->last) {
		*ret_ticket = q->done;
		return q->err;
	}
	r = queue_enter(q, &scope);
	if (r < 0)
		return r;
	r = queue_poll(q);
	gpu_leave(q->gpu, &scope);
	*ret_ticket = q->done;
	return r;
}
