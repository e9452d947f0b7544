// SPDX-License-Identifier: BSD-3-Clause
/*
 * Blocks of the stage for device unpack, kept until their bytes are consumed.
 *
 * A block is held until NCCL's kernels are past it, and they may first wait for another connection's bytes, which may need a block
 * in turn. So a receive that is the oldest unfinished of its connection must always find one: each place keeps some blocks private, that
 * only the oldest may have. They are free when a receive becomes the oldest that is not consumed, which is all that kernels wait for.
 * (A message in so many pieces that regrouping takes more than its share of those depends on the common ones.)
 */
#include <errno.h>
#include <stdlib.h>

#include "path/place_unpack.h"

/* Less room than this at the end of a block is not worth a receive call. */
#define WINDOW_MIN (64UL << 10)

/* The widest unit that NCCL's kernels copy in, when source and destination allow it. */
#define UNIT 16

int unpack_blocks_reserve(struct place_unpack *u, unsigned int n, struct verdict *why)
{
	u->privates = calloc(n, sizeof(*u->privates));
	if (!u->privates)
		return verdict_set(why, -ENOMEM, NULL, "out of memory");
	while (u->n_private < n) {
		struct stage_block *b = stage_take(u->base.pool->stage);

		if (!b)
			return verdict_set(
				why, -ENOSPC, "a larger NCCL_DEVMEM_STAGE_SIZE",
				"the stage of %s has no block left: %u of %zu KiB are needed for each connection",
				gpu_name(u->gpu), n, u->block_size >> 10);
		u->privates[u->n_private++] =
			(struct unpack_private){ .block = b, .owner = UNPACK_FREE };
		if (b->offset + b->size > UNPACK_SPAN)
			return verdict_set(
				why, -EOVERFLOW, "a smaller NCCL_DEVMEM_POOL_SIZE",
				"the stage of %s ends %llu MiB behind the beginning of the pool, and device unpack has offsets of 32 bits",
				gpu_name(u->gpu),
				(unsigned long long)((b->offset + b->size) >> 20));
	}
	return 0;
}

void unpack_blocks_free(struct place_unpack *u)
{
	unsigned int i;

	if (u->spare) {
		for (i = 0; i < u->n_private && u->privates[i].block != u->spare; i++)
			;
		if (i == u->n_private)
			stage_give(u->spare);
	}
	for (i = 0; i < u->n_private; i++)
		stage_give(u->privates[i].block);
	free(u->privates);
}

static struct unpack_private *private_of(struct place_unpack *u, const struct stage_block *block)
{
	unsigned int i;

	for (i = 0; i < u->n_private; i++)
		if (u->privates[i].block == block)
			return &u->privates[i];
	return NULL;
}

static struct stage_block *private_take(struct place_unpack *u, int owner)
{
	unsigned int i;

	for (i = 0; i < u->n_private; i++) {
		if (u->privates[i].owner == UNPACK_FREE) {
			u->privates[i].owner = owner;
			return u->privates[i].block;
		}
	}
	return NULL;
}

static struct stage_block *shared_take(struct place_unpack *u)
{
	struct stage_block *b = stage_take(u->base.pool->stage);

	/* Blocks of one stage lie together; one too far away is none. */
	if (b && b->offset + b->size > UNPACK_SPAN) {
		stage_give(b);
		b = NULL;
	}
	return b;
}

/* Of the private blocks two that no receive has? The spare is one: nothing has come there. */
static bool has_two_left(const struct place_unpack *u)
{
	unsigned int i, n = 0;

	for (i = 0; i < u->n_private; i++)
		n += u->privates[i].owner < 0;
	return n >= 2;
}

/* For regrouping; which must leave the oldest a block to receive in. */
struct stage_block *unpack_block_take(struct place_unpack *u, struct unpack_slot *s,
				      struct place_req *req)
{
	struct stage_block *b = shared_take(u);

	if (b && loan_list_add_block(&req->loans, b) < 0) {
		stage_give(b);
		b = NULL;
	}
	if (!b && unpack_slot_is_oldest(u, s) && has_two_left(u))
		b = private_take(u, unpack_slot_index(u, s));
	return b;
}

/*
 * Where bytes for @dst_off begin in @s' block: right behind what they continue, so that one entry does for both; else so that source and
 * destination are aligned alike.
 */
static size_t begin_at(const struct unpack_slot *s, size_t dst_off)
{
	if (s->req->n_entries && s->last.dst_off + s->last.len == dst_off &&
	    s->last.src_off + (uint64_t)s->last.len == s->block->offset + s->fill)
		return s->fill;
	return (s->fill + UNIT - 1) / UNIT * UNIT + dst_off % UNIT;
}

/* The oldest may use any block for a window. The others must not, or bytes that happen to come there would take it from the oldest. */
static struct stage_block *spare_for(struct place_unpack *u, const struct unpack_slot *s)
{
	struct unpack_private *p = u->spare ? private_of(u, u->spare) : NULL;
	struct stage_block *b;

	if (unpack_slot_is_oldest(u, s)) {
		if (!u->spare)
			u->spare = private_take(u, UNPACK_SPARE);
		if (!u->spare)
			u->spare = shared_take(u);
		return u->spare;
	}
	if (u->spare && !p)
		return u->spare;
	b = shared_take(u);
	if (!b)
		return NULL;
	if (p)
		p->owner = UNPACK_FREE;
	u->spare = b;
	return b;
}

struct stage_block *unpack_block_window(struct place_unpack *u, struct unpack_slot *s,
					size_t dst_off, size_t *len, size_t *ret_at)
{
	size_t wanted = *len < WINDOW_MIN ? *len : WINDOW_MIN;
	struct stage_block *b = s->block;
	size_t at = b ? begin_at(s, dst_off) : 0;

	if (!b || at >= b->size || b->size - at < wanted) {
		struct stage_block *spare = spare_for(u, s);

		if (spare) {
			b = spare;
			at = dst_off % UNIT;
		} else if (!b || at >= b->size) {
			return NULL;
		}
	}
	if (*len > b->size - at)
		*len = b->size - at;
	*ret_at = at;
	return b;
}

static bool lies_in(const struct stage_block *b, const uint8_t *host, size_t len)
{
	return b && host >= b->host && len <= b->size && (size_t)(host - b->host) <= b->size - len;
}

int unpack_block_fill(struct place_unpack *u, struct unpack_slot *s, struct place_req *req,
		      const uint8_t *host, size_t len, size_t *ret_at)
{
	struct unpack_private *p;
	int r;

	if (!lies_in(s->block, host, len)) {
		if (!lies_in(u->spare, host, len))
			return -EBADE;
		p = private_of(u, u->spare);
		if (p) {
			p->owner = unpack_slot_index(u, s);
		} else {
			r = loan_list_add_block(&req->loans, u->spare);
			if (r < 0)
				return r;
		}
		s->block = u->spare;
		u->spare = NULL;
	}
	*ret_at = (size_t)(host - s->block->host);
	s->fill = *ret_at + len;
	return 0;
}

void unpack_blocks_return(struct place_unpack *u, struct unpack_slot *s)
{
	unsigned int i;

	for (i = 0; i < u->n_private; i++)
		if (u->privates[i].owner == unpack_slot_index(u, s))
			u->privates[i].owner = UNPACK_FREE;
	s->block = NULL;
	s->fill = 0;
}
