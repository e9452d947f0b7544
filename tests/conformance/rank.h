/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A rank as a case sees it, and connections between two. What a function does not return, it checks: a plugin that answers
 * otherwise fails the case with a reason.
 */
#ifndef CONFORMANCE_RANK_H
#define CONFORMANCE_RANK_H

#include <sys/types.h>

#include "conformance.h"
#include "worker.h"

/*
 * A call that NCCL polls has to come back within this time. A machine that stands still breaks it too, so the runner tries a case that ends
 * for this reason again (BLOCKED_PREFIX).
 */
#define CALL_MS 400
/* The first accept of a GPU may allocate and bind memory of it. */
#define CALL_GPU_MS 3000
/* Every outcome, an error as well, has to show within this time. */
#define END_MS (20000 * (int)conf.limit_factor)
/* What a process still has to do by itself when the plugin is done: end, or leave /proc. */
#define TIDY_MS (10000 * (int64_t)conf.limit_factor)

struct pending {
	struct call *call;
	bool arrived;
};

/*
 * @pid: of its process; 0 when it is in this one, whose @workers serve it then. @fd: to the process.
 * @before: what its process had before the plugin was loaded.
 */
struct rank {
	int number;
	pid_t pid;
	int fd;
	struct agent agent;
	struct worker workers[CALL_THREADS];
	struct pending pending[CALL_THREADS];
	bool loaded;
	bool inited;
	uint64_t ctx;
	int dev;
	struct net_device device;
	struct process_state before;
};

/* Up to two ranks of the case, made by ranks_start(). */
extern struct rank ranks[2];
extern int n_ranks;

/* Threads, or a process; not yet the plugin. */
void ranks_start(int n, int n_processes);
/* Closes what a case has left, unloads, and checks that nothing stays. */
void ranks_end(void);
/* SIGKILL for a rank with a process of its own. */
void rank_kill(struct rank *r);
/* exit(0) in a rank with a process of its own, on the application thread, whatever is open: it has to end, with 0. */
void rank_exit(struct rank *r);
/* NAME=VALUE in the rank's environment, before rank_load(). */
void rank_env(struct rank *r, const char *name_value);

/* One call: answered when it returns; or begun, and answered at rank_finish(). */
void rank_call(struct rank *r, struct call *c, enum call_thread thread, enum call_op op);
void rank_begin(struct rank *r, struct call *c, enum call_thread thread, enum call_op op);
void rank_finish(struct rank *r, enum call_thread thread);

void rank_load(struct rank *r);
void rank_init(struct rank *r);
void rank_finalize(struct rank *r);
void rank_unload(struct rank *r);
void rank_state(struct rank *r, struct process_state *ret);
/* The process has what it had before, apart from memory. */
void rank_check_state(struct rank *r, const struct process_state *before);
int rank_log_count(struct rank *r, const char *text);
uint64_t rank_alloc(struct rank *r, size_t size, size_t misalign);

/* A buffer of @size bytes, registered with @comm. */
struct side {
	struct rank *rank;
	uint64_t comm;
	uint64_t buf;
	uint64_t mh;
	size_t size;
};

struct link {
	struct side tx;
	struct side rx;
};

uint64_t side_register(struct rank *r, uint64_t comm, uint64_t buf, size_t size);
void side_deregister(struct side *s);

/* From @tx to @rx, with buffers of @size bytes on either side. */
void link_open(struct link *l, struct rank *tx, struct rank *rx, size_t size);
/* Only the connection. */
void link_connect(struct link *l, struct rank *tx, struct rank *rx, size_t misalign);
void link_close(struct link *l);

/* Single steps. @ret_ms: the longest call. */
uint64_t rank_listen(struct rank *r, uint8_t handle[NCCL_NET_HANDLE_MAXSIZE]);
ncclResult_t rank_connect(struct rank *r, uint8_t handle[NCCL_NET_HANDLE_MAXSIZE], int ms,
			  uint64_t *ret_comm);
ncclResult_t rank_accept(struct rank *r, uint64_t listen, int ms, uint64_t *ret_comm);
void rank_close_listen(struct rank *r, uint64_t listen);
void side_close(struct side *s, bool sends);

/* Requests on [off, off+size) of the side's buffer. Repeated while the plugin says "not now". */
uint64_t side_isend(struct side *s, size_t off, size_t size, int tag);
uint64_t side_irecv(struct side *s, size_t off, size_t size, int tag);
ncclResult_t side_post(struct side *s, bool sends, size_t off, size_t size, int tag,
		       uint64_t preset, int ms, uint64_t *ret_req);
void side_fill(struct side *s, size_t off, size_t size, uint64_t seed);
void side_check(struct side *s, size_t off, size_t size, uint64_t seed);

struct item item_send(uint64_t req);
struct item item_recv(const struct side *s, uint64_t req);
/* Tests until all have an end or @ms are over, on the progress threads of both. */
void wait_both(struct rank *tx, struct item *sends, size_t n_sends, struct rank *rx,
	       struct item *recvs, size_t n_recvs, uint64_t flags, int ms);
void wait_items(struct rank *r, struct item *items, size_t n, uint64_t flags, int ms);
void item_expect(const struct item *it, ncclResult_t res, int size);

/* A stream over @l; add_stream() puts both ends into the sets that run_streams() runs on the progress threads. */
struct stream_set {
	struct call *calls[2];
};
void streams_begin(struct stream_set *set);
void streams_add(struct stream_set *set, struct link *l, uint32_t n, uint32_t depth,
		 size_t max_size, uint32_t seed, uint32_t flags);
void streams_run(struct stream_set *set, int ms);
/* The two halves of streams_run(); other threads may be used in between. */
void streams_start(struct stream_set *set, int ms);
void streams_finish(struct stream_set *set);
/* One message of @size there, checked. */
void link_exchange(struct link *l, size_t size, uint64_t seed);

#endif
