/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a comm shows of itself in shared memory (nccl_devmem_stats.h): one call for each event. Internal to plugin/comm.
 */
#ifndef DEVMEM_COMM_STATS_H
#define DEVMEM_COMM_STATS_H

#include "base/stats.h"
#include "base/trace.h"
#include "comm/comm.h"

/* One request in so many is timed, one test that was not done in so many is looked at; powers of two. */
#define COMM_STATS_TIMED 32
#define COMM_STATS_LOOK	 16

/* From net_track_comm() to net_untrack_comm(). */
void comm_stats_attach(struct comm *comm);
void comm_stats_detach(struct comm *comm);

/* Not to be called from elsewhere: what is rare in those below. */
void comm_stats_look(struct comm *comm, const struct request *req);
void comm_stats_timed(struct comm *comm, const struct request *req);

/* Before an isend() or irecv(): the time, or 0 where this one is not timed. */
static inline int64_t comm_stats_begin(const struct comm *comm)
{
	return comm->stats.shown && comm->stats.posts % COMM_STATS_TIMED == 0 ? now_ns() : 0;
}

/* After it. */
static inline void comm_stats_posted(struct comm *comm, struct request *req, int64_t begin)
{
	TRACE4(request_posted, comm, req, req->size, comm->kind);
	req->posted_ns = begin;
	comm->stats.posts++;
	if (comm->stats.shown)
		stats_set(&comm->stats.shown->posted, comm->stats.posts);
}

/* After a test() that says done, which may be said again. @req may have been released, but its slot is not another's yet. */
static inline void comm_stats_done(struct comm *comm, struct request *req)
{
	struct nccl_devmem_stats_conn *shown = comm->stats.shown;

	if (req->counted)
		return;
	req->counted = true;
	TRACE4(request_done, comm, req, req->total, comm->kind);
	if (!shown)
		return;
	stats_add(&shown->msgs, 1);
	stats_add(&shown->bytes, req->total);
	if (req->posted_ns)
		comm_stats_timed(comm, req);
}

/* After any other test(). */
static inline void comm_stats_waits(struct comm *comm, const struct request *req)
{
	if (comm->stats.shown && ++comm->stats.polls % COMM_STATS_LOOK == 0)
		comm_stats_look(comm, req);
}

#endif
