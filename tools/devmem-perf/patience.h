/* SPDX-License-Identifier: BSD-3-Clause */
/* A wait that ends: for loops that look at everything again and again, as NCCL's proxy does. */
#ifndef PERF_PATIENCE_H
#define PERF_PATIENCE_H

#include <stdint.h>

/* @timeout_s: seconds without progress that are too many; the rest is zeroed at first. One thread. */
struct patience {
	int timeout_s;
	unsigned int idle;
	int64_t deadline;
};

/*
 * To be called after each look. @moved: what it brought; when that is nothing, yields the processor
 * (sched_yield(), as NCCL src/proxy.cc, ncclProxyProgress()). -ETIMEDOUT, and reported, when nothing
 * has moved for too long.
 */
int patience_spend(struct patience *p, int moved);

#endif
