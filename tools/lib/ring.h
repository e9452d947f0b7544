/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ranks in a ring, over one or more channels: on each channel every rank sends to the next
 * rank and receives from the one before it.
 */
#ifndef PERF_RING_H
#define PERF_RING_H

#include "net_driver.h"
#include "recv_lane.h"
#include "rendezvous.h"
#include "send_lane.h"

#define RING_MAX_CHANNELS 32

struct channel {
	struct send_lane send;
	struct recv_lane recv;
};

/* One thread at a time. With one rank there are no connections. */
struct ring {
	const struct net_driver *drv; /* not owned */
	int rank, nranks;
	int next, prev;
	int timeout_s;
	struct lane_shape shape;
	unsigned int nchannels;
	struct channel *channels;
};

/*
 * Connects, from this one thread, all ranks of @rv at once; @shape->memory must be something the
 * driver takes. @timeout_s also bounds every later wait for progress. Reports; negative errno.
 */
int ring_open(const struct net_driver *drv, struct rendezvous *rv, int rank, int nranks,
	      unsigned int nchannels, const struct lane_shape *shape, int timeout_s,
	      struct ring **ret);

/* Registrations, then comms, of every channel. Requests may be in flight. NULL is fine. */
void ring_close(struct ring *ring);

#endif
