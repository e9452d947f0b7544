/* SPDX-License-Identifier: BSD-3-Clause */
/* One rank's connections in "devmem-perf scale", and the messages over them. */
#ifndef PERF_SCALE_TRAFFIC_H
#define PERF_SCALE_TRAFFIC_H

#include <stdint.h>

#include "net_driver.h"
#include "rendezvous.h"
#include "ring.h"
#include "scale_options.h"

/* Messages that channel @c is still to carry, and whether it is looked at in each round. */
struct scale_share {
	uint64_t to_send, to_recv;
	bool active;
};

/* @laps: scale_traffic_lap()s so far, so that each has bytes of its own. */
struct scale_traffic {
	struct ring *ring;
	struct rendezvous *rendezvous; /* not owned */
	struct scale_share *shares;
	size_t size;
	unsigned int laps;
};

/*
 * Connects rank @rank of @nranks to the next by @n connections of @o's size and slots, all at once.
 * Negative errno, and reported. *ret is to be closed.
 */
int scale_traffic_open(struct scale_traffic *ret, const struct net_driver *drv,
		       struct rendezvous *rv, int rank, int nranks, unsigned int n,
		       const struct scale_options *o);

/*
 * @count messages, to their end, in each direction of this rank's connections, of all for
 * SCALE_BUSY, else of the first. Negative errno, and reported.
 */
int scale_traffic_run(struct scale_traffic *t, enum scale_load load, uint64_t count);

/*
 * All ranks at once: a message in each slot of each connection, every byte of which is checked; the
 * buffers hold something else before. Receives that SCALE_WAITING left posted get theirs.
 */
int scale_traffic_lap(struct scale_traffic *t);

/* Bytes of the buffers that the messages come from and go to. */
size_t scale_traffic_buffers(const struct scale_traffic *t);

/* All ranks at once; a zeroed one is fine. */
void scale_traffic_close(struct scale_traffic *t);

#endif
