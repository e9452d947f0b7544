/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A place for device unpack on a played GPU, a stage, a pool whose NIC is frag(), and a kernel that reads it: for the tests of it. What to
 * wrap: played_gpu.h.
 */
#ifndef UNPACK_RIG_H
#define UNPACK_RIG_H

#include "played_gpu.h"
#include "path/place.h"
#include "path/unpack_layout.h"
#include "unpack/unpack_emul.h"

#define KIB   1024UL
#define MIB   (1024UL * KIB)
#define BLOCK (128 * KIB)
#define POOL  (16 * MIB)
#define STAGE (GPU_BLOCKS * BLOCK)

/* A receive buffer; as aligned as NCCL's. */
#define SLOT (4 * MIB)

static struct gpu gpu;
static uint8_t *memory; /* the pool, and the stage behind it */
static struct pool pool;
static struct nic_rx *const a_binding = (struct nic_rx *)&gpu;
static struct token_ledger ledgers[2];
static struct data_sock socks[2];
static uint8_t *dst; /* UNPACK_SLOTS receive buffers */
static uint32_t next_token;

static struct place *pl;
static struct place_req reqs[UNPACK_SLOTS];
static struct unpack_emul_block block;
static struct unpack_emul emul;

static inline struct unpack_emul_handle *handle_of(struct place *p)
{
	return p->ops->device_handle(p);
}

/* A place with @n blocks in the stage, and a kernel that has taken over its handle. */
static inline void make(unsigned int n)
{
	struct verdict why = { 0 };

	played_stage(n, BLOCK, memory, POOL);
	if (place_unpack_create(&pool, &pl, &why) < 0)
		fail_msg("%s", why.reason);
	memset(&block, 0, sizeof(block));
	unpack_emul_init(&emul, &block);
	assert_ok(unpack_emul_setup(&emul, 0, handle_of(pl)));
}

static inline int start(void **state)
{
	(void)state;
	played_reset();
	unit_log_clear();
	if (!memory) {
		memory = aligned_alloc(65536, POOL + STAGE);
		dst = aligned_alloc(65536, UNPACK_SLOTS * SLOT);
	}
	pool = (struct pool){
		.nic = { .name = "nic0" },
		.block = { .size = POOL, .priv = (uintptr_t)memory, .dmabuf_fd = -1 },
		.gpu = &gpu,
		.stage = (struct stage *)&played,
		.rx = a_binding,
	};
	for (int i = 0; i < 2; i++) {
		token_ledger_init(&ledgers[i]);
		socks[i] = (struct data_sock){ .fd = -1, .ledger = &ledgers[i], .run_most = 1 };
	}
	next_token = 1;
	pl = NULL;
	return 0;
}

static inline int end(void **state)
{
	(void)state;
	if (pl) {
		pl->ops->destroy(pl);
		for (int i = 0; i < UNPACK_SLOTS; i++)
			loan_list_return(&reqs[i].loans);
	}
	for (int i = 0; i < UNPACK_SLOTS; i++)
		loan_list_free(&reqs[i].loans);
	assert_int_equal(played.allocs, 0);
	assert_int_equal(played.queues, 0);
	assert_int_equal(played_taken(), 0);
	assert_int_equal(socks[0].lent, 0);
	return 0;
}

static inline uint8_t *buffer(int i)
{
	return dst + (size_t)i * SLOT;
}

static inline int post(int i)
{
	reqs[i] = (struct place_req){ .base = buffer(i), .size = SLOT, .loans = reqs[i].loans };
	memset(buffer(i), 0x77, 4096);
	return pl->ops->post(pl, &reqs[i]);
}

/* The bytes at @off of message @i. */
static inline uint8_t byte_of(int i, size_t off)
{
	return (uint8_t)(off * 31 + off / 253 + (size_t)i * 97);
}

/* @len bytes of message @i from @off on at @at. */
static inline void write_bytes(uint8_t *at, int i, size_t off, size_t len)
{
	for (size_t k = 0; k < len; k++)
		at[k] = byte_of(i, off + k);
}

/* A NIC has written @len bytes of message @i at @offset of the pool. */
static inline void frag(struct arrival *a, int i, size_t off, uint64_t offset, uint32_t len)
{
	assert_true(a->n < ARRIVAL_PIECES);
	write_bytes(memory + offset, i, off, len);
	a->pieces[a->n++] = (struct gather_piece){ .offset = offset, .len = len };
	a->tokens[a->n_tokens++] = (struct token_range){ .start = next_token++, .count = 1 };
	a->total += len;
}

static inline int put(int i, size_t off, int sock, struct arrival *a)
{
	return pl->ops->put(pl, &reqs[i], NULL, buffer(i) + off, &socks[sock], a);
}

static inline int finish(int i, size_t total)
{
	while (reqs[i].pending) {
		int r;

		gpu_work(SIZE_MAX);
		r = pl->ops->poll(pl);
		assert_true(r >= 0);
		if (r == 0 && played.n_ops == 0 && reqs[i].pending)
			return -EAGAIN; /* nothing moves on */
	}
	return pl->ops->finish(pl, &reqs[i], total);
}

static inline void check_at(struct unpack_emul *e, int peer, uint8_t *at, int i, size_t total)
{
	int r;

	memset(at, 0x77, total + 1);
	r = unpack_emul_step(e, peer, at, total);
	if (r < 0)
		fail_msg("the kernel: %s", e->why);
	for (size_t k = 0; k < total; k++)
		if (at[k] != byte_of(i, k))
			fail_msg("byte %zu of %zu is %#x, not %#x", k, total, at[k], byte_of(i, k));
	assert_int_equal(at[total], 0x77);
}

/* The kernel's next slice is message @i. */
static inline void check(int i, size_t total)
{
	check_at(&emul, 0, buffer(i), i, total);
}

static inline int consumed(int i)
{
	return pl->ops->consumed(pl, &reqs[i]);
}

static inline const struct unpack_meta *meta(void)
{
	return (const struct unpack_meta *)handle_of(pl)->meta;
}

/* 100 bytes of message @i, in the control stream. */
static inline int put_small(int i)
{
	uint8_t bytes[100];

	write_bytes(bytes, i, 0, sizeof(bytes));
	return pl->ops->put_host(pl, &reqs[i], NULL, buffer(i), bytes, sizeof(bytes));
}

/* @n frags of @len, each with a gap behind it, in calls of 400. */
static inline void put_many(int i, size_t n, uint32_t len)
{
	struct arrival a;
	size_t off = 0;

	arrival_clear(&a);
	for (size_t k = 0; k < n; k++) {
		frag(&a, i, k * len, k * (len + 1), len);
		if (a.n == ARRIVAL_PIECES || k == n - 1) {
			size_t total = a.total;

			assert_ok(put(i, off, 0, &a));
			off += total;
			arrival_clear(&a);
		}
	}
}

#endif
