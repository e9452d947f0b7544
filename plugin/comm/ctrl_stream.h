/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two ends of a control stream: records and small payloads, buffered so that many go in one system call.
 */
#ifndef DEVMEM_CTRL_STREAM_H
#define DEVMEM_CTRL_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "comm/ctrl_ring.h"
#include "comm/wire.h"

/* Larger than any inline message with its record, so that one always fits into an empty buffer. */
#define CTRL_BUF_SIZE (128U << 10)

/* Outgoing. @queued, @flushed: bytes since the beginning of the stream that were put in, that the kernel took. */
struct ctrl_out {
	uint64_t queued;
	uint64_t flushed;
	uint8_t buf[CTRL_BUF_SIZE];
};

static inline size_t ctrl_out_room(const struct ctrl_out *o)
{
	return CTRL_BUF_SIZE - (size_t)(o->queued - o->flushed);
}

/* Append a record and, with @len > 0, payload. The caller has checked ctrl_out_room(). */
void ctrl_out_put(struct ctrl_out *o, struct wire_rec rec, const void *payload, size_t len);

/* One attempt to hand everything to the kernel. 1 all gone, 0 some left, -errno. No call when there is nothing. */
int ctrl_out_flush(struct ctrl_out *o, int fd);

/* Incoming. [@head, @tail) is unread. @ring: who brings what comes; NULL where there is none. @by_ring: it does, and not recv(). */
struct ctrl_in {
	size_t head;
	size_t tail;
	bool eof;
	bool by_ring;
	struct ctrl_ring *ring;
	uint8_t buf[CTRL_BUF_SIZE];
};

/*
 * Has io_uring bring what comes on @fd from now on, unless NCCL_DEVMEM_IO_URING or the kernel is against it (said once a process). To be
 * called at most once, and undone by ctrl_in_close() before @fd is closed, which is fine for a stream that was never opened.
 */
void ctrl_in_open(struct ctrl_in *in, int fd);
void ctrl_in_close(struct ctrl_in *in);

/* One look. 1 something came, 0 nothing or end of stream (then ->eof), -errno. */
int ctrl_in_fill(struct ctrl_in *in, int fd);

/* The next record without consuming it; false if it is not complete yet. */
bool ctrl_in_peek(const struct ctrl_in *in, struct wire_rec *ret);
void ctrl_in_skip(struct ctrl_in *in, size_t n);
/* The payload bytes that are there, *ret_len of them. */
const uint8_t *ctrl_in_data(const struct ctrl_in *in, size_t *ret_len);

#endif
