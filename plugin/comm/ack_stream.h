/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acknowledgements (wire.h): how a sender that lends its memory to a socket learns that the peer has read it. They go the other way on the
 * control socket of a connection whose messages come in frames. Internal to plugin/comm.
 *
 * The kernel tells nothing of the kind: that TCP has delivered a byte says only that it lies in the peer's receive queue, which on the
 * same host holds the sender's own pages.
 */
#ifndef DEVMEM_ACK_STREAM_H
#define DEVMEM_ACK_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "comm/wire.h"

/* The sender's side, zeroed at first. @consumed: all messages before this number have been read. @buf, @pos: a part of the next ack. */
struct ack_in {
	uint32_t consumed;
	size_t pos;
	struct wire_ack buf[8];
};

/*
 * Reads what has come. @posted: number of the next message, which no ack may go beyond. 1 there was news, 0 none, -ECONNRESET at the end of
 * the stream, -EPROTO, -errno. One system call.
 */
int ack_in_look(struct ack_in *in, int fd, uint32_t posted);

/*
 * Message @seq is posted. Acks come only where something is lent: without any for long, what the peer has read is brought near enough for
 * numbers to be compared. Of messages so far back none is waited for, and no ack is still on its way.
 */
static inline void ack_in_posted(struct ack_in *in, uint32_t seq)
{
	if (seq - in->consumed > 1U << 30)
		in->consumed = seq - (1U << 29);
}

static inline bool ack_in_has(const struct ack_in *in, uint32_t seq)
{
	return (int32_t)(in->consumed - seq) > 0;
}

/*
 * The receiver's side, zeroed at first. @consumed: number of the first message that is not complete, the comm's to set. @told: what the
 * peer knows of it; @lent_end: number behind the last message that came lent. @buf, @left: the end of an ack that the socket did not take.
 */
struct ack_out {
	uint32_t consumed;
	uint32_t told;
	uint32_t lent_end;
	size_t left;
	struct wire_ack buf;
};

/* Message @seq comes lent. Until one does, @told and @lent_end stay where they were, however far back that is. */
static inline void ack_out_expect(struct ack_out *out, uint32_t seq)
{
	if ((int32_t)(out->lent_end - out->told) <= 0)
		out->told = out->lent_end = out->consumed;
	if ((int32_t)(seq - out->lent_end) >= 0)
		out->lent_end = seq + 1;
}

/* Is there something that the peer waits for? */
static inline bool ack_out_due(const struct ack_out *out)
{
	return out->left ||
	       (out->consumed != out->told && (int32_t)(out->lent_end - out->told) > 0);
}

/*
 * Tells the peer what is due; what the socket does not take now goes with the next call. A peer that is gone is nobody to be told, and
 * is not noticed here: its data sockets say so. At most one system call, two after the socket was full.
 */
void ack_out_flush(struct ack_out *out, int fd);

#endif
