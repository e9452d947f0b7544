// SPDX-License-Identifier: BSD-3-Clause
#include <pthread.h>
#include <string.h>

#include "algo.h"
#include "wait.h"

/* Groups of a block: NCCL_MAX_GROUPS. */
#define GROUPS 16
#define STACK  (256u << 10)

/* Bytes that chunks are counted in (ncclProtoGrainSize()). */
static size_t grain_size(int proto)
{
	return proto == NCCL_LL ? 16 : 512;
}

void algo_part_get(const struct emul_block *block, const struct emul_fn *fn,
		   const struct emul_work_coll *work, struct algo_part *ret)
{
	const size_t per_grain = grain_size(fn->proto) / elem_size(fn->type);
	const uint32_t channel = (uint32_t)block->channel;
	/* None in the middle when there are two channels, "-1" and a count of 0 when there is one. */
	const size_t mids =
		work->channel_hi > work->channel_lo ? work->channel_hi - work->channel_lo - 1 : 0;

	if (channel < work->channel_lo || channel > work->channel_hi)
		emul_die("a work of channels %u to %u on channel %u", work->channel_lo,
			 work->channel_hi, channel);
	ret->total = work->count_lo + mids * work->count_mid + work->count_hi;
	if (channel == work->channel_lo) {
		ret->offset = 0;
		ret->count = work->count_lo;
		ret->chunk = work->grains_lo * per_grain;
	} else if (channel == work->channel_hi) {
		ret->offset = work->count_lo + mids * work->count_mid;
		ret->count = work->count_hi;
		ret->chunk = work->grains_hi * per_grain;
	} else {
		ret->offset = work->count_lo + (channel - work->channel_lo - 1) * work->count_mid;
		ret->count = work->count_mid;
		ret->chunk = work->grains_mid * per_grain;
	}
}

void algo_part_check(const struct algo_part *part)
{
	if (part->count && !part->chunk)
		emul_die("a work of %zu elements in chunks of 0", part->count);
}

struct elem_op algo_op(const struct emul_fn *fn, const struct emul_work_coll *work)
{
	struct elem_op op = { fn->op, fn->type, work->red_arg };

	if (work->red_arg_is_ptr)
		op.arg = elem_arg_load(&op, (const void *)(uintptr_t)work->red_arg);
	return op;
}

struct job {
	void (*fn)(void *);
	void *arg;
	pthread_t thread;
};

static void *job_run(void *arg)
{
	struct job *job = arg;

	job->fn(job->arg);
	return NULL;
}

void algo_parallel(unsigned int n, void (*fn)(void *), void *args[])
{
	struct job jobs[GROUPS];
	pthread_attr_t attr;
	int err;

	if (!n)
		return;
	if (n > GROUPS)
		emul_die("%u groups in a block; there are %d barriers", n, GROUPS);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (unsigned int i = 0; i + 1 < n; i++) {
		jobs[i].fn = fn;
		jobs[i].arg = args[i];
		err = pthread_create(&jobs[i].thread, &attr, job_run, &jobs[i]);
		if (err)
			emul_die("no thread for a group: %s", strerror(err));
	}
	pthread_attr_destroy(&attr);
	fn(args[n - 1]);
	for (unsigned int i = 0; i + 1 < n; i++)
		pthread_join(jobs[i].thread, NULL);
}
