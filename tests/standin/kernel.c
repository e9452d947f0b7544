// SPDX-License-Identifier: BSD-3-Clause
/* Registered kernels, and functions that no module holds. */
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

#define KERNELS_MAX 128

static pthread_mutex_t kernels_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kernel kernels[KERNELS_MAX];
static int n_kernels;
static CUfunction functions;

int standin_kernel_register_end(const char *name, void (*run)(const struct standin_launch *),
				void (*end)(const struct standin_launch *))
{
	char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	pthread_mutex_lock(&kernels_lock);
	if (n_kernels == KERNELS_MAX)
		standin_die("more than %d kernels registered", KERNELS_MAX);
	kernels[n_kernels++] = (struct kernel){ .pattern = copy, .run = run, .end = end };
	pthread_mutex_unlock(&kernels_lock);
	return 0;
}

int standin_kernel_register(const char *name, void (*run)(const struct standin_launch *))
{
	return standin_kernel_register_end(name, run, NULL);
}

const struct kernel *kernel_find(const char *name)
{
	const struct kernel *found = NULL;
	int i;

	pthread_mutex_lock(&kernels_lock);
	for (i = 0; i < n_kernels; i++) {
		if (!strcmp(kernels[i].pattern, name)) {
			found = &kernels[i];
			break;
		}
		if (!found && !fnmatch(kernels[i].pattern, name, 0))
			found = &kernels[i];
	}
	pthread_mutex_unlock(&kernels_lock);
	return found;
}

void *standin_function_get(const char *name)
{
	const struct kernel *kernel = kernel_find(name);
	CUfunction function = NULL;

	if (!kernel)
		return NULL;
	state_lock();
	for (function = functions; function && strcmp(function->name, name);)
		function = function->next;
	if (!function)
		function = calloc(1, sizeof(*function));
	if (function && !function->name) {
		function->name = strdup(name);
		function->kernel = kernel;
		function->n_params = -1;
		function->next = functions;
		functions = function;
	}
	state_unlock();
	return function;
}

/* Functions of modules are checked through their module, which keeps its magic after unloading. */
void function_check(CUfunction function, const char *who)
{
	CUfunction f;

	for (f = functions; f; f = f->next)
		if (f == function)
			return;
	if (!function)
		standin_die("%s: no function", who);
	if (!function->module)
		standin_die("%s: %p is a function of a module that is unloaded", who,
			    (void *)function);
}
