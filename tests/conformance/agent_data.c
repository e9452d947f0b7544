// SPDX-License-Identifier: BSD-3-Clause
/* The calls of the progress thread, one by one. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "monotime.h"

/* Repeats a call that answers with a NULL request until @ms are over. */
#define RETRY(c, request, call)                                                        \
	({                                                                             \
		int64_t _end = monotime_ns() + (int64_t)(c)->a[5] * NSEC_PER_MSEC;     \
		uint64_t _nulls = 0;                                                   \
		ncclResult_t _res;                                                     \
                                                                                       \
		for (;;) {                                                             \
			_res = TIMED(c, call);                                         \
			if (_res != ncclSuccess || (request) || monotime_ns() >= _end) \
				break;                                                 \
			_nulls++;                                                      \
			sched_yield();                                                 \
		}                                                                      \
		(c)->a[1] = _nulls;                                                    \
		_res;                                                                  \
	})

static ncclResult_t isend(struct agent *a, struct call *c)
{
	void *comm = (void *)c->a[0], *data = (void *)c->a[1], *mhandle = (void *)c->a[4];
	size_t size = c->a[2];
	int tag = (int)c->a[3];
	void *request = NULL;
	ncclResult_t res;

	res = RETRY(c, request, a->calls.isend(a->table, comm, data, size, tag, mhandle, &request));
	c->a[0] = (uintptr_t)request;
	return res;
}

static ncclResult_t irecv_group(struct agent *a, struct call *c, void *comm, struct group *g,
				uint64_t preset)
{
	void *data[GROUP_MAX], *mhandles[GROUP_MAX];
	struct rx *rx = agent_rx(a, comm);
	size_t sizes[GROUP_MAX];
	void *request = NULL;
	int tags[GROUP_MAX];
	ncclResult_t res;

	if (!rx)
		return ncclNumResults;
	for (uint32_t i = 0; i < g->n; i++) {
		data[i] = (void *)g->data[i];
		sizes[i] = g->sizes[i];
		tags[i] = g->tags[i];
		mhandles[i] = (void *)g->mhandles[i];
	}
	/* The plugin reads what *request holds, so it is set anew before each try. */
	res = RETRY(c, request,
		    (request = (void *)preset, a->calls.irecv(a->table, comm, (int)g->n, data,
							      sizes, tags, mhandles, &request)));
	if (res == ncclSuccess && request)
		rx_posted(rx, request, data[0]);
	c->a[0] = (uintptr_t)request;
	return res;
}

static ncclResult_t irecv(struct agent *a, struct call *c)
{
	struct group g = { .n = 1,
			   .tags = { (int32_t)c->a[3] },
			   .data = { c->a[1] },
			   .sizes = { c->a[2] },
			   .mhandles = { c->a[4] } };

	return irecv_group(a, c, (void *)c->a[0], &g, c->a[6]);
}

static ncclResult_t flush(struct agent *a, struct call *c)
{
	void *comm = (void *)c->a[0], *data = (void *)c->a[1], *mhandle = (void *)c->a[4];
	int size = (int)c->a[2];
	void *request = NULL;
	ncclResult_t res;

	res = TIMED(c, a->calls.iflush(comm, 1, &data, &size, &mhandle, &request));
	c->a[0] = (uintptr_t)request;
	return res;
}

/* One look at a request; what it says first is kept. */
static void item_test(struct agent *a, struct call *c, struct item *it, uint64_t flags)
{
	int sizes[GROUP_MAX] = { -1, -1, -1, -1, -1, -1, -1, -1 };
	char why[96] = "";
	ncclResult_t res;
	int done = -1;

	res = TIMED(c, a->calls.test((void *)it->req, &done, flags & WAIT_NO_SIZES ? NULL : sizes));
	if (res != ncclSuccess) {
		it->res = (int32_t)res;
		return;
	}
	if (done != 0 && done != 1) {
		it->res = (int32_t)ncclNumResults;
		return;
	}
	if (!done)
		return;
	it->done = 1;
	it->size = sizes[0];
	it->res = (int32_t)ncclSuccess;
	if (it->comm) {
		struct rx *rx = agent_rx(a, (void *)it->comm);
		/* Without a size only the harness knows it: the view needs none when it is direct. */
		size_t size = sizes[0] > 0 ? (size_t)sizes[0] : 0;

		res = rx ? rx_finished(a, rx, (void *)it->req, size, why) : ncclInternalError;
		if (res != ncclSuccess) {
			fprintf(stderr, "%s\n", why);
			it->res = (int32_t)res;
		}
	}
}

static void wait_items(struct agent *a, struct call *c)
{
	int64_t end = monotime_ns() + (int64_t)c->a[0] * NSEC_PER_MSEC;
	struct item *items = (struct item *)c->data;
	size_t n = c->len / sizeof(*items), left;
	uint64_t flags = c->a[1];
	unsigned int idle = 0;

	for (size_t i = 0; i < n; i++) {
		items[i].res = (int32_t)ncclInProgress;
		items[i].done = 0;
		items[i].size = -1;
	}
	do {
		left = 0;
		for (size_t i = 0; i < n; i++) {
			struct item *it = &items[flags & WAIT_BACKWARD ? n - 1 - i : i];

			if (it->res == (int32_t)ncclInProgress)
				item_test(a, c, it, flags);
			left += it->res == (int32_t)ncclInProgress;
		}
		if (left)
			agent_idle(&idle);
	} while (left && monotime_ns() < end);
	for (size_t i = 0; i < n && (flags & WAIT_FAILED); i++) {
		struct item *it = &items[i];
		struct item again = *it;

		if (it->done || it->res == (int32_t)ncclInProgress)
			continue;
		item_test(a, c, &again, flags);
		if (again.done || again.res != it->res)
			it->res = (int32_t)ncclNumResults;
	}
	c->res = 0;
}

void agent_run_data(struct agent *a, struct call *c)
{
	struct group g;

	switch ((enum call_op)c->op) {
	case OP_ISEND:
		c->res = (int)isend(a, c);
		break;
	case OP_IRECV:
		c->res = (int)irecv(a, c);
		break;
	case OP_IRECV_N:
		memcpy(&g, c->data, sizeof(g));
		c->res = (int)irecv_group(a, c, (void *)c->a[0], &g, 0);
		break;
	case OP_FLUSH:
		c->res = (int)flush(a, c);
		break;
	case OP_WAIT:
		wait_items(a, c);
		break;
	default:
		c->res = -ENOSYS;
	}
}
