/* SPDX-License-Identifier: BSD-3-Clause */
/* One rank's part of the measurement. */
#ifndef PERF_BENCH_H
#define PERF_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "job.h"
#include "perf_options.h"

/*
 * @size, @count: after rounding down to whole elements; @count as nccl-tests show it, all of @size.
 * @time_us: one collective, mean over the iterations, on the slowest rank. @wrong: elements, over all ranks.
 */
struct bench_result {
	size_t size, count;
	double time_us, algbw, busbw; /* GB/s, 1e9 */
	uint64_t wrong;
};

/*
 * Runs size @i of @o on all ranks; @src and @dst have bench_buffer_size() bytes. Every rank gets
 * the same result. Negative errno, reported.
 */
int bench_run(struct job *job, const struct perf_options *o, size_t i, void *src, void *dst,
	      struct bench_result *ret);

/* Bytes that the largest size needs on either side. */
size_t bench_buffer_size(const struct perf_options *o);

#endif
