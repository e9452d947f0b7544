// SPDX-License-Identifier: BSD-3-Clause
/* Launches: the blocks of a grid on threads, so that blocks that wait for each other can. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

struct launch_op {
	struct op op;
	CUfunction function;
	struct standin_launch launch;
	void *params[PARAMS_MAX];
	void *scratch;
	pthread_mutex_t lock;
	unsigned int next; /* block that has not begun */
	unsigned char *args;
};

static void *blocks_run(void *arg)
{
	struct launch_op *op = arg;
	struct standin_launch one = op->launch;

	for (;;) {
		unsigned int block;

		pthread_mutex_lock(&op->lock);
		block = op->next++;
		pthread_mutex_unlock(&op->lock);
		if (block >= one.blocks)
			return NULL;
		one.block_linear = block;
		one.block_index[0] = block % one.grid[0];
		one.block_index[1] = block / one.grid[0] % one.grid[1];
		one.block_index[2] = block / one.grid[0] / one.grid[1];
		op->function->kernel->run(&one);
	}
}

static void launch_run(struct op *base)
{
	struct launch_op *op = (struct launch_op *)base;
	pthread_t thread[STANDIN_CONCURRENT_BLOCKS];
	unsigned int threads = op->launch.blocks, i;

	if (threads > STANDIN_CONCURRENT_BLOCKS)
		threads = STANDIN_CONCURRENT_BLOCKS;
	/* The stream's own thread is one of them. */
	for (i = 1; i < threads; i++)
		if (pthread_create(&thread[i], NULL, blocks_run, op))
			standin_die("no thread for block %u of %s", i, op->launch.name);
	blocks_run(op);
	for (i = 1; i < threads; i++)
		pthread_join(thread[i], NULL);
	if (op->function->kernel->end)
		op->function->kernel->end(&op->launch);
}

static void launch_end(struct op *base)
{
	struct launch_op *op = (struct launch_op *)base;

	pthread_mutex_destroy(&op->lock);
	free(op->args);
}

/* The arguments, out of either form. */
static CUresult args_take(struct launch_op *op, void **params, void **extra)
{
	const CUfunction f = op->function;
	const void *buffer = NULL;
	size_t size = 0;
	int i;

	if (params && extra)
		return CUDA_ERROR_INVALID_VALUE;
	for (; extra && *extra != CU_LAUNCH_PARAM_END; extra += 2) {
		if (extra[0] == CU_LAUNCH_PARAM_BUFFER_POINTER)
			buffer = extra[1];
		else if (extra[0] == CU_LAUNCH_PARAM_BUFFER_SIZE)
			size = *(size_t *)extra[1];
		else
			return CUDA_ERROR_INVALID_VALUE;
	}
	if (!buffer) {
		if (f->n_params < 0)
			standin_die(
				"%s: launched with kernelParams, but its parameters are not known: no module has it",
				f->name);
		if (f->n_params && !params)
			standin_die("%s: launched without its %d arguments", f->name, f->n_params);
		size = f->args_size;
	} else if (f->n_params >= 0 && size < f->args_size) {
		standin_die("%s: launched with %zu bytes of arguments, it has %zu", f->name, size,
			    f->args_size);
	}
	if (posix_memalign((void **)&op->args, 64, size ? size : 1))
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (buffer) {
		memcpy(op->args, buffer, size);
	} else {
		for (i = 0; i < f->n_params; i++) {
			memcpy(op->args + f->param[i].offset, params[i], f->param[i].size);
			op->params[i] = op->args + f->param[i].offset;
		}
		op->launch.params = op->params;
		op->launch.n_params = (unsigned int)f->n_params;
	}
	op->launch.args = op->args;
	op->launch.args_size = size;
	return CUDA_SUCCESS;
}

/* @starts: an event to record when the kernel begins. */
static CUresult launch(CUcontext ctx, CUfunction f, const unsigned int *grid,
		       const unsigned int *block, unsigned int shared, CUstream handle,
		       void **params, void **extra, CUevent starts, const char *who)
{
	struct launch_op *op;
	CUstream stream;
	CUresult result;

	if (!grid[0] || !grid[1] || !grid[2] || !block[0] || !block[1] || !block[2] ||
	    (size_t)block[0] * block[1] * block[2] > 1024)
		return CUDA_ERROR_INVALID_VALUE;
	op = calloc(1, sizeof(*op));
	if (!op)
		return CUDA_ERROR_OUT_OF_MEMORY;
	state_lock();
	function_check(f, who);
	op->function = f;
	op->launch = (struct standin_launch){ .name = f->name,
					      .grid = { grid[0], grid[1], grid[2] },
					      .block = { block[0], block[1], block[2] },
					      .blocks = grid[0] * grid[1] * grid[2],
					      .shared_bytes = shared,
					      .stream = handle,
					      .launch_id = standin.usage.launches + 1,
					      .scratch = &op->scratch };
	op->op.run = launch_run;
	op->op.end = launch_end;
	pthread_mutex_init(&op->lock, NULL);
	result = args_take(op, params, extra);
	if (result == CUDA_SUCCESS)
		result = stream_get(handle, ctx, who, &stream);
	if (result == CUDA_SUCCESS && starts)
		result = event_record(starts, stream, who);
	if (result == CUDA_SUCCESS) {
		standin.usage.launches++;
		stream_submit(stream, &op->op);
	} else {
		launch_end(&op->op);
		free(op);
	}
	state_unlock();
	return result;
}

STANDIN_API CUresult cuLaunchKernel(CUfunction f, unsigned int gx, unsigned int gy, unsigned int gz,
				    unsigned int bx, unsigned int by, unsigned int bz,
				    unsigned int shared, CUstream stream, void **params,
				    void **extra)
{
	const unsigned int grid[3] = { gx, gy, gz }, block[3] = { bx, by, bz };

	ENTER_CTX(ctx);
	return launch(ctx, f, grid, block, shared, stream, params, extra, NULL, __func__);
}

STANDIN_API CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction f, void **params,
				      void **extra)
{
	const unsigned int grid[3] = { config->gridDimX, config->gridDimY, config->gridDimZ };
	const unsigned int block[3] = { config->blockDimX, config->blockDimY, config->blockDimZ };
	CUevent starts = NULL;
	unsigned int i;

	ENTER_CTX(ctx);
	for (i = 0; i < config->numAttrs; i++) {
		const CUlaunchAttribute *attribute = &config->attrs[i];

		switch ((int)attribute->id) {
		case CU_LAUNCH_ATTRIBUTE_IGNORE:
		case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
		case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
		case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
		case CU_LAUNCH_ATTRIBUTE_PRIORITY:
		case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
		case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
			break;
		case 12: /* CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT: all blocks have begun */
			starts = attribute->value.launchCompletionEvent.event;
			break;
		default:
			standin_die("cuLaunchKernelEx: attribute %d is not modelled",
				    attribute->id);
		}
	}
	return launch(ctx, f, grid, block, config->sharedMemBytes, config->hStream, params, extra,
		      starts, __func__);
}
