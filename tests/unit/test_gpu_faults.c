// SPDX-License-Identifier: BSD-3-Clause
/*
 * Everything that can be wrong with a driver, a GPU or its memory, on the stand-in: a reason, and never a crash.
 *
 * unit-libs: devmem_mem
 * unit-standin: yes
 * unit-args: no_library old_driver no_symbol no_device no_export no_memory pool_too_large no_kernel bad_kernel launch_fails gpu_error context_gone
 */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu_case.h"
#include "mem/gpu_block.h"
#include "mem/provider.h"

static void expect_no_driver(int err, const char *reason, const char *remedy)
{
	struct gpu *gpu = NULL;

	assert_int_equal(gpu_driver(&why), err);
	assert_non_null(strstr(why.reason, reason));
	assert_non_null(strstr(why.remedy, remedy));
	/* It is found out once. */
	assert_int_equal(gpu_driver(&why), err);
	assert_true(gpu_current(&gpu, &why) < 0);
	assert_null(gpu);
	assert_int_equal(gpu_of_pointer(&why, &gpu), -ENODEV);
	assert_false(gpu_sees_host(&why));
	gpu_reset();
}

static void case_no_library(void)
{
	/* The loader reads the path when a program starts. */
	if (getenv("LD_LIBRARY_PATH")) {
		unsetenv("LD_LIBRARY_PATH");
		execl("/proc/self/exe", "test_gpu_faults", "no_library", NULL);
		fail_msg("exec: %s", strerror(errno));
	}
	if (dlopen("libcuda.so.1", RTLD_LAZY)) {
		printf("this machine has a CUDA driver\n");
		exit(UNIT_SKIP);
	}
	expect_no_driver(-ENODEV, "libcuda.so.1", "install the NVIDIA driver");
}

static void case_old_driver(void)
{
	setenv("STANDIN_DRIVER_VERSION", "11020", 1);
	expect_no_driver(-ENOTSUP, "", "update the NVIDIA driver");
}

static void case_no_symbol(void)
{
	setenv("STANDIN_MISSING", "cuEventQuery", 1);
	expect_no_driver(-ENOTSUP, "has no cuEventQuery (CUDA 2.0)", "update the NVIDIA driver");
}

static void case_no_device(void)
{
	setenv("STANDIN_GPUS", "0", 1);
	expect_no_driver(-ENODEV, "finds no GPU", "CUDA_VISIBLE_DEVICES");
}

static void case_no_export(void)
{
	struct mem_block block;
	struct gpu *gpu;
	uint64_t dev;
	int fd = -1;

	setenv("STANDIN_DMABUF", "off", 1);
	param_load();
	app_begin();
	gpu = current();
	assert_ok(gpu_alloc(gpu, MIB, &dev, &why));
	assert_int_equal(gpu_export(gpu, dev, MIB, &fd, &why), -ENOTSUP);
	assert_int_equal(fd, -1);
	assert_non_null(strstr(why.remedy, "open kernel modules"));
	assert_int_equal(mem_block_alloc_cuda(gpu, MIB, &block, &why), -ENOTSUP);
	/* A stage needs no dmabuf. */
	assert_ok(mem_block_alloc_cuda(gpu, 0, &block, &why));
	mem_block_free(&block);
	gpu_reset();
}

static void case_no_memory(void)
{
	struct gpu_queue *q;
	struct gpu *gpu;
	uint64_t dev;
	void *host;

	setenv("STANDIN_MEMORY_MIB", "16", 1);
	setenv("STANDIN_FAIL", "cuMemHostAlloc=2", 1);
	app_begin();
	gpu = current();
	assert_int_equal(gpu_alloc(gpu, 64 * MIB, &dev, &why), -ENOMEM);
	assert_non_null(strstr(why.reason, "no 65536 KiB of memory, "));
	assert_int_equal(gpu_host_alloc(gpu, MIB, &host, &dev, &why), -ENOMEM);
	setenv("NCCL_DEVMEM_GATHER", "kernel", 1);
	param_load();
	assert_int_equal(gpu_queue_create(gpu, &q, &why), -ENOMEM);
	gpu_reset();
}

static void pool_too_large(const char *attributes)
{
	struct mem_block block;

	setenv("STANDIN_MEMORY_MIB", "32", 1);
	setenv("STANDIN_ATTR", attributes, 1);
	setenv("NCCL_DEVMEM_POOL_SIZE", "64M", 1);
	param_load();
	app_begin();
	assert_int_equal(mem_block_alloc_cuda(current(), 64 * MIB, &block, &why), -ENOMEM);
	assert_non_null(strstr(why.remedy, "lower NCCL_DEVMEM_POOL_SIZE"));
	assert_non_null(strstr(why.reason, "of 32 MiB are free"));
	/* Nothing of it stays. */
	assert_int_equal(app_usage().device_bytes, 0);
	assert_int_equal(app_usage().host_bytes, 0);
	gpu_reset();
}

static void case_pool_too_large(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		pool_too_large("102=0");
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	pool_too_large("124=1");
}

/* Without the kernel the copy engine does it, and the log says why. */
static void expect_copy_engine(const char *reason)
{
	struct gpu_queue *q;
	struct gpu *gpu;
	int tries = 0;

	app_begin();
	for (;;) {
		gpu = current();
		q = queue_of(gpu);
		/* What a GPU that is busy for long gets; a machine that stands still makes it so. */
		if (!strstr(unit_log_text, "the GPU was busy") || ++tries == 20)
			break;
		gpu_queue_destroy(q);
		gpu_reset();
		unit_log_clear();
	}
	assert_logged("gather: copy engine (");
	assert_logged(reason);
	assert_false(gpu_queue_is_ordered(q));
	gather_and_compare(gpu, q);
	gpu_queue_destroy(q);
	gpu_reset();
}

static void case_no_kernel(void)
{
	setenv("STANDIN_FAIL", "cuModuleLoadData=222", 1);
	expect_copy_engine("loading the gather kernel: ");
}

static void corrupt(const struct standin_launch *l)
{
	(void)l;
}

static void case_bad_kernel(void)
{
	int (*reg)(const char *, void (*)(const struct standin_launch *));
	void *lib;

	unsetenv("STANDIN_KERNELS");
	lib = dlopen("libcuda.so.1", RTLD_NOW);
	*(void **)&reg = dlsym(lib, "standin_kernel_register");
	assert_int_equal(reg("devmem_gather", corrupt), 0);
	expect_copy_engine("the kernel gave a wrong result");
}

static void case_launch_fails(void)
{
	setenv("STANDIN_FAIL", "cuLaunchKernel=701", 1);
	expect_copy_engine("trying the kernel: ");
}

/* An error of the GPU's stays, whatever is asked. */
static void case_gpu_error(void)
{
	struct gpu_move m = { .len = 128 };
	struct gpu_queue *q;
	uint64_t mem, ticket, done;
	struct gpu *gpu;
	int i, r = 0;

	setenv("NCCL_DEVMEM_GATHER", "copy", 1);
	setenv("STANDIN_FAIL", "cuEventQuery=700", 1);
	param_load();
	app_begin();
	gpu = current();
	assert_ok(gpu_alloc(gpu, MIB, &mem, &why));
	q = queue_of(gpu);
	m.src = mem;
	m.dst = mem + 4096;
	assert_ok(gpu_queue_move(q, &m, 1));
	assert_ok(gpu_queue_mark(q, &ticket));
	unit_log_clear();
	for (i = 0; i < 100 && r == 0; i++)
		r = gpu_queue_done(q, &done);
	assert_int_equal(r, -EIO);
	assert_logged("illegal memory access");
	assert_int_equal(gpu_queue_done(q, &done), -EIO);
	assert_int_equal(gpu_queue_move(q, &m, 1), -EIO);
	assert_int_equal(gpu_queue_mark(q, &ticket), -EIO);
	assert_int_equal(gpu_queue_room(q), -EIO);
	assert_int_equal(gpu_queue_copy(q, mem, mem + 4096, 16), -EIO);
	assert_int_equal(unit_log_lines, 1);
	gpu_queue_destroy(q);
	gpu_reset();
}

/* The application ends its context while the plugin has things in it. */
static void case_context_gone(void)
{
	cu_result (*create)(cu_context *, unsigned int, cu_device);
	cu_result (*destroy)(cu_context);
	struct gpu_queue *q;
	struct gpu_block *b;
	uint64_t dev, ticket;
	struct gpu *gpu;
	cu_context ctx;
	void *host;

	param_load();
	app_open();
	*(void **)&create = dlsym(app_lib, "cuCtxCreate_v2");
	*(void **)&destroy = dlsym(app_lib, "cuCtxDestroy_v2");
	assert_int_equal(create(&ctx, 0, 0), CU_OK);
	gpu = current();
	q = queue_of(gpu);
	assert_ok(gpu_block_get(gpu, &b, &why));
	assert_ok(gpu_alloc(gpu, MIB, &dev, &why));
	assert_ok(gpu_host_alloc(gpu, MIB, &host, &dev, &why));
	assert_int_equal(destroy(ctx), CU_OK);

	assert_int_equal(gpu_copy_sync(gpu, dev, dev + 4096, 16), -EIO);
	assert_int_equal(gpu_queue_copy(q, dev, dev + 4096, 16), -EIO);
	assert_int_equal(gpu_queue_mark(q, &ticket), -EIO);
	assert_int_equal(gpu_alloc(gpu, MIB, &dev, &why), -EIO);
	assert_non_null(strstr(why.reason, "context is gone"));
	gpu_host_free(gpu, host);
	gpu_block_put(b);
	gpu_queue_destroy(q);
	gpu_reset();
}

static const struct gpu_case cases[] = {
	CASE(no_library), CASE(old_driver),   CASE(no_symbol),	    CASE(no_device),
	CASE(no_export),  CASE(no_memory),    CASE(pool_too_large), CASE(no_kernel),
	CASE(bad_kernel), CASE(launch_fails), CASE(gpu_error),	    CASE(context_gone),
};

int main(int argc, char **argv)
{
	return gpu_case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]), "no_library");
}
