// SPDX-License-Identifier: BSD-3-Clause
#include "gpu_lib.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "report.h"

static const char *const symbols[] = {
#define X(member, symbol, parameters) symbol,
	GPU_LIB_CALLS(X)
#undef X
};

static int calls_find(void *handle, const char *path, struct gpu_lib *gpu)
{
	void **const calls[] = {
#define X(member, symbol, parameters) (void **)&gpu->member,
		GPU_LIB_CALLS(X)
#undef X
	};

	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		*calls[i] = dlsym(handle, symbols[i]);
		if (!*calls[i]) {
			report_err("%s has no %s: a newer NVIDIA driver is needed", path,
				   symbols[i]);
			return -ENOSYS;
		}
	}
	return 0;
}

int gpu_lib_check(const struct gpu_lib *gpu, int error, const char *what)
{
	const char *name;

	if (!error)
		return 0;
	if (gpu->error_name(error, &name) || !name)
		name = "unknown error";
	report_err("%s: %s (%d)", what, name, error);
	return -EIO;
}

int gpu_lib_open(const char *path, int device, struct gpu_lib *ret)
{
	struct gpu_lib gpu = { 0 };
	int err;

	if (!path)
		path = "libcuda.so.1";
	/* Global, so that NCCL, which opens it by name, gets this one. */
	gpu.handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
	if (!gpu.handle) {
		report_err("no CUDA driver: %s", dlerror());
		return -ENOENT;
	}
	err = calls_find(gpu.handle, path, &gpu);
	if (err)
		goto close_library;
	err = -ENODEV;
	if (gpu_lib_check(&gpu, gpu.init(0), "cuInit") ||
	    gpu_lib_check(&gpu, gpu.device_get(&gpu.device, device), "cuDeviceGet"))
		goto close_library;
	gpu.device_name(gpu.name, sizeof(gpu.name), gpu.device);
	if (gpu_lib_check(&gpu, gpu.ctx_retain(&gpu.ctx, gpu.device), "cuDevicePrimaryCtxRetain") ||
	    gpu_lib_check(&gpu, gpu.ctx_set(gpu.ctx), "cuCtxSetCurrent"))
		goto close_library;
	*ret = gpu;
	return 0;

close_library:
	dlclose(gpu.handle);
	return err;
}

void gpu_lib_close(struct gpu_lib *gpu)
{
	if (gpu->ctx) {
		gpu->ctx_set(NULL);
		gpu->ctx_release(gpu->device);
	}
	memset(gpu, 0, sizeof(*gpu));
}
