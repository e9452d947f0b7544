// SPDX-License-Identifier: BSD-3-Clause
#include "send_lane.h"

#include <errno.h>
#include <string.h>

#include "report.h"

int lane_register(const struct net_driver *drv, void *comm, int peer,
		  const struct device_memory *mem, void **ret_mhandle)
{
	ncclResult_t res;
	void *mhandle = NULL;
	int err;

	/* The type says "GPU memory", and the descriptor how to get at it: NCCL does the same. */
	if (mem->dmabuf_fd >= 0)
		res = drv->calls.reg_mr_dmabuf(comm, mem->addr, mem->size, NCCL_PTR_CUDA, 0,
					       mem->dmabuf_fd, &mhandle);
	else
		res = drv->calls.reg_mr(drv->table, comm, mem->addr, mem->size, NCCL_PTR_HOST,
					&mhandle);
	err = net_driver_check(drv, res, mem->dmabuf_fd >= 0 ? "regMrDmaBuf" : "regMr", peer);
	if (!err)
		*ret_mhandle = mhandle;
	return err;
}

int send_lane_open(struct send_lane *lane, const struct net_driver *drv, void *comm, int rank,
		   int peer, const struct lane_shape *shape)
{
	int err;

	memset(lane, 0, sizeof(*lane));
	lane->buffer = DEVICE_MEMORY_NONE;
	lane->drv = drv;
	lane->comm = comm;
	lane->rank = rank;
	lane->peer = peer;
	lane->nslots = shape->nslots;
	lane->slot_size = shape->slot_size;
	err = device_memory_alloc(shape->memory, shape->nslots * shape->slot_size, &lane->buffer);
	if (err)
		return err;
	return lane_register(drv, comm, peer, &lane->buffer, &lane->mhandle);
}

static uint8_t *lane_slot_addr(const struct send_lane *lane, uint64_t message)
{
	return (uint8_t *)lane->buffer.addr + (message % lane->nslots) * lane->slot_size;
}

void *send_lane_slot(const struct send_lane *lane)
{
	if (lane->filled == lane->done + lane->nslots)
		return NULL;
	return lane_slot_addr(lane, lane->filled);
}

void send_lane_fill(struct send_lane *lane, size_t size)
{
	lane->sizes[lane->filled % lane->nslots] = size;
	lane->filled++;
}

/* Only the oldest send is tested, as NCCL does: slots come free in order. */
int send_lane_progress(struct send_lane *lane)
{
	const struct net_calls *calls = &lane->drv->calls;
	unsigned int slot;
	int moved = 0, done, err;
	void *request;

	while (lane->posted < lane->filled) {
		slot = lane->posted % lane->nslots;
		request = NULL;
		err = net_driver_check(lane->drv,
				       calls->isend(lane->drv->table, lane->comm,
						    lane_slot_addr(lane, lane->posted),
						    lane->sizes[slot], lane->rank, lane->mhandle,
						    &request),
				       "isend", lane->peer);
		if (err)
			return err;
		if (!request)
			break;
		lane->requests[slot] = request;
		lane->posted++;
		moved++;
	}
	while (lane->done < lane->posted) {
		slot = lane->done % lane->nslots;
		done = 0;
		err = net_driver_check(lane->drv, calls->test(lane->requests[slot], &done, NULL),
				       "test of a send", lane->peer);
		if (err)
			return err;
		if (!done)
			break;
		lane->requests[slot] = NULL;
		lane->done++;
		moved++;
	}
	return moved;
}

void send_lane_close(struct send_lane *lane)
{
	const struct net_driver *drv = lane->drv;

	if (!drv)
		return;
	if (lane->mhandle)
		net_driver_check(drv, drv->calls.dereg_mr(lane->comm, lane->mhandle), "deregMr",
				 lane->peer);
	if (lane->comm)
		net_driver_check(drv, drv->calls.close_send(lane->comm), "closeSend", lane->peer);
	device_memory_free(&lane->buffer);
	memset(lane, 0, sizeof(*lane));
}
