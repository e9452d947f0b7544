// SPDX-License-Identifier: BSD-3-Clause
/* Streams: what a progress thread does all day, with every byte checked. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "monotime.h"

#define DEPTH_MAX NCCL_NET_MAX_REQUESTS
#define LAG	  4

/* What lies at the beginning of a receive buffer that nothing was written to. */
static const uint8_t poison[64] = { 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5 };

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* Bytes @from.. of a pattern; @from is a multiple of 8. */
static void pattern_fill_from(void *buf, size_t size, uint64_t mixed, size_t from)
{
	uint8_t *p = buf;

	for (size_t i = 0; i < size; i += 8) {
		uint64_t word = (mixed + from + i) * 0xd1342543de82ef95ULL;

		memcpy(p + i, &word, size - i < 8 ? size - i : 8);
	}
}

static uint64_t pattern_check_from(const void *buf, size_t size, uint64_t mixed, size_t from)
{
	const uint8_t *p = buf;

	for (size_t i = 0; i < size; i += 8) {
		uint64_t word = (mixed + from + i) * 0xd1342543de82ef95ULL;
		size_t n = size - i < 8 ? size - i : 8;

		if (memcmp(p + i, &word, n) == 0)
			continue;
		for (size_t b = 0; b < n; b++)
			if (p[i + b] != ((uint8_t *)&word)[b])
				return i + b;
	}
	return CHECK_RIGHT;
}

void pattern_fill(void *buf, size_t size, uint64_t seed)
{
	pattern_fill_from(buf, size, mix(seed), 0);
}

uint64_t pattern_check(const void *buf, size_t size, uint64_t seed)
{
	return pattern_check_from(buf, size, mix(seed), 0);
}

/* A GPU's memory is written and read by way of this much of the CPU's; a multiple of the pattern's unit. */
#define PART (256UL << 10)

void buffer_fill(void *buf, size_t size, uint64_t seed)
{
	static _Thread_local uint8_t part[PART];

	if (memory_is_host()) {
		pattern_fill(buf, size, seed);
		return;
	}
	for (size_t at = 0; at < size; at += PART) {
		size_t n = size - at < PART ? size - at : PART;

		pattern_fill_from(part, n, mix(seed), at);
		memory_write((uint8_t *)buf + at, part, n);
	}
}

uint64_t buffer_check(const void *buf, size_t size, uint64_t seed)
{
	static _Thread_local uint8_t part[PART];

	if (memory_is_host())
		return pattern_check(buf, size, seed);
	for (size_t at = 0; at < size; at += PART) {
		size_t n = size - at < PART ? size - at : PART;
		uint64_t wrong;

		memory_read(part, (const uint8_t *)buf + at, n);
		wrong = pattern_check_from(part, n, mix(seed), at);
		if (wrong != CHECK_RIGHT)
			return at + wrong;
	}
	return CHECK_RIGHT;
}

static uint64_t message_seed(const struct stream *s, uint32_t i)
{
	return ((uint64_t)s->seed << 32) + i + 1;
}

/* Sizes of all magnitudes up to the limit: powers of two, and what lies beside them. */
static size_t message_size(const struct stream *s, uint32_t i)
{
	uint64_t r = mix(message_seed(s, i) ^ 0x5157);
	unsigned int bits = 0;
	size_t size;

	if (s->flags & STREAM_FIXED)
		return s->max_size;
	if ((s->flags & STREAM_EMPTY) && (i & 1))
		return 0;
	while (s->max_size >> bits)
		bits++;
	size = (size_t)1 << (r % (bits + 1));
	size += (r >> 16) % 3 ? (r >> 8) % size : 0;
	size -= (r >> 24) % 4 == 0;
	return size > s->max_size ? s->max_size : size;
}

/* One stream at work: slot i % depth carries message i. */
struct work {
	struct stream *s;
	struct rx *rx;
	uint32_t posted;
	void *reqs[DEPTH_MAX];
	bool ended[DEPTH_MAX]; /* but its bytes not seen yet */
	uint32_t seq[DEPTH_MAX];
	uint32_t number[DEPTH_MAX];
	uint32_t flying;
	uint32_t
		prepared; /* messages whose slots have been made ready; the call may be tried again and again */
};

static uint8_t *slot_at(const struct work *w, uint32_t slot)
{
	return (uint8_t *)w->s->buf + (size_t)slot * w->s->slot;
}

static void stream_wrong(struct work *w, ncclResult_t res, const char *what)
{
	w->s->res = (int32_t)res;
	if (w->s->wrong[0])
		return;
	snprintf(w->s->wrong, sizeof(w->s->wrong), "%s", what);
}

static bool is_over(const struct work *w)
{
	return w->s->wrong[0] || w->s->res || w->s->done == w->s->n;
}

/* 1 posted, 0 not now. */
static int stream_post(struct agent *a, struct work *w)
{
	struct stream *s = w->s;
	uint32_t slot = w->posted % s->depth;
	void *data = slot_at(w, slot), *mhandle = (void *)s->mhandle, *request = NULL;
	size_t size = message_size(s, w->posted);
	/* As large as it may get, or as large as it is: NCCL does both. */
	size_t room = w->posted & 1 ? size : s->slot;
	int tag = (int)(s->seed & 0xffff);
	ncclResult_t res;

	if (w->posted == s->n || w->reqs[slot])
		return 0;
	if (w->prepared == w->posted) {
		if (s->flags & STREAM_SEND)
			buffer_fill(data, size, message_seed(s, w->posted));
		else
			memory_write(data, poison, room > sizeof(poison) ? sizeof(poison) : room);
		w->prepared++;
	}
	if (s->flags & STREAM_SEND) {
		res = a->calls.isend(a->table, (void *)s->comm, data, size, tag, mhandle, &request);
	} else {
		if (s->flags & STREAM_OPTIONAL)
			request = (void *)(uintptr_t)NCCL_NET_OPTIONAL_RECV_COMPLETION;
		res = a->calls.irecv(a->table, (void *)s->comm, 1, &data, &room, &tag, &mhandle,
				     &request);
		if (res == ncclSuccess && request)
			w->number[slot] = rx_posted(w->rx, request, data);
	}
	if (res != ncclSuccess) {
		stream_wrong(w, res, s->flags & STREAM_SEND ? "isend failed" : "irecv failed");
		return 0;
	}
	if (!request) {
		s->nulls++;
		return 0;
	}
	w->reqs[slot] = request;
	w->seq[slot] = w->posted++;
	if (++w->flying > s->most)
		s->most = w->flying;
	return 1;
}

static void stream_flush(struct agent *a, struct work *w, void *data, int size)
{
	void *mhandle = (void *)w->s->mhandle, *request = NULL;
	int64_t end = monotime_ns() + 60 * NSEC_PER_SEC;
	ncclResult_t res;
	int done = 0;

	res = a->calls.iflush((void *)w->s->comm, 1, &data, &size, &mhandle, &request);
	while (res == ncclSuccess && request && !done && monotime_ns() < end)
		res = a->calls.test(request, &done, NULL);
	if (res != ncclSuccess)
		stream_wrong(w, res, "iflush failed");
	else if (request && !done)
		stream_wrong(w, ncclNumResults, "iflush did not end within 5 s");
}

/* A receive has ended: is what test() said right? */
static void stream_ended(struct agent *a, struct work *w, uint32_t slot, int size)
{
	struct stream *s = w->s;
	size_t expected = message_size(s, w->seq[slot]);
	char why[96] = "";
	ncclResult_t res;

	if (!(s->flags & STREAM_NO_SIZES) && (size < 0 || (size_t)size != expected)) {
		snprintf(why, sizeof(why), "message %u: size %d reported, %zu sent", w->seq[slot],
			 size, expected);
		stream_wrong(w, ncclNumResults, why);
		return;
	}
	if ((s->flags & STREAM_FLUSH) && expected)
		stream_flush(a, w, slot_at(w, slot), (int)expected);
	res = rx_finished(a, w->rx, w->reqs[slot], expected, why);
	if (res != ncclSuccess)
		stream_wrong(w, res, why);
}

/* Its bytes can be seen: those of an earlier receive that ended later come first. */
static void stream_check(struct work *w, uint32_t slot)
{
	struct stream *s = w->s;
	size_t expected = message_size(s, w->seq[slot]);
	uint64_t at = buffer_check(slot_at(w, slot), expected, message_seed(s, w->seq[slot]));
	char why[96];

	if (at == CHECK_RIGHT)
		return;
	snprintf(why, sizeof(why), "message %u of %zu bytes: byte %llu is wrong", w->seq[slot],
		 expected, (unsigned long long)at);
	stream_wrong(w, ncclNumResults, why);
}

static int stream_free(struct work *w, uint32_t slot)
{
	w->reqs[slot] = NULL;
	w->ended[slot] = false;
	w->flying--;
	w->s->done++;
	return 1;
}

static int stream_collect(struct work *w)
{
	int moved = 0;

	for (uint32_t slot = 0; slot < w->s->depth; slot++) {
		if (!w->ended[slot] || !rx_is_taken(w->rx, w->number[slot]))
			continue;
		stream_check(w, slot);
		moved |= stream_free(w, slot);
	}
	return moved;
}

/* Nothing more will come to push the last ones out. */
static void stream_rest(struct agent *a, struct work *w)
{
	char why[96] = "";
	ncclResult_t res;

	if (!(w->s->flags & STREAM_LAZY) || w->posted != w->s->n || !w->rx->lag)
		return;
	for (uint32_t slot = 0; slot < w->s->depth; slot++)
		if (w->reqs[slot] && !w->ended[slot])
			return;
	w->rx->lag = 0;
	res = rx_take(a, w->rx, why);
	if (res != ncclSuccess)
		stream_wrong(w, res, why);
	stream_collect(w);
}

/* 1 something ended. */
static int stream_test(struct agent *a, struct work *w)
{
	struct stream *s = w->s;
	int moved = 0;

	/* Slot posted % depth has the oldest request, the one before it the newest. */
	for (uint32_t i = 0; i < s->depth && !s->wrong[0]; i++) {
		uint32_t turn = s->flags & STREAM_BACKWARD ? s->depth - 1 - i : i;
		uint32_t slot = (w->posted + turn) % s->depth;
		int done = 0, size = -1;
		ncclResult_t res;

		if (!w->reqs[slot] || w->ended[slot])
			continue;
		res = a->calls.test(w->reqs[slot], &done,
				    s->flags & STREAM_NO_SIZES ? NULL : &size);
		if (res != ncclSuccess) {
			stream_wrong(w, res, "test failed");
			return 0;
		}
		if (!done)
			continue;
		if (s->flags & STREAM_SEND) {
			moved = stream_free(w, slot);
			continue;
		}
		stream_ended(a, w, slot, size);
		w->ended[slot] = true;
		moved |= stream_collect(w);
	}
	return moved;
}

void agent_run_stream(struct agent *a, struct call *c)
{
	int64_t end = monotime_ns() + (int64_t)c->a[0] * NSEC_PER_MSEC;
	struct stream *streams = (struct stream *)c->data;
	size_t n = c->len / sizeof(*streams), over;
	static _Thread_local struct work works[STREAMS_MAX];
	unsigned int idle = 0;
	int moved;

	memset(works, 0, sizeof(works));
	for (size_t i = 0; i < n; i++) {
		works[i].s = &streams[i];
		streams[i].res = 0;
		streams[i].done = 0;
		streams[i].nulls = 0;
		streams[i].most = 0;
		memset(streams[i].wrong, 0, sizeof(streams[i].wrong));
		if (streams[i].depth > DEPTH_MAX)
			streams[i].depth = DEPTH_MAX;
		if (streams[i].flags & STREAM_SEND)
			continue;
		works[i].rx = agent_rx(a, (void *)streams[i].comm);
		if (!works[i].rx)
			stream_wrong(&works[i], ncclNumResults, "not a receive comm");
		else
			works[i].rx->lag = streams[i].flags & STREAM_LAZY ? LAG : 0;
	}
	do {
		over = 0;
		moved = 0;
		for (size_t i = 0; i < n; i++) {
			struct work *w = &works[i];

			while (!is_over(w) && stream_post(a, w))
				moved = 1;
			if (!is_over(w))
				moved |= stream_test(a, w);
			if (!is_over(w) && w->rx)
				stream_rest(a, w);
			over += is_over(w);
		}
		if (moved)
			idle = 0;
		else
			agent_idle(&idle);
	} while (over < n && monotime_ns() < end);
	for (size_t i = 0; i < n; i++)
		if (!is_over(&works[i]))
			stream_wrong(&works[i], ncclInProgress, "did not end in time");
	c->res = 0;
}
