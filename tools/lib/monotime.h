/* SPDX-License-Identifier: BSD-3-Clause */
/* Monotonic time and deadlines, in nanoseconds (clock_gettime(2), CLOCK_MONOTONIC). */
#ifndef PERF_MONOTIME_H
#define PERF_MONOTIME_H

#include <stdint.h>
#include <time.h>

#define NSEC_PER_SEC  1000000000LL
#define NSEC_PER_MSEC 1000000LL

static inline int64_t monotime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* Milliseconds until @deadline_ns, rounded up, never negative: poll()'s unit. */
static inline int monotime_left_ms(int64_t deadline_ns)
{
	int64_t left = deadline_ns - monotime_ns();

	if (left <= 0)
		return 0;
	left = (left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
	return left > 60000 ? 60000 : (int)left;
}

#endif
