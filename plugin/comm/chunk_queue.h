/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is known of the bytes to come on one data socket: chunks of messages, in stream order, with the receives they belong to.
 */
#ifndef DEVMEM_CHUNK_QUEUE_H
#define DEVMEM_CHUNK_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "comm/comm.h"
#include "path/place.h"

/* Chunks known but not yet read. When they are full the control stream waits. */
#define CHUNKS_MAX 64

/* The next @left bytes of a socket belong at @p of @req. */
struct recv_chunk {
	struct request *req;
	uint8_t *p;
	size_t left;
};

/*
 * @head, @tail count up for ever; entries live at their value modulo CHUNKS_MAX. @bytes: of them all.
 */
struct chunk_queue {
	uint32_t head;
	uint32_t tail;
	size_t bytes;
	struct recv_chunk ring[CHUNKS_MAX];
};

/*
 * What reading works with, once for all sockets of a comm: what a call brought, and one chunk's part of it. @drained: nothing is left on
 * the socket.
 */
struct chunk_reader {
	bool drained;
	struct arrival arrival;
	struct arrival part;
};

static inline bool chunk_queue_empty(const struct chunk_queue *q)
{
	return q->head == q->tail;
}

/* @len more bytes, at @p of @req; one chunk with the last one where they go on from it. 0, or -ENOSPC: no room. */
int chunk_queue_add(struct chunk_queue *q, struct request *req, uint8_t *p, size_t len);

/*
 * One receive call on @ds, for as many chunks as the place lets one call bring (place_ops.span), and at least the first. What
 * came is with the places of its receives then, and its tokens are lent. Returns the bytes (> 0), -EAGAIN, -errno. Not on an empty queue.
 */
ssize_t chunk_queue_read(struct chunk_queue *q, struct data_sock *ds, struct chunk_reader *rd);

#endif
