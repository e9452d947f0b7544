// SPDX-License-Identifier: BSD-3-Clause
/* The one state, cuInit(), and what every call passes through. */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "state.h"

struct state standin = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.progress = PTHREAD_COND_INITIALIZER,
};

#define CALLS_MAX 512

static struct {
	char name[48];
	unsigned long calls;
} counts[CALLS_MAX];
static pthread_mutex_t counts_lock = PTHREAD_MUTEX_INITIALIZER;

void standin_die(const char *format, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	fprintf(stderr, "standin: process %d, thread %ld: %s\n", (int)getpid(), syscall(SYS_gettid),
		text);
	fflush(stderr);
	abort();
}

/* The number of this call of @name, from 1. */
static unsigned long call_count(const char *name, bool add)
{
	unsigned long nth = 0;
	unsigned int hash = 5381, i;
	const char *c;

	for (c = name; *c; c++)
		hash = hash * 33 + (unsigned char)*c;
	pthread_mutex_lock(&counts_lock);
	for (i = 0; i < CALLS_MAX; i++) {
		unsigned int at = (hash + i) % CALLS_MAX;

		if (!counts[at].name[0]) {
			if (!add)
				break;
			snprintf(counts[at].name, sizeof(counts[at].name), "%s", name);
		}
		if (strcmp(counts[at].name, name))
			continue;
		nth = add ? ++counts[at].calls : counts[at].calls;
		break;
	}
	pthread_mutex_unlock(&counts_lock);
	return nth;
}

unsigned long standin_calls(const char *name)
{
	return call_count(name, false);
}

CUresult call_enter_uninitialised(const char *function)
{
	char name[48];

	name_plain(function, name, sizeof(name));
	if (standin.trace)
		fprintf(stderr, "standin: %ld %s\n", syscall(SYS_gettid), name);
	return env_fail(name, call_count(name, true));
}

CUresult call_enter(const char *function)
{
	/* A child of a process that uses CUDA has no CUDA (cuInit() there fails, too). */
	if (!standin.ready || standin.pid != getpid())
		return CUDA_ERROR_NOT_INITIALIZED;
	return call_enter_uninitialised(function);
}

static struct sigaction segv_before;

static void segv(int signal, siginfo_t *info, void *ucontext)
{
	uintptr_t at = (uintptr_t)info->si_addr;

	if (arena_has(at)) {
		struct range *range;

		/* The process ends here, so a lock that another thread holds is no reason to stay silent. */
		(void)pthread_mutex_trylock(&standin.lock);
		range = range_find(at);
		standin_die("access to %#lx: %s", at,
			    !range	     ? "memory that is freed, or not mapped"
			    : !range->access ? "mapped, but cuMemSetAccess() was not called"
			    : at >= range->start + range->size ? "behind the end of an allocation"
							       : "not accessible");
	}
	if (segv_before.sa_flags & SA_SIGINFO && segv_before.sa_sigaction) {
		segv_before.sa_sigaction(signal, info, ucontext);
		return;
	}
	/* Back to what it was; the access faults again. */
	sigaction(SIGSEGV, &segv_before, NULL);
}

static void segv_catch(void)
{
	struct sigaction action = { .sa_sigaction = segv, .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, &segv_before);
}

/* Libraries whose constructors call standin_kernel_register(). Without the lock: they call back. */
static void kernels_load(void)
{
	const char *list = getenv("STANDIN_KERNELS");
	char *copy, *word, *save = NULL;

	if (!list || !*list)
		return;
	copy = strdup(list);
	for (word = strtok_r(copy, ":", &save); word; word = strtok_r(NULL, ":", &save))
		if (!dlopen(word, RTLD_NOW | RTLD_LOCAL))
			standin_die("STANDIN_KERNELS: %s", dlerror());
	free(copy);
}

STANDIN_API CUresult cuInit(unsigned int flags)
{
	bool first = false;
	CUresult result;

	state_lock();
	if (!standin.ready) {
		env_read();
		if (standin.n_devices > 0) {
			arena_init();
			segv_catch();
		}
		first = true;
	}
	state_unlock();
	result = call_enter_uninitialised(__func__);
	if (result != CUDA_SUCCESS)
		return result;
	if (flags)
		return CUDA_ERROR_INVALID_VALUE;
	if (standin.ready && standin.pid != getpid())
		return CUDA_ERROR_NOT_INITIALIZED;
	if (standin.n_devices == 0)
		return CUDA_ERROR_NO_DEVICE;
	if (first) {
		kernels_load();
		state_lock();
		standin.pid = getpid();
		standin.ready = true;
		state_unlock();
	}
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuDriverGetVersion(int *version)
{
	CUresult result;

	/* It may be asked before cuInit(). */
	state_lock();
	if (!standin.ready && !standin.version)
		env_read();
	state_unlock();
	result = call_enter_uninitialised(__func__);
	if (result != CUDA_SUCCESS)
		return result;
	if (!version)
		return CUDA_ERROR_INVALID_VALUE;
	*version = standin.version;
	return CUDA_SUCCESS;
}

void standin_usage_get(struct standin_usage *ret)
{
	state_lock();
	*ret = standin.usage;
	state_unlock();
}

#define ERRORS(E)                                                                                  \
	E(SUCCESS, "no error")                                                                     \
	E(ERROR_INVALID_VALUE, "invalid argument")                                                 \
	E(ERROR_OUT_OF_MEMORY, "out of memory")                                                    \
	E(ERROR_NOT_INITIALIZED, "initialization error")                                           \
	E(ERROR_DEINITIALIZED, "driver shutting down")                                             \
	E(ERROR_NO_DEVICE, "no CUDA-capable device is detected")                                   \
	E(ERROR_INVALID_DEVICE, "invalid device ordinal")                                          \
	E(ERROR_INVALID_IMAGE, "device kernel image is invalid")                                   \
	E(ERROR_INVALID_CONTEXT, "invalid device context")                                         \
	E(ERROR_MAP_FAILED, "mapping of buffer object failed")                                     \
	E(ERROR_ALREADY_MAPPED, "resource already mapped")                                         \
	E(ERROR_NO_BINARY_FOR_GPU, "no kernel image is available for execution on the device")     \
	E(ERROR_NOT_MAPPED, "resource not mapped")                                                 \
	E(ERROR_UNSUPPORTED_LIMIT, "limit is not supported on this architecture")                  \
	E(ERROR_INVALID_PTX, "a PTX JIT compilation failed")                                       \
	E(ERROR_UNSUPPORTED_PTX_VERSION,                                                           \
	  "the provided PTX was compiled with an unsupported toolchain.")                          \
	E(ERROR_INVALID_HANDLE, "invalid resource handle")                                         \
	E(ERROR_NOT_FOUND, "named symbol not found")                                               \
	E(ERROR_NOT_READY, "device not ready")                                                     \
	E(ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered")                       \
	E(ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch")                \
	E(ERROR_PEER_ACCESS_UNSUPPORTED, "peer access is not supported between these two devices") \
	E(ERROR_CONTEXT_IS_DESTROYED, "context is destroyed")                                      \
	E(ERROR_HOST_MEMORY_ALREADY_REGISTERED,                                                    \
	  "part or all of the requested memory range is already mapped")                           \
	E(ERROR_HOST_MEMORY_NOT_REGISTERED,                                                        \
	  "pointer does not correspond to a registered memory region")                             \
	E(ERROR_LAUNCH_FAILED, "unspecified launch failure")                                       \
	E(ERROR_NOT_PERMITTED, "operation not permitted")                                          \
	E(ERROR_NOT_SUPPORTED, "operation not supported")                                          \
	E(ERROR_SYSTEM_DRIVER_MISMATCH,                                                            \
	  "system has unsupported display driver / cuda driver combination")                       \
	E(ERROR_UNKNOWN, "unknown error")

static const struct {
	CUresult result;
	const char *name, *text;
} errors[] = {
#define E(name, text) { CUDA_##name, "CUDA_" #name, text },
	ERRORS(E)
#undef E
};

STANDIN_API CUresult cuGetErrorName(CUresult error, const char **ret)
{
	size_t i;

	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].result == error) {
			*ret = errors[i].name;
			return CUDA_SUCCESS;
		}
	*ret = NULL;
	return CUDA_ERROR_INVALID_VALUE;
}

STANDIN_API CUresult cuGetErrorString(CUresult error, const char **ret)
{
	size_t i;

	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].result == error) {
			*ret = errors[i].text;
			return CUDA_SUCCESS;
		}
	*ret = NULL;
	return CUDA_ERROR_INVALID_VALUE;
}
