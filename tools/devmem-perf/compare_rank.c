// SPDX-License-Identifier: BSD-3-Clause
#include "compare_rank.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "monotime.h"
#include "plugin_traffic.h"
#include "raw_traffic.h"
#include "report.h"

#define MAX_UNITS   ((uint64_t)1 << 32)
#define MAX_SAMPLES ((uint64_t)1 << 20)
#define GIB	    1073741824.0

/* What a rank tells the others of a timed part: wall clock and CPU. */
struct part {
	int64_t wall_ns, cpu_ns;
};

static int64_t cpu_ns(void)
{
	struct rusage u;

	/* Cannot fail for RUSAGE_SELF (getrusage(2)). */
	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * NSEC_PER_SEC +
	       (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000LL;
}

/* @count units on all ranks at once. *ret is the same on each: the slowest's time, all CPU. */
static int run_part(struct traffic *t, uint64_t count, uint32_t *samples, struct part *ret)
{
	struct part mine, *all, sum = { 0 };
	int err;

	all = calloc((size_t)t->cell->nranks, sizeof(*all));
	if (!all)
		return -ENOMEM;
	err = rendezvous_barrier(t->rendezvous);
	if (err)
		goto free_all;
	mine.cpu_ns = cpu_ns();
	mine.wall_ns = monotime_ns();
	err = t->cell->kind == CELL_LATENCY ? t->ops->ping(t, count, samples)
					    : t->ops->stream(t, count);
	mine.wall_ns = monotime_ns() - mine.wall_ns;
	mine.cpu_ns = cpu_ns() - mine.cpu_ns;
	if (!err)
		err = rendezvous_all_gather(t->rendezvous, &mine, sizeof(mine), all);
	if (err)
		goto free_all;
	for (int r = 0; r < t->cell->nranks; r++) {
		if (all[r].wall_ns > sum.wall_ns)
			sum.wall_ns = all[r].wall_ns;
		sum.cpu_ns += all[r].cpu_ns;
	}
	*ret = sum;
free_all:
	free(all);
	return err;
}

/*
 * Runs ever more units until they take a quarter of what is to be measured; that warms everything
 * up too. Every rank comes to the same *ret, because all see the same times.
 */
static int calibrate(struct traffic *t, double seconds, uint64_t most, uint32_t *samples,
		     uint64_t *ret)
{
	double wanted = seconds * 1e9, factor;
	uint64_t count = 1;
	struct part part;
	int err;

	for (;;) {
		err = run_part(t, count, samples, &part);
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

static int compare_samples(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double percentile_us(const uint32_t *sorted, uint64_t n, unsigned int percent)
{
	uint64_t at = (n - 1) * percent / 100;

	return (double)sorted[at] / 2 / 1e3;
}

static void fill_figures(const struct traffic *t, const struct part *part, uint64_t count,
			 uint32_t *samples, struct rank_figures *f)
{
	f->units = count;
	f->seconds = (double)part->wall_ns / 1e9;
	if (samples && t->cell->kind == CELL_LATENCY) {
		qsort(samples, count, sizeof(*samples), compare_samples);
		f->p50_us = percentile_us(samples, count, 50);
		f->p99_us = percentile_us(samples, count, 99);
	} else {
		f->gbs = compare_cell_rate(t->cell, f->seconds / (double)count);
		f->cpu_s_per_gib = (double)part->cpu_ns / 1e9 /
				   (compare_cell_bytes(t->cell) * (double)count / GIB);
	}
	socket_survey_take(&f->sockets);
	snprintf(f->name, sizeof(f->name), "%s", t->name);
}

static int measure(struct traffic *t, const struct rank_run *run)
{
	bool latency = t->cell->kind == CELL_LATENCY;
	uint32_t *samples = NULL;
	struct part part;
	uint64_t count;
	int err;

	if (latency && t->rank == 0) {
		samples = calloc(MAX_SAMPLES, sizeof(*samples));
		if (!samples)
			return -ENOMEM;
	}
	err = calibrate(t, run->options->seconds, latency ? MAX_SAMPLES : MAX_UNITS, samples,
			&count);
	if (!err)
		err = run_part(t, count, samples, &part);
	if (!err)
		err = t->ops->verify(t);
	/* Connections must stand until everybody has looked at its own. */
	if (!err && t->rank == 0)
		fill_figures(t, &part, count, samples, run->figures);
	if (!err)
		err = rendezvous_barrier(t->rendezvous);
	free(samples);
	return err;
}

int compare_rank_main(int rank, const char *rendezvous, void *arg)
{
	const struct rank_run *run = arg;
	const struct compare_options *o = run->options;
	const struct competitor *c = run->competitor;
	const struct raw_setting raw = {
		.streams = c->streams,
		.congestion = c->congestion,
		.ifname = o->ifname,
	};
	struct traffic *t;
	int err;

	report_init("devmem-perf", rank);
	if (c->streams)
		err = raw_traffic_open(run->cell, &raw, rank, rendezvous, o->nslots, o->limit_s,
				       &t);
	else
		err = plugin_traffic_open(run->cell, c->path, rank, rendezvous, o->nslots,
					  o->limit_s, &t);
	if (err)
		return 1;
	err = measure(t, run);
	t->ops->close(t);
	return err ? 1 : 0;
}
