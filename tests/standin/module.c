// SPDX-License-Identifier: BSD-3-Clause
/*
 * Modules. PTX text is not compiled: its entries are looked up, with the parameters they declare, and run
 * as the C functions registered under their names.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

struct CUmod_st {
	unsigned int magic;
	CUcontext ctx;
	char *text;	      /* NULL: unloaded */
	CUfunction functions; /* kept as well */
	CUmodule next;
};

/* All there ever were: their memory is kept after unloading, so that a stale handle can be told. */
static CUmodule modules;

static void module_end(CUmodule module)
{
	CUfunction f;

	for (f = module->functions; f; f = f->next)
		f->module = NULL;
	free(module->text);
	module->text = NULL;
	standin.usage.modules--;
}

void module_end_all(CUcontext ctx)
{
	CUmodule module;

	for (module = modules; module; module = module->next)
		if (module->ctx == ctx && module->text)
			module_end(module);
}

/* With the library what is kept of unloaded modules goes, too. Those still loaded may have kernels running, at exit(). */
__attribute__((destructor)) static void modules_forget(void)
{
	CUmodule *p = &modules;

	while (*p) {
		CUmodule module = *p;

		if (module->text) {
			p = &module->next;
			continue;
		}
		*p = module->next;
		while (module->functions) {
			CUfunction f = module->functions;

			module->functions = f->next;
			free(f->name);
			free(f);
		}
		free(module);
	}
}

static void module_check(CUmodule module, const char *who)
{
	if (!module || module->magic != MAGIC_MODULE || !module->text)
		standin_die("%s: %p is no module, or it is unloaded", who, (void *)module);
}

static CUresult module_load(CUmodule *ret, CUcontext ctx, const void *image)
{
	CUmodule module;

	if (!ret || !image)
		return CUDA_ERROR_INVALID_VALUE;
	/* Text, not a binary for a GPU. */
	if (!strstr(image, ".version") || !strstr(image, ".target"))
		return CUDA_ERROR_INVALID_IMAGE;
	module = calloc(1, sizeof(*module));
	if (!module)
		return CUDA_ERROR_OUT_OF_MEMORY;
	module->magic = MAGIC_MODULE;
	module->ctx = ctx;
	module->text = strdup(image);
	state_lock();
	module->next = modules;
	modules = module;
	standin.usage.modules++;
	state_unlock();
	*ret = module;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuModuleLoadData(CUmodule *ret, const void *image)
{
	ENTER_CTX(ctx);
	return module_load(ret, ctx, image);
}

STANDIN_API CUresult cuModuleLoadDataEx(CUmodule *ret, const void *image, unsigned int n,
					CUjit_option *options, void **values)
{
	unsigned int i;

	ENTER_CTX(ctx);
	/* There is no compiler, so nothing to say in its logs. */
	for (i = 0; i < n; i++)
		if (options[i] == CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES ||
		    options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
			values[i] = NULL;
		else if ((options[i] == CU_JIT_INFO_LOG_BUFFER ||
			  options[i] == CU_JIT_ERROR_LOG_BUFFER) &&
			 values[i])
			*(char *)values[i] = '\0';
	return module_load(ret, ctx, image);
}

STANDIN_API CUresult cuModuleUnload(CUmodule module)
{
	ENTER_CTX(ctx);
	state_lock();
	/* A kernel of it may still run. */
	stream_wait_all(ctx);
	module_check(module, __func__);
	if (module->ctx != ctx)
		standin_die("cuModuleUnload: of another context than the current one");
	module_end(module);
	state_unlock();
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuModuleGetFunction(CUfunction *ret, CUmodule module, const char *name)
{
	CUresult result = CUDA_ERROR_NOT_FOUND;
	const struct kernel *kernel;
	CUfunction function;
	int err;

	ENTER_CTX(ctx);
	(void)ctx;
	kernel = kernel_find(name);
	state_lock();
	module_check(module, __func__);
	for (function = module->functions; function; function = function->next)
		if (!strcmp(function->name, name))
			break;
	if (function) {
		*ret = function;
		result = CUDA_SUCCESS;
		goto out;
	}
	if (!kernel)
		goto out;
	function = calloc(1, sizeof(*function));
	if (!function) {
		result = CUDA_ERROR_OUT_OF_MEMORY;
		goto out;
	}
	err = ptx_entry(module->text, name, function);
	if (err) {
		free(function);
		result = err == -ENOENT ? CUDA_ERROR_NOT_FOUND : CUDA_ERROR_INVALID_PTX;
		goto out;
	}
	function->name = strdup(name);
	function->module = module;
	function->kernel = kernel;
	function->next = module->functions;
	module->functions = function;
	*ret = function;
	result = CUDA_SUCCESS;
out:
	state_unlock();
	return result;
}

STANDIN_API CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute,
					CUfunction function)
{
	ENTER();
	state_lock();
	function_check(function, __func__);
	state_unlock();
	switch (attribute) {
	case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
		*value = 1024;
		break;
	case CU_FUNC_ATTRIBUTE_NUM_REGS:
		*value = 64;
		break;
	case CU_FUNC_ATTRIBUTE_PTX_VERSION:
	case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
		*value = 80;
		break;
	default:
		*value = 0;
	}
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute,
					int value)
{
	ENTER();
	(void)attribute;
	(void)value;
	state_lock();
	function_check(function, __func__);
	state_unlock();
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuFuncGetModule(CUmodule *ret, CUfunction function)
{
	ENTER();
	if (!function->module)
		return CUDA_ERROR_NOT_FOUND;
	*ret = function->module;
	return CUDA_SUCCESS;
}
