// SPDX-License-Identifier: BSD-3-Clause
/*
 * Kernels as the compiler's start-up code registers them: a host function's address stands for a name. Their
 * GPU code is not looked at; what runs is the C function that is registered with the stand-in under the name.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cudart.h"
#include "standin.h"

static struct symbol {
	const void *host;
	const char *name; /* the object's own */
} * symbols;
static size_t n_symbols, room;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

RT_API void **__cudaRegisterFatBinary(void *binary);
RT_API void **__cudaRegisterFatBinary(void *binary)
{
	void **handle = malloc(sizeof(*handle));

	if (!handle)
		standin_die("no memory for a kernel image");
	*handle = binary;
	return handle;
}

RT_API void __cudaRegisterFatBinaryEnd(void **handle);
RT_API void __cudaRegisterFatBinaryEnd(void **handle)
{
	(void)handle;
}

RT_API void __cudaUnregisterFatBinary(void **handle);
RT_API void __cudaUnregisterFatBinary(void **handle)
{
	free(handle);
}

RT_API char __cudaInitModule(void **handle);
RT_API char __cudaInitModule(void **handle)
{
	(void)handle;
	return 1;
}

RT_API void __cudaRegisterFunction(void **handle, const void *host, char *device, const char *name,
				   int limit, void *a, void *b, void *c, void *d, int *e);
RT_API void __cudaRegisterFunction(void **handle, const void *host, char *device, const char *name,
				   int limit, void *a, void *b, void *c, void *d, int *e)
{
	(void)handle, (void)device, (void)limit;
	(void)a, (void)b, (void)c, (void)d, (void)e;
	pthread_mutex_lock(&lock);
	if (n_symbols == room) {
		room = room ? 2 * room : 64;
		symbols = realloc(symbols, room * sizeof(*symbols));
		if (!symbols)
			standin_die("no memory for %zu kernel names", room);
	}
	symbols[n_symbols++] = (struct symbol){ .host = host, .name = name };
	pthread_mutex_unlock(&lock);
}

RT_API void __cudaRegisterVar(void **handle, char *host, char *device, const char *name, int ext,
			      size_t size, int constant, int global);
RT_API void __cudaRegisterVar(void **handle, char *host, char *device, const char *name, int ext,
			      size_t size, int constant, int global)
{
	(void)handle, (void)host, (void)device, (void)name, (void)ext, (void)size, (void)constant,
		(void)global;
}

static const char *symbol_name(const void *host)
{
	const char *name = NULL;
	size_t i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < n_symbols && !name; i++)
		if (symbols[i].host == host)
			name = symbols[i].name;
	pthread_mutex_unlock(&lock);
	return name;
}

RT(cudaGetFuncBySymbol, CUfunction *ret, const void *host)
{
	const char *name = symbol_name(host);

	if (rt_enter() != CUDA_SUCCESS || !name)
		return rt_leave((CUresult)98); /* cudaErrorInvalidDeviceFunction */
	*ret = standin_function_get(name);
	if (*ret)
		return CUDA_SUCCESS;
	fprintf(stderr, "standin: no emulation is registered for kernel %s (STANDIN_KERNELS)\n",
		name);
	return rt_leave((CUresult)98);
}

/* The head of struct cudaFuncAttributes. */
struct function_attributes {
	size_t shared_size, const_size, local_size;
	int max_threads, registers, ptx_version, binary_version, cache_mode, max_dynamic_shared;
};

RT(cudaFuncGetAttributes, struct function_attributes *ret, const void *host)
{
	if (!symbol_name(host))
		return rt_leave((CUresult)98);
	*ret = (struct function_attributes){ .max_threads = 1024,
					     .registers = 64,
					     .ptx_version = 80,
					     .binary_version = 80,
					     .max_dynamic_shared = 49152 };
	return CUDA_SUCCESS;
}

RT(cudaFuncSetAttribute, const void *host, int attribute, int value)
{
	(void)attribute, (void)value;
	return rt_leave(symbol_name(host) ? CUDA_SUCCESS : (CUresult)98);
}

/* Launches with <<<>>>: NCCL does so for communicators of one rank alone, whose kernel is not emulated. */
struct dim3 {
	unsigned int x, y, z;
};

RT(cudaLaunchKernel, const void *host, struct dim3 grid, struct dim3 block, void **args,
   size_t shared, CUstream stream)
{
	const char *name = symbol_name(host);

	(void)grid, (void)block, (void)args, (void)shared, (void)stream;
	standin_die("cudaLaunchKernel of %s: its parameters are not known", name ? name : "?");
}

RT(__cudaPopCallConfiguration, struct dim3 *grid, struct dim3 *block, size_t *shared, void *stream)
{
	(void)grid, (void)block, (void)shared, (void)stream;
	standin_die("a launch with <<<>>> is not modelled");
}
