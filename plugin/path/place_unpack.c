// SPDX-License-Identifier: BSD-3-Clause
/*
 * Placing by NCCL's own kernels (NCCL_NET_DEVICE_UNPACK): bytes stay where they arrived, in the pool or in blocks of the stage behind it, and the
 * kernel that wants them is left a list of where they are.
 *
 * Memory order. Who reads what is written here, and why it reads no older value:
 * 1. Bytes. Those that the GPU copies are there when the CPU sees the copy's ticket passed; finish() is not called before that. Those that a NIC
 *    wrote are there when the CPU has been told of them, to kernels launched later; gpu_flush() makes it so for running ones.
 * 2. Entries, then cnt: plain stores into pinned host memory, then a release fence (and sfence, for the case that the driver has mapped it
 *    write-combining, where a fence of the compiler's and an ordinary release are not enough), all before finish() returns.
 * 3. test() says done after finish(). NCCL's proxy then passes a full fence and stores the connection's tail (src/transport/net.cc,
 *    recvProxyProgress()); x86 and arm64 make stores to host memory visible to PCIe reads in that order.
 * 4. The kernel polls tail, and only after a barrier of its block does it read cnt (ld.relaxed.gpu) and the entries (ld.volatile)
 *    (src/device/prims_simple.h, waitPeer() and genericOp(); src/device/network/unpack/unpack.h).
 * The way back: a kernel stores the connection's head when it is past a slice (postPeer()), the proxy reads it and calls irecvConsumed(),
 * and only then is the slot written again: at once, its cnt with 0.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/mutant.h"
#include "base/param.h"
#include "path/place_unpack.h"

/* What NCCL asks for at once, as it comes: a quarter of NCCL_BUFFSIZE. */
#define SLICE_USUAL (1UL << 20)

/* A block must hold what comes in the control stream at once (NCCL_DEVMEM_INLINE_MAX), with something to align it. */
#define BLOCK_MIN (128UL << 10)

static struct place_unpack *to_unpack(struct place *pl)
{
	return (struct place_unpack *)pl;
}

static struct unpack_slot *slot_of(struct place_unpack *u, struct place_req *req)
{
	struct unpack_slot *s = &u->slots[req->slot];

	s->req = req;
	return s;
}

static int place_unpack_post(struct place *pl, struct place_req *req)
{
	struct place_unpack *u = to_unpack(pl);
	struct unpack_slot *s = &u->slots[u->next % UNPACK_SLOTS];

	if (req->ordered) {
		log_err("NCCL receives with protocol LL or LL128, whose kernels do not unpack: set NCCL_PROTO=Simple on every rank "
			"(and leave NCCL_ALLOC_P2P_NET_LL_BUFFERS and NCCL_NET_SHARED_BUFFERS alone), or %s=gather",
			param_env_name(PARAM_PLACE));
		return -ENOTSUP;
	}
	if (s->busy)
		return -EAGAIN;
	s->busy = true;
	s->finished = false;
	s->from_nic = false;
	s->seq = u->next;
	u->next += DEVMEM_MUTANT(slot_unburnt) && !req->size ? 0 : 1;
	s->req = NULL;
	s->placed = 0;
	s->due = 0;
	s->marked = 0;
	req->slot = (uint32_t)unpack_slot_index(u, s);
	req->n_entries = 0;
	return 0;
}

static int place_unpack_window(struct place *pl, struct place_req *req, const struct mr *mr,
			       uint8_t *p, size_t *len, uint8_t **ret_host)
{
	struct place_unpack *u = to_unpack(pl);
	struct unpack_slot *s = slot_of(u, req);
	struct stage_block *b;
	size_t at;

	(void)mr;
	b = unpack_block_window(u, s, (size_t)(p - req->base), len, &at);
	if (!b)
		return -EAGAIN;
	*ret_host = b->host + at;
	return 0;
}

/* @len bytes at @src_off from the bounce base belong at @dst_off. 0 or -ENOMEM. */
static int add(struct place_unpack *u, struct unpack_slot *s, uint64_t src_off, uint64_t dst_off,
	       uint32_t len)
{
	struct place_req *req = s->req;
	struct unpack_entry *mem = u->meta->mem[req->slot];
	int r;

	s->placed += len;
	if (s->regroup.on)
		return unpack_regroup_add(s, req, u->bounce + src_off, dst_off, len);
	if (req->n_entries && s->last.src_off + (uint64_t)s->last.len == src_off &&
	    s->last.dst_off + s->last.len == dst_off) {
		s->last.len += len;
		return 0;
	}
	if (req->n_entries == UNPACK_ENTRIES) {
		r = unpack_regroup_start(u, s, req);
		return r < 0 ? r : unpack_regroup_add(s, req, u->bounce + src_off, dst_off, len);
	}
	/* Written when it is complete: the queue may be write-combining memory, bad to read and to write twice. */
	if (req->n_entries)
		mem[req->n_entries - 1] = s->last;
	req->n_entries++;
	src_off += DEVMEM_MUTANT(bounce_base) ? 4096 : 0;
	s->last = (struct unpack_entry){ .src_off = (uint32_t)src_off,
					 .len = len,
					 .dst_off = dst_off };
	return 0;
}

/* Brings @len bytes at @at of @b from its host half to the GPU's. */
static int bring(struct place_unpack *u, struct unpack_slot *s, const struct stage_block *b,
		 size_t at, size_t len)
{
	int r = gpu_queue_copy(u->queue, b->dev + at, b->host_dev + at, len);

	if (r < 0)
		return r;
	s->req->pending += len;
	s->due += len;
	return 0;
}

static int put_pieces(struct place_unpack *u, struct unpack_slot *s, uint64_t dst_off,
		      uint64_t linear_off, const struct arrival *a)
{
	unsigned int i;
	int r;

	for (i = 0; i < a->n; i++) {
		const struct gather_piece *piece = &a->pieces[i];

		r = add(u, s, piece->linear ? linear_off : piece->offset, dst_off, piece->len);
		if (r < 0)
			return r;
		if (piece->linear)
			linear_off += piece->len;
		dst_off += piece->len;
	}
	return 0;
}

static int place_unpack_put(struct place *pl, struct place_req *req, const struct mr *mr,
			    uint8_t *p, struct data_sock *ds, struct arrival *a)
{
	struct place_unpack *u = to_unpack(pl);
	struct unpack_slot *s = slot_of(u, req);
	uint64_t linear_off = 0;
	size_t at;
	int r;

	(void)mr;
	r = loan_list_add(&req->loans, ds, a);
	if (r < 0) {
		arrival_return(ds, a);
		return r;
	}
	if (a->n_tokens)
		s->from_nic = true;
	if (a->linear) {
		r = unpack_block_fill(u, s, req, a->host, a->linear, &at);
		if (r == 0)
			r = bring(u, s, s->block, at, a->linear);
		if (r < 0)
			return r;
		linear_off = s->block->offset + at;
	}
	if (a->block) {
		r = bring(u, s, a->block, (size_t)(a->pieces[0].offset - a->block->offset),
			  a->total);
		if (r < 0)
			return r;
	}
	return put_pieces(u, s, (uint64_t)(p - req->base), linear_off, a);
}

static int place_unpack_put_host(struct place *pl, struct place_req *req, const struct mr *mr,
				 uint8_t *p, const uint8_t *src, size_t len)
{
	struct place_unpack *u = to_unpack(pl);
	struct unpack_slot *s = slot_of(u, req);
	uint64_t dst_off = (uint64_t)(p - req->base);
	size_t room = len, at;
	struct stage_block *b;
	int r;

	(void)mr;
	b = unpack_block_window(u, s, dst_off, &room, &at);
	if (!b || room < len)
		return -EAGAIN;
	memcpy(b->host + at, src, len);
	r = unpack_block_fill(u, s, req, b->host + at, len, &at);
	if (r == 0)
		r = bring(u, s, b, at, len);
	return r < 0 ? r : add(u, s, b->offset + at, dst_off, (uint32_t)len);
}

/* Marks what the GPU was given since the last time. 0, also when there is no mark to be had now, or -EIO. */
static int mark(struct place_unpack *u)
{
	uint64_t ticket;
	bool due = false;
	unsigned int i;
	int r;

	for (i = 0; i < UNPACK_SLOTS; i++)
		due |= u->slots[i].due != 0;
	if (!due)
		return 0;
	r = gpu_queue_mark(u->queue, &ticket);
	if (r < 0)
		return r == -EAGAIN ? 0 : r;
	for (i = 0; i < UNPACK_SLOTS; i++) {
		struct unpack_slot *s = &u->slots[i];

		if (!s->due)
			continue;
		s->marked += s->due;
		s->due = 0;
		s->req->ticket = ticket;
	}
	return 0;
}

/* 1 when something has been passed. */
static int reap(struct place_unpack *u)
{
	bool waits = false, moved = false;
	uint64_t passed;
	unsigned int i;
	int r;

	for (i = 0; i < UNPACK_SLOTS; i++)
		waits |= u->slots[i].marked != 0;
	if (!waits)
		return 0;
	r = gpu_queue_done(u->queue, &passed);
	if (r < 0)
		return r;
	for (i = 0; i < UNPACK_SLOTS; i++) {
		struct unpack_slot *s = &u->slots[i];

		if (!s->marked || s->req->ticket > passed)
			continue;
		s->req->pending -= s->marked;
		s->marked = 0;
		moved = true;
	}
	return moved;
}

static int place_unpack_poll(struct place *pl)
{
	struct place_unpack *u = to_unpack(pl);
	bool moved = false;
	unsigned int i;
	int r;

	/* The oldest first: it has the private blocks. */
	for (i = 0; i < UNPACK_SLOTS; i++) {
		struct unpack_slot *s = &u->slots[(u->oldest + i) % UNPACK_SLOTS];

		if (!s->regroup.on)
			continue;
		r = unpack_regroup_poll(u, s);
		if (r < 0)
			return r;
		moved |= r > 0;
	}
	r = mark(u);
	if (r < 0)
		return r;
	r = reap(u);
	return r < 0 ? r : moved | r;
}

/* An entry for each block that the message was copied to. 0 or -EMSGSIZE. */
static int list_blocks(struct place_unpack *u, struct unpack_slot *s, size_t total)
{
	struct unpack_entry *mem = u->meta->mem[s->req->slot];
	size_t off;

	if (total > u->block_size * UNPACK_ENTRIES) {
		log_err("a receive of %zu bytes in too many pieces cannot be listed in %d blocks of %zu",
			total, UNPACK_ENTRIES, u->block_size);
		return -EMSGSIZE;
	}
	for (off = 0; off < total; off += u->block_size) {
		const struct stage_block *b = s->regroup.blocks[off / u->block_size];
		size_t len = total - off < u->block_size ? total - off : u->block_size;

		mem[s->req->n_entries++] = (struct unpack_entry){ .src_off = (uint32_t)b->offset,
								  .len = (uint32_t)len,
								  .dst_off = off };
	}
	return 0;
}

static void release(void)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
#if defined(__x86_64__)
	__asm__ volatile("sfence" ::: "memory");
#endif
}

static int place_unpack_finish(struct place *pl, struct place_req *req, size_t total)
{
	struct place_unpack *u = to_unpack(pl);
	struct unpack_slot *s = slot_of(u, req);
	int r = 0;

	if (s->placed != total || req->pending) {
		log_err("a receive of %zu bytes has entries for %zu and %zu under way: a bug in the plugin",
			total, s->placed, req->pending);
		return -EBADE;
	}
	if (s->regroup.on) {
		r = list_blocks(u, s, total);
	} else {
		if (req->n_entries && !DEVMEM_MUTANT(cnt_early))
			u->meta->mem[req->slot][req->n_entries - 1] = s->last;
		if (s->from_nic)
			r = gpu_flush(u->gpu);
	}
	if (r < 0)
		return r;
	u->meta->cnt[req->slot] = req->n_entries;
	release();
	counter_add(placed_unpack, total);
	if (DEVMEM_MUTANT(token_early)) {
		unpack_blocks_return(u, s);
		loan_list_return(&req->loans);
	}
	s->finished = true;
	while (u->oldest != u->next && u->slots[u->oldest % UNPACK_SLOTS].finished)
		u->oldest++;
	return 0;
}

static int place_unpack_consumed(struct place *pl, struct place_req *req)
{
	struct place_unpack *u = to_unpack(pl);
	struct unpack_slot *s = slot_of(u, req);

	/*
	 * A kernel that NCCL aborts goes through the rest of its slices without waiting for them, each with 0 bytes, and with 0 bytes NCCL's
	 * loop over the entries of a slot ends only if there are none (src/device/prims_simple.h, workSize; unpack.h, PPW).
	 */
	if (!DEVMEM_MUTANT(cnt_kept))
		u->meta->cnt[req->slot] = 0;
	unpack_regroup_reset(&s->regroup);
	unpack_blocks_return(u, s);
	s->busy = DEVMEM_MUTANT(consumed_unheard);
	s->req = NULL;
	return loan_list_return(&req->loans);
}

static void *place_unpack_device_handle(struct place *pl)
{
	return (void *)(uintptr_t)to_unpack(pl)->handle; // NOLINT(performance-no-int-to-ptr)
}

static void place_unpack_destroy(struct place *pl)
{
	struct place_unpack *u = to_unpack(pl);
	unsigned int i;

	if (u->queue)
		gpu_queue_destroy(u->queue);
	for (i = 0; i < UNPACK_SLOTS; i++)
		unpack_regroup_free(&u->slots[i].regroup);
	unpack_blocks_free(u);
	if (u->handle)
		gpu_free(u->gpu, u->handle);
	if (u->meta)
		gpu_host_free(u->gpu, u->meta);
	if (u->bounce)
		unpack_bounce_give(u->gpu);
	free(u);
}

static const struct place_ops place_unpack_ops = {
	.name = "unpack",
	.keeps_loans = true,
	.post = place_unpack_post,
	.window = place_unpack_window,
	.put = place_unpack_put,
	.put_host = place_unpack_put_host,
	.poll = place_unpack_poll,
	.finish = place_unpack_finish,
	.consumed = place_unpack_consumed,
	.device_handle = place_unpack_device_handle,
	.destroy = place_unpack_destroy,
};

/* What NCCL's kernels read. */
static int make_queue(struct place_unpack *u, struct verdict *why)
{
	struct unpack_handle h = { .bounce = u->bounce, .head = UNPACK_HEAD_START };
	void *meta;
	int r;

	r = gpu_host_alloc(u->gpu, sizeof(*u->meta), &meta, &u->meta_dev, why);
	if (r < 0)
		return r;
	u->meta = meta;
	memset(u->meta, 0, sizeof(*u->meta));
	r = gpu_alloc(u->gpu, sizeof(h), &u->handle, why);
	if (r < 0)
		return r;
	h.meta = u->meta_dev;
	h.head += DEVMEM_MUTANT(head_off) ? 1 : 0;
	r = gpu_copy_sync(u->gpu, u->handle, (uintptr_t)&h, sizeof(h));
	if (r < 0)
		return verdict_set(why, r, NULL, "%s: copying the handle of the queue failed",
				   gpu_name(u->gpu));
	return gpu_queue_create(u->gpu, &u->queue, why);
}

/*
 * Blocks to be kept. Where a NIC fills the pool: one for what comes around it, one to regroup in. Else whole slices come through them, with
 * one more because they are aligned in them; larger slices need common ones, too.
 */
static unsigned int privates_needed(const struct place_unpack *u)
{
	unsigned int n = (unsigned int)(SLICE_USUAL / u->block_size) + 1;

	return u->base.pool->rx || n < 2 ? 2 : n;
}

static int set_up(struct place_unpack *u, struct pool *pool, struct verdict *why)
{
	uint64_t end;
	int r;

	if (!pool->gpu || !pool->stage)
		return verdict_set(why, -ENODEV, NULL,
				   "device unpack needs a receive pool in GPU memory");
	end = pool->block.offset + pool->block.size;
	if (end > UNPACK_SPAN)
		return verdict_set(
			why, -EOVERFLOW, "a smaller NCCL_DEVMEM_POOL_SIZE",
			"the pool ends %llu MiB behind the base, and device unpack has offsets of 32 bits",
			(unsigned long long)(end >> 20));
	u->block_size = stage_block_size(pool->stage);
	if (u->block_size < BLOCK_MIN)
		return verdict_set(why, -EINVAL, NULL, "blocks of the stage have %zu bytes only",
				   u->block_size);
	r = unpack_bounce_take(pool->gpu, pool->block.priv, why);
	if (r < 0)
		return r;
	u->bounce = pool->block.priv;
	r = unpack_blocks_reserve(u, privates_needed(u), why);
	return r < 0 ? r : make_queue(u, why);
}

int place_unpack_create(struct pool *pool, struct place **ret, struct verdict *why)
{
	struct place_unpack *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return verdict_set(why, -ENOMEM, NULL, "out of memory");
	u->base.ops = &place_unpack_ops;
	u->base.pool = pool;
	u->gpu = pool->gpu;
	r = set_up(u, pool, why);
	if (r < 0) {
		place_unpack_destroy(&u->base);
		return r;
	}
	*ret = &u->base;
	return 0;
}
