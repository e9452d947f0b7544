// SPDX-License-Identifier: BSD-3-Clause
#include "bench.h"

#include <errno.h>
#include <stdlib.h>

#include "collective.h"
#include "monotime.h"
#include "test_pattern.h"

/* What a rank tells the others. */
struct rank_result {
	int64_t time_ns;
	uint64_t wrong;
};

/* Elements in the collective's own counting (collective.h), and of both buffers. */
struct extent {
	size_t count, src, dst;
};

static struct extent bench_extent(const struct perf_options *o, size_t size)
{
	size_t elements = size / data_type_size(o->type);
	size_t n = (size_t)o->job.nranks;
	struct extent e;

	switch (o->kind) {
	case COLL_ALL_GATHER:
		e.count = elements / n;
		e.src = e.count;
		e.dst = e.count * n;
		break;
	case COLL_REDUCE_SCATTER:
		e.count = elements / n;
		e.src = e.count * n;
		e.dst = e.count;
		break;
	default:
		e.count = elements;
		e.src = elements;
		e.dst = elements;
		break;
	}
	return e;
}

size_t bench_buffer_size(const struct perf_options *o)
{
	size_t most = 1;

	for (size_t i = 0; i < o->nsizes; i++)
		if (o->sizes[i] > most)
			most = o->sizes[i];
	return most;
}

/* A checked run before the timed ones, and a look at the result of the last timed one after. */
static int bench_rank(struct job *job, const struct perf_options *o, const struct extent *e,
		      uint32_t seed, void *src, void *dst, struct rank_result *ret)
{
	const struct collective coll = {
		.kind = o->kind,
		.type = o->type,
		.count = e->count,
		.src = src,
		.dst = dst,
		.hollow = o->hollow,
	};
	int64_t start;
	int err;

	ret->wrong = 0;
	if (o->check) {
		test_pattern_fill(src, o->type, job->rank, 0, e->src, seed);
		test_pattern_poison(dst, e->dst * data_type_size(o->type));
		err = collective_run(job->ring, &coll);
		if (err)
			return err;
		ret->wrong = test_pattern_wrong(o->kind, o->type, job->rank, job->nranks, e->count,
						seed, dst);
	}
	for (int i = 0; i < o->warmup; i++) {
		err = collective_run(job->ring, &coll);
		if (err)
			return err;
	}
	err = rendezvous_barrier(job->rendezvous);
	if (err)
		return err;
	start = monotime_ns();
	for (int i = 0; i < o->iters; i++) {
		err = collective_run(job->ring, &coll);
		if (err)
			return err;
	}
	ret->time_ns = monotime_ns() - start;
	if (o->check)
		ret->wrong += test_pattern_wrong(o->kind, o->type, job->rank, job->nranks, e->count,
						 seed, dst);
	return 0;
}

int bench_run(struct job *job, const struct perf_options *o, size_t i, void *src, void *dst,
	      struct bench_result *ret)
{
	struct extent e = bench_extent(o, o->sizes[i]);
	struct rank_result mine = { 0 }, *all;
	struct bench_result result = { 0 };
	int64_t slowest = 1;
	int err;

	all = calloc((size_t)job->nranks, sizeof(*all));
	if (!all)
		return -ENOMEM;
	/* Another seed for each size, so that data left over from the last one is wrong. */
	err = bench_rank(job, o, &e, (uint32_t)i + 1, src, dst, &mine);
	if (!err)
		err = rendezvous_all_gather(job->rendezvous, &mine, sizeof(mine), all);
	if (err)
		goto free_all;
	for (int r = 0; r < job->nranks; r++) {
		if (all[r].time_ns > slowest)
			slowest = all[r].time_ns;
		result.wrong += all[r].wrong;
	}
	result.count = e.src > e.dst ? e.src : e.dst;
	result.size = result.count * data_type_size(o->type);
	result.time_us = (double)slowest / o->iters / 1e3;
	result.algbw = (double)result.size / (result.time_us * 1e3);
	result.busbw = result.algbw * collective_bus_factor(o->kind, job->nranks);
	*ret = result;
free_all:
	free(all);
	return err;
}
