// SPDX-License-Identifier: BSD-3-Clause
/*
 * A profiler plugin of NCCL's (NCCL_PROFILER_PLUGIN) that asks for net plugins' events alone, checks them, and when the last
 * communicator ends says how many it had.
 *
 * The interface, version 3: NCCL ext-profiler/README.md. NCCL 2.26 and newer load it. Of a description only what is needed is declared.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "nccl/net.h"

#define PROFILE_NET_PLUGIN (1 << 7)

struct event_descr {
	uint8_t type;
	void *parent;
	int rank;
	struct {
		int64_t id;
		void *data;
	} net; /* one of a union's; the others are longer, and for other types */
};

typedef struct {
	const char *name;
	ncclResult_t (*init)(void **context, int *activation_mask);
	ncclResult_t (*startEvent)(void *context, void **event, struct event_descr *descr);
	ncclResult_t (*stopEvent)(void *event);
	ncclResult_t (*recordEventState)(void *event, int state, void *args);
	ncclResult_t (*finalize)(void *context);
} ncclProfiler_v3_t;

struct event {
	bool is_net;
	bool stopped;
};

static int contexts;
static unsigned long started[2], stopped, wrong;

static ncclResult_t profiler_init(void **context, int *activation_mask)
{
	__atomic_add_fetch(&contexts, 1, __ATOMIC_RELAXED);
	*activation_mask = PROFILE_NET_PLUGIN;
	*context = &contexts;
	return ncclSuccess;
}

static ncclResult_t profiler_start(void *context, void **event, struct event_descr *descr)
{
	const ncclProfilerNetSockDescr_v1_t *sock = descr->net.data;
	struct event *e;

	*event = NULL;
	if (descr->type != PROFILE_NET_PLUGIN)
		return ncclSuccess;
	e = calloc(1, sizeof(*e));
	if (!e)
		return ncclSystemError;
	e->is_net = true;
	if (context != &contexts ||
	    descr->net.id != (NCCL_PROFILER_NET_TYPE_SOCK | NCCL_PROFILER_NET_SOCKET_VER) ||
	    sock->type != ncclProfileSocket || sock->sock.fd < 0 || (sock->sock.op & ~1))
		__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
	else
		__atomic_add_fetch(&started[sock->sock.op], 1, __ATOMIC_RELAXED);
	*event = e;
	return ncclSuccess;
}

/* Events are not freed, so that a second stop is seen. */
static ncclResult_t profiler_stop(void *event)
{
	struct event *e = event;

	if (!e)
		return ncclSuccess;
	if (!e->is_net || e->stopped)
		__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
	e->stopped = true;
	__atomic_add_fetch(&stopped, 1, __ATOMIC_RELAXED);
	return ncclSuccess;
}

static ncclResult_t profiler_state(void *event, int state, void *args)
{
	(void)event;
	(void)state;
	(void)args;
	return ncclSuccess;
}

static ncclResult_t profiler_end(void *context)
{
	unsigned long all = started[0] + started[1];

	(void)context;
	if (__atomic_sub_fetch(&contexts, 1, __ATOMIC_RELAXED))
		return ncclSuccess;
	fprintf(stderr, "profiler %d: %lu sends and %lu receives, %s\n", (int)getpid(), started[0],
		started[1],
		wrong		      ? "some of them wrong"
		: stopped != all      ? "not all ended"
		: !all || !started[1] ? "nothing"
				      : "each ended once");
	return ncclSuccess;
}

__attribute__((visibility("default"))) ncclProfiler_v3_t ncclProfiler_v3 = {
	.name = "counting",
	.init = profiler_init,
	.startEvent = profiler_start,
	.stopEvent = profiler_stop,
	.recordEventState = profiler_state,
	.finalize = profiler_end,
};
