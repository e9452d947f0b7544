/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sending end of a connection as NCCL's proxy runs it (src/transport/net.cc, sendProxyProgress):
 * a registered buffer of slots, filled in turn by "the kernel" (here the CPU), sent in order, free
 * again when the plugin says that the send is done.
 */
#ifndef PERF_SEND_LANE_H
#define PERF_SEND_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device_memory.h"
#include "net_driver.h"

#define LANE_MAX_SLOTS NCCL_NET_MAX_REQUESTS

/*
 * Counts of messages since the lane was made: done <= posted <= filled <= done + nslots; message i
 * lives in slot i % nslots. One thread at a time.
 */
struct send_lane {
	const struct net_driver *drv;
	void *comm;
	int rank, peer;
	unsigned int nslots;
	size_t slot_size;
	struct device_memory buffer;
	void *mhandle;
	uint64_t filled, posted, done;
	size_t sizes[LANE_MAX_SLOTS];
	void *requests[LANE_MAX_SLOTS];
};

/* Kind of memory, number and bytes of slots of a lane. */
struct lane_shape {
	enum device_memory_kind memory;
	unsigned int nslots; /* 1 to LANE_MAX_SLOTS; NCCL_STEPS is 8 */
	size_t slot_size;    /* whole pages */
};

/*
 * Registers memory of @shape with @comm: as dmabuf where it is one. The comm is the lane's from
 * here on, also on failure, until send_lane_close(). Reports; negative errno.
 */
int send_lane_open(struct send_lane *lane, const struct net_driver *drv, void *comm, int rank,
		   int peer, const struct lane_shape *shape);

/* The slot that may be filled next, or NULL while all are in use. */
void *send_lane_slot(const struct send_lane *lane);

/* The slot given last holds a message of @size bytes. */
void send_lane_fill(struct send_lane *lane, size_t size);

/* Posts what is filled and tests what is posted. Number of steps made; negative errno. */
int send_lane_progress(struct send_lane *lane);

static inline bool send_lane_idle(const struct send_lane *lane)
{
	return lane->done == lane->filled;
}

/* Deregisters, closes the comm, frees. Requests may be in flight. A zeroed lane is fine. */
void send_lane_close(struct send_lane *lane);

/* Registers @mem on @comm for a lane, the way NCCL does; used by both ends. */
int lane_register(const struct net_driver *drv, void *comm, int peer,
		  const struct device_memory *mem, void **ret_mhandle);

#endif
