// SPDX-License-Identifier: BSD-3-Clause
/* Follows ncclKernelMain() and loadWorkBatchToShmem() in src/device/common.h, run() in src/device/sendrecv.h. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "abi/work.h"
#include "decode.h"
#include "elem.h"
#include "fn.h"
#include "wait.h"

void decode_block(struct emul_block *block, const void *args, size_t args_size, unsigned int index)
{
	const struct nccl_args *a = args;
	const struct nccl_comm *comm = a->comm;
	uint64_t mask = a->channel_mask;
	struct nccl_channel *channel;

	if (args_size < sizeof(*a) + (index + 1) * sizeof(struct nccl_batch))
		emul_die("a launch with %zu bytes of arguments has no batch %u", args_size, index);
	for (unsigned int i = 0; i < index; i++)
		mask &= mask - 1;
	if (!mask)
		emul_die("block %u of a launch for channels %#lx", index,
			 (unsigned long)a->channel_mask);
	memset(block, 0, sizeof(*block));
	block->args = args;
	block->args_size = args_size;
	block->abi_comm = a->comm;
	block->channel = __builtin_ctzll(mask);
	block->comm.rank = comm->rank;
	block->comm.n_ranks = comm->n_ranks;
	memcpy(block->comm.buff_size, comm->buff_size, sizeof(comm->buff_size));
	block->comm.p2p_chunk_size = comm->p2p_chunk_size;
	block->comm.fifo_size_recv = NCCL_FIFO_SIZE_RECV;
	block->comm.reg_unsized = NCCL_FIFO_SIZE_RECV;
	block->comm.abort_flag = comm->abort_flag;
	channel = &comm->channels[block->channel];
	block->abi_channel = channel;
	block->ring_prev = channel->ring.prev;
	block->ring_next = channel->ring.next;
	block->ring_index = channel->ring.index;
	block->ring_ranks = channel->ring.user_ranks;
	block->tree = channel->tree;
	block->peers = channel->peers;
#if NCCL_HAS_PROFILER
	block->work_counter = channel->work_counter;
#endif
}

/* A byte with 3 bits of mantissa and the rest exponent (u32fp8Decode() in src/include/bitops.h). */
static size_t fp8_decode(uint8_t x)
{
	uint32_t exp = x >> 3;
	uint32_t frac = x & 7;

	return exp ? (size_t)(frac | 8) << (exp - 1) : frac;
}

/* Which part of a transfer this channel has. The number of channels is a power of two. */
static unsigned int p2p_part(unsigned int n_channels, unsigned int base, unsigned int channel)
{
	unsigned int delta = (channel - base) & (n_channels - 1);
	unsigned int part = 0;

	if (!NCCL_P2P_PARTS_SWAP)
		return delta;
	for (unsigned int bit = 1; bit < n_channels; bit <<= 1)
		part = part << 1 | !!(delta & bit);
	return part;
}

static bool p2p_bounds(unsigned int parts, unsigned int part, size_t bytes, size_t *ret_at,
		       size_t *ret_bytes)
{
	size_t size, end;

	*ret_at = 0;
	*ret_bytes = bytes;
	if (!parts)
		return false;
	size = emul_div_up(emul_div_up(bytes, parts), 4096) * 4096;
	*ret_at = emul_min(part * size, bytes);
	end = emul_min((part + 1) * size, bytes);
	*ret_bytes = end - *ret_at;
	return part < parts;
}

static void decode_p2p(struct emul_block *block, const struct nccl_work_p2p *abi,
		       struct emul_work_p2p *w)
{
	unsigned int part =
		p2p_part(abi->n_channels, abi->channel_base, (unsigned int)block->channel);
	size_t at;

	w->send_rank = abi->send_rank;
	w->recv_rank = abi->recv_rank;
	w->has_send = p2p_bounds(abi->n_send_channels, part, abi->send_bytes, &at, &w->send_bytes);
	w->send_addr = (const uint8_t *)abi->send_addr + at;
	w->has_recv = p2p_bounds(abi->n_recv_channels, part, abi->recv_bytes, &at, &w->recv_bytes);
	w->recv_addr = (uint8_t *)abi->recv_addr + at;
	w->send_chunk = fp8_decode(abi->send_chunk_fp8);
	w->recv_chunk = fp8_decode(abi->recv_chunk_fp8);
	w->send_ll = abi->send_ll;
	w->recv_ll = abi->recv_ll;
#if EMUL_NCCL < 22300
	w->send_net_reg = abi->send_registered;
	w->recv_net_reg = abi->recv_registered;
#else
	w->send_net_reg = abi->send_net_reg;
	w->recv_net_reg = abi->recv_net_reg;
	if (abi->send_ipc_reg || abi->recv_ipc_reg)
		emul_die("send/recv with buffers registered for IPC is not emulated");
#endif
}

#if EMUL_NCCL < 22300
/* The divisor of an average is given alone: kernels of signed and unsigned types differ (src/device/reduce_kernel.h). */
static void divisors_convert(struct emul_batch *batch)
{
	const int type = batch->fn.type;

	if (batch->fn.op != ELEM_SUM_POST_DIV)
		return;
	for (unsigned int i = 0; i < batch->n_works; i++)
		if (!batch->coll[i].red_arg_is_ptr)
			batch->coll[i].red_arg =
				batch->coll[i].red_arg << 1 |
				(type == ELEM_INT8 || type == ELEM_INT32 || type == ELEM_INT64);
}
#endif

static void decode_coll(const struct nccl_work_coll *abi, struct emul_work_coll *w)
{
	w->channel_lo = abi->channel_lo;
	w->channel_hi = abi->channel_hi;
	w->root = abi->root;
	w->send_buff = abi->send_buff;
	w->recv_buff = abi->recv_buff;
	w->count_lo = abi->count_lo;
	w->count_mid = abi->count_mid;
	w->count_hi = abi->count_hi;
	w->grains_lo = abi->grains_lo;
	w->grains_mid = abi->grains_mid;
	w->grains_hi = abi->grains_hi;
	w->red_arg = abi->red_arg;
	w->red_arg_is_ptr = abi->red_arg_is_ptr;
	if (abi->reg_used)
		emul_die("a collective with buffers registered for IPC or NVLS is not emulated");
#if EMUL_NCCL >= 22300
	w->net_reg = abi->net_reg_used;
	w->one_rank_per_node = abi->one_rank_per_node;
#endif
}

#if NCCL_HAS_GATHER_V
static void decode_bcast(const struct nccl_work_bcast *abi, struct emul_work_bcast *w)
{
	w->ring_depth = abi->ring_depth;
	w->chunk = (size_t)abi->chunk_size;
	w->send_buff = abi->send_buff;
	w->recv_buff = abi->recv_buff;
	w->bytes = abi->bytes;
	w->bytes_done = abi->bytes_done;
}
#endif

static size_t work_size(unsigned int type)
{
	switch (type) {
	case NCCL_WORK_P2P:
		return sizeof(struct nccl_work_p2p);
	case NCCL_WORK_COLL:
		return sizeof(struct nccl_work_coll);
#if NCCL_HAS_GATHER_V
	case NCCL_WORK_BCAST:
		return sizeof(struct nccl_work_bcast);
#endif
	default:
		emul_die("work of type %u is not emulated (registered NVLS or CollNet)", type);
	}
}

static void *grown(void *array, size_t n, size_t size)
{
	array = realloc(array, n * size);
	if (!array)
		emul_die("no memory for %zu works", n);
	return array;
}

static void batch_grow(struct emul_batch *batch)
{
	if (batch->n_works < batch->room)
		return;
	batch->room = batch->room ? 2 * batch->room : 8;
	batch->coll = grown(batch->coll, batch->room, sizeof(*batch->coll));
	batch->p2p = grown(batch->p2p, batch->room, sizeof(*batch->p2p));
	batch->bcast = grown(batch->bcast, batch->room, sizeof(*batch->bcast));
	batch->profiled = grown(batch->profiled, batch->room, sizeof(*batch->profiled));
}

/* The bytes of a work at @offset of where works are stored. */
static const void *work_at(struct emul_block *block, uint32_t offset, size_t size)
{
	const struct nccl_args *a = block->args;

	if (a->storage != NCCL_WORK_ARGS)
		return (const uint8_t *)a->work_buf + (offset & a->work_mask);
	if (offset + size > block->args_size)
		emul_die("a work at %u of %zu bytes of arguments", offset, block->args_size);
	return (const uint8_t *)block->args + offset;
}

/* Works are 16-byte aligned and may lie around the end of the fifo: taken over in those units, as kernels do. */
static void batch_add(struct emul_block *block, struct emul_batch *batch,
		      const struct nccl_batch *abi, uint32_t offset)
{
	union {
		struct nccl_work_p2p p2p;
		struct nccl_work_coll coll;
#if NCCL_HAS_GATHER_V
		struct nccl_work_bcast bcast;
#endif
		uint8_t bytes[1];
	} work;
	size_t size = work_size(abi->work_type);
	unsigned int i;

	for (size_t at = 0; at < size; at += 16)
		memcpy(work.bytes + at, work_at(block, offset + (uint32_t)at, 16), 16);
	batch_grow(batch);
	i = batch->n_works++;
	batch->profiled[i] = false;
	switch (abi->work_type) {
	case NCCL_WORK_P2P:
		memset(&batch->p2p[i], 0, sizeof(batch->p2p[i]));
		decode_p2p(block, &work.p2p, &batch->p2p[i]);
		break;
#if NCCL_HAS_GATHER_V
	case NCCL_WORK_BCAST:
		decode_bcast(&work.bcast, &batch->bcast[i]);
		break;
#endif
	default:
		memset(&batch->coll[i], 0, sizeof(batch->coll[i]));
		decode_coll(&work.coll, &batch->coll[i]);
	}
#if NCCL_HAS_PROFILER
	/* Of a broadcast the kernel takes the bit from where a collective has it, whatever lies there. */
	batch->profiled[i] = abi->work_type == NCCL_WORK_P2P	? work.p2p.profiler
			     : abi->work_type == NCCL_WORK_COLL ? work.coll.profiler
								: false;
#endif
}

void decode_batch(struct emul_block *block, int index, struct emul_batch *batch)
{
	const struct nccl_batch *all =
		(const void *)((const uint8_t *)block->args + sizeof(struct nccl_args));
	const size_t n_batches = (block->args_size - sizeof(struct nccl_args)) / sizeof(*all);
	const struct nccl_batch *abi;

	batch->n_works = 0;
	do {
		size_t size;

		if ((size_t)index >= n_batches)
			emul_die("batch %d of a launch with room for %zu", index, n_batches);
		abi = &all[index];
		size = work_size(abi->work_type);
		for (uint64_t bits = abi->offset_bits; bits; bits &= bits - 1)
			batch_add(block, batch, abi,
				  abi->offset_base +
					  (uint32_t)((size_t)__builtin_ctzll(bits) * size));
		if (abi->offset_bits)
			batch->consumed =
				abi->offset_base +
				(uint32_t)((size_t)(64 - __builtin_clzll(abi->offset_bits)) * size);
		batch->next = abi->next_jump ? index + (int)abi->next_jump : -1;
		index += (int)abi->next_jump;
	} while (abi->next_extends);
	if (emul_fn_get((int)abi->func_id, &batch->fn))
		emul_die("this NCCL has no function %u", abi->func_id);
#if EMUL_NCCL < 22300
	divisors_convert(batch);
	/* The host may use this part of the fifo again. */
	if (((const struct nccl_args *)block->args)->storage == NCCL_WORK_FIFO)
		__atomic_store_n(
			&((struct nccl_comm *)block->abi_comm)->work_consumed[block->channel],
			batch->consumed, __ATOMIC_RELEASE);
#endif
}

void decode_batch_release(struct emul_batch *batch)
{
	free(batch->coll);
	free(batch->p2p);
	free(batch->bcast);
	free(batch->profiled);
	memset(batch, 0, sizeof(*batch));
}

#if NCCL_HAS_PROFILER
static void profile(struct emul_block *block, const struct emul_batch *batch,
		    struct nccl_profiler *events)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	for (unsigned int i = 0; i < batch->n_works; i++) {
		uint64_t n = block->work_counter + 1 + i;

		if (!batch->profiled[i])
			continue;
		__atomic_store_n(&events[block->channel].data[n % NCCL_PROFILER_EVENTS].timestamp,
				 (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec,
				 __ATOMIC_RELAXED);
		__atomic_store_n(&events[block->channel].data[n % NCCL_PROFILER_EVENTS].counter, n,
				 __ATOMIC_RELEASE);
	}
}

void decode_batch_started(struct emul_block *block, const struct emul_batch *batch)
{
	profile(block, batch, ((struct nccl_comm *)block->abi_comm)->work_started);
}

void decode_batch_done(struct emul_block *block, const struct emul_batch *batch)
{
	profile(block, batch, ((struct nccl_comm *)block->abi_comm)->work_completed);
	block->work_counter += batch->n_works;
}

void decode_block_done(struct emul_block *block)
{
	((struct nccl_channel *)block->abi_channel)->work_counter = block->work_counter;
}
#else
void decode_batch_started(struct emul_block *block, const struct emul_batch *batch)
{
	(void)block;
	(void)batch;
}

void decode_batch_done(struct emul_block *block, const struct emul_batch *batch)
{
	(void)block;
	(void)batch;
}

void decode_block_done(struct emul_block *block)
{
	(void)block;
}
#endif
