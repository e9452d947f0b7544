/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The receiving end of a connection as NCCL's proxy runs it (src/transport/net.cc,
 * recvProxyProgress): receives of a whole slot are posted ahead whatever the sender sends; an
 * arrived message is flushed where it is device memory, then used, then its slot is posted again.
 */
#ifndef PERF_RECV_LANE_H
#define PERF_RECV_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "send_lane.h"

/*
 * Counts of messages since the lane was made: consumed <= flushed <= received <= posted <=
 * expected, posted <= consumed + nslots; message i lives in slot i % nslots. One thread at a time.
 */
struct recv_lane {
	const struct net_driver *drv;
	void *comm;
	int peer;
	bool flush;
	unsigned int nslots;
	size_t slot_size;
	struct device_memory buffer;
	void *mhandle;
	uint64_t expected, posted, received, flushed, consumed;
	size_t sizes[LANE_MAX_SLOTS];
	void *requests[LANE_MAX_SLOTS]; /* kept until irecvConsumed */
	void *flushes[LANE_MAX_SLOTS];
	bool flush_begun[LANE_MAX_SLOTS];
};

/* As send_lane_open(). */
int recv_lane_open(struct recv_lane *lane, const struct net_driver *drv, void *comm, int peer,
		   const struct lane_shape *shape);

/* @count more messages will come. */
void recv_lane_expect(struct recv_lane *lane, uint64_t count);

/* The oldest message that is ready for use, its bytes in *@ret_size; NULL when there is none. */
const void *recv_lane_slot(const struct recv_lane *lane, size_t *ret_size);

/* The message given last has been used. Negative errno. */
int recv_lane_consume(struct recv_lane *lane);

/* Posts, tests, flushes. Number of steps made; negative errno, -EMSGSIZE for an impossible size. */
int recv_lane_progress(struct recv_lane *lane);

/* As send_lane_close(). */
void recv_lane_close(struct recv_lane *lane);

#endif
