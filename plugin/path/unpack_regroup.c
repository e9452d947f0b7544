// SPDX-License-Identifier: BSD-3-Clause
/*
 * Messages with more pieces than a slot has entries, copied together by the GPU.
 */
#include <errno.h>
#include <stdlib.h>

#include "path/place_unpack.h"

#define BATCH 64

static int grow(void **array, size_t *room, size_t n, size_t size)
{
	size_t more = *room ? *room * 2 : 64;
	void *p;

	while (more < n)
		more *= 2;
	p = realloc(*array, more * size);
	if (!p)
		return -ENOMEM;
	*array = p;
	*room = more;
	return 0;
}

int unpack_regroup_add(struct unpack_slot *s, struct place_req *req, uint64_t src, uint64_t dst_off,
		       uint64_t len)
{
	struct unpack_regroup *g = &s->regroup;
	struct unpack_piece *last = g->n_pieces > g->n_moved ? &g->pieces[g->n_pieces - 1] : NULL;

	if (last && last->src + last->len == src && last->dst_off + last->len == dst_off) {
		last->len += len;
	} else {
		if ((!g->pieces || g->n_pieces == g->room_pieces) &&
		    grow((void **)&g->pieces, &g->room_pieces, g->n_pieces + 1,
			 sizeof(*g->pieces)) < 0)
			return -ENOMEM;
		g->pieces[g->n_pieces++] =
			(struct unpack_piece){ .src = src, .dst_off = dst_off, .len = len };
	}
	req->pending += len;
	return 0;
}

int unpack_regroup_start(struct place_unpack *u, struct unpack_slot *s, struct place_req *req)
{
	const struct unpack_entry *mem = u->meta->mem[unpack_slot_index(u, s)];
	uint32_t i;
	int r;

	s->regroup.on = true;
	for (i = 0; i < req->n_entries; i++) {
		struct unpack_entry e = i + 1 < req->n_entries ? mem[i] : s->last;

		r = unpack_regroup_add(s, req, u->bounce + e.src_off, e.dst_off, e.len);
		if (r < 0)
			return r;
	}
	req->n_entries = 0;
	return 0;
}

/* Block number @k of the message; NULL: none now. */
static struct stage_block *block_at(struct place_unpack *u, struct unpack_slot *s, unsigned int k)
{
	struct unpack_regroup *g = &s->regroup;

	if (k >= g->room_blocks) {
		size_t room = g->room_blocks;

		if (grow((void **)&g->blocks, &room, k + 1, sizeof(struct stage_block *)) < 0)
			return NULL;
		g->room_blocks = (unsigned int)room;
	}
	while (g->n_blocks <= k)
		g->blocks[g->n_blocks++] = NULL;
	if (!g->blocks[k])
		g->blocks[k] = unpack_block_take(u, s, s->req);
	return g->blocks[k];
}

/*
 * The next moves from piece @i on, of which the first @done bytes are past; both go on to where the moves end. Returns how many, none when there
 * is no block.
 */
static unsigned int plan(struct place_unpack *u, struct unpack_slot *s, size_t *i, uint64_t *done,
			 struct gpu_move *moves, uint64_t *ret_bytes)
{
	const struct unpack_regroup *g = &s->regroup;
	uint64_t bytes = 0;
	unsigned int n = 0;

	while (n < BATCH && *i < g->n_pieces && bytes < GPU_MOVE_BYTES) {
		const struct unpack_piece *p = &g->pieces[*i];
		uint64_t dst = p->dst_off + *done, len = p->len - *done;
		uint64_t in_block = dst % u->block_size;
		const struct stage_block *b = block_at(u, s, (unsigned int)(dst / u->block_size));

		if (!b)
			break;
		if (len > u->block_size - in_block)
			len = u->block_size - in_block;
		if (len > GPU_MOVE_BYTES - bytes)
			len = GPU_MOVE_BYTES - bytes;
		moves[n++] = (struct gpu_move){ .src = p->src + *done,
						.dst = b->dev + in_block,
						.len = len };
		bytes += len;
		*done += len;
		if (*done == p->len) {
			*done = 0;
			++*i;
		}
	}
	*ret_bytes = bytes;
	return n;
}

int unpack_regroup_poll(struct place_unpack *u, struct unpack_slot *s)
{
	struct unpack_regroup *g = &s->regroup;
	struct gpu_move moves[BATCH];
	bool moved = false;

	while (g->n_moved < g->n_pieces) {
		size_t i = g->n_moved;
		uint64_t done = 0, bytes;
		unsigned int n = plan(u, s, &i, &done, moves, &bytes);
		int r;

		if (n == 0)
			break;
		r = gpu_queue_move(u->queue, moves, n);
		if (r == -EAGAIN)
			break;
		if (r < 0)
			return r;
		g->n_moved = i;
		if (done) {
			g->pieces[i].src += done;
			g->pieces[i].dst_off += done;
			g->pieces[i].len -= done;
		}
		s->due += bytes;
		moved = true;
	}
	return moved;
}

/* The blocks are the request's or private: others return them. */
void unpack_regroup_reset(struct unpack_regroup *g)
{
	g->on = false;
	g->n_blocks = 0;
	g->n_pieces = 0;
	g->n_moved = 0;
}

void unpack_regroup_free(struct unpack_regroup *g)
{
	free(g->blocks);
	free(g->pieces);
}
