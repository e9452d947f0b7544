// SPDX-License-Identifier: BSD-3-Clause
/*
 * GPUs, their memory and queues, on the stand-in for the CUDA driver.
 *
 * unit-libs: devmem_mem
 * unit-standin: yes
 * unit-args: basics context thread pointers queue copies measured ordered full export block fixed_block stage fork
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu_case.h"
#include "../standin/kernels/gather_emul.h"
#include "mem/gpu_block.h"
#include "mem/provider.h"

static void case_basics(void)
{
	struct standin_usage before, after;
	uint8_t *data = filled(MIB), *back = malloc(MIB);
	struct gpu *gpu, *again;
	uint64_t dev, pinned_dev;
	cu_context none;
	void *pinned;

	/* A driver, and nobody who uses it in this thread: no GPU, and none is made. */
	app_open();
	assert_ok(gpu_driver(&why));
	assert_int_equal(gpu_current(&gpu, &why), -ENODEV);
	assert_non_null(strstr(why.reason, "no CUDA context is current"));
	assert_int_equal(app_usage().contexts, 0);

	assert_int_equal(app.cuDevicePrimaryCtxRetain(&app_ctx, 0), CU_OK);
	assert_int_equal(app.cuCtxPushCurrent(app_ctx), CU_OK);
	before = app_usage();
	gpu = current();
	assert_ok(gpu_current(&again, &why));
	assert_ptr_equal(gpu, again);
	assert_int_equal(gpu_ordinal(gpu), 0);
	assert_non_null(strstr(gpu_name(gpu), "GPU 0 ("));

	assert_ok(gpu_alloc(gpu, 100000, &dev, &why));
	assert_int_equal(dev % 65536, 0);
	assert_ok(gpu_host_alloc(gpu, MIB, &pinned, &pinned_dev, &why));
	assert_true(gpu_sees_host(pinned));
	assert_false(gpu_sees_host(data));
	assert_ok(gpu_copy_sync(gpu, dev, (uintptr_t)data, 100000));
	assert_ok(gpu_copy_sync(gpu, (uintptr_t)back, dev, 100000));
	assert_memory_equal(data, back, 100000);
	gpu_host_free(gpu, pinned);
	assert_ok(gpu_alloc(gpu, 5000, &dev, &why));
	gpu_free(gpu, dev);
	/* What was not freed goes with the GPU; the application's context and its library stay. */
	gpu_reset();
	after = app_usage();
	assert_usage_equal(before, after);
	assert_int_equal(app.cuCtxGetCurrent(&none), CU_OK);
	assert_ptr_equal(none, app_ctx);
	/* And all over again. */
	gpu = current();
	assert_ok(gpu_alloc(gpu, 100000, &dev, &why));
	gpu_reset();
	after = app_usage();
	assert_usage_equal(before, after);
	free(data);
	free(back);
}

/* Two devices, and a context that is not the primary one: each is a GPU of its own, and the current one is what counts. */
static void case_context(void)
{
	cu_result (*create)(cu_context *, unsigned int, cu_device);
	struct gpu *primary, *other, *second;
	cu_context ctx, on_second, popped;
	uint64_t dev;

	setenv("STANDIN_GPUS", "2", 1);
	app_begin();
	primary = current();
	*(void **)&create = dlsym(app_lib, "cuCtxCreate_v2");
	assert_int_equal(create(&ctx, 0, 0), CU_OK);
	other = current();
	assert_ptr_not_equal(primary, other);
	assert_int_equal(gpu_ordinal(other), 0);
	assert_ok(gpu_alloc(other, 4096, &dev, &why));

	assert_int_equal(app.cuDevicePrimaryCtxRetain(&on_second, 1), CU_OK);
	assert_int_equal(app.cuCtxPushCurrent(on_second), CU_OK);
	second = current();
	assert_int_equal(gpu_ordinal(second), 1);
	/* Work for another than the current one, and the caller's is current again. */
	assert_ok(gpu_alloc(primary, 4096, &dev, &why));
	assert_ptr_equal(current(), second);
	assert_int_equal(app.cuCtxPopCurrent(&popped), CU_OK);
	assert_ptr_equal(current(), other);
	gpu_reset();
}

static void *in_thread(void *arg)
{
	struct gpu *gpu = arg, *none;
	cu_context ctx = NULL;
	struct verdict w;
	uint64_t dev;

	assert_int_equal(gpu_current(&none, &w), -ENODEV);
	assert_ok(gpu_alloc(gpu, 4096, &dev, &w));
	gpu_free(gpu, dev);
	assert_int_equal(app.cuCtxGetCurrent(&ctx), CU_OK);
	assert_null(ctx);
	return NULL;
}

static void case_thread(void)
{
	pthread_t t;

	app_begin();
	pthread_create(&t, NULL, in_thread, current());
	pthread_join(t, NULL);
	gpu_reset();
}

static void case_pointers(void)
{
	struct gpu *gpu, *of = NULL;
	uint64_t dev;
	char c;

	app_begin();
	assert_int_equal(gpu_of_pointer(&c, &of), -ENODEV);
	assert_int_equal(gpu_of_pointer(NULL, &of), -ENODEV);
	gpu = current();
	assert_ok(gpu_alloc(gpu, MIB, &dev, &why));
	assert_ok(gpu_of_pointer((void *)(uintptr_t)(dev + 1234), &of));
	assert_ptr_equal(of, gpu);
	/* Memory of a range has no context, only a device. */
	setenv("NCCL_DEVMEM_STAGE_SIZE", "1M", 1);
	param_load();
	{
		struct gpu_block *b;

		assert_ok(gpu_block_get(gpu, &b, &why));
		assert_ok(gpu_of_pointer((void *)(uintptr_t)gpu_block_base(b), &of));
		assert_ptr_equal(of, gpu);
		gpu_block_put(b);
	}
	gpu_reset();
}

static void case_queue(void)
{
	struct gpu_move big[2] = { { .len = GPU_MOVE_BYTES }, { .len = 1 } };
	struct standin_usage before;
	struct gpu_queue *q;
	unsigned long launches;
	uint64_t a, b;
	struct gpu *gpu;

	setenv("NCCL_DEVMEM_GATHER", "kernel", 1);
	param_load();
	app_begin();
	before = app_usage();
	gpu = current();
	q = queue_of(gpu);
	/* On a machine that is very slow the GPU looks busy, which the log says then. */
	if (!strstr(unit_log_text, "the GPU was busy"))
		assert_logged("gather: kernel (as told by NCCL_DEVMEM_GATHER)");
	assert_true(gpu_queue_is_ordered(q));
	assert_true(gpu_is_ordered(gpu));
	launches = app_usage().launches;
	gather_and_compare(gpu, q);
	/* 3200 pieces in 100 calls and 10 marks: no more launches than marks and full plans. */
	assert_in_range(app_usage().launches - launches, 1, 20);
	assert_int_equal(gpu_queue_move(q, big, 2), -E2BIG);
	/* A mark with nothing behind it is the last one. */
	assert_ok(gpu_queue_mark(q, &a));
	assert_ok(gpu_queue_mark(q, &b));
	assert_int_equal(a, b);
	gpu_queue_destroy(q);
	gpu_queue_destroy(NULL);
	gpu_reset();
	assert_usage_equal(before, app_usage());
}

static void case_copies(void)
{
	struct gpu_queue *q;
	struct gpu *gpu;

	setenv("NCCL_DEVMEM_GATHER", "copy", 1);
	param_load();
	app_begin();
	gpu = current();
	q = queue_of(gpu);
	assert_logged("gather: copy engine (as told by NCCL_DEVMEM_GATHER)");
	assert_false(gpu_queue_is_ordered(q));
	gather_and_compare(gpu, q);
	assert_int_equal(app_usage().launches, 0);
	gpu_queue_destroy(q);
	gpu_reset();
}

/* Both are tried, once for each GPU, and the log says with what result. */
static void case_measured(void)
{
	struct gpu_queue *q, *second;
	struct gpu *gpu;

	app_begin();
	gpu = current();
	q = queue_of(gpu);
	second = queue_of(gpu);
	/* On a machine that is very slow the GPU looks busy, which the log says then. */
	if (!strstr(unit_log_text, "the GPU was busy"))
		assert_logged("GB/s, copy engine ");
	assert_int_equal(unit_log_lines, 1);
	assert_non_null(strstr(unit_log_text, gpu_queue_mover(q)));
	gather_and_compare(gpu, q);
	gather_and_compare(gpu, second);
	gpu_queue_destroy(q);
	gpu_queue_destroy(second);
	gpu_reset();
}

/* Two halves of a line, put with others between, are two launches; put one after the other they are one. */
static void case_ordered(void)
{
	struct gpu_queue *q;
	struct gpu_move m;
	unsigned long launches;
	uint64_t mem, ticket;
	struct gpu *gpu;

	setenv("NCCL_DEVMEM_GATHER", "kernel", 1);
	param_load();
	app_begin();
	gpu = current();
	assert_ok(gpu_alloc(gpu, MIB, &mem, &why));
	q = queue_of(gpu);
	launches = app_usage().launches;
	m = (struct gpu_move){ .src = mem, .dst = mem + 65536, .len = 100 };
	assert_ok(gpu_queue_move(q, &m, 1));
	m = (struct gpu_move){ .src = mem, .dst = mem + 65636, .len = 28 };
	assert_ok(gpu_queue_move(q, &m, 1));
	assert_ok(gpu_queue_mark(q, &ticket));
	wait_ticket(q, ticket);
	assert_int_equal(app_usage().launches - launches, 1);

	m = (struct gpu_move){ .src = mem, .dst = mem + 65536, .len = 100 };
	assert_ok(gpu_queue_move(q, &m, 1));
	m = (struct gpu_move){ .src = mem, .dst = mem + 80000, .len = 10 };
	assert_ok(gpu_queue_move(q, &m, 1));
	m = (struct gpu_move){ .src = mem, .dst = mem + 65636, .len = 28 };
	assert_ok(gpu_queue_move(q, &m, 1));
	assert_ok(gpu_queue_mark(q, &ticket));
	wait_ticket(q, ticket);
	assert_int_equal(app_usage().launches - launches, 3);
	gpu_queue_destroy(q);
	gpu_reset();
}

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

	for (i = 0; i < 600000 && __atomic_load_n(&hold_kernels, __ATOMIC_ACQUIRE); i++)
		usleep(100);
	gather_emul_block(&args->tiles[l->block_linear], args->sources);
}

/* When the GPU does not get on, a queue says so before it takes anything, and goes on when the GPU does. */
static void case_full(void)
{
	struct gpu_move m = { .len = 128 };
	uint64_t mem, ticket, last = 0;
	struct gpu_queue *q;
	uint8_t *data = filled(65536), *is = calloc(1, 65536);
	struct gpu *gpu;
	int i, r = 0;

	unsetenv("STANDIN_KERNELS");
	setenv("NCCL_DEVMEM_GATHER", "kernel", 1);
	param_load();
	app_begin();
	assert_int_equal(app_kernel_register(GATHER_ENTRY, held_gather), 0);
	gpu = current();
	assert_ok(gpu_alloc(gpu, MIB, &mem, &why));
	assert_ok(gpu_copy_sync(gpu, mem, (uintptr_t)data, 65536));
	q = queue_of(gpu);
	hold(true);
	for (i = 0; i < 400; i++) {
		r = gpu_queue_room(q);
		if (r == -EAGAIN)
			break;
		assert_ok(r);
		m.src = mem + 128UL * (unsigned int)i;
		m.dst = mem + 65536 + 128UL * (unsigned int)i;
		assert_ok(gpu_queue_move(q, &m, 1));
		r = gpu_queue_mark(q, &ticket);
		if (r == 0)
			last = ticket;
		else
			assert_int_equal(r, -EAGAIN);
	}
	assert_int_equal(r, -EAGAIN);
	assert_in_range(i, 3, 399);
	assert_ok(gpu_queue_done(q, &ticket));
	assert_int_equal(ticket, 0);
	hold(false);
	wait_ticket(q, last);
	assert_ok(gpu_queue_room(q));
	assert_ok(gpu_queue_mark(q, &last));
	wait_ticket(q, last);
	assert_ok(gpu_copy_sync(gpu, (uintptr_t)is, mem + 65536, 65536));
	assert_memory_equal(is, data, 128UL * (unsigned int)i);
	gpu_queue_destroy(q);
	gpu_reset();
	free(data);
	free(is);
}

static void case_export(void)
{
	struct mem_block block;
	struct gpu *gpu;
	uint64_t dev;
	int fd = -1;

	setenv("STANDIN_DMABUF", "memfd", 1);
	param_load();
	app_begin();
	gpu = current();
	assert_ok(gpu_alloc(gpu, MIB, &dev, &why));
	assert_ok(gpu_export(gpu, dev, MIB, &fd, &why));
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(lseek(fd, 0, SEEK_END), MIB);
	close(fd);
	/* The provider, of the current GPU. */
	assert_ok(mem_block_alloc(memory_provider_find("cuda"), 3 * MIB + 5, &block, &why));
	assert_int_equal(block.size, 3 * MIB + 65536);
	assert_null(block.cpu);
	assert_int_equal(lseek(block.dmabuf_fd, 0, SEEK_END), block.size);
	assert_ok(gpu_copy_sync(gpu, block.priv + block.offset, dev, MIB));
	mem_block_free(&block);
	gpu_reset();
}

/* Parts for NICs: apart from one another and from the stage, and none 4 GiB or more from the base. */
static void check_block(struct gpu *gpu, unsigned int parts, size_t size)
{
	uint64_t at[8], again;
	struct gpu_block *b, *same;
	struct stage *stage;
	struct stage_block *blocks[64];
	unsigned int i, k, n = 0;
	uint64_t base;

	assert_ok(gpu_block_get(gpu, &b, &why));
	assert_ok(gpu_block_get(gpu, &same, &why));
	assert_ptr_equal(b, same);
	gpu_block_put(same);
	base = gpu_block_base(b);
	stage = gpu_block_stage(b);
	while (n < 64 && (blocks[n] = stage_take(stage)))
		n++;
	assert_int_equal(n, 2 * MIB / STAGE_BLOCK);
	for (i = 0; i < parts; i++) {
		assert_ok(gpu_block_add(b, size, &at[i], &why));
		assert_true(at[i] + size <= 4UL << 30);
		for (k = 0; k < i; k++)
			assert_true(at[k] + size <= at[i] || at[i] + size <= at[k]);
		for (k = 0; k < n; k++) {
			assert_int_equal(blocks[k]->dev, base + blocks[k]->offset);
			assert_true(blocks[k]->offset + STAGE_BLOCK <= at[i] ||
				    at[i] + size <= blocks[k]->offset);
		}
		assert_ok(gpu_copy_sync(gpu, base + at[i] + size - 16, base + at[0], 16));
	}
	gpu_block_remove(b, at[0]);
	assert_ok(gpu_block_add(b, size, &again, &why));
	assert_int_equal(again, at[0]);
	assert_int_equal(gpu_block_add(b, (4UL << 30) - MIB, &again, &why), -ENOSPC);
	assert_non_null(strstr(why.remedy, "NCCL_DEVMEM_POOL_SIZE"));
	while (n--)
		stage_give(blocks[n]);
	gpu_block_put(b);
}

static void case_block(void)
{
	struct standin_usage before;

	setenv("NCCL_DEVMEM_STAGE_SIZE", "2M", 1);
	param_load();
	app_begin();
	before = app_usage();
	check_block(current(), 4, 3 * MIB);
	gpu_reset();
	assert_usage_equal(before, app_usage());
}

static void case_fixed_block(void)
{
	struct standin_usage before;

	setenv("NCCL_DEVMEM_STAGE_SIZE", "2M", 1);
	setenv("NCCL_DEVMEM_POOL_SIZE", "3M", 1);
	setenv("STANDIN_ATTR", "102=0", 1);
	param_load();
	app_begin();
	before = app_usage();
	check_block(current(), 1, 3 * MIB);
	gpu_reset();
	assert_usage_equal(before, app_usage());
}

static void case_stage(void)
{
	struct stage_block *b[8], *more;
	struct gpu *gpu;
	struct stage *s;
	uint64_t dev;
	int i, k;

	app_begin();
	gpu = current();
	assert_ok(gpu_alloc(gpu, 2 * MIB, &dev, &why));
	assert_ok(stage_create(gpu, dev - 4096, 4096, 2 * MIB, &s, &why));
	assert_int_equal(stage_block_size(s), STAGE_BLOCK);
	for (i = 0; i < 8; i++) {
		b[i] = stage_take(s);
		assert_non_null(b[i]);
		assert_int_equal(b[i]->dev, dev - 4096 + b[i]->offset);
		for (k = 0; k < i; k++)
			assert_ptr_not_equal(b[i], b[k]);
		memset(b[i]->host, i, b[i]->size);
		assert_ok(gpu_copy_sync(gpu, b[i]->dev, b[i]->host_dev, b[i]->size));
	}
	assert_null(stage_take(s));
	stage_give(b[3]);
	more = stage_take(s);
	assert_ptr_equal(more, b[3]);
	for (i = 1; i < 8; i++)
		stage_give(b[i]);
	unit_log_clear();
	stage_destroy(s);
	assert_logged("1 blocks of its stage are still lent");
	gpu_reset();
}

static void case_fork(void)
{
	struct gpu *gpu;
	int status;
	pid_t pid;

	app_begin();
	gpu = current();
	pid = fork();
	if (pid == 0) {
		struct gpu *of;
		struct verdict w = { 0 };
		int bad = 0;

		bad |= gpu_driver(&w) != -ENOTSUP || !strstr(w.remedy, "spawn");
		bad |= gpu_current(&of, &w) == 0;
		bad |= gpu_of_pointer(&w, &of) != -ENODEV;
		gpu_reset();
		_exit(bad);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_ptr_equal(gpu, current());
	gpu_reset();
}

static const struct gpu_case cases[] = {
	CASE(basics), CASE(context),	 CASE(thread),	CASE(pointers), CASE(queue),
	CASE(copies), CASE(measured),	 CASE(ordered), CASE(full),	CASE(export),
	CASE(block),  CASE(fixed_block), CASE(stage),	CASE(fork),
};

int main(int argc, char **argv)
{
	return gpu_case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]), "");
}
