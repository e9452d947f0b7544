/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests as events of a profiler that NCCL has loaded (NCCL_PROFILER_PLUGIN): NCCL hands init() a callback and each request the
 * handle of the proxy step that it belongs to, and makes an event of the type ncclProfileNetPlugin below that step
 * (NCCL src/plugin/profiler.cc, ncclProfilerCallback()). The description is that of NCCL's own sockets, which profilers know.
 */
#ifndef DEVMEM_PROFILE_H
#define DEVMEM_PROFILE_H

#include <stddef.h>

#include "nccl/net.h"

struct request;

/* Of the process; NULL changes nothing. Any thread. */
void profile_install(ncclProfilerCallback_t callback);

/*
 * isend or irecv of @size bytes made @req (NULL: it did not) in the proxy step @phandle (NULL: nobody asks). To be called after each.
 * Thread: the comm's progress thread, as for the next.
 */
void profile_start(struct request *req, void *phandle, enum ncclProfilerNetSockOp op, size_t size);

/* The event of @req, NULL if it has none. To be asked for before net_test(), which may end the request. */
void *profile_event(struct request *req);

/* @req is done, or has failed: its event ends. Those of requests that a close cancels do not, as in NCCL's transports. */
void profile_stop(struct request *req, void *event);

#endif
