// SPDX-License-Identifier: BSD-3-Clause
#include "compare_rank.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin_traffic.h"
#include "raw_traffic.h"
#include "report.h"
#include "timed_part.h"

#define MAX_UNITS   ((uint64_t)1 << 32)
#define MAX_SAMPLES ((uint64_t)1 << 20)
#define GIB	    1073741824.0

/* @samples: room for those of a latency on rank 0, else NULL. */
struct traffic_work {
	struct traffic *traffic;
	uint32_t *samples;
};

static int run_units(void *arg, uint64_t count)
{
	struct traffic_work *w = arg;
	struct traffic *t = w->traffic;

	return t->cell->kind == CELL_LATENCY ? t->ops->ping(t, count, w->samples)
					     : t->ops->stream(t, count);
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

static void fill_figures(const struct traffic *t, const struct timed_part *part, uint64_t count,
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
	struct traffic_work traffic = { .traffic = t };
	const struct timed_work work = {
		.rendezvous = t->rendezvous,
		.nranks = t->cell->nranks,
		.run = run_units,
		.arg = &traffic,
	};
	struct timed_part part;
	uint64_t count;
	int err;

	if (latency && t->rank == 0) {
		traffic.samples = calloc(MAX_SAMPLES, sizeof(*traffic.samples));
		if (!traffic.samples)
			return -ENOMEM;
	}
	err = timed_part_calibrate(&work, run->options->seconds, latency ? MAX_SAMPLES : MAX_UNITS,
				   &count);
	if (!err)
		err = timed_part_run(&work, count, &part);
	if (!err)
		err = t->ops->verify(t);
	/* Connections must stand until everybody has looked at its own. */
	if (!err && t->rank == 0)
		fill_figures(t, &part, count, traffic.samples, run->figures);
	if (!err)
		err = rendezvous_barrier(t->rendezvous);
	free(traffic.samples);
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
