/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a case drives a rank: by calls, each carried out on one of the threads that NCCL has, in this process or in another.
 * Addresses in a call (comms, requests, buffers, mhandles) are the rank's own and mean nothing elsewhere.
 */
#ifndef CONFORMANCE_CALL_H
#define CONFORMANCE_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nccl/net.h"

/*
 * The threads of one rank, as NCCL 2.30 has them (src/proxy.cc, src/init.cc): the application's, the proxy's service
 * thread ("NCCL Service"), the proxy's progress thread ("NCCL Progress").
 */
enum call_thread { ON_APP, ON_SERVICE, ON_PROGRESS, CALL_THREADS };

enum call_op {
	/* Application. What is said of arguments: in -> out. */
	OP_LOAD,	/* a0 version, data path -> res */
	OP_UNLOAD,	/* a0 0: the library has to be gone after it, 1: other users are left */
	OP_INIT,	/* -> a0 context */
	OP_FINALIZE,	/* a0 context */
	OP_DEVICES,	/* -> a0 number */
	OP_PROPS,	/* a0 device -> data struct net_device. Any thread */
	OP_PROPS_STORM, /* a0 device, a1 ms: asks all the time, answers have to be equal. Any thread */
	OP_EXIT,	/* exit(0), with whatever is open; no answer */
	OP_FORK,	/* a0 enum fork_kind, a1 comm -> res 0 or a reason in data */
	/* Service. */
	OP_SET_ATTR, /* a0 context */
	OP_LISTEN,   /* a0 context, a1 device, a2 misalignment -> a0 comm, data handle */
	OP_CONNECT, /* like it, a3 ms (0: one call), data handle -> a0 comm, a1 calls made, data handle */
	OP_ACCEPT,     /* a0 comm, a3 ms -> a0 comm, a1 calls made */
	OP_REG,	       /* a0 comm, a1 address, a2 size, a3 type -> a0 mhandle */
	OP_REG_DMABUF, /* a0 comm, a1 address, a2 size, a3 offset, a4 fd, closed afterwards -> a0 */
	OP_DEREG,      /* a0 comm, a1 mhandle */
	OP_REG_STORM,  /* a0 comm, a1 address, a2 size, a3 type, a4 ms -> a0 registrations */
	OP_CLOSE_SEND,
	OP_CLOSE_RECV,
	OP_CLOSE_LISTEN, /* a0 comm */
	/* Progress. */
	OP_ISEND, /* a0 comm, a1 address, a2 size, a3 tag, a4 mhandle, a5 ms -> a0 request, a1 NULLs */
	OP_IRECV,   /* the same; a6 what *request holds before */
	OP_IRECV_N, /* a0 comm, a5 ms, data struct group -> a0 request */
	OP_FLUSH,   /* a0 comm, a1 address, a2 size, a4 mhandle -> a0 request */
	OP_WAIT,    /* a0 ms, a1 WAIT_*, data items: tests them until each has an end -> data */
	OP_STREAMS, /* a0 ms, data streams -> data */
	/* The harness' own; run on the application thread. */
	OP_ALLOC, /* a0 size, a1 misalignment -> a0 address, a1 dmabuf fd or -1. Freed with the rank */
	OP_DUP_DMABUF, /* a0 address -> a0 a descriptor of its dmabuf */
	OP_FILL,       /* a0 address, a1 size, a2 seed */
	OP_CHECK,      /* the same -> a0 first wrong byte, or CHECK_RIGHT */
	OP_STATE,      /* -> data struct process_state */
	OP_LOG,	       /* data a text -> a0 lines of the plugin that have it, whatever case */
	OP_LOG_TEXT,   /* -> data the last lines */
	OP_ENV,	       /* data NAME=VALUE, for the rank's process. Before OP_LOAD */
	OP_COUNT
};

#define CALL_ARGS   8
#define CALL_DATA   16384
#define CHECK_RIGHT UINT64_MAX

/*
 * @res: ncclResult_t of the plugin's call; of the harness' own 0 or negative errno. @ns: the longest time one of the
 * plugin's calls took. @len: bytes of @data that are used, on the way in and out.
 */
struct call {
	uint32_t op;
	uint32_t thread;
	int32_t res;
	uint32_t len;
	int64_t ns;
	uint64_t a[CALL_ARGS];
	_Alignas(16) uint8_t data[CALL_DATA];
};

#define CALL_HEAD offsetof(struct call, data)

/* A request that OP_WAIT follows. @comm: of receives, 0 for sends. @res: ncclInProgress when it did not end. */
struct item {
	uint64_t req;
	uint64_t comm;
	int32_t res;
	int32_t done;
	int32_t size;
	int32_t pad;
};
#define ITEMS_MAX (CALL_DATA / sizeof(struct item))

#define WAIT_NO_SIZES 1 /* test() with sizes NULL */
#define WAIT_BACKWARD 2 /* the newest first */
#define WAIT_FAILED   4 /* test() again what has failed: the answer has to stay */

/* A grouped receive. */
#define GROUP_MAX 8
struct group {
	uint32_t n;
	int32_t tags[GROUP_MAX];
	uint64_t data[GROUP_MAX];
	uint64_t sizes[GROUP_MAX];
	uint64_t mhandles[GROUP_MAX];
};

/*
 * A stream of @n messages over one comm whose sizes and bytes follow from @seed, so that both sides know them. @depth of them are
 * in flight, each in a slot of @slot bytes at @buf.
 * Results: @res, of the first call that failed; @done messages; @nulls times a request was refused for now; @most in flight
 * at once. @wrong: what was wrong with the bytes, sizes or calls; empty when nothing.
 */
struct stream {
	uint64_t comm;
	uint64_t mhandle;
	uint64_t buf;
	uint64_t slot;
	uint64_t max_size;
	uint32_t n;
	uint32_t depth;
	uint32_t seed;
	uint32_t flags;
	int32_t res;
	uint32_t done;
	uint32_t nulls;
	uint32_t most;
	char wrong[96];
};
#define STREAMS_MAX (CALL_DATA / sizeof(struct stream))

#define STREAM_SEND	1
#define STREAM_NO_SIZES 2
#define STREAM_OPTIONAL 4   /* *request preset to NCCL_NET_OPTIONAL_RECV_COMPLETION */
#define STREAM_BACKWARD 8   /* tests the newest first */
#define STREAM_EMPTY	16  /* every other message has 0 bytes */
#define STREAM_FIXED	32  /* every message has max_size bytes */
#define STREAM_FLUSH	64  /* iflush after each receive */
#define STREAM_LAZY	128 /* four finished receives are always waiting to be consumed */

enum fork_kind { FORK_EXIT, FORK_EXEC, FORK_CLOSE, FORK_INHERITS };

/* What a process has. @heap: bytes that malloc() has handed out. @mapped: mappings of the plugin's file. */
struct process_state {
	int32_t fds;
	int32_t threads;
	int64_t rss_kb;
	int64_t heap;
	int32_t mapped;
	int32_t pad;
};

#endif
