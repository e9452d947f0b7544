/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From where bytes arrive to where NCCL wants them.
 *
 * A receive call (struct path_ops) brings an arrival: pieces in the pool, for which the kernel holds tokens, and bytes
 * in host memory. A place puts them at their destination, at once or later, by the CPU, by the GPU, or by leaving a list of
 * them for NCCL's own kernel. What an arrival lies in is lent to the request and goes back when the place is done with it.
 *
 * One place belongs to one receive comm and is used by that comm's thread.
 */
#ifndef DEVMEM_PLACE_H
#define DEVMEM_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/verdict.h"
#include "mem/gpu.h"
#include "mem/mr.h"
#include "mem/pool.h"
#include "mem/stage.h"
#include "mem/token_ledger.h"
#include "path/data_sock.h"
#include "path/gather.h"

/* Pieces a receive call can tell of. With MSS-sized frags about 0.6 MiB, with whole 4 KiB niovs 1.6 MiB. */
#define ARRIVAL_PIECES 400

/*
 * What one receive call brought.
 * @cut_short: the call may have left some for want of room to tell of it, or because it was of another kind.
 * @pieces: in stream order, @n of them, @total bytes. Those in the pool are at their offset from its base (of the GPU's block, where it has one:
 *          the pool's own block.offset is in it); the linear ones,
 *          @linear bytes, lie packed at @host.
 * @tokens: of the pieces in the pool. @block: the block of the stage that the bytes lie in instead (staged), NULL when there is none. Then
 *          they are still in its host half: put() has the GPU copy them to the other first, and the one piece has the block's offset.
 */
struct arrival {
	bool cut_short;
	size_t total;
	size_t linear;
	uint8_t *host;
	struct stage_block *block;
	unsigned int n;
	unsigned int n_tokens;
	struct gather_piece pieces[ARRIVAL_PIECES];
	struct token_range tokens[ARRIVAL_PIECES];
};

/* Nothing yet. */
static inline void arrival_clear(struct arrival *a)
{
	a->cut_short = false;
	a->total = 0;
	a->linear = 0;
	a->host = NULL;
	a->block = NULL;
	a->n = 0;
	a->n_tokens = 0;
}

/* @len readable bytes at @host, and nothing else. */
static inline void arrival_readable(struct arrival *a, uint8_t *host, size_t len)
{
	arrival_clear(a);
	a->total = len;
	a->linear = len;
	a->host = host;
	a->n = 1;
	a->pieces[0] = (struct gather_piece){ .len = (uint32_t)len, .linear = 1 };
}

/* How far an arrival has been cut: bytes @done, of them @linear linear; the next is byte @offset of piece @at. */
struct arrival_cut {
	size_t done;
	size_t linear;
	unsigned int at;
	uint32_t offset;
};

/*
 * The next @len bytes of @a, or what is left, as an arrival of their own, @part. The tokens and the block go to the part that has the last
 * byte, and @a has none from then on: parts are to be consumed in order.
 */
void arrival_cut(struct arrival *a, struct arrival_cut *cut, size_t len, struct arrival *part);

/* What @a lies in goes to @ds' ledger and to the stage. 0, or -errno of giving tokens back to make room. */
int arrival_return(struct data_sock *ds, struct arrival *a);

/* Tokens of socket @ds, or, where @ds is NULL, a block of the stage. */
struct loan {
	struct data_sock *ds;
	struct token_range tokens;
	struct stage_block *block;
};

/* What is lent to a request. Grows as needed and keeps its memory for the next request in the same slot. */
struct loan_list {
	struct loan *loans;
	unsigned int n;
	unsigned int room;
};

/* Enters what @a lies in. 0 or -ENOMEM: then nothing was entered. */
int loan_list_add(struct loan_list *l, struct data_sock *ds, const struct arrival *a);
int loan_list_add_block(struct loan_list *l, struct stage_block *block);
/* Everything goes to the ledgers of its sockets and to the stage. 0, or -errno of giving tokens back. */
int loan_list_return(struct loan_list *l);
void loan_list_free(struct loan_list *l);

/*
 * A place's part of a receive request; zeroed at irecv but for ->loans, which stays.
 * @pending: bytes that have arrived but are not in place yet.
 * @ticket:  of the GPU queue; what was asked for up to it belongs to this request.
 * @slot, @n_entries: unpack: the slot of the meta queue that is the request's, and how much of it is used.
 * @base, @size: the posted buffer. @ordered: somebody may be watching it for flags behind their data (NCCL's LL and LL128).
 */
struct place_req {
	size_t pending;
	uint64_t ticket;
	bool ordered;
	uint32_t slot;
	uint32_t n_entries;
	uint8_t *base;
	size_t size;
	struct loan_list loans;
};

struct place;

/*
 * @post:   a receive is posted. 0, -EAGAIN when no more can be under way now, -errno.
 * @window: where bytes for @p may come: *ret_host is the address that readable bytes are written to, and no more than *len (which
 *          it may lower) can be taken. -EAGAIN: not now (the place has no room), poll() first.
 * @span:   the same for a call that is for several receives: readable bytes come to *ret_host, for put() of each to bring them from there.
 *          NULL: only one receive a call.
 * @put:    @a belongs at @p. Takes over the loan in any case: when it returns, the tokens and the block are lent to @req or given back.
 * @put_host: @len bytes of host memory belong at @p (payload of the control stream). @src is the caller's again at return.
 * @poll:   moves on what is under way; 1 something finished, 0 nothing, -errno.
 * @finish: every byte of the message, @total, has been put, and pending is 0. Makes it known to the GPU where that is needed; test() says done
 *          after it. Called once.
 * @consumed: the user of the bytes is done with them: what was lent goes back. Called once, after finish(), when the request ends:
 *          at once, or by irecvConsumed() where ->keeps_loans.
 * @destroy: waits for the GPU's work on it first. The loans of requests are the comm's to return after that.
 * @device_handle: the device pointer NCCL's kernels want; NULL where there is none.
 * All but destroy are optional where noted: span, poll, finish, device_handle may be NULL.
 */
struct place_ops {
	const char *name;
	bool keeps_loans;
	int (*post)(struct place *pl, struct place_req *req);
	int (*window)(struct place *pl, struct place_req *req, const struct mr *mr, uint8_t *p,
		      size_t *len, uint8_t **ret_host);
	void (*span)(struct place *pl, size_t *len, uint8_t **ret_host);
	int (*put)(struct place *pl, struct place_req *req, const struct mr *mr, uint8_t *p,
		   struct data_sock *ds, struct arrival *a);
	int (*put_host)(struct place *pl, struct place_req *req, const struct mr *mr, uint8_t *p,
			const uint8_t *src, size_t len);
	int (*poll)(struct place *pl);
	int (*finish)(struct place *pl, struct place_req *req, size_t total);
	int (*consumed)(struct place *pl, struct place_req *req);
	void *(*device_handle)(struct place *pl);
	void (*destroy)(struct place *pl);
};

/* The beginning of every place. @pool: where pieces lie; NULL when nothing arrives in a pool. */
struct place {
	const struct place_ops *ops;
	struct pool *pool;
};

/* By the CPU, for memory that it sees: at once. Never fails but for -ENOMEM. */
int place_cpu_create(struct pool *pool, struct place **ret);

/* By a GPU kernel or the copy engine, for memory of pool->gpu or that it sees. */
int place_gpu_create(struct pool *pool, struct place **ret, struct verdict *why);

/*
 * By NCCL's kernel (device unpack). What does not arrive in the pool, or has too many pieces, goes through pool->stage. The bounce base
 * is the pool's GPU address (block.priv of the CUDA provider).
 */
int place_unpack_create(struct pool *pool, struct place **ret, struct verdict *why);

#endif
