// SPDX-License-Identifier: BSD-3-Clause
#include "ring.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "monotime.h"
#include "report.h"

/* A channel that is coming up; its handle is what connect() keeps its state in. */
struct pending {
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	void *listen_comm, *send_comm, *recv_comm;
	ncclNetDeviceHandle_v7_t send_device, recv_device;
};

static int ring_listen(struct ring *ring, struct rendezvous *rv, struct pending *pending)
{
	const struct net_driver *drv = ring->drv;
	size_t each = (size_t)NCCL_NET_HANDLE_MAXSIZE * ring->nchannels;
	char *mine, *all;
	int err = 0;

	/* One allocation: this rank's handles, then everybody's. */
	mine = calloc((size_t)ring->nranks + 1, each);
	if (!mine)
		return -ENOMEM;
	all = mine + each;
	for (unsigned int c = 0; c < ring->nchannels; c++) {
		err = net_driver_check(drv,
				       drv->calls.listen(drv->table, drv->ctx, drv->dev,
							 mine + (size_t)c * NCCL_NET_HANDLE_MAXSIZE,
							 &pending[c].listen_comm),
				       "listen", -1);
		if (err)
			goto free_handles;
	}
	err = rendezvous_all_gather(rv, mine, each, all);
	if (err)
		goto free_handles;
	for (unsigned int c = 0; c < ring->nchannels; c++)
		memcpy(pending[c].handle,
		       all + (size_t)ring->next * each + (size_t)c * NCCL_NET_HANDLE_MAXSIZE,
		       NCCL_NET_HANDLE_MAXSIZE);
free_handles:
	free(mine);
	return err;
}

/* One look at one channel. 1 when both directions stand, 0 when not yet. */
static int pending_poll(const struct ring *ring, struct pending *p)
{
	/* NCCL hands connect() a pointer to NULL and accept() a pointer to an object. */
	ncclNetDeviceHandle_v7_t *send_device = NULL, *recv_device = &p->recv_device;
	const struct net_driver *drv = ring->drv;
	int err;

	if (!p->send_comm) {
		err = net_driver_check(drv,
				       drv->calls.connect(drv->table, drv->ctx, drv->dev, p->handle,
							  &p->send_comm, &send_device),
				       "connect", ring->next);
		if (err)
			return err;
	}
	if (!p->recv_comm) {
		err = net_driver_check(
			drv,
			drv->calls.accept(drv->table, p->listen_comm, &p->recv_comm, &recv_device),
			"accept", ring->prev);
		if (err)
			return err;
	}
	return p->send_comm && p->recv_comm;
}

static int ring_connect(struct ring *ring, struct pending *pending)
{
	int64_t deadline = monotime_ns() + ring->timeout_s * NSEC_PER_SEC;
	unsigned int ready;
	int n;

	do {
		ready = 0;
		for (unsigned int c = 0; c < ring->nchannels; c++) {
			n = pending_poll(ring, &pending[c]);
			if (n < 0)
				return n;
			ready += (unsigned int)n;
		}
		if (ready == ring->nchannels)
			return 0;
		sched_yield();
	} while (monotime_ns() < deadline);
	for (unsigned int c = 0; c < ring->nchannels; c++)
		if (!pending[c].send_comm || !pending[c].recv_comm)
			report_err("channel %u did not come up within %d s:%s%s", c,
				   ring->timeout_s,
				   pending[c].send_comm ? "" : " connect to the next rank hangs",
				   pending[c].recv_comm ? "" : " nobody came to accept");
	return -ETIMEDOUT;
}

/* Comms of @p go over to @ch. */
static int channel_open(struct ring *ring, struct pending *p, struct channel *ch)
{
	void *send_comm = p->send_comm, *recv_comm = p->recv_comm;
	int err;

	p->send_comm = NULL;
	err = send_lane_open(&ch->send, ring->drv, send_comm, ring->rank, ring->next, &ring->shape);
	if (err)
		return err;
	p->recv_comm = NULL;
	return recv_lane_open(&ch->recv, ring->drv, recv_comm, ring->prev, &ring->shape);
}

static int ring_open_channels(struct ring *ring, struct rendezvous *rv)
{
	const struct net_driver *drv = ring->drv;
	struct pending *pending;
	int err;

	pending = calloc(ring->nchannels, sizeof(*pending));
	if (!pending)
		return -ENOMEM;
	err = ring_listen(ring, rv, pending);
	if (!err)
		err = ring_connect(ring, pending);
	for (unsigned int c = 0; c < ring->nchannels && !err; c++)
		err = channel_open(ring, &pending[c], &ring->channels[c]);
	/* What did not become a channel. */
	for (unsigned int c = 0; c < ring->nchannels; c++) {
		if (pending[c].send_comm)
			drv->calls.close_send(pending[c].send_comm);
		if (pending[c].recv_comm)
			drv->calls.close_recv(pending[c].recv_comm);
		if (pending[c].listen_comm)
			net_driver_check(drv, drv->calls.close_listen(pending[c].listen_comm),
					 "closeListen", -1);
	}
	free(pending);
	return err;
}

int ring_open(const struct net_driver *drv, struct rendezvous *rv, int rank, int nranks,
	      unsigned int nchannels, const struct lane_shape *shape, int timeout_s,
	      struct ring **ret)
{
	struct ring *ring;
	int err = 0;

	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	ring->drv = drv;
	ring->rank = rank;
	ring->nranks = nranks;
	ring->next = (rank + 1) % nranks;
	ring->prev = (rank + nranks - 1) % nranks;
	ring->timeout_s = timeout_s;
	ring->shape = *shape;
	ring->nchannels = nchannels;
	ring->channels = calloc(nchannels, sizeof(*ring->channels));
	if (!ring->channels)
		err = -ENOMEM;
	else if (nranks > 1)
		err = ring_open_channels(ring, rv);
	if (err) {
		ring_close(ring);
		return err;
	}
	*ret = ring;
	return 0;
}

void ring_close(struct ring *ring)
{
	if (!ring)
		return;
	for (unsigned int c = 0; ring->channels && c < ring->nchannels; c++) {
		send_lane_close(&ring->channels[c].send);
		recv_lane_close(&ring->channels[c].recv);
	}
	free(ring->channels);
	free(ring);
}
