// SPDX-License-Identifier: BSD-3-Clause
/*
 * The plugin is driven as NCCL's proxy does: by one thread a rank, receives posted ahead, the
 * oldest request tested, sched_yield() when a look at everything has moved nothing
 * (src/proxy.cc, ncclProxyProgress()).
 */
#include "plugin_traffic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "collective.h"
#include "job.h"
#include "monotime.h"
#include "patience.h"
#include "report.h"

struct plugin_traffic {
	struct traffic base;
	struct job job;
	struct traffic_shape shape;
};

static struct plugin_traffic *from_base(struct traffic *t)
{
	return (struct plugin_traffic *)t;
}

static int run_ring(struct plugin_traffic *pt, uint64_t count)
{
	const struct collective coll = {
		.kind = COLL_ALL_REDUCE,
		.type = DATA_FLOAT,
		.count = pt->base.cell->size / data_type_size(DATA_FLOAT),
		.hollow = true,
	};
	int err = 0;

	for (uint64_t i = 0; i < count && !err; i++)
		err = collective_run(pt->job.ring, &coll);
	return err;
}

/* The oldest message has to have @size bytes. 1 used, 0 there is none. */
static int take_message(struct recv_lane *lane, size_t size)
{
	size_t got;
	int err;

	if (!recv_lane_slot(lane, &got))
		return 0;
	if (got != size) {
		report_err("a message of %zu bytes came where %zu were sent", got, size);
		return -EPROTO;
	}
	err = recv_lane_consume(lane);
	return err ? err : 1;
}

/* Fills what is free and uses what came, of @nsend and @nrecv messages. */
static int run_messages(struct plugin_traffic *pt, uint64_t nsend, uint64_t nrecv)
{
	struct channel *ch = &pt->job.ring->channels[0];
	struct patience patience = { .timeout_s = pt->job.ring->timeout_s };
	size_t size = pt->base.cell->size;
	int moved, n, err;

	recv_lane_expect(&ch->recv, nrecv);
	while (nsend || nrecv || !send_lane_idle(&ch->send)) {
		moved = 0;
		if (nrecv) {
			moved = recv_lane_progress(&ch->recv);
			if (moved < 0)
				return moved;
		}
		while (nrecv && (n = take_message(&ch->recv, size)) != 0) {
			if (n < 0)
				return n;
			nrecv--;
		}
		for (; nsend && send_lane_slot(&ch->send); nsend--)
			send_lane_fill(&ch->send, size);
		if (!send_lane_idle(&ch->send)) {
			n = send_lane_progress(&ch->send);
			if (n < 0)
				return n;
			moved += n;
		}
		err = patience_spend(&patience, moved);
		if (err)
			return err;
	}
	return 0;
}

static int plugin_stream(struct traffic *t, uint64_t count)
{
	switch (t->cell->kind) {
	case CELL_RING:
		return run_ring(from_base(t), count);
	case CELL_BIDIR:
		return run_messages(from_base(t), count, count);
	default:
		return run_messages(from_base(t), t->rank == 0 ? count : 0,
				    t->rank == 1 ? count : 0);
	}
}

/* Sends one message, and does not wait for its end: the answer says that it came. */
static int send_one(struct plugin_traffic *pt, struct patience *patience)
{
	struct send_lane *lane = &pt->job.ring->channels[0].send;
	uint64_t posted;
	int n, err;

	while (!send_lane_slot(lane)) {
		n = send_lane_progress(lane);
		err = n < 0 ? n : patience_spend(patience, n);
		if (err)
			return err;
	}
	posted = lane->filled + 1;
	send_lane_fill(lane, pt->base.cell->size);
	do {
		n = send_lane_progress(lane);
		err = n < 0 ? n : patience_spend(patience, n);
		if (err)
			return err;
	} while (lane->posted < posted);
	return 0;
}

static int recv_one(struct plugin_traffic *pt, struct patience *patience)
{
	struct channel *ch = &pt->job.ring->channels[0];
	int n, moved, err;

	for (;;) {
		moved = recv_lane_progress(&ch->recv);
		if (moved < 0)
			return moved;
		n = take_message(&ch->recv, pt->base.cell->size);
		if (n)
			return n < 0 ? n : 0;
		/* What the last send still needs. */
		n = send_lane_progress(&ch->send);
		if (n < 0)
			return n;
		err = patience_spend(patience, moved + n);
		if (err)
			return err;
	}
}

static int plugin_ping(struct traffic *t, uint64_t count, uint32_t *samples)
{
	struct plugin_traffic *pt = from_base(t);
	struct patience patience = { .timeout_s = pt->job.ring->timeout_s };
	struct channel *ch = &pt->job.ring->channels[0];
	int64_t start, now;
	int n, err = 0;

	recv_lane_expect(&ch->recv, count);
	start = monotime_ns();
	for (uint64_t i = 0; i < count && !err; i++) {
		if (t->rank != 0)
			err = recv_one(pt, &patience);
		if (!err)
			err = send_one(pt, &patience);
		if (!err && t->rank == 0) {
			err = recv_one(pt, &patience);
			now = monotime_ns();
			samples[i] = traffic_sample(now - start);
			start = now;
		}
	}
	while (!err && !send_lane_idle(&ch->send)) {
		n = send_lane_progress(&ch->send);
		err = n < 0 ? n : patience_spend(&patience, n);
	}
	return err;
}

static int plugin_verify(struct traffic *t)
{
	struct plugin_traffic *pt = from_base(t);
	const struct recv_lane *lane = &pt->job.ring->channels[0].recv;
	int err = 0;

	for (unsigned int s = 0; s < lane->nslots && s < lane->consumed && !err; s++)
		err = traffic_check((uint8_t *)lane->buffer.addr + s * lane->slot_size,
				    lane->sizes[s], s);
	return err;
}

static void plugin_close(struct traffic *t)
{
	struct plugin_traffic *pt = from_base(t);

	job_close(&pt->job);
	free(pt);
}

static const struct traffic_ops plugin_ops = {
	.stream = plugin_stream,
	.ping = plugin_ping,
	.verify = plugin_verify,
	.close = plugin_close,
};

int plugin_traffic_open(const struct compare_cell *cell, const char *path, int rank,
			const char *rendezvous, unsigned int nslots, int timeout_s,
			struct traffic **ret)
{
	struct plugin_traffic *pt;
	struct send_lane *lane;
	struct job_options o;
	int err;

	pt = calloc(1, sizeof(*pt));
	if (!pt)
		return -ENOMEM;
	pt->shape = traffic_shape_of(cell, nslots);
	job_options_init(&o);
	o.nranks = cell->nranks;
	o.rank = rank;
	o.rendezvous = rendezvous;
	o.plugin = path;
	o.nslots = nslots;
	o.slot_size = pt->shape.slot_size;
	o.timeout_s = timeout_s;
	err = job_open(&o, &pt->job);
	if (err) {
		free(pt);
		return err;
	}
	lane = &pt->job.ring->channels[0].send;
	for (unsigned int s = 0; s < nslots; s++)
		traffic_fill((uint8_t *)lane->buffer.addr + s * lane->slot_size, lane->slot_size,
			     s);
	pt->base.ops = &plugin_ops;
	pt->base.cell = cell;
	pt->base.rendezvous = pt->job.rendezvous;
	pt->base.rank = rank;
	snprintf(pt->base.name, sizeof(pt->base.name), "%.50s v%d", pt->job.plugin_name,
		 pt->job.api);
	*ret = &pt->base;
	return 0;
}
