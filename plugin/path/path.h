/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data paths: how payload bytes move between one data socket and memory.
 *
 * Nothing here allocates, logs (but on errors) or blocks.
 */
#ifndef DEVMEM_PATH_H
#define DEVMEM_PATH_H

#include <stdint.h>
#include <sys/types.h>

#include "mem/mr.h"
#include "path/data_sock.h"
#include "path/ladder.h"
#include "path/place.h"

/*
 * @send: hands [p, p+len) of @mr to the socket; @p is NCCL's pointer. Returns the bytes accepted (> 0), -EAGAIN, or -errno. On the
 * zerocopy rungs the memory belongs to the kernel until @ref->pending is back at 0, and -ENOBUFS says that no more
 * completions can be kept track of: some must be reaped first, and if none is outstanding the rung does not work here.
 * path_send_spliced knows no completions: there the memory is the socket's until the peer has read it.
 *
 * @recv: takes up to @len bytes from the socket; what it writes to host memory goes to @host, as a place's window() gave it.
 * Returns the bytes (> 0) and describes them in @a, whose tokens or block are the caller's from then on; or -EAGAIN, -ECONNRESET at end of
 * stream, or -errno: then nothing is lent.
 *
 * @spans: one @recv may be for several receives whose places let it (place_ops.span).
 *
 * @recycle: gives back what the kernel lent (tokens in the socket's ledger). @idle: nothing more is expected on this socket now,
 * so do not hold on for a fuller batch.
 */
struct path_ops {
	const char *name;
	enum rung rung;
	bool spans;
	ssize_t (*send)(struct data_sock *ds, const struct mr *mr, const uint8_t *p, size_t len,
			struct zc_ref *ref);
	ssize_t (*recv)(struct data_sock *ds, struct place *pl, uint8_t *host, size_t len,
			struct arrival *a);
	int (*recycle)(struct data_sock *ds, int idle);
};

extern const struct path_ops path_send_copy;
extern const struct path_ops path_send_zerocopy;
extern const struct path_ops path_send_spliced;
extern const struct path_ops path_send_devmem;
extern const struct path_ops path_send_staged;
extern const struct path_ops path_recv_copy;
extern const struct path_ops path_recv_devmem;
extern const struct path_ops path_recv_staged;

#endif
