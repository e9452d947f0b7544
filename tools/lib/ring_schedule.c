// SPDX-License-Identifier: BSD-3-Clause
#include "ring_schedule.h"

#include <string.h>

static size_t div_up(size_t a, size_t b)
{
	return a / b + (a % b != 0);
}

void ring_schedule_init(struct ring_schedule *s, enum collective_kind kind, int rank, int nranks,
			size_t count, unsigned int channel, unsigned int nchannels,
			size_t slot_count)
{
	size_t n = (size_t)nranks;
	size_t share = div_up(count, nchannels);
	size_t parts;

	memset(s, 0, sizeof(*s));
	s->kind = kind;
	s->rank = rank;
	s->nranks = nranks;
	s->count = count;
	s->low = share * channel < count ? share * channel : count;
	s->high = s->low + share < count ? s->low + share : count;
	/* An all_reduce loop covers a chunk for each rank, the others one chunk of each rank. */
	parts = kind == COLL_ALL_REDUCE ? n : 1;
	s->chunk = div_up(s->high - s->low, parts);
	if (s->chunk > slot_count)
		s->chunk = slot_count;
	if (!s->chunk)
		s->chunk = 1;
	/* Without data one loop of empty messages is left. */
	s->loops = div_up(s->high - s->low, parts * s->chunk);
	if (!s->loops)
		s->loops = 1;
	if (nranks == 1) {
		s->steps_per_loop = 1;
		return;
	}
	switch (kind) {
	case COLL_ALL_REDUCE:
		s->steps_per_loop = 2 * (unsigned int)nranks - 1;
		s->recvs_per_loop = 2 * (unsigned int)(nranks - 1);
		break;
	case COLL_ALL_GATHER:
	case COLL_REDUCE_SCATTER:
		s->steps_per_loop = (unsigned int)nranks;
		s->recvs_per_loop = (unsigned int)(nranks - 1);
		break;
	default:
		s->steps_per_loop = 2;
		s->recvs_per_loop = 1;
		break;
	}
}

static size_t clamp_len(const struct ring_schedule *s, size_t offset)
{
	if (offset >= s->high)
		return 0;
	return s->high - offset < s->chunk ? s->high - offset : s->chunk;
}

/*
 * The part of the data that this rank handles in step @j of a loop. Step 0 sends the part of the
 * rank before us; at each further step comes the part before that, until our own part is complete
 * in step nranks - 1 and goes round once more.
 */
static size_t part_of_step(const struct ring_schedule *s, unsigned int j)
{
	size_t n = (size_t)s->nranks;

	return ((size_t)s->rank + 2 * n - 1 - j % n) % n;
}

static void step_all_reduce(const struct ring_schedule *s, uint64_t loop, unsigned int j,
			    struct ring_step *ret)
{
	unsigned int n = (unsigned int)s->nranks;
	size_t offset;

	offset = s->low + ((size_t)loop * n + part_of_step(s, j)) * s->chunk;
	ret->src = offset;
	ret->dst = offset;
	ret->len = clamp_len(s, offset);
	ret->recv = j > 0;
	ret->reduce = j > 0 && j < n;
	ret->send = j < 2 * n - 2;
	ret->store = j >= n - 1;
}

static void step_all_gather(const struct ring_schedule *s, uint64_t loop, unsigned int j,
			    struct ring_step *ret)
{
	size_t offset = s->low + (size_t)loop * s->chunk;
	size_t n = (size_t)s->nranks;

	ret->src = offset;
	ret->dst = ((size_t)s->rank + n - j) % n * s->count + offset;
	ret->len = clamp_len(s, offset);
	ret->recv = j > 0;
	ret->send = j < n - 1;
	ret->store = true;
}

static void step_reduce_scatter(const struct ring_schedule *s, uint64_t loop, unsigned int j,
				struct ring_step *ret)
{
	size_t offset = s->low + (size_t)loop * s->chunk;
	unsigned int n = (unsigned int)s->nranks;

	ret->src = part_of_step(s, j) * s->count + offset;
	ret->dst = offset;
	ret->len = clamp_len(s, offset);
	ret->recv = j > 0;
	ret->reduce = j > 0;
	ret->send = j < n - 1;
	ret->store = j == n - 1;
}

/* Even steps send, odd ones receive; they are two lists, run side by side (collective.c). */
static void step_sendrecv(const struct ring_schedule *s, uint64_t loop, unsigned int j,
			  struct ring_step *ret)
{
	size_t offset = s->low + (size_t)loop * s->chunk;

	ret->src = offset;
	ret->dst = offset;
	ret->len = clamp_len(s, offset);
	ret->send = j == 0;
	ret->recv = j == 1;
	ret->store = j == 1;
}

void ring_schedule_step(const struct ring_schedule *s, uint64_t i, struct ring_step *ret)
{
	uint64_t loop = i / s->steps_per_loop;
	unsigned int j = (unsigned int)(i % s->steps_per_loop);

	memset(ret, 0, sizeof(*ret));
	if (s->nranks == 1) {
		ret->src = s->low + (size_t)loop * s->chunk;
		ret->dst = ret->src;
		ret->len = clamp_len(s, ret->src);
		ret->store = true;
		return;
	}
	switch (s->kind) {
	case COLL_ALL_REDUCE:
		step_all_reduce(s, loop, j, ret);
		break;
	case COLL_ALL_GATHER:
		step_all_gather(s, loop, j, ret);
		break;
	case COLL_REDUCE_SCATTER:
		step_reduce_scatter(s, loop, j, ret);
		break;
	default:
		step_sendrecv(s, loop, j, ret);
		break;
	}
}
