/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which path a message of a sending comm takes, and how that changes when one turns out not to work. Internal to plugin/comm.
 */
#ifndef DEVMEM_SEND_PATH_H
#define DEVMEM_SEND_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "comm/comm.h"
#include "comm/send_choice.h"
#include "comm/sock_events.h"
#include "path/send_stage.h"

/* What was last said to the ladder about one kind of memory, and what it answered. */
struct told {
	const struct path_ops *path;
	int result;
};

/*
 * @events: where they tell which sockets may have completions; NULL where nothing does, the comm's to set.
 * @zerocopy, @devmem: cleared for good when that path turns out not to work for this connection; @no_zerocopy, @no_devmem say why.
 * @lends: host memory may be lent to the socket where zerocopy does not work, since the peer tells what it has read; @no_zerocopy is about
 * both once it is cleared. @choice: whether it pays; asked unless @must_lend. @zerocopy_min, @splice_min: host memory below this size is copied by choice.
 * @gpu: whose memory may come; NULL when none will. @stage: for it where devmem does not work; @no_stage says why there is none.
 */
struct send_path {
	struct comm *comm;
	struct sock_events *events;
	bool zerocopy;
	bool devmem;
	bool lends;
	bool must_lend;
	bool told_small;
	bool told_cheap;
	struct send_choice choice;
	size_t zerocopy_min;
	size_t splice_min;
	struct verdict no_devmem;
	struct verdict no_zerocopy;
	struct gpu *gpu;
	struct send_stage *stage;
	struct verdict no_stage;
	struct told told[MR_CUDA + 1];
};

/* Finds out what @comm can do; readies its sockets for it. @acks: the peer tells what it has read, to whoever marks its requests lent. */
void send_path_init(struct send_path *sp, struct comm *comm, bool acks);
/* After the last send; waits for the GPU. */
void send_path_destroy(struct send_path *sp);

/*
 * Sets @req->path to the highest rung that can move its bytes. -errno when there is none, or only one that NCCL_DEVMEM_REQUIRE
 * forbids.
 */
int send_path_choose(struct send_path *sp, struct request *req);

/* @req's path failed with @err: steps down, or returns the error when it says more than "not like this". */
int send_path_leave(struct send_path *sp, struct request *req, int err);

/* Fetches completions of all sockets that may have some. 0, or the comm's error. */
int send_path_reap(struct send_path *sp, struct comm *comm);

#endif
