// SPDX-License-Identifier: BSD-3-Clause
/*
 * The stand-in's own tests: it is what other tests trust. Each case runs in a child process, since some have to
 * end in abort(), and each wants an environment of its own.
 */
#include <cuda.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "standin.h"

#define CHECK(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			_exit(1);                                                       \
		}                                                                       \
	} while (0)
#define OK(call) CHECK((call) == CUDA_SUCCESS)

static CUcontext ctx;

static void begin(void)
{
	OK(cuInit(0));
	OK(cuDevicePrimaryCtxRetain(&ctx, 0));
	OK(cuCtxSetCurrent(ctx));
}

static void case_memory(void)
{
	struct standin_usage before, after;
	char out[16] = "", *host;
	CUdeviceptr base, a, b;
	size_t size;

	begin();
	standin_usage_get(&before);
	OK(cuMemAlloc(&a, 100000));
	OK(cuMemAlloc(&b, 16));
	OK(cuMemHostAlloc((void **)&host, 5000, 0));
	OK(cuMemcpyHtoD(a + 99984, "0123456789abcde", 16));
	OK(cuMemcpyDtoD(b, a + 99984, 16));
	OK(cuMemcpyDtoH(out, b, 16));
	CHECK(!strcmp(out, "0123456789abcde"));
	OK(cuMemsetD8(b, 'x', 3));
	OK(cuMemcpyDtoH(out, b, 16));
	CHECK(!strcmp(out, "xxx3456789abcde"));
	OK(cuMemGetAddressRange(&base, &size, a + 50000));
	CHECK(base == a && size == 100000);
	CHECK(cuMemGetAddressRange(&base, &size, (CUdeviceptr)(uintptr_t)out) ==
	      CUDA_ERROR_NOT_FOUND);
	CHECK(cuMemAlloc(&base, 1ul << 40) == CUDA_ERROR_OUT_OF_MEMORY);
	OK(cuMemFree(a));
	OK(cuMemFree(b));
	OK(cuMemFreeHost(host));
	standin_usage_get(&after);
	CHECK(before.device_bytes == after.device_bytes && before.host_bytes == after.host_bytes &&
	      before.allocs == after.allocs);
}

static void case_context(void)
{
	CUcontext none, popped;
	CUdeviceptr a;

	CHECK(cuMemAlloc(&a, 16) == CUDA_ERROR_NOT_INITIALIZED);
	OK(cuInit(0));
	CHECK(cuMemAlloc(&a, 16) == CUDA_ERROR_INVALID_CONTEXT);
	OK(cuCtxGetCurrent(&none));
	CHECK(!none);
	OK(cuDevicePrimaryCtxRetain(&ctx, 0));
	OK(cuCtxPushCurrent(ctx));
	OK(cuMemAlloc(&a, 16));
	OK(cuCtxPopCurrent(&popped));
	CHECK(popped == ctx);
	CHECK(cuMemFree(a) == CUDA_ERROR_INVALID_CONTEXT);
	OK(cuCtxPushCurrent(ctx));
	OK(cuDevicePrimaryCtxRelease(0));
	CHECK(cuMemAlloc(&a, 16) == CUDA_ERROR_CONTEXT_IS_DESTROYED);
}

static void case_fork(void)
{
	CUdeviceptr a;
	int status;
	pid_t pid;

	begin();
	pid = fork();
	if (!pid)
		_exit(cuMemAlloc(&a, 16) == CUDA_ERROR_NOT_INITIALIZED ? 0 : 1);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status));
}

static bool held;

static void hold(bool on)
{
	__atomic_store_n(&held, on, __ATOMIC_RELEASE);
}

/* Takes a moment, or until hold(false), but a minute at most. */
static void slow(void *arg)
{
	(void)arg;
	usleep(50000);
	for (int i = 0; i < 60000 && __atomic_load_n(&held, __ATOMIC_ACQUIRE); i++)
		usleep(1000);
}

static void case_order(void)
{
	static unsigned int zero, one = 1;
	unsigned int out = 7, pageable = 5;
	CUstream s, t;
	CUdeviceptr a;
	CUevent event;

	begin();
	OK(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
	OK(cuStreamCreate(&t, CU_STREAM_NON_BLOCKING));
	OK(cuEventCreate(&event, 0));
	OK(cuEventQuery(event));
	OK(cuMemAlloc(&a, 4));
	OK(cuMemcpyHtoD(a, &zero, 4));
	hold(true);
	OK(cuLaunchHostFunc(s, slow, NULL));
	OK(cuMemcpyHtoDAsync(a, &one, 4, s));
	OK(cuEventRecord(event, s));
	CHECK(cuEventQuery(event) == CUDA_ERROR_NOT_READY);
	CHECK(cuStreamQuery(s) == CUDA_ERROR_NOT_READY);
	OK(cuStreamQuery(t));
	OK(cuStreamWaitEvent(t, event, 0));
	hold(false);
	OK(cuMemcpyDtoHAsync(&out, a, 4, t)); /* to pageable memory: it waits */
	CHECK(out == 1);
	/* A pageable source has been read when the call returns, though it is not copied yet. */
	hold(true);
	OK(cuLaunchHostFunc(s, slow, NULL));
	OK(cuMemcpyHtoDAsync(a, &pageable, 4, s));
	pageable = 6;
	OK(cuStreamDestroy(s));
	hold(false);
	/* A destroyed stream's work is waited for, too. */
	OK(cuCtxSynchronize());
	OK(cuMemcpyDtoH(&out, a, 4));
	CHECK(out == 5);
	OK(cuEventDestroy(event));
	OK(cuStreamDestroy(t));
}

/* The default stream is in step with blocking streams, and with no others. */
static void case_default_stream(void)
{
	unsigned int out;
	CUstream s, n;
	CUdeviceptr a;

	begin();
	OK(cuStreamCreate(&s, CU_STREAM_DEFAULT));
	OK(cuStreamCreate(&n, CU_STREAM_NON_BLOCKING));
	OK(cuMemAlloc(&a, 4));
	OK(cuMemsetD8(a, 0, 4));
	OK(cuLaunchHostFunc(s, slow, NULL));
	OK(cuMemsetD8Async(a, 1, 4, s));
	OK(cuMemcpyDtoH(&out, a, 4));
	CHECK(out == 0x01010101);
	OK(cuLaunchHostFunc(NULL, slow, NULL));
	OK(cuMemsetD8Async(a, 2, 4, NULL));
	OK(cuMemsetD8Async(a, 3, 4, s));
	OK(cuStreamSynchronize(s));
	OK(cuMemcpyDtoH(&out, a, 4));
	CHECK(out == 0x03030303);
	hold(true);
	OK(cuLaunchHostFunc(n, slow, NULL));
	OK(cuMemsetD8Async(a, 4, 4, n));
	OK(cuMemcpyDtoH(&out, a, 4));
	CHECK(out == 0x03030303);
	hold(false);
	OK(cuStreamSynchronize(n));
}

struct args {
	unsigned int *counter;
	unsigned char tag;
	unsigned long long value;
};

/* Blocks meet: each waits for all, so that it ends only if they run at the same time. */
static void meet(const struct standin_launch *launch)
{
	const struct args *args = launch->args;

	CHECK(launch->args_size == sizeof(*args) && args->tag == 9 && args->value == 1ull << 40);
	CHECK(launch->n_params == 3 && *(unsigned char *)launch->params[1] == 9);
	CHECK(launch->block_index[0] + 4 * launch->block_index[1] == launch->block_linear);
	__atomic_add_fetch(args->counter, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(args->counter, __ATOMIC_SEQ_CST) < launch->blocks)
		usleep(100);
}

static void many(const struct standin_launch *launch)
{
	__atomic_add_fetch(*(unsigned int **)launch->args, 1, __ATOMIC_SEQ_CST);
}

static const char ptx[] = ".version 6.0\n.target sm_60\n.address_size 64\n"
			  "// .entry not_me(\n"
			  ".visible .entry meet_all(.param .u64 counter, .param .u8 tag, // one\n"
			  "	.param .u64 .ptr .global .align 8 value)\n{ ret; }\n"
			  ".visible .entry not_registered() { ret; }\n"
			  ".visible .entry many(.param .align 8 .b8 many_param_0[8]) { ret; }\n";

static void case_kernel(void)
{
	unsigned char tag = 9;
	unsigned long long value = 1ull << 40;
	unsigned int *counter;
	void *params[] = { &counter, &tag, &value };
	size_t size = sizeof(counter);
	void *extra[] = { CU_LAUNCH_PARAM_BUFFER_POINTER, &counter, CU_LAUNCH_PARAM_BUFFER_SIZE,
			  &size, CU_LAUNCH_PARAM_END };
	CUfunction f;
	CUmodule module;

	begin();
	CHECK(!standin_kernel_register("meet*", meet) && !standin_kernel_register("many", many));
	CHECK(!standin_kernel_register("absent", many));
	CHECK(cuModuleLoadData(&module, "\177ELF") == CUDA_ERROR_INVALID_IMAGE);
	OK(cuModuleLoadData(&module, ptx));
	CHECK(cuModuleGetFunction(&f, module, "not_registered") == CUDA_ERROR_NOT_FOUND);
	CHECK(cuModuleGetFunction(&f, module, "absent") == CUDA_ERROR_NOT_FOUND);
	OK(cuMemHostAlloc((void **)&counter, sizeof(*counter), 0));
	*counter = 0;
	OK(cuModuleGetFunction(&f, module, "meet_all"));
	OK(cuLaunchKernel(f, 4, 3, 1, 32, 1, 1, 0, NULL, params, NULL));
	tag = 0; /* arguments are copied at launch */
	OK(cuCtxSynchronize());
	CHECK(*counter == 12);
	OK(cuModuleGetFunction(&f, module, "many"));
	OK(cuLaunchKernel(f, 1000, 1, 1, 32, 1, 1, 0, NULL, NULL, extra));
	OK(cuCtxSynchronize());
	CHECK(*counter == 1012);
	OK(cuModuleUnload(module));
}

static void case_vmm(void)
{
	CUmemAllocationProp prop = { .type = CU_MEM_ALLOCATION_TYPE_PINNED,
				     .requestedHandleTypes =
					     CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
				     .location = { .type = CU_MEM_LOCATION_TYPE_DEVICE } };
	CUmemAccessDesc access = { .location = prop.location,
				   .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE };
	CUmemGenericAllocationHandle handle, other;
	struct standin_usage usage;
	CUdeviceptr at, at2;
	char out[4] = "";
	size_t unit;
	int fd;

	begin();
	OK(cuMemGetAllocationGranularity(&unit, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
	OK(cuMemCreate(&handle, 2 * unit, &prop, 0));
	OK(cuMemAddressReserve(&at, 2 * unit, 0, 0, 0));
	OK(cuMemAddressReserve(&at2, 2 * unit, 0, 0, 0));
	OK(cuMemMap(at, 2 * unit, 0, handle, 0));
	CHECK(cuMemMap(at, 2 * unit, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);
	OK(cuMemSetAccess(at, 2 * unit, &access, 1));
	OK(cuMemExportToShareableHandle(&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
	OK(cuMemImportFromShareableHandle(&other, (void *)(intptr_t)fd,
					  CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
	close(fd);
	OK(cuMemMap(at2, 2 * unit, 0, other, 0));
	OK(cuMemSetAccess(at2, 2 * unit, &access, 1));
	OK(cuMemRelease(handle));
	OK(cuMemRelease(other));
	OK(cuMemcpyHtoD(at + unit, "abc", 4));
	OK(cuMemcpyDtoH(out, at2 + unit, 4));
	CHECK(!strcmp(out, "abc"));
	OK(cuMemUnmap(at, 2 * unit));
	OK(cuMemUnmap(at2, 2 * unit));
	OK(cuMemAddressFree(at, 2 * unit));
	OK(cuMemAddressFree(at2, 2 * unit));
	standin_usage_get(&usage);
	CHECK(!usage.device_bytes && !usage.allocs);
}

/* With a real udmabuf where there is one; else with a memfd in its place. */
static void case_dmabuf(void)
{
	int fd, supported;
	CUdeviceptr a;
	char *map;

	if (access("/dev/udmabuf", R_OK | W_OK))
		setenv("STANDIN_DMABUF", "memfd", 1);
	begin();
	OK(cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED, 0));
	CHECK(supported);
	OK(cuMemAlloc(&a, 3 * 4096));
	OK(cuMemcpyHtoD(a + 8192, "dma", 4));
	CHECK(cuMemGetHandleForAddressRange(&fd, a + 1, 4096, CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD,
					    0) == CUDA_ERROR_INVALID_VALUE);
	CHECK(cuMemGetHandleForAddressRange(&fd, a, 4 * 4096, CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD,
					    0) == CUDA_ERROR_INVALID_VALUE);
	OK(cuMemGetHandleForAddressRange(&fd, a, 3 * 4096, CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD, 0));
	map = mmap(NULL, 3 * 4096, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED && !strcmp(map + 8192, "dma"));
	/* The descriptor keeps the memory. */
	OK(cuMemFree(a));
	CHECK(!strcmp(map + 8192, "dma"));
}

static void case_no_dmabuf(void)
{
	CUdeviceptr a;
	int fd;

	setenv("STANDIN_DMABUF", "off", 1);
	begin();
	OK(cuMemAlloc(&a, 4096));
	OK(cuDeviceGetAttribute(&fd, CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED, 0));
	CHECK(!fd);
	CHECK(cuMemGetHandleForAddressRange(&fd, a, 4096, CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD, 0) ==
	      CUDA_ERROR_NOT_SUPPORTED);
}

static void case_faults(void)
{
	CUdriverProcAddressQueryResult status;
	CUdeviceptr a;
	int version;
	void *f;

	setenv("STANDIN_FAIL", "cuMemAlloc:2=2,cuMemFree=999", 1);
	setenv("STANDIN_DRIVER_VERSION", "11060", 1);
	setenv("STANDIN_MISSING", "cuMemHostAlloc", 1);
	setenv("STANDIN_ATTR", "16=7", 1);
	begin();
	OK(cuMemAlloc(&a, 16));
	CHECK(cuMemAlloc(&a, 16) == CUDA_ERROR_OUT_OF_MEMORY);
	OK(cuMemAlloc(&a, 16));
	CHECK(cuMemFree(a) == CUDA_ERROR_UNKNOWN);
	CHECK(standin_calls("cuMemAlloc") == 3 && standin_calls("cuNever") == 0);
	OK(cuDriverGetVersion(&version));
	CHECK(version == 11060);
	OK(cuDeviceGetAttribute(&version, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0));
	CHECK(version == 7);
	OK(cuGetProcAddress_v2("cuMemHostAlloc", &f, 12000, 0, &status));
	CHECK(!f && status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
	OK(cuGetProcAddress_v2("cuMemGetHandleForAddressRange", &f, 12000, 0, &status));
	CHECK(!f && status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
	OK(cuGetProcAddress_v2("cuLaunchKernelEx", &f, 11000, 0, &status));
	CHECK(!f && status == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
	OK(cuGetProcAddress_v2("cuMemAlloc", &f, 12000, 0, &status));
	CHECK(f == dlsym(RTLD_DEFAULT, "cuMemAlloc_v2"));
}

static void case_no_device(void)
{
	setenv("STANDIN_GPUS", "0", 1);
	CHECK(cuInit(0) == CUDA_ERROR_NO_DEVICE);
}

static void die_use_after_free(void)
{
	CUdeviceptr a;

	begin();
	OK(cuMemAlloc(&a, 16));
	OK(cuMemFree(a));
	*(volatile char *)(uintptr_t)a = 1;
}

static void die_copy_after_free(void)
{
	CUdeviceptr a;
	char c;

	begin();
	OK(cuMemAlloc(&a, 16));
	OK(cuMemFree(a));
	cuMemcpyDtoH(&c, a, 1);
}

static void die_overrun(void)
{
	CUdeviceptr a;

	begin();
	OK(cuMemAlloc(&a, 16));
	cuMemsetD8(a, 0, 17);
}

static void die_double_free(void)
{
	CUdeviceptr a;

	begin();
	OK(cuMemAlloc(&a, 16));
	OK(cuMemFree(a));
	cuMemFree(a);
}

static void die_busy_free(void)
{
	CUdeviceptr a;
	CUstream s;

	begin();
	OK(cuMemAlloc(&a, 16));
	OK(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
	hold(true);
	OK(cuLaunchHostFunc(s, slow, NULL));
	OK(cuMemsetD8Async(a, 0, 16, s));
	cuMemFree(a);
}

static void die_unknown_stream(void)
{
	CUstream s;

	begin();
	OK(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
	OK(cuStreamDestroy(s));
	cuStreamSynchronize(s);
}

static void die_other_context(void)
{
	CUcontext other;
	CUdeviceptr a;
	CUstream s;

	setenv("STANDIN_GPUS", "2", 1);
	begin();
	OK(cuMemAlloc(&a, 16));
	OK(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
	OK(cuDevicePrimaryCtxRetain(&other, 1));
	OK(cuCtxSetCurrent(other));
	cuMemsetD8Async(a, 0, 16, s);
}

static void die_old_name(void)
{
	int (*old)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "cuMemAlloc");

	old();
}

static const struct {
	const char *name;
	void (*run)(void);
	const char *dies; /* with this in its text; NULL: it does not */
} cases[] = {
	{ "memory", case_memory, NULL },
	{ "context", case_context, NULL },
	{ "fork", case_fork, NULL },
	{ "order", case_order, NULL },
	{ "default_stream", case_default_stream, NULL },
	{ "kernel", case_kernel, NULL },
	{ "vmm", case_vmm, NULL },
	{ "dmabuf", case_dmabuf, NULL },
	{ "no_dmabuf", case_no_dmabuf, NULL },
	{ "faults", case_faults, NULL },
	{ "no_device", case_no_device, NULL },
	{ "use_after_free", die_use_after_free, "memory that is freed" },
	{ "copy_after_free", die_copy_after_free, "freed memory" },
	{ "overrun", die_overrun, "reach behind the end" },
	{ "double_free", die_double_free, "freed before" },
	{ "busy_free", die_busy_free, "is queued on them" },
	{ "unknown_stream", die_unknown_stream, "no stream" },
	{ "other_context", die_other_context, "another context" },
	{ "old_name", die_old_name, "32-bit pointers" },
};

/* 0 if the case did what it has to. */
static int run(unsigned int i)
{
	char text[4096];
	size_t n = 0;
	ssize_t got;
	int status, out[2];
	pid_t pid;

	if (pipe(out))
		return 1;
	pid = fork();
	if (!pid) {
		dup2(out[1], STDERR_FILENO);
		close(out[0]);
		close(out[1]);
		alarm(120);
		cases[i].run();
		_exit(0);
	}
	close(out[1]);
	while (n < sizeof(text) - 1 && (got = read(out[0], text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	close(out[0]);
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	if (cases[i].dies ? WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
				    strstr(text, cases[i].dies)
			  : WIFEXITED(status) && !WEXITSTATUS(status)) {
		printf("ok    %s\n", cases[i].name);
		return 0;
	}
	printf("FAIL  %s: status %#x, should have %s%s\n%s", cases[i].name, status,
	       cases[i].dies ? "died with: " : "passed", cases[i].dies ? cases[i].dies : "", text);
	return 1;
}

int main(int argc, char **argv)
{
	unsigned int i;
	int bad = 0, n = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (argc > 1 && strcmp(argv[1], cases[i].name))
			continue;
		n++;
		bad += run(i);
	}
	printf("%d cases, %d failed\n", n, bad);
	return bad || !n;
}
