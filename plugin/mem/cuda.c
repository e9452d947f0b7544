// SPDX-License-Identifier: BSD-3-Clause
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "mem/cuda.h"

#define CUDA_LIBRARY "libcuda.so.1"
/* cuGetProcAddress(), by which a symbol's version is chosen, came with it. */
#define CUDA_OLDEST 11030

typedef cu_result (*get_proc_v1_fn)(const char *symbol, void **ret, int version,
				    unsigned long long flags);
typedef cu_result (*get_proc_v2_fn)(const char *symbol, void **ret, int version,
				    unsigned long long flags, unsigned int *ret_status);

/*
 * Guards all of it. @lib is NULL and @why.err 0 before the first cuda_open(). @was_loaded: somebody had the library open before us.
 * @started: cuInit() has been called. @pid: of the process that opened it.
 */
static struct {
	pthread_mutex_t lock;
	void *lib;
	bool was_loaded;
	bool started;
	pid_t pid;
	struct verdict why;
	struct cuda_api api;
} driver = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct cuda_symbol {
	const char *name;
	int version;
	bool must;
	size_t offset;
};

enum { MAY, MUST };

static const struct cuda_symbol symbols[] = {
#define F(need, name, symbol, version, params) \
	{ #name, version, (need) == MUST, offsetof(struct cuda_api, name) },
	CUDA_FUNCTIONS(F)
#undef F
};

/* Either shape of cuGetProcAddress(): the one with a status came with CUDA 12. */
struct get_proc {
	get_proc_v1_fn v1;
	get_proc_v2_fn v2;
};

static void *find_symbol(const struct get_proc *get, const struct cuda_symbol *sym)
{
	unsigned int status = CU_PROC_FOUND;
	void *p = NULL;
	cu_result r;

	r = get->v2 ? get->v2(sym->name, &p, sym->version, 0, &status)
		    : get->v1(sym->name, &p, sym->version, 0);
	return r == CU_OK && status == CU_PROC_FOUND ? p : NULL;
}

static int resolve(struct verdict *why)
{
	struct get_proc get = { 0 };
	size_t i;

	*(void **)&get.v2 = dlsym(driver.lib, "cuGetProcAddress_v2");
	*(void **)&get.v1 = dlsym(driver.lib, "cuGetProcAddress");
	if (!get.v1 && !get.v2)
		return verdict_set(why, -ENOTSUP, "update the NVIDIA driver",
				   "%s is older than CUDA 11.3 (it has no cuGetProcAddress)",
				   CUDA_LIBRARY);
	for (i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		void *p = find_symbol(&get, &symbols[i]);

		if (!p && symbols[i].must)
			return verdict_set(why, -ENOTSUP, "update the NVIDIA driver",
					   "%s has no %s (CUDA %d.%d)", CUDA_LIBRARY,
					   symbols[i].name, symbols[i].version / 1000,
					   symbols[i].version % 1000 / 10);
		memcpy((char *)&driver.api + symbols[i].offset, &p, sizeof(p));
	}
	return 0;
}

static int init_verdict(cu_result err, struct verdict *why)
{
	const struct cuda_api *cu = &driver.api;

	switch (err) {
	case CU_E_NO_DEVICE:
		return verdict_set(
			why, -ENODEV,
			"see nvidia-smi; CUDA_VISIBLE_DEVICES may hide them, a container must be given them",
			"the CUDA driver finds no GPU");
	case CU_E_STUB_LIBRARY:
		return verdict_set(why, -ENODEV,
				   "keep the toolkit's stubs directory out of the library path",
				   "%s is the toolkit's stub and not a driver", CUDA_LIBRARY);
	case CU_E_SYSTEM_DRIVER_MISMATCH:
		return verdict_set(
			why, -ENODEV, "reload the nvidia kernel module, or start the machine again",
			"%s and the nvidia kernel module are of different versions", CUDA_LIBRARY);
	case CU_E_NOT_INITIALIZED:
		return verdict_set(why, -ENOTSUP, "start workers with spawn or forkserver",
				   "this process was forked from one that uses CUDA");
	default:
		return verdict_set(why, -ENODEV, "see nvidia-smi and dmesg", "cuInit: %s",
				   cuda_error_text(cu, err));
	}
}

static int init(struct verdict *why)
{
	const struct cuda_api *cu = &driver.api;
	int version = 0;
	int n = 0;
	cu_result r;

	r = cu->cuInit(0);
	if (r != CU_OK)
		return init_verdict(r, why);
	driver.started = true;
	r = cu->cuDriverGetVersion(&version);
	if (r == CU_OK && version < CUDA_OLDEST)
		return verdict_set(why, -ENOTSUP, "update the NVIDIA driver",
				   "the driver is of CUDA %d.%d, 11.3 is the oldest that will do",
				   version / 1000, version % 1000 / 10);
	r = cu->cuDeviceGetCount(&n);
	return r == CU_OK && n > 0 ? 0 : init_verdict(r == CU_OK ? CU_E_NO_DEVICE : r, why);
}

static void close_library(void)
{
	if (driver.lib && (driver.was_loaded || !driver.started))
		dlclose(driver.lib);
	driver.lib = NULL;
}

/* Lock held. */
static int open_driver(struct verdict *why)
{
	void *before = dlopen(CUDA_LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
	const char *text;
	int r;

	driver.pid = getpid();
	driver.started = false;
	driver.was_loaded = before != NULL;
	driver.lib = before ? before : dlopen(CUDA_LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!driver.lib) {
		text = dlerror();
		return verdict_set(
			why, -ENODEV,
			"install the NVIDIA driver; a container must be given its libraries",
			"there is no CUDA driver here: %.120s", text ? text : CUDA_LIBRARY);
	}
	r = resolve(why);
	if (r == 0)
		r = init(why);
	if (r < 0)
		close_library();
	return r;
}

const struct cuda_api *cuda_open(struct verdict *why)
{
	const struct cuda_api *ret = NULL;

	pthread_mutex_lock(&driver.lock);
	if (driver.pid && driver.pid != getpid()) {
		verdict_set(why, -ENOTSUP, "start workers with spawn or forkserver",
			    "this process was forked from one that uses the plugin with CUDA");
	} else {
		if (!driver.lib && !driver.why.err)
			open_driver(&driver.why);
		if (driver.why.err)
			*why = driver.why;
		else
			ret = &driver.api;
	}
	pthread_mutex_unlock(&driver.lock);
	return ret;
}

bool cuda_is_forked(void)
{
	return driver.pid && driver.pid != getpid();
}

void cuda_close(void)
{
	if (cuda_is_forked())
		return;
	pthread_mutex_lock(&driver.lock);
	close_library();
	memset(&driver.api, 0, sizeof(driver.api));
	driver.why = (struct verdict){ 0 };
	driver.pid = 0;
	pthread_mutex_unlock(&driver.lock);
}

const char *cuda_error_text(const struct cuda_api *cu, cu_result err)
{
	const char *text = NULL;

	if (cu->cuGetErrorString(err, &text) != CU_OK || !text)
		return "an error that the driver does not know";
	return text;
}

int cuda_errno(cu_result err)
{
	switch (err) {
	case CU_OK:
		return 0;
	case CU_E_OUT_OF_MEMORY:
		return -ENOMEM;
	case CU_E_NOT_SUPPORTED:
		return -ENOTSUP;
	case CU_E_INVALID_VALUE:
		return -EINVAL;
	default:
		return -EIO;
	}
}
