/* SPDX-License-Identifier: BSD-3-Clause */
/* What this process holds at a moment. */
#ifndef PERF_PROCESS_USAGE_H
#define PERF_PROCESS_USAGE_H

#include <stdint.h>

/*
 * @heap: bytes in use in malloc()'s hands (mallinfo2(3); 0 with a libc or sanitizer that does not
 * tell). @rss: resident bytes (proc(5), statm). @fds: open descriptors. @threads: -1 when not known.
 */
struct process_usage {
	int64_t heap, rss;
	int fds, threads;
};

/* Cannot fail: what cannot be read is 0 or -1. */
void process_usage_take(struct process_usage *ret);

/* How many descriptors this process may have; raises the limit to the hard one first. */
int process_usage_max_fds(void);

#endif
