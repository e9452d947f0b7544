// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>

#include "base/trace.h"
#include "comm/chunk_queue.h"

static struct recv_chunk *first(struct chunk_queue *q)
{
	return &q->ring[q->head % CHUNKS_MAX];
}

int chunk_queue_add(struct chunk_queue *q, struct request *req, uint8_t *p, size_t len)
{
	struct recv_chunk *last =
		chunk_queue_empty(q) ? NULL : &q->ring[(q->tail - 1) % CHUNKS_MAX];

	if (last && last->req == req && last->p + last->left == p) {
		last->left += len;
	} else {
		if (q->tail - q->head == CHUNKS_MAX)
			return -ENOSPC;
		q->ring[q->tail % CHUNKS_MAX] =
			(struct recv_chunk){ .req = req, .p = p, .left = len };
		q->tail++;
	}
	q->bytes += len;
	return 0;
}

/* Bytes of the first chunk and of those behind it that come and are placed in the same way. */
static size_t span_bytes(const struct chunk_queue *q)
{
	const struct request *req = q->ring[q->head % CHUNKS_MAX].req;
	size_t bytes = 0;
	uint32_t i;

	for (i = q->head; i != q->tail; i++) {
		const struct recv_chunk *c = &q->ring[i % CHUNKS_MAX];

		if (c->req->place != req->place || c->req->path != req->path)
			break;
		bytes += c->left;
	}
	return bytes;
}

/* @part is what came for the first chunk. */
static int place_part(struct chunk_queue *q, struct data_sock *ds, struct arrival *part)
{
	struct recv_chunk *c = first(q);
	struct request *req = c->req;
	size_t n = part->total;
	int r;

	req->arrived += n;
	TRACE4(chunk_received, req->comm, req, req->path->rung, n);
	r = req->place->ops->put(req->place, &req->put, req->mr, c->p, ds, part);
	c->p += n;
	c->left -= n;
	q->bytes -= n;
	if (!c->left)
		q->head++;
	return r;
}

static bool is_drained(ssize_t n, size_t asked, const struct arrival *a)
{
	return n == -EAGAIN || (n > 0 && (size_t)n < asked && !a->cut_short);
}

/* One call for several chunks: what it brought is cut at their ends. The last part has the tokens, since it is consumed last. */
static ssize_t read_span(struct chunk_queue *q, struct data_sock *ds, struct chunk_reader *rd,
			 size_t len)
{
	struct recv_chunk *c = first(q);
	struct place *pl = c->req->place;
	struct arrival_cut cut = { 0 };
	uint8_t *host = NULL;
	ssize_t n;
	int r = 0;

	pl->ops->span(pl, &len, &host);
	n = c->req->path->recv(ds, pl, host, len, &rd->arrival);
	rd->drained = is_drained(n, len, &rd->arrival);
	if (n < 0)
		return n;
	while (r == 0 && cut.done < rd->arrival.total) {
		arrival_cut(&rd->arrival, &cut, first(q)->left, &rd->part);
		r = place_part(q, ds, &rd->part);
	}
	if (r < 0)
		arrival_return(ds, &rd->arrival);
	return r < 0 ? r : n;
}

static ssize_t read_one(struct chunk_queue *q, struct data_sock *ds, struct chunk_reader *rd)
{
	struct recv_chunk *c = first(q);
	struct request *req = c->req;
	struct place *pl = req->place;
	size_t len = c->left;
	uint8_t *host = NULL;
	ssize_t n;
	int r;

	r = pl->ops->window(pl, &req->put, req->mr, c->p, &len, &host);
	if (r < 0)
		return r;
	n = req->path->recv(ds, pl, host, len, &rd->arrival);
	rd->drained = is_drained(n, len, &rd->arrival);
	if (n < 0)
		return n;
	r = place_part(q, ds, &rd->arrival);
	return r < 0 ? r : n;
}

ssize_t chunk_queue_read(struct chunk_queue *q, struct data_sock *ds, struct chunk_reader *rd)
{
	const struct recv_chunk *c = first(q);
	const struct place_ops *ops = c->req->place->ops;
	size_t len = ops->span && c->req->path->spans && !ds->strayed ? span_bytes(q) : 0;

	rd->drained = false;
	/* Bytes that the CPU can read come where they belong only if a call is for one chunk. */
	return len > c->left ? read_span(q, ds, rd, len) : read_one(q, ds, rd);
}
