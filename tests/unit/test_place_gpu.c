// SPDX-License-Identifier: BSD-3-Clause
/*
 * Placing by the GPU, and sending GPU memory through host memory, on the stand-in for the CUDA driver. Each case is a process of its own.
 *
 * unit-libs: devmem_path
 * unit-standin: yes
 * unit-args: pieces copy_engine lent_while_gpu_works readable staged control_stream targets ordered destroyed gpu_error recv_staged send_staged send_closed
 */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "standin_app.h"
#include "../standin/kernels/gather_emul.h"
#include "base/counter.h"
#include "base/param.h"
#include "path/path.h"
#include "path/place.h"
#include "path/send_stage.h"

#define MIB  (1UL << 20)
#define POOL (4 * MIB)

/* One receive comm's things: a pool in GPU memory with known content, a socket, and NCCL's buffer. */
static struct verdict why;
static struct gpu *gpu;
static struct pool pool;
static struct place *place;
static struct data_sock sock;
static struct arrival arrival;
static struct place_req req;
static struct mr *mr;
static uint8_t *in_pool, *want, *is;
static uint64_t dst;
static uint32_t next_token;

static bool hold_kernels;

static void hold(bool on)
{
	__atomic_store_n(&hold_kernels, on, __ATOMIC_RELEASE);
}

static void held_gather(const struct standin_launch *l)
{
	const struct {
		const struct gather_tile *tiles;
		const struct gather_source *sources;
	} *args = l->args;
	int i;

	/* A minute at most. */
	for (i = 0; i < 600000 && __atomic_load_n(&hold_kernels, __ATOMIC_ACQUIRE); i++)
		usleep(100);
	gather_emul_block(&args->tiles[l->block_linear], args->sources);
}

static unsigned int rnd(unsigned int below)
{
	static uint64_t x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (unsigned int)(x >> 20) % below;
}

static void begin(const char *how)
{
	size_t i;

	setenv("NCCL_DEVMEM_GATHER", how, 1);
	setenv("NCCL_DEVMEM_STAGE_SIZE", "1M", 1);
	setenv("STANDIN_DMABUF", "memfd", 1);
	unsetenv("STANDIN_KERNELS");
	param_load();
	app_begin();
	assert_int_equal(app_kernel_register(GATHER_ENTRY, held_gather), 0);
	assert_ok(gpu_current(&gpu, &why));
	assert_ok(mem_block_alloc_cuda(gpu, POOL, &pool.block, &why));
	pool.gpu = gpu;
	pool.stage = NULL;
	{
		struct pool *staged;

		assert_ok(pool_get_staged(gpu, &staged, &why));
		assert_int_equal(staged->block.priv, pool.block.priv);
		pool.stage = staged->stage;
		pool_put(staged);
	}
	in_pool = malloc(POOL);
	want = calloc(1, POOL);
	is = malloc(POOL);
	for (i = 0; i < POOL; i++)
		in_pool[i] = (uint8_t)(i * 2654435761U >> 9);
	assert_ok(
		gpu_copy_sync(gpu, pool.block.priv + pool.block.offset, (uintptr_t)in_pool, POOL));
	assert_ok(gpu_alloc(gpu, POOL, &dst, &why));
	assert_ok(gpu_copy_sync(gpu, dst, (uintptr_t)want, POOL));
	assert_ok(mr_register_cuda((void *)(uintptr_t)dst, POOL, &mr));
	assert_int_equal(mr->type, MR_CUDA);
	assert_ptr_equal(mr->gpu, gpu);
	assert_null(mr->cpu);
	sock.fd = -1;
	sock.ledger = calloc(1, sizeof(*sock.ledger));
	token_ledger_init(sock.ledger);
	assert_ok(place_gpu_create(&pool, &place, &why));
	unit_log_clear();
}

static uint8_t *at(size_t offset)
{
	return (uint8_t *)(uintptr_t)(dst + offset); // NOLINT(performance-no-int-to-ptr)
}

static void settle(void)
{
	int i;

	for (i = 0; i < 600000 && req.pending; i++) {
		assert_true(place->ops->poll(place) >= 0);
		usleep(100);
	}
	assert_int_equal(req.pending, 0);
}

static void compare(void)
{
	assert_ok(gpu_copy_sync(gpu, (uintptr_t)is, dst, POOL));
	assert_memory_equal(is, want, POOL);
}

static void end(void)
{
	if (place)
		place->ops->destroy(place);
	free(in_pool);
	free(want);
	free(is);
	free(sock.ledger);
	assert_int_equal(sock.lent, 0);
	mr_put(mr);
	mem_block_free(&pool.block);
	gpu_reset();
	assert_int_equal(app_usage().device_bytes, 0);
	assert_int_equal(app_usage().host_bytes, 0);
	assert_int_equal(app_usage().streams, 0);
}

/* A receive call's frags, of @most bytes at most, for @to; returns the bytes. */
static size_t arrive(size_t to, unsigned int n, unsigned int most)
{
	unsigned int i;

	arrival_clear(&arrival);
	for (i = 0; i < n; i++) {
		uint32_t len = 1 + rnd(most);
		uint64_t from = rnd((unsigned int)(POOL - len));

		arrival.pieces[i] =
			(struct gather_piece){ .offset = pool.block.offset + from, .len = len };
		arrival.tokens[i] = (struct token_range){ .start = next_token, .count = 1 };
		next_token++;
		memcpy(want + to + arrival.total, in_pool + from, len);
		arrival.total += len;
	}
	arrival.n = n;
	arrival.n_tokens = n;
	return arrival.total;
}

/* Takes @len bytes' window, waiting for it. */
static uint8_t *window(size_t to, size_t *len)
{
	uint8_t *host = NULL;
	int i, r = -EAGAIN;

	for (i = 0; i < 1000000 && r == -EAGAIN; i++) {
		r = place->ops->window(place, &req, mr, at(to), len, &host);
		if (r == -EAGAIN) {
			assert_true(place->ops->poll(place) >= 0);
			usleep(50);
		}
	}
	assert_ok(r);
	return host;
}

static void place_pieces(void)
{
	size_t to = 7;
	unsigned int i;

	assert_ok(place->ops->post(place, &req));
	for (i = 0; i < 40; i++) {
		size_t len = 256UL << 10;

		window(to, &len);
		assert_true(len >= 64UL << 10);
		arrive(to, 1 + rnd(60), i % 2 ? 1448 : 64);
		assert_ok(place->ops->put(place, &req, mr, at(to), &sock, &arrival));
		to += arrival.total;
		if (i % 8 == 7)
			assert_true(place->ops->poll(place) >= 0);
	}
	settle();
	compare();
	assert_int_equal(sock.lent, 0);
	assert_int_equal(sock.ledger->held, next_token);
	assert_ok(place->ops->consumed(place, &req));
}

static void case_pieces(void)
{
	begin("kernel");
	place_pieces();
	/* A launch for a round of reading, of which there are five, or when the window has to be waited for; not one for each of 40 puts. */
	assert_in_range(counter_read(gpu_launches), 1, 30);
	assert_true(counter_read(placed_gpu) > 0);
	assert_int_equal(counter_read(gpu_copies), 0);
	end();
}

static void case_copy_engine(void)
{
	begin("copy");
	place_pieces();
	end();
}

/* What bytes lie in is not given back while the GPU may read it. */
static void case_lent_while_gpu_works(void)
{
	size_t len = MIB;
	int i;

	begin("kernel");
	hold(true);
	window(0, &len);
	arrive(0, 20, 1448);
	assert_ok(place->ops->put(place, &req, mr, at(0), &sock, &arrival));
	for (i = 0; i < 20; i++)
		assert_int_equal(place->ops->poll(place), 0);
	assert_int_equal(req.pending, arrival.total);
	assert_int_equal(sock.lent, 20);
	assert_int_equal(sock.ledger->held, 0);
	hold(false);
	settle();
	assert_int_equal(sock.lent, 0);
	assert_int_equal(sock.ledger->held, 20);
	compare();
	end();
}

/* Readable bytes between frags: they lie packed in the window. More of them than the ring holds at once. */
static void case_readable(void)
{
	size_t to = 1, len, linear;
	unsigned int i, k;
	uint8_t *host;

	begin("kernel");
	for (i = 0; i < 30; i++) {
		len = 200UL << 10;
		host = window(to, &len);
		assert_true(len >= 64UL << 10);
		arrival_clear(&arrival);
		linear = 0;
		for (k = 0; k < 20; k++) {
			uint32_t n = 1 + rnd(3000);
			uint64_t from = rnd((unsigned int)(POOL - n));

			memcpy(want + to + arrival.total, in_pool + from, n);
			if (k % 3 != 1) {
				memcpy(host + linear, in_pool + from, n);
				linear += n;
				arrival.pieces[k] = (struct gather_piece){ .len = n, .linear = 1 };
			} else {
				arrival.pieces[k] =
					(struct gather_piece){ .offset = pool.block.offset + from,
							       .len = n };
			}
			arrival.total += n;
		}
		arrival.n = 20;
		arrival.linear = linear;
		arrival.host = host;
		assert_ok(place->ops->put(place, &req, mr, at(to), &sock, &arrival));
		to += arrival.total;
	}
	settle();
	compare();
	end();
}

/* Blocks of the stage: through their GPU half, and free again afterwards. */
static void case_staged(void)
{
	unsigned int i, n = 0;
	struct stage_block *b[8];
	size_t to = 100;

	begin("kernel");
	for (i = 0; i < 12; i++) {
		struct stage_block *block = stage_take(pool.stage);
		size_t len = 1000 + rnd(200000);

		if (!block) {
			settle();
			block = stage_take(pool.stage);
		}
		assert_non_null(block);
		memcpy(block->host, in_pool + i * 77, len);
		memcpy(want + to, in_pool + i * 77, len);
		arrival_clear(&arrival);
		arrival.total = len;
		arrival.n = 1;
		arrival.block = block;
		arrival.pieces[0] =
			(struct gather_piece){ .offset = block->offset, .len = (uint32_t)len };
		assert_ok(place->ops->put(place, &req, mr, at(to), &sock, &arrival));
		to += len;
	}
	settle();
	compare();
	while (n < 8 && (b[n] = stage_take(pool.stage)))
		n++;
	assert_int_equal(n, 4);
	while (n--)
		stage_give(b[n]);
	end();
}

/* Messages of the control stream; when the GPU stands still there is an end to what is taken. */
static void case_control_stream(void)
{
	size_t to = 0;
	unsigned int i;
	int r = 0;

	begin("kernel");
	for (i = 0; i < 300; i++) {
		size_t len = 1 + rnd(8192);

		memcpy(want + to, in_pool + i, len);
		do {
			r = place->ops->put_host(place, &req, mr, at(to), in_pool + i, len);
			assert_true(r == -EAGAIN || r == 0);
			assert_true(place->ops->poll(place) >= 0);
		} while (r == -EAGAIN);
		to += len;
	}
	settle();
	compare();
	hold(true);
	for (i = 0; i < 2000; i++) {
		r = place->ops->put_host(place, &req, mr, at(0), want, 8192);
		if (r < 0)
			break;
		assert_true(place->ops->poll(place) >= 0);
	}
	assert_int_equal(r, -EAGAIN);
	hold(false);
	settle();
	compare();
	end();
}

/* Host memory that the GPU sees is a target like its own, other memory is refused in time. */
static void case_targets(void)
{
	uint8_t *host = NULL, plain[64];
	struct mr *seen, *unseen;
	size_t len = MIB;
	uint64_t dev;
	void *pinned;

	begin("kernel");
	assert_ok(gpu_host_alloc(gpu, MIB, &pinned, &dev, &why));
	assert_ok(mr_register_host(pinned, MIB, &seen));
	assert_ok(mr_register_host(plain, sizeof(plain), &unseen));
	assert_true(seen->pinned);
	assert_false(unseen->pinned);
	assert_ok(place->ops->window(place, &req, seen, pinned, &len, &host));
	arrive(0, 10, 1448);
	assert_ok(place->ops->put(place, &req, seen, pinned, &sock, &arrival));
	settle();
	assert_memory_equal(pinned, want, arrival.total);
	assert_int_equal(place->ops->window(place, &req, unseen, plain, &len, &host), -ENOTSUP);
	assert_logged("not pinned");
	assert_int_equal(place->ops->put_host(place, &req, unseen, plain, want, 16), -ENOTSUP);
	mr_put(seen);
	mr_put(unseen);
	gpu_host_free(gpu, pinned);
	end();
}

static void case_ordered(void)
{
	begin("copy");
	assert_ok(place->ops->post(place, &req));
	req.ordered = true;
	assert_int_equal(place->ops->post(place, &req), -ENOTSUP);
	assert_logged("NCCL_DEVMEM_GATHER=kernel");
	assert_int_equal(place->ops->post(place, &req), -ENOTSUP);
	assert_int_equal(unit_log_lines, 1);
	end();
}

static void *let_go(void *arg)
{
	(void)arg;
	usleep(50000);
	hold(false);
	return NULL;
}

/* A connection that ends while the GPU works for it: the end waits for the GPU. */
static void case_destroyed(void)
{
	size_t len = MIB;
	pthread_t thread;

	begin("kernel");
	hold(true);
	window(0, &len);
	arrive(0, 20, 1448);
	assert_ok(place->ops->put(place, &req, mr, at(0), &sock, &arrival));
	assert_int_equal(place->ops->poll(place), 0);
	arrive(100000, 20, 1448);
	assert_ok(place->ops->put(place, &req, mr, at(100000), &sock, &arrival));
	assert_ok(pthread_create(&thread, NULL, let_go, NULL));
	place->ops->destroy(place);
	place = NULL;
	assert_ok(pthread_join(thread, NULL));
	assert_int_equal(sock.lent, 0);
	assert_int_equal(sock.ledger->held, 40);
	end();
}

static void case_gpu_error(void)
{
	size_t len = MIB;
	int i, r = 0;

	setenv("STANDIN_FAIL", "cuEventQuery=700", 1);
	begin("copy");
	window(0, &len);
	arrive(0, 20, 1448);
	assert_ok(place->ops->put(place, &req, mr, at(0), &sock, &arrival));
	for (i = 0; i < 100 && r == 0; i++)
		r = place->ops->poll(place);
	assert_int_equal(r, -EIO);
	assert_int_equal(place->ops->poll(place), -EIO);
	assert_int_equal(sock.lent, 20);
	end();
}

/* -- sockets ------------------------------------------------------------------------------------ */

static void case_recv_staged(void)
{
	int fds[2], i;
	size_t got = 0;
	ssize_t n;

	begin("kernel");
	place->pool = &pool;
	assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	sock.fd = fds[0];
	assert_int_equal(path_recv_staged.recv(&sock, place, NULL, 1000, &arrival), -EAGAIN);
	assert_int_equal(write(fds[1], in_pool, 50000), 50000);
	for (i = 0; i < 100 && got < 50000; i++) {
		n = path_recv_staged.recv(&sock, place, NULL, 20000, &arrival);
		assert_true(n > 0 && n <= 20000);
		assert_int_equal(arrival.total, n);
		assert_ok(place->ops->put(place, &req, mr, at(got), &sock, &arrival));
		got += (size_t)n;
	}
	assert_int_equal(got, 50000);
	memcpy(want, in_pool, 50000);
	settle();
	compare();
	close(fds[1]);
	assert_int_equal(path_recv_staged.recv(&sock, place, NULL, 1000, &arrival), -ECONNRESET);
	close(fds[0]);
	sock.fd = -1;
	end();
}

/* Sends the pool's content from @from on as chunks, a few bytes at a time to a slow reader. */
static void case_send_staged(void)
{
	static const size_t sizes[] = { 1, 100, 131072, 131073, 262144, 700000, 5 };
	struct data_sock socks[2] = { 0 };
	struct send_stage *stage = NULL;
	uint64_t base;
	size_t i, from = 3;
	int fds[2];

	begin("kernel");
	base = pool.block.priv + pool.block.offset;
	assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	socks[1].fd = fds[0];
	assert_ok(send_stage_create(gpu, socks, 2, &stage, &why));
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t sent = 0, got = 0;
		int rounds = 0;
		ssize_t n;

		while (got < sizes[i]) {
			assert_true(++rounds < 2000000);
			if (sent < sizes[i]) {
				n = path_send_staged.send(
					&socks[1], NULL,
					(const uint8_t *)(uintptr_t)(base + from + sent), // NOLINT
					sizes[i] - sent, NULL);
				assert_true(n > 0 || n == -EAGAIN);
				sent += n > 0 ? (size_t)n : 0;
			}
			n = recv(fds[1], is + got, 1 + rnd(30000), MSG_DONTWAIT);
			got += n > 0 ? (size_t)n : 0;
		}
		assert_int_equal(sent, sizes[i]);
		assert_memory_equal(is, in_pool + from, sizes[i]);
		from += sizes[i] + 11;
	}
	/* Another path took over in the middle of a chunk: nothing stale is sent. */
	if (path_send_staged.send(&socks[1], NULL, (const uint8_t *)(uintptr_t)base, // NOLINT
				  300000, NULL) > 0)
		assert_true(recv(fds[1], is, 300000, 0) > 0);
	for (i = 0; i < 300000; i++) {
		ssize_t n = path_send_staged.send(&socks[1], NULL,
						  (const uint8_t *)(uintptr_t)(base + 500), 500,
						  NULL); // NOLINT

		if (n > 0) {
			assert_int_equal(n, 500);
			break;
		}
		assert_int_equal(n, -EAGAIN);
	}
	assert_int_equal(recv(fds[1], is, 1000, 0), 500);
	assert_memory_equal(is, in_pool + 500, 500);
	send_stage_destroy(stage);
	send_stage_destroy(NULL);
	close(fds[0]);
	close(fds[1]);
	end();
}

static void case_send_closed(void)
{
	struct data_sock one = { 0 };
	struct send_stage *stage = NULL;
	ssize_t n = -EAGAIN;
	int fds[2], i;

	begin("kernel");
	assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	one.fd = fds[0];
	assert_ok(send_stage_create(gpu, &one, 1, &stage, &why));
	close(fds[1]);
	for (i = 0; i < 300000 && n == -EAGAIN; i++)
		n = path_send_staged.send(&one, NULL,
					  (const uint8_t *)(uintptr_t)pool.block.priv, // NOLINT
					  1000, NULL);
	assert_int_equal(n, -EPIPE);
	send_stage_destroy(stage);
	close(fds[0]);
	end();
}

#define CASE(name)                 \
	{                          \
#name, case_##name \
	}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	CASE(pieces),	   CASE(copy_engine), CASE(lent_while_gpu_works),
	CASE(readable),	   CASE(staged),      CASE(control_stream),
	CASE(targets),	   CASE(ordered),     CASE(destroyed),
	CASE(gpu_error),   CASE(recv_staged), CASE(send_staged),
	CASE(send_closed),
};

static void (*chosen)(void);

static void run_case(void **state)
{
	(void)state;
	unit_log_clear();
	chosen();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(run_case) };
	size_t i;

	for (i = 0; argc > 1 && i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!strcmp(argv[1], cases[i].name))
			chosen = cases[i].run;
	if (!chosen) {
		fprintf(stderr, "usage: %s CASE\n", argv[0]);
		return 1;
	}
	if (!app_has_standin())
		return UNIT_SKIP;
	return cmocka_run_group_tests_name(argv[1], tests, NULL, NULL);
}
