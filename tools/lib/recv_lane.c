// SPDX-License-Identifier: BSD-3-Clause
#include "recv_lane.h"

#include <errno.h>
#include <string.h>

#include "report.h"

int recv_lane_open(struct recv_lane *lane, const struct net_driver *drv, void *comm, int peer,
		   const struct lane_shape *shape)
{
	int err;

	memset(lane, 0, sizeof(*lane));
	lane->buffer = DEVICE_MEMORY_NONE;
	lane->drv = drv;
	lane->comm = comm;
	lane->peer = peer;
	lane->nslots = shape->nslots;
	lane->slot_size = shape->slot_size;
	/* NCCL flushes what went to a GPU, or what the plugin says must be flushed always. */
	lane->flush = shape->memory != DEVICE_MEMORY_HOST || drv->device.force_flush;
	err = device_memory_alloc(shape->memory, shape->nslots * shape->slot_size, &lane->buffer);
	if (err)
		return err;
	return lane_register(drv, comm, peer, &lane->buffer, &lane->mhandle);
}

static uint8_t *lane_slot_addr(const struct recv_lane *lane, uint64_t message)
{
	return (uint8_t *)lane->buffer.addr + (message % lane->nslots) * lane->slot_size;
}

void recv_lane_expect(struct recv_lane *lane, uint64_t count)
{
	lane->expected += count;
}

const void *recv_lane_slot(const struct recv_lane *lane, size_t *ret_size)
{
	if (lane->consumed == lane->flushed)
		return NULL;
	*ret_size = lane->sizes[lane->consumed % lane->nslots];
	return lane_slot_addr(lane, lane->consumed);
}

int recv_lane_consume(struct recv_lane *lane)
{
	unsigned int slot = lane->consumed % lane->nslots;
	const struct net_calls *calls = &lane->drv->calls;
	int err = 0;

	if (calls->irecv_consumed)
		err = net_driver_check(lane->drv,
				       calls->irecv_consumed(lane->comm, 1, lane->requests[slot]),
				       "irecvConsumed", lane->peer);
	lane->requests[slot] = NULL;
	lane->consumed++;
	return err;
}

static int lane_post(struct recv_lane *lane)
{
	const struct net_calls *calls = &lane->drv->calls;
	int moved = 0, err;
	void *request;

	while (lane->posted < lane->expected && lane->posted < lane->consumed + lane->nslots) {
		void *data = lane_slot_addr(lane, lane->posted);
		int tag = lane->peer;

		request = NULL;
		err = net_driver_check(lane->drv,
				       calls->irecv(lane->drv->table, lane->comm, 1, &data,
						    &lane->slot_size, &tag, &lane->mhandle,
						    &request),
				       "irecv", lane->peer);
		if (err)
			return err;
		if (!request)
			break;
		lane->requests[lane->posted % lane->nslots] = request;
		lane->posted++;
		moved++;
	}
	return moved;
}

static int lane_test(struct recv_lane *lane)
{
	int moved = 0, done, size, err;
	unsigned int slot;

	while (lane->received < lane->posted) {
		slot = lane->received % lane->nslots;
		done = 0;
		size = -1;
		err = net_driver_check(lane->drv,
				       lane->drv->calls.test(lane->requests[slot], &done, &size),
				       "test of a receive", lane->peer);
		if (err)
			return err;
		if (!done)
			break;
		if (size < 0 || (size_t)size > lane->slot_size) {
			report_err("%s: a receive of %zu bytes from rank %d ended with size %d",
				   lane->drv->name, lane->slot_size, lane->peer, size);
			return -EMSGSIZE;
		}
		lane->sizes[slot] = (size_t)size;
		lane->flush_begun[slot] = false;
		lane->received++;
		moved++;
	}
	return moved;
}

/* A flush that returns no request is over at once. Empty messages are not flushed. */
static int lane_flush(struct recv_lane *lane)
{
	const struct net_calls *calls = &lane->drv->calls;
	int moved = 0, done, size, err;
	unsigned int slot;
	void *data;

	while (lane->flushed < lane->received) {
		slot = lane->flushed % lane->nslots;
		if (lane->flush && lane->sizes[slot] && !lane->flush_begun[slot]) {
			data = lane_slot_addr(lane, lane->flushed);
			size = (int)lane->sizes[slot];
			lane->flushes[slot] = NULL;
			err = net_driver_check(lane->drv,
					       calls->iflush(lane->comm, 1, &data, &size,
							     &lane->mhandle, &lane->flushes[slot]),
					       "iflush", lane->peer);
			if (err)
				return err;
			lane->flush_begun[slot] = true;
		}
		if (lane->flush_begun[slot] && lane->flushes[slot]) {
			done = 0;
			err = net_driver_check(lane->drv,
					       calls->test(lane->flushes[slot], &done, NULL),
					       "test of a flush", lane->peer);
			if (err)
				return err;
			if (!done)
				break;
			lane->flushes[slot] = NULL;
		}
		lane->flushed++;
		moved++;
	}
	return moved;
}

int recv_lane_progress(struct recv_lane *lane)
{
	static int (*const stages[])(struct recv_lane * lane) = { lane_post, lane_test,
								  lane_flush };
	int moved = 0, n;

	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
		n = stages[i](lane);
		if (n < 0)
			return n;
		moved += n;
	}
	return moved;
}

void recv_lane_close(struct recv_lane *lane)
{
	const struct net_driver *drv = lane->drv;

	if (!drv)
		return;
	if (lane->mhandle)
		net_driver_check(drv, drv->calls.dereg_mr(lane->comm, lane->mhandle), "deregMr",
				 lane->peer);
	if (lane->comm)
		net_driver_check(drv, drv->calls.close_recv(lane->comm), "closeRecv", lane->peer);
	device_memory_free(&lane->buffer);
	memset(lane, 0, sizeof(*lane));
}
