// SPDX-License-Identifier: BSD-3-Clause
#include "timed_part.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "monotime.h"

static int64_t cpu_ns(void)
{
	struct rusage u;

	/* Cannot fail for RUSAGE_SELF (getrusage(2)). */
	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * NSEC_PER_SEC +
	       (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000LL;
}

int timed_part_run(const struct timed_work *work, uint64_t count, struct timed_part *ret)
{
	struct timed_part mine, *all, sum = { 0 };
	int err;

	all = calloc((size_t)work->nranks, sizeof(*all));
	if (!all)
		return -ENOMEM;
	err = rendezvous_barrier(work->rendezvous);
	if (err)
		goto free_all;
	mine.cpu_ns = cpu_ns();
	mine.wall_ns = monotime_ns();
	err = work->run(work->arg, count);
	mine.wall_ns = monotime_ns() - mine.wall_ns;
	mine.cpu_ns = cpu_ns() - mine.cpu_ns;
	if (!err)
		err = rendezvous_all_gather(work->rendezvous, &mine, sizeof(mine), all);
	if (err)
		goto free_all;
	for (int r = 0; r < work->nranks; r++) {
		if (all[r].wall_ns > sum.wall_ns)
			sum.wall_ns = all[r].wall_ns;
		sum.cpu_ns += all[r].cpu_ns;
	}
	*ret = sum;
free_all:
	free(all);
	return err;
}

int timed_part_calibrate(const struct timed_work *work, double seconds, uint64_t most,
			 uint64_t *ret)
{
	double wanted = seconds * 1e9, factor;
	struct timed_part part;
	uint64_t count = 1;
	int err;

	for (;;) {
		err = timed_part_run(work, count, &part);
		if (err)
			return err;
		if (part.wall_ns < 1)
			part.wall_ns = 1;
		factor = wanted / (double)part.wall_ns;
		if (factor <= 4 || count >= most)
			break;
		/* The first units tell little of the next: no great leaps. */
		count = (uint64_t)((double)count * (factor / 2 < 8 ? factor / 2 : 8));
		if (count > most)
			count = most;
	}
	count = (uint64_t)((double)count * factor);
	*ret = count < 1 ? 1 : count > most ? most : count;
	return 0;
}
