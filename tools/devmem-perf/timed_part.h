/* SPDX-License-Identifier: BSD-3-Clause */
/* Work that all ranks of a job do at once, timed, and how much of it fills a given time. */
#ifndef PERF_TIMED_PART_H
#define PERF_TIMED_PART_H

#include <stdint.h>

#include "rendezvous.h"

/* @run: this rank's share of @count units, to its end; negative errno, and reported. */
struct timed_work {
	struct rendezvous *rendezvous;
	int nranks;
	int (*run)(void *arg, uint64_t count);
	void *arg;
};

/*
 * @wall_ns: of the slowest rank. @cpu_ns: user and system time (getrusage(2)) of all ranks'
 * processes, all their threads.
 */
struct timed_part {
	int64_t wall_ns, cpu_ns;
};

/* @count units on all ranks at once. *ret is the same on each. Negative errno, and reported. */
int timed_part_run(const struct timed_work *work, uint64_t count, struct timed_part *ret);

/*
 * Runs ever more units until they take a quarter of @seconds; that warms everything up too. *ret is
 * how many fill @seconds, @most at most; the same on every rank. Errors as above.
 */
int timed_part_calibrate(const struct timed_work *work, double seconds, uint64_t most,
			 uint64_t *ret);

#endif
