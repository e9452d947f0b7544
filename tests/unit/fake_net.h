/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A net plugin inside the test: messages go from slot to slot by memcpy, among threads. It is as
 * unhelpful as the contract allows (connections and requests that must be asked for again,
 * completions in their own time, data read as late as possible) and notes every breach of it.
 */
#ifndef FAKE_NET_H
#define FAKE_NET_H

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "net_driver.h"

#define FAKE_REQUESTS NCCL_NET_MAX_REQUESTS

enum fake_kind { FAKE_FREE, FAKE_SEND, FAKE_RECV, FAKE_FLUSH };

struct fake_request {
	enum fake_kind kind;
	bool matched, handed_back;
	void *data;
	size_t size;
	int tag;
	int delay; /* test() calls until it is done, once matched */
	struct fake_wire *wire;
};

/* One connection. Sends and receives are matched in order. */
struct fake_wire {
	struct fake_request sends[FAKE_REQUESTS], recvs[FAKE_REQUESTS];
	unsigned int nsent, nrecvd, nmatched;
	unsigned int nconsumed;
	int asked; /* times that connect() or isend was asked, to refuse some */
	bool connected;
	bool closed;	       /* by one side: the memory of its requests may be gone */
	struct fake_wire *all; /* list of every wire of the test */
};

struct fake_mr {
	void *data;
	size_t size;
	struct fake_wire *wire;
};

static struct {
	pthread_mutex_t lock;
	struct fake_wire *wires;
	int open_comms, open_mrs;
	int breaches;	  /* of the contract, by the code under test */
	bool force_flush; /* property, and flushes must come before consumption */
	int flushes;
	int consumed;
	bool stuck;	/* nothing ever completes */
	bool corrupt;	/* one byte of every message is changed */
	bool refuse_mr; /* registrations fail */
} fake = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void fake_reset(void)
{
	struct fake_wire *w;

	while ((w = fake.wires)) {
		fake.wires = w->all;
		free(w);
	}
	fake.open_comms = fake.open_mrs = 0;
	fake.breaches = fake.flushes = fake.consumed = 0;
	fake.force_flush = fake.stuck = fake.corrupt = fake.refuse_mr = false;
}

static void fake_expect(bool ok)
{
	if (!ok)
		fake.breaches++;
}

static ncclResult_t fake_listen(const void *table, void *ctx, int dev, void *handle, void **comm)
{
	struct fake_wire *w = calloc(1, sizeof(*w));

	(void)table;
	(void)ctx;
	(void)dev;
	pthread_mutex_lock(&fake.lock);
	w->all = fake.wires;
	fake.wires = w;
	fake.open_comms++;
	pthread_mutex_unlock(&fake.lock);
	memset(handle, 0, NCCL_NET_HANDLE_MAXSIZE);
	memcpy(handle, &w, sizeof(void *));
	*comm = w;
	return ncclSuccess;
}

static ncclResult_t fake_connect(const void *table, void *ctx, int dev, void *handle, void **comm,
				 ncclNetDeviceHandle_v7_t **dev_handle)
{
	struct fake_wire *w;

	(void)table;
	(void)ctx;
	(void)dev;
	memcpy(&w, handle, sizeof(void *));
	pthread_mutex_lock(&fake.lock);
	fake_expect(dev_handle && !*dev_handle);
	if (w->asked++ < 3) {
		*comm = NULL;
	} else {
		w->connected = true;
		fake.open_comms++;
		*comm = w;
	}
	pthread_mutex_unlock(&fake.lock);
	return ncclSuccess;
}

static ncclResult_t fake_accept(const void *table, void *listen_comm, void **comm,
				ncclNetDeviceHandle_v7_t **dev_handle)
{
	struct fake_wire *w = listen_comm;

	(void)table;
	pthread_mutex_lock(&fake.lock);
	fake_expect(dev_handle && *dev_handle);
	*comm = w->connected ? w : NULL;
	fake.open_comms += w->connected;
	pthread_mutex_unlock(&fake.lock);
	return ncclSuccess;
}

static ncclResult_t fake_close_listen(void *comm)
{
	(void)comm;
	pthread_mutex_lock(&fake.lock);
	fake.open_comms--;
	pthread_mutex_unlock(&fake.lock);
	return ncclSuccess;
}

static ncclResult_t fake_close(void *comm)
{
	struct fake_wire *w = comm;

	pthread_mutex_lock(&fake.lock);
	w->closed = true;
	fake.open_comms--;
	pthread_mutex_unlock(&fake.lock);
	return ncclSuccess;
}

static ncclResult_t fake_reg_mr(const void *table, void *comm, void *data, size_t size, int type,
				void **mhandle)
{
	struct fake_mr *mr;

	(void)table;
	if (fake.refuse_mr)
		return ncclInternalError;
	mr = malloc(sizeof(*mr));
	mr->data = data;
	mr->size = size;
	mr->wire = comm;
	pthread_mutex_lock(&fake.lock);
	fake_expect(type == NCCL_PTR_HOST);
	fake.open_mrs++;
	pthread_mutex_unlock(&fake.lock);
	*mhandle = mr;
	return ncclSuccess;
}

static ncclResult_t fake_dereg_mr(void *comm, void *mhandle)
{
	struct fake_mr *mr = mhandle;

	pthread_mutex_lock(&fake.lock);
	fake_expect(mr->wire == comm);
	fake.open_mrs--;
	pthread_mutex_unlock(&fake.lock);
	free(mr);
	return ncclSuccess;
}

/* Called locked. Every third time there is "no room". */
static struct fake_request *fake_request_get(struct fake_wire *w, struct fake_request *slots,
					     unsigned int next, const struct fake_mr *mr,
					     void *data, size_t size, int tag)
{
	struct fake_request *rq = &slots[next % FAKE_REQUESTS];
	size_t offset = (size_t)((char *)data - (char *)mr->data);

	fake_expect(mr->wire == w && offset <= mr->size && size <= mr->size - offset);
	if (w->asked++ % 3 == 0 || rq->kind != FAKE_FREE)
		return NULL;
	memset(rq, 0, sizeof(*rq));
	rq->data = data;
	rq->size = size;
	rq->tag = tag;
	rq->wire = w;
	rq->delay = (int)(w->asked % 4);
	return rq;
}

static ncclResult_t fake_isend(const void *table, void *comm, void *data, size_t size, int tag,
			       void *mhandle, void **request)
{
	struct fake_wire *w = comm;
	struct fake_request *rq;

	(void)table;
	pthread_mutex_lock(&fake.lock);
	rq = fake_request_get(w, w->sends, w->nsent, mhandle, data, size, tag);
	if (rq) {
		rq->kind = FAKE_SEND;
		w->nsent++;
	}
	pthread_mutex_unlock(&fake.lock);
	*request = rq;
	return ncclSuccess;
}

static ncclResult_t fake_irecv(const void *table, void *comm, int n, void **data,
			       const size_t *sizes, int *tags, void **mhandles, void **request)
{
	struct fake_wire *w = comm;
	struct fake_request *rq;

	(void)table;
	pthread_mutex_lock(&fake.lock);
	fake_expect(!*request && n == 1);
	rq = fake_request_get(w, w->recvs, w->nrecvd, mhandles[0], data[0], sizes[0], tags[0]);
	if (rq) {
		rq->kind = FAKE_RECV;
		w->nrecvd++;
	}
	pthread_mutex_unlock(&fake.lock);
	*request = rq;
	return ncclSuccess;
}

/*
 * Called locked, by either side's test(): so data moves long after isend, and a sender that touches
 * its slot too early, or a receiver that looks too soon, gets wrong results.
 */
static void fake_match(struct fake_wire *w)
{
	struct fake_request *s, *r;

	while (!w->closed && w->nmatched < w->nsent && w->nmatched < w->nrecvd) {
		s = &w->sends[w->nmatched % FAKE_REQUESTS];
		r = &w->recvs[w->nmatched % FAKE_REQUESTS];
		fake_expect(s->size <= r->size && s->tag == r->tag);
		memset(r->data, 0xa5, r->size);
		if (s->size)
			memcpy(r->data, s->data, s->size);
		if (fake.corrupt && s->size)
			((char *)r->data)[s->size / 2] ^= 1;
		r->size = s->size;
		s->matched = r->matched = true;
		w->nmatched++;
	}
}

static ncclResult_t fake_test(void *request, int *done, int *sizes)
{
	struct fake_request *rq = request;

	pthread_mutex_lock(&fake.lock);
	fake_expect(rq->kind != FAKE_FREE && !rq->handed_back);
	*done = 0;
	if (!fake.stuck && rq->kind != FAKE_FLUSH)
		fake_match(rq->wire);
	if ((rq->matched || rq->kind == FAKE_FLUSH) && rq->delay-- <= 0) {
		*done = 1;
		if (sizes)
			*sizes = (int)rq->size;
		if (rq->kind == FAKE_FLUSH)
			free(rq);
		else if (rq->kind == FAKE_RECV)
			rq->handed_back = true; /* lives until irecvConsumed */
		else
			rq->kind = FAKE_FREE;
	}
	pthread_mutex_unlock(&fake.lock);
	return ncclSuccess;
}

static ncclResult_t fake_iflush(void *comm, int n, void **data, int *sizes, void **mhandles,
				void **request)
{
	struct fake_request *rq = NULL;

	(void)comm;
	(void)data;
	pthread_mutex_lock(&fake.lock);
	fake_expect(n == 1 && sizes[0] > 0 && mhandles[0]);
	/* Every other flush is over at once. */
	if (fake.flushes++ % 2) {
		rq = calloc(1, sizeof(*rq));
		rq->kind = FAKE_FLUSH;
		rq->delay = 2;
	}
	pthread_mutex_unlock(&fake.lock);
	*request = rq;
	return ncclSuccess;
}

static ncclResult_t fake_irecv_consumed(void *comm, int n, void *request)
{
	struct fake_request *rq = request;
	struct fake_wire *w = comm;

	pthread_mutex_lock(&fake.lock);
	fake_expect(n == 1 && rq && rq->handed_back);
	/* In the order of the receives. */
	fake_expect(rq == &w->recvs[w->nconsumed++ % FAKE_REQUESTS]);
	rq->kind = FAKE_FREE;
	fake.consumed++;
	pthread_mutex_unlock(&fake.lock);
	return ncclSuccess;
}

static void fake_driver_init(struct net_driver *drv)
{
	memset(drv, 0, sizeof(*drv));
	drv->name = "fake";
	drv->device.force_flush = fake.force_flush;
	drv->calls = (struct net_calls){
		.listen = fake_listen,
		.connect = fake_connect,
		.accept = fake_accept,
		.reg_mr = fake_reg_mr,
		.dereg_mr = fake_dereg_mr,
		.isend = fake_isend,
		.irecv = fake_irecv,
		.iflush = fake_iflush,
		.test = fake_test,
		.close_send = fake_close,
		.close_recv = fake_close,
		.close_listen = fake_close_listen,
		.irecv_consumed = fake_irecv_consumed,
	};
}

#endif
