/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The insides of the place for device unpack: place_unpack.c and what it is made of. Used by one thread, but for the list of bounce
 * bases.
 */
#ifndef DEVMEM_PLACE_UNPACK_H
#define DEVMEM_PLACE_UNPACK_H

#include "path/place.h"
#include "path/unpack_layout.h"

/* An owner of a private block that is none of the slots. */
#define UNPACK_FREE  (-1)
#define UNPACK_SPARE (-2)

/* Bytes of the pool, at GPU address @src, that belong at @dst_off of the message. */
struct unpack_piece {
	uint64_t src;
	uint64_t dst_off;
	uint64_t len;
};

/*
 * A message with more pieces than entries. The GPU copies all of it to blocks of the stage, each of which holds the part of the message that
 * begins at its number times the block size; so an entry a block is enough, whatever the pieces are.
 * @blocks: NULL where none has been taken yet. @pieces: of them @n_moved have been given to the GPU.
 */
struct unpack_regroup {
	bool on;
	struct stage_block **blocks;
	unsigned int n_blocks;
	unsigned int room_blocks;
	struct unpack_piece *pieces;
	size_t n_pieces;
	size_t n_moved;
	size_t room_pieces;
};

/*
 * A slot of the meta queue, and the receive that it is now.
 * @seq:     number of the receive, @busy until it is consumed, @finished from finish() on.
 * @req:     the receive's part of the request; NULL before the first byte, since post() is given a copy.
 * @last:    the entry that may still grow; it is not in the queue yet. req->n_entries counts it.
 * @placed:  bytes that have an entry or are to be regrouped.
 * @block:   of the stage, for bytes in host memory; its first @fill bytes are used.
 * @due:     bytes whose copy the GPU has been given since the last mark. @marked: of those up to req->ticket.
 * @from_nic: there are entries for bytes that a NIC has written.
 */
struct unpack_slot {
	bool busy;
	bool finished;
	bool from_nic;
	uint32_t seq;
	struct place_req *req;
	struct unpack_entry last;
	size_t placed;
	struct stage_block *block;
	size_t fill;
	size_t due;
	size_t marked;
	struct unpack_regroup regroup;
};

/* A block that this place keeps for itself; @owner is a slot's number or UNPACK_FREE, UNPACK_SPARE. */
struct unpack_private {
	struct stage_block *block;
	int owner;
};

/*
 * @meta, @handle: what NCCL's kernels read; @meta_dev, @handle: the GPU's addresses. @base: GPU address that offsets count from.
 * @next:  number of the next receive. @oldest: of the oldest that is not finished.
 * @spare: block that windows point to as long as nothing comes in host memory. @n_private blocks are kept for the oldest receive, so that it
 *         can always get on.
 */
struct place_unpack {
	struct place base;
	struct gpu *gpu;
	struct gpu_queue *queue;
	struct unpack_meta *meta;
	uint64_t meta_dev;
	uint64_t handle;
	uint64_t bounce;
	size_t block_size;
	uint32_t next;
	uint32_t oldest;
	struct stage_block *spare;
	struct unpack_private *privates;
	unsigned int n_private;
	struct unpack_slot slots[UNPACK_SLOTS];
};

/*
 * One bounce base for each GPU: a thread block of NCCL's has one for all its connections. 0, or -EXDEV when @gpu is in use with another.
 * Any thread.
 */
int unpack_bounce_take(const struct gpu *gpu, uint64_t bounce, struct verdict *why);
void unpack_bounce_give(const struct gpu *gpu);

/* Blocks (unpack_blocks.c). */
/* Takes @n private blocks. 0 or -ENOSPC. */
int unpack_blocks_reserve(struct place_unpack *u, unsigned int n, struct verdict *why);
void unpack_blocks_free(struct place_unpack *u);
/* A block for @s, lent to its request or private; NULL when none is to be had now. */
struct stage_block *unpack_block_take(struct place_unpack *u, struct unpack_slot *s,
				      struct place_req *req);
/* The block that @s may receive up to *len bytes in, which it may lower, and where in it; NULL: none now. */
struct stage_block *unpack_block_window(struct place_unpack *u, struct unpack_slot *s,
					size_t dst_off, size_t *len, size_t *ret_at);
/* Bytes came at @host, as the last window said: the block becomes @s', its fill ends behind them. 0, -ENOMEM, -EBADE. */
int unpack_block_fill(struct place_unpack *u, struct unpack_slot *s, struct place_req *req,
		      const uint8_t *host, size_t len, size_t *ret_at);
/* What of the private blocks @s has is free again. */
void unpack_blocks_return(struct place_unpack *u, struct unpack_slot *s);

/* Regrouping (unpack_regroup.c). */
/* Turns the entries of @s into pieces to be copied; from here on all its pieces go to unpack_regroup_add(). 0 or -ENOMEM. */
int unpack_regroup_start(struct place_unpack *u, struct unpack_slot *s, struct place_req *req);
/* The entries so far are gone, their bytes and these are pending. 0 or -ENOMEM. */
int unpack_regroup_add(struct unpack_slot *s, struct place_req *req, uint64_t src, uint64_t dst_off,
		       uint64_t len);
/* Gives the GPU what there are blocks for. 1 something, 0 nothing, -errno. */
int unpack_regroup_poll(struct place_unpack *u, struct unpack_slot *s);
void unpack_regroup_reset(struct unpack_regroup *g);
void unpack_regroup_free(struct unpack_regroup *g);

static inline int unpack_slot_index(const struct place_unpack *u, const struct unpack_slot *s)
{
	return (int)(s - u->slots);
}

static inline bool unpack_slot_is_oldest(const struct place_unpack *u, const struct unpack_slot *s)
{
	return s->seq == u->oldest;
}

#endif
