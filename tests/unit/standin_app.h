/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The application around the plugin, on the stand-in for the CUDA driver: it has the library open and a context of its own, as NCCL has. Included
 * by tests with "unit-standin: yes".
 */
#ifndef STANDIN_APP_H
#define STANDIN_APP_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"
#include "../standin/standin.h"
#include "mem/cuda.h"

#ifdef __SANITIZE_ADDRESS__
/*
 * The stand-in keeps ended modules, to know them when they are used again, and what an ended context held. What the plugin keeps is found by
 * assert_usage_equal().
 */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:cuModuleLoadData\nleak:cuModuleGetFunction\nleak:cuEventCreate\n";
}
#endif

/* The application's own table. */
static struct cuda_api app;
static void *app_lib;
static cu_context app_ctx;
static void (*app_usage_get)(struct standin_usage *);
static unsigned long (*app_calls)(const char *);
static int (*app_kernel_register)(const char *, void (*)(const struct standin_launch *));

static bool app_has_standin(void)
{
	if (getenv("DEVMEM_TEST_STANDIN"))
		return true;
	printf("the stand-in for the CUDA driver was not built (no cuda.h)\n");
	return false;
}

/* Without a context. */
static void app_open(void)
{
	app_lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	assert_non_null(app_lib);
#define F(need, name, symbol, version, params) *(void **)&app.name = dlsym(app_lib, #symbol);
	CUDA_FUNCTIONS(F)
#undef F
	*(void **)&app_usage_get = dlsym(app_lib, "standin_usage_get");
	*(void **)&app_calls = dlsym(app_lib, "standin_calls");
	*(void **)&app_kernel_register = dlsym(app_lib, "standin_kernel_register");
	assert_non_null(app_usage_get);
	assert_int_equal(app.cuInit(0), CU_OK);
}

/* The primary context of device 0 is current in this thread, as PyTorch's cudaSetDevice() makes it. */
static void app_begin(void)
{
	app_open();
	assert_int_equal(app.cuDevicePrimaryCtxRetain(&app_ctx, 0), CU_OK);
	assert_int_equal(app.cuCtxPushCurrent(app_ctx), CU_OK);
}

static struct standin_usage app_usage(void)
{
	struct standin_usage u;

	app_usage_get(&u);
	return u;
}

#define assert_usage_equal(a, b)                                      \
	do {                                                          \
		assert_int_equal((a).device_bytes, (b).device_bytes); \
		assert_int_equal((a).host_bytes, (b).host_bytes);     \
		assert_int_equal((a).allocs, (b).allocs);             \
		assert_int_equal((a).streams, (b).streams);           \
		assert_int_equal((a).events, (b).events);             \
		assert_int_equal((a).contexts, (b).contexts);         \
	} while (0)

#endif
