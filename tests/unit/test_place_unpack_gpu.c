// SPDX-License-Identifier: BSD-3-Clause
/*
 * The place for device unpack on the plugin's own GPU layer, over the stand-in for the driver: real queues with threads behind them, pinned memory,
 * pool and stage in one range. Read by the emulation of NCCL's unpack kernel. Skips where there is no stand-in.
 *
 * unit-libs: devmem_path unpack_emul
 */
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "unit.h"
#include "base/param.h"
#include "mem/gpu_block.h"
#include "mem/pool.h"
#include "path/place.h"
#include "path/unpack_layout.h"
#include "standin/standin.h"
#include "unpack/unpack_emul.h"

#define PEERS	 2
#define DEPTH	 8 /* NCCL_STEPS */
#define SLICE	 (768UL << 10)
#define MESSAGES 200
#define POOL	 (8UL << 20)

/* Of the driver API, as cuda.h declares them. */
static int (*cu_init)(unsigned int flags);
static int (*cu_primary_retain)(void **ctx, int dev);
static int (*cu_primary_release)(int dev);
static int (*cu_set_current)(void *ctx);

static void (*usage_get)(struct standin_usage *ret);

static struct gpu *gpu;
static struct pool *pool;
static struct token_ledger ledger;
static struct data_sock sock = { .fd = -1, .ledger = &ledger, .run_most = 1 };
static struct place *places[PEERS];
static struct place_req reqs[PEERS][DEPTH];
static struct unpack_emul_block block;
static struct unpack_emul emul;
static uint64_t
	dst_dev; /* NCCL's buffers; the stand-in's memory has the same address for the CPU */
static uint64_t seed = 7;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33) % below;
}

static uint8_t *at(uint64_t dev)
{
	return (uint8_t *)(uintptr_t)dev;
}

static uint8_t byte_of(int peer, int msg, size_t off)
{
	return (uint8_t)(off * 13 + off / 257 + (size_t)msg * 71 + (size_t)peer * 5);
}

static void write_bytes(uint8_t *to, int peer, int msg, size_t off, size_t len)
{
	for (size_t k = 0; k < len; k++)
		to[k] = byte_of(peer, msg, off + k);
}

static void make(void)
{
	struct verdict why = { 0 };

	memset(&block, 0, sizeof(block));
	unpack_emul_init(&emul, &block);
	for (int i = 0; i < PEERS; i++) {
		if (place_unpack_create(pool, &places[i], &why) < 0)
			fail_msg("%s; %s", why.reason, why.remedy);
		assert_ok(unpack_emul_setup(&emul, i, places[i]->ops->device_handle(places[i])));
	}
}

static void drop(void)
{
	for (int i = 0; i < PEERS; i++) {
		places[i]->ops->destroy(places[i]);
		for (int k = 0; k < DEPTH; k++) {
			loan_list_return(&reqs[i][k].loans);
			loan_list_free(&reqs[i][k].loans);
		}
	}
}

static void post(int peer, int msg)
{
	struct place_req *req = &reqs[peer][msg % DEPTH], fresh = { .loans = req->loans };

	fresh.base = at(dst_dev + ((uint64_t)peer * DEPTH + (uint64_t)(msg % DEPTH)) * SLICE);
	fresh.size = SLICE;
	assert_ok(places[peer]->ops->post(places[peer], &fresh));
	*req = fresh;
}

/* Polls until @req has nothing under way. */
static void settle(int peer, struct place_req *req)
{
	for (unsigned long i = 0; req->pending; i++) {
		assert_true(places[peer]->ops->poll(places[peer]) >= 0);
		assert_true(i < 100000000);
		sched_yield();
	}
}

static void finish(int peer, int msg, size_t total)
{
	struct place_req *req = &reqs[peer][msg % DEPTH];

	settle(peer, req);
	assert_ok(places[peer]->ops->finish(places[peer], req, total));
}

static void check(int peer, int msg, size_t total)
{
	struct place_req *req = &reqs[peer][msg % DEPTH];

	memset(req->base, 0x33, total);
	if (unpack_emul_step(&emul, peer, req->base, total) < 0)
		fail_msg("the kernel: %s", emul.why);
	for (size_t k = 0; k < total; k++)
		if (req->base[k] != byte_of(peer, msg, k))
			fail_msg("message %d of peer %d: byte %zu of %zu is wrong", msg, peer, k,
				 total);
	assert_ok(places[peer]->ops->consumed(places[peer], req));
}

/* Readable bytes, as a socket without devmem brings them. */
static void receive_readable(int peer, int msg, size_t total)
{
	struct place_req *req = &reqs[peer][msg % DEPTH];
	static struct arrival a;
	size_t off = 0;

	for (unsigned long tries = 0; off < total; tries++) {
		size_t len = total - off;
		uint8_t *host;
		int r = places[peer]->ops->window(places[peer], req, NULL, req->base + off, &len,
						  &host);

		assert_true(tries < 100000000);
		if (r == -EAGAIN) {
			assert_true(places[peer]->ops->poll(places[peer]) >= 0);
			continue;
		}
		assert_ok(r);
		len = 1 + rnd((uint32_t)len);
		write_bytes(host, peer, msg, off, len);
		arrival_readable(&a, host, len);
		assert_ok(places[peer]->ops->put(places[peer], req, NULL, req->base + off, &sock,
						 &a));
		off += len;
	}
}

static void test_staged(void **state)
{
	struct verdict why = { 0 };
	size_t totals[PEERS];

	(void)state;
	if (pool_get_staged(gpu, &pool, &why) < 0)
		fail_msg("%s", why.reason);
	make();
	for (int msg = 0; msg < MESSAGES; msg++) {
		for (int i = 0; i < PEERS; i++) {
			totals[i] = rnd(8) ? rnd(rnd(4) ? 20000 : SLICE) : 0;
			post(i, msg);
			receive_readable(i, msg, totals[i]);
			finish(i, msg, totals[i]);
		}
		for (int i = 0; i < PEERS; i++)
			check(i, msg, totals[i]);
	}
	drop();
	pool_put(pool);
}

/* @n frags of @len in the pool, with a gap between any two, as a NIC would have written them. */
static void receive_frags(int peer, int msg, size_t n, uint32_t len)
{
	struct place_req *req = &reqs[peer][msg % DEPTH];
	uint64_t offset = pool->block.offset + (uint64_t)peer * (POOL / 2);
	static struct arrival a;
	size_t off = 0;

	arrival_clear(&a);
	for (size_t k = 0; k < n; k++, offset += len + 1) {
		write_bytes(at(pool->block.priv + offset), peer, msg, k * len, len);
		a.pieces[a.n++] = (struct gather_piece){ .offset = offset, .len = len };
		a.tokens[a.n_tokens++] = (struct token_range){ .start = (uint32_t)k, .count = 1 };
		a.total += len;
		if (a.n < ARRIVAL_PIECES && k != n - 1)
			continue;
		assert_ok(places[peer]->ops->put(places[peer], req, NULL, req->base + off, &sock,
						 &a));
		off += a.total;
		arrival_clear(&a);
	}
}

/* Every other message in more pieces than a slot has entries. */
static void test_pool(void **state)
{
	struct pool fake = { .nic = { .name = "nic0" }, .gpu = gpu, .rx = (struct nic_rx *)&fake };
	struct verdict why = { 0 };

	(void)state;
	if (mem_block_alloc(&provider_cuda, POOL, &fake.block, &why) < 0) {
		print_message("no pool in GPU memory: %s\n", why.reason);
		skip();
	}
	fake.stage = gpu_block_stage(fake.block.gpu_block);
	pool = &fake;
	make();
	for (int msg = 0; msg < 20; msg++) {
		size_t n = msg & 1 ? 3000 : 100;

		token_ledger_init(&ledger);
		for (int i = 0; i < PEERS; i++) {
			post(i, msg);
			receive_frags(i, msg, n, 199);
		}
		for (int i = 0; i < PEERS; i++)
			finish(i, msg, n * 199);
		for (int i = 0; i < PEERS; i++)
			check(i, msg, n * 199);
	}
	drop();
	mem_block_free(&fake.block);
}

static void *need(void *lib, const char *name)
{
	void *p = dlsym(lib, name);

	if (!p)
		fprintf(stderr, "%s is missing\n", name);
	return p;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_staged),
		cmocka_unit_test(test_pool),
	};
	struct standin_usage usage;
	struct verdict why = { 0 };
	void *lib, *ctx;
	int r;

	if (!getenv("DEVMEM_TEST_STANDIN")) {
		puts("no stand-in for the CUDA driver in this build");
		return UNIT_SKIP;
	}
	lib = dlopen("libcuda.so.1", RTLD_NOW);
	if (!lib) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	*(void **)&usage_get = need(lib, "standin_usage_get");
	*(void **)&cu_init = need(lib, "cuInit");
	*(void **)&cu_primary_retain = need(lib, "cuDevicePrimaryCtxRetain");
	*(void **)&cu_primary_release = need(lib, "cuDevicePrimaryCtxRelease_v2");
	*(void **)&cu_set_current = need(lib, "cuCtxSetCurrent");
	if (!usage_get || !cu_init || !cu_primary_retain || !cu_primary_release || !cu_set_current)
		return 1;
	if (cu_init(0) || cu_primary_retain(&ctx, 0) || cu_set_current(ctx)) {
		fprintf(stderr, "the stand-in has no device\n");
		return 1;
	}
	param_load();
	token_ledger_init(&ledger);
	if (gpu_current(&gpu, &why) < 0 ||
	    gpu_alloc(gpu, PEERS * DEPTH * SLICE, &dst_dev, &why) < 0) {
		fprintf(stderr, "%s\n", why.reason);
		return 1;
	}
	r = cmocka_run_group_tests(tests, NULL, NULL);
	gpu_free(gpu, dst_dev);
	pool_reset();
	gpu_reset();
	usage_get(&usage);
	if (r == 0 && (usage.device_bytes || usage.host_bytes || usage.streams || usage.events)) {
		fprintf(stderr,
			"left: %zu bytes of device and %zu of host memory, %u streams, %u events\n",
			usage.device_bytes, usage.host_bytes, usage.streams, usage.events);
		r = 1;
	}
	cu_set_current(NULL);
	cu_primary_release(0);
	return r;
}
