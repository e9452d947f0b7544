// SPDX-License-Identifier: BSD-3-Clause
#include "collective.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "monotime.h"
#include "report.h"
#include "ring_schedule.h"

/* How often a loop without progress looks at the clock. */
#define IDLE_LOOPS_PER_CLOCK 256

static const char *const names[COLLECTIVES] = {
	[COLL_SENDRECV] = "sendrecv",
	[COLL_ALL_REDUCE] = "all_reduce",
	[COLL_ALL_GATHER] = "all_gather",
	[COLL_REDUCE_SCATTER] = "reduce_scatter",
};

/*
 * Plays the kernel's part on one channel: goes through every @stride-th step of the schedule,
 * from @first. Sendrecv has two, so that its sends need not wait for its receives.
 */
struct worker {
	uint64_t next, end;
	unsigned int stride;
};

struct channel_run {
	struct ring_schedule schedule;
	struct worker workers[2];
};

const char *collective_name(enum collective_kind kind)
{
	return names[kind];
}

int collective_parse(const char *word, enum collective_kind *ret)
{
	for (int i = 0; i < COLLECTIVES; i++) {
		if (!strcmp(word, names[i])) {
			*ret = (enum collective_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

double collective_bus_factor(enum collective_kind kind, int nranks)
{
	switch (kind) {
	case COLL_ALL_REDUCE:
		return 2.0 * (nranks - 1) / nranks;
	case COLL_ALL_GATHER:
	case COLL_REDUCE_SCATTER:
		return (double)(nranks - 1) / nranks;
	default:
		return 1.0;
	}
}

/* Moves the data of one step. @in and @out are message slots, NULL where the step has none. */
static void step_execute(const struct collective *coll, const struct ring_step *step,
			 const void *in, void *out)
{
	size_t esize = data_type_size(coll->type);
	size_t bytes = step->len * esize;
	const void *src, *from;
	void *dst, *result;

	/* User memory may be NULL when there is no data. */
	if (!bytes)
		return;
	src = (const uint8_t *)coll->src + step->src * esize;
	dst = (uint8_t *)coll->dst + step->dst * esize;
	from = in ? in : src;
	result = step->store ? dst : out;
	if (!result)
		return;
	if (step->reduce)
		data_type_sum(coll->type, result, from, src, step->len);
	else if (result != from)
		memcpy(result, from, bytes);
	if (step->store && out)
		memcpy(out, dst, bytes);
}

/* As many steps as the lanes allow. Number of steps made; negative errno. */
static int worker_advance(struct worker *w, const struct ring_schedule *schedule,
			  const struct collective *coll, struct channel *ch)
{
	size_t esize = data_type_size(coll->type);
	struct ring_step step;
	const void *in;
	size_t size;
	int moved = 0, err;
	void *out;

	for (; w->next < w->end; w->next += w->stride, moved++) {
		ring_schedule_step(schedule, w->next, &step);
		in = NULL;
		out = NULL;
		if (step.recv) {
			in = recv_lane_slot(&ch->recv, &size);
			if (!in)
				break;
			if (size != step.len * esize) {
				report_err("%s: rank %d sent %zu bytes where %zu were due: do all "
					   "ranks run the same collective?",
					   collective_name(coll->kind), ch->recv.peer, size,
					   step.len * esize);
				return -EPROTO;
			}
		}
		if (step.send) {
			out = send_lane_slot(&ch->send);
			if (!out)
				break;
		}
		if (!coll->hollow)
			step_execute(coll, &step, in, out);
		if (step.send)
			send_lane_fill(&ch->send, step.len * esize);
		if (step.recv) {
			err = recv_lane_consume(&ch->recv);
			if (err)
				return err;
		}
	}
	return moved;
}

static void channel_run_init(struct channel_run *run, const struct ring *ring,
			     const struct collective *coll, unsigned int c)
{
	uint64_t steps;

	ring_schedule_init(&run->schedule, coll->kind, ring->rank, ring->nranks, coll->count, c,
			   ring->nchannels, ring->shape.slot_size / data_type_size(coll->type));
	steps = ring_schedule_steps(&run->schedule);
	if (coll->kind == COLL_SENDRECV && ring->nranks > 1) {
		run->workers[0] = (struct worker){ .next = 0, .end = steps, .stride = 2 };
		run->workers[1] = (struct worker){ .next = 1, .end = steps, .stride = 2 };
	} else {
		run->workers[0] = (struct worker){ .next = 0, .end = steps, .stride = 1 };
		run->workers[1] = (struct worker){ .next = 0, .end = 0, .stride = 1 };
	}
	recv_lane_expect(&ring->channels[c].recv, ring_schedule_recvs(&run->schedule));
}

static bool channel_run_done(const struct channel_run *run, const struct channel *ch)
{
	return run->workers[0].next >= run->workers[0].end &&
	       run->workers[1].next >= run->workers[1].end && send_lane_idle(&ch->send);
}

/* One look at everything. Steps made; negative errno. */
static int channel_run_advance(struct channel_run *run, const struct collective *coll,
			       struct channel *ch, bool connected)
{
	int moved = 0, n;

	if (connected) {
		n = recv_lane_progress(&ch->recv);
		if (n < 0)
			return n;
		moved += n;
	}
	for (int i = 0; i < 2; i++) {
		n = worker_advance(&run->workers[i], &run->schedule, coll, ch);
		if (n < 0)
			return n;
		moved += n;
	}
	if (connected) {
		n = send_lane_progress(&ch->send);
		if (n < 0)
			return n;
		moved += n;
	}
	return moved;
}

static void report_stall(const struct ring *ring, const struct collective *coll,
			 const struct channel_run *runs)
{
	report_err("%s of %zu %s: no progress for %d s", collective_name(coll->kind), coll->count,
		   data_type_name(coll->type), ring->timeout_s);
	for (unsigned int c = 0; c < ring->nchannels; c++) {
		const struct channel *ch = &ring->channels[c];

		if (channel_run_done(&runs[c], ch))
			continue;
		report_err(
			"channel %u: step %llu of %llu; to rank %d: %llu filled, %llu posted, %llu "
			"done; from rank %d: %llu expected, %llu posted, %llu received, %llu "
			"flushed, %llu used",
			c, (unsigned long long)runs[c].workers[0].next,
			(unsigned long long)runs[c].workers[0].end, ring->next,
			(unsigned long long)ch->send.filled, (unsigned long long)ch->send.posted,
			(unsigned long long)ch->send.done, ring->prev,
			(unsigned long long)ch->recv.expected, (unsigned long long)ch->recv.posted,
			(unsigned long long)ch->recv.received, (unsigned long long)ch->recv.flushed,
			(unsigned long long)ch->recv.consumed);
	}
}

int collective_run(struct ring *ring, const struct collective *coll)
{
	struct channel_run runs[RING_MAX_CHANNELS];
	int64_t deadline = monotime_ns() + ring->timeout_s * NSEC_PER_SEC;
	unsigned int idle = 0, open;
	int moved, n;

	for (unsigned int c = 0; c < ring->nchannels; c++)
		channel_run_init(&runs[c], ring, coll, c);
	for (;;) {
		moved = 0;
		open = 0;
		for (unsigned int c = 0; c < ring->nchannels; c++) {
			if (channel_run_done(&runs[c], &ring->channels[c]))
				continue;
			n = channel_run_advance(&runs[c], coll, &ring->channels[c],
						ring->nranks > 1);
			if (n < 0)
				return n;
			moved += n;
			open++;
		}
		if (!open)
			return 0;
		if (moved) {
			idle = 0;
			continue;
		}
		/* Ranks may share a processor: let the one that we wait for have it. */
		sched_yield();
		if (idle == 0)
			deadline = monotime_ns() + ring->timeout_s * NSEC_PER_SEC;
		if (++idle % IDLE_LOOPS_PER_CLOCK == 0 && monotime_ns() >= deadline) {
			report_stall(ring, coll, runs);
			return -ETIMEDOUT;
		}
	}
}
