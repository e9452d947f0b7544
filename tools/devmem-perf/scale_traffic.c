// SPDX-License-Identifier: BSD-3-Clause
#include "scale_traffic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "patience.h"
#include "report.h"
#include "traffic.h"

int scale_traffic_open(struct scale_traffic *ret, const struct net_driver *drv,
		       struct rendezvous *rv, int rank, int nranks, unsigned int n,
		       const struct scale_options *o)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct lane_shape shape = {
		.memory = DEVICE_MEMORY_HOST,
		.nslots = o->nslots,
		.slot_size = (o->size + page - 1) / page * page,
	};
	struct scale_traffic t = { .rendezvous = rv, .size = o->size };
	int err;

	t.shares = calloc(n, sizeof(*t.shares));
	if (!t.shares)
		return -ENOMEM;
	err = ring_open(drv, rv, rank, nranks, n, &shape, o->limit_s, &t.ring);
	if (err) {
		free(t.shares);
		return err;
	}
	*ret = t;
	return 0;
}

/* Uses what has come on @ch. Number of messages; negative errno. */
static int take_messages(struct recv_lane *lane, struct scale_share *share, size_t size)
{
	int n = 0, err;
	size_t got;

	for (; share->to_recv && recv_lane_slot(lane, &got); n++) {
		if (got != size) {
			report_err("a message of %zu bytes came where %zu were sent", got, size);
			return -EPROTO;
		}
		err = recv_lane_consume(lane);
		if (err)
			return err;
		share->to_recv--;
	}
	return n;
}

/* One look at one connection. Number of steps made; negative errno. */
static int look(struct channel *ch, struct scale_share *share, size_t size)
{
	int moved, n;

	moved = recv_lane_progress(&ch->recv);
	if (moved < 0)
		return moved;
	n = take_messages(&ch->recv, share, size);
	if (n < 0)
		return n;
	moved += n;
	for (; share->to_send && send_lane_slot(&ch->send); share->to_send--)
		send_lane_fill(&ch->send, size);
	if (send_lane_idle(&ch->send))
		return moved;
	n = send_lane_progress(&ch->send);
	return n < 0 ? n : moved + n;
}

static bool is_done(const struct channel *ch, const struct scale_share *share)
{
	return !share->to_send && !share->to_recv && send_lane_idle(&ch->send);
}

/* Goes round the active connections until all have done their share. */
static int go_round(struct scale_traffic *t)
{
	struct patience patience = { .timeout_s = t->ring->timeout_s };
	unsigned int undone;
	int moved, n, err;

	do {
		undone = 0;
		moved = 0;
		for (unsigned int c = 0; c < t->ring->nchannels; c++) {
			if (!t->shares[c].active)
				continue;
			n = look(&t->ring->channels[c], &t->shares[c], t->size);
			if (n < 0)
				return n;
			moved += n;
			undone += !is_done(&t->ring->channels[c], &t->shares[c]);
		}
		err = patience_spend(&patience, moved);
		if (err)
			return err;
	} while (undone);
	return 0;
}

/* Receives that are expected and have not been used. */
static uint64_t expected(const struct recv_lane *lane)
{
	return lane->expected - lane->consumed;
}

int scale_traffic_run(struct scale_traffic *t, enum scale_load load, uint64_t count)
{
	for (unsigned int c = 0; c < t->ring->nchannels; c++) {
		struct channel *ch = &t->ring->channels[c];
		bool carries = c == 0 || load == SCALE_BUSY;

		t->shares[c] = (struct scale_share){
			.to_send = carries ? count : 0,
			.to_recv = carries ? count : 0,
			.active = carries || load == SCALE_WAITING,
		};
		if (carries)
			recv_lane_expect(&ch->recv, count);
		else if (load == SCALE_WAITING && !expected(&ch->recv))
			recv_lane_expect(&ch->recv, 1);
	}
	return go_round(t);
}

/* The number of the bytes that rank @rank sends on channel @c from slot @s in this lap. */
static unsigned int content(const struct scale_traffic *t, int rank, unsigned int c, unsigned int s)
{
	const struct ring *ring = t->ring;
	unsigned int sender = t->laps * (unsigned int)ring->nranks + (unsigned int)rank;

	return (sender * ring->nchannels + c) * ring->shape.nslots + s;
}

static void fill_lap(struct scale_traffic *t)
{
	const struct ring *ring = t->ring;

	for (unsigned int c = 0; c < ring->nchannels; c++) {
		struct channel *ch = &ring->channels[c];

		for (unsigned int s = 0; s < ch->send.nslots; s++)
			traffic_fill((uint8_t *)ch->send.buffer.addr + s * ch->send.slot_size,
				     t->size, content(t, ring->rank, c, s));
		memset(ch->recv.buffer.addr, 0, ch->recv.buffer.size);
		t->shares[c] = (struct scale_share){
			.to_send = ch->send.nslots,
			.to_recv = ch->recv.nslots,
			.active = true,
		};
		recv_lane_expect(&ch->recv, ch->recv.nslots - expected(&ch->recv));
	}
}

int scale_traffic_lap(struct scale_traffic *t)
{
	const struct ring *ring = t->ring;
	int err;

	t->laps++;
	fill_lap(t);
	/* Nothing comes before everybody's buffers are empty. */
	err = rendezvous_barrier(t->rendezvous);
	if (!err)
		err = go_round(t);
	for (unsigned int c = 0; c < ring->nchannels && !err; c++) {
		const struct recv_lane *lane = &ring->channels[c].recv;

		for (unsigned int s = 0; s < lane->nslots && !err; s++)
			err = traffic_check((uint8_t *)lane->buffer.addr + s * lane->slot_size,
					    t->size, content(t, ring->prev, c, s));
	}
	return err ? err : rendezvous_barrier(t->rendezvous);
}

size_t scale_traffic_buffers(const struct scale_traffic *t)
{
	const struct ring *ring = t->ring;

	return 2 * (size_t)ring->nchannels * ring->shape.nslots * ring->shape.slot_size;
}

void scale_traffic_close(struct scale_traffic *t)
{
	ring_close(t->ring);
	free(t->shares);
	memset(t, 0, sizeof(*t));
}
