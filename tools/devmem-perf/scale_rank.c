// SPDX-License-Identifier: BSD-3-Clause
#include "scale_rank.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monotime.h"
#include "net_driver.h"
#include "rendezvous.h"
#include "report.h"
#include "scale_traffic.h"
#include "timed_part.h"

#define MAX_COUNT   ((uint64_t)1 << 32)
#define LEAST_COUNT 32

/* @load, @before, @after: of the part that runs or has run last. */
struct scale_rank {
	const struct scale_run *run;
	int rank;
	struct rendezvous *rendezvous;
	struct net_driver *driver;
	struct scale_traffic traffic;
	enum scale_load load;
	struct nccl_devmem_counters before, after;
};

static int rank_connect(struct scale_rank *r, unsigned int n)
{
	return scale_traffic_open(&r->traffic, r->driver, r->rendezvous, r->rank,
				  r->run->shape.nranks, n, r->run->options);
}

/* What is made once in a process, by its first connection, counts for none. */
static int rank_warm_up(struct scale_rank *r)
{
	int err;

	err = rank_connect(r, 1);
	if (!err)
		err = scale_traffic_lap(&r->traffic);
	scale_traffic_close(&r->traffic);
	return err ? err : rendezvous_barrier(r->rendezvous);
}

static int rank_open(struct scale_rank *r, const struct scale_run *run, int rank, const char *spec)
{
	const struct scale_options *o = run->options;
	char socks[16];
	int err;

	memset(r, 0, sizeof(*r));
	r->run = run;
	r->rank = rank;
	if (run->shape.socks) {
		snprintf(socks, sizeof(socks), "%d", run->shape.socks);
		setenv("NCCL_DEVMEM_SOCKETS", socks, 1);
	}
	err = rendezvous_open(spec, rank, run->shape.nranks, o->limit_s, &r->rendezvous);
	if (!err)
		err = net_driver_open(o->plugin, 0, NULL, &r->driver);
	if (!err)
		err = rank_warm_up(r);
	return err;
}

static void rank_close(struct scale_rank *r)
{
	scale_traffic_close(&r->traffic);
	if (r->driver)
		net_driver_finalize(r->driver);
	net_driver_close(r->driver);
	rendezvous_close(r->rendezvous);
}

/* The same @n doubles of every rank, added up or the greatest; on every rank. */
static int rank_reduce(struct scale_rank *r, double *values, size_t n, bool greatest)
{
	int nranks = r->run->shape.nranks, err;
	double *all, v;

	all = calloc((size_t)nranks * n, sizeof(*all));
	if (!all)
		return -ENOMEM;
	err = rendezvous_all_gather(r->rendezvous, values, n * sizeof(*values), all);
	for (size_t i = 0; i < n && !err; i++) {
		v = all[i];
		for (int p = 1; p < nranks; p++) {
			double theirs = all[(size_t)p * n + i];

			v = !greatest ? v + theirs : theirs > v ? theirs : v;
		}
		values[i] = v;
	}
	free(all);
	return err;
}

static struct process_usage usage_minus(const struct process_usage *a,
					const struct process_usage *b)
{
	return (struct process_usage){
		.heap = a->heap - b->heap,
		.rss = a->rss - b->rss,
		.fds = a->fds - b->fds,
		.threads = a->threads - b->threads,
	};
}

static int rank_sum_usage(struct scale_rank *r, struct process_usage *u)
{
	double v[] = { (double)u->heap, (double)u->rss, u->fds, u->threads };
	int err;

	err = rank_reduce(r, v, sizeof(v) / sizeof(v[0]), false);
	if (!err)
		*u = (struct process_usage){
			.heap = (int64_t)v[0],
			.rss = (int64_t)v[1],
			.fds = (int)v[2],
			.threads = (int)v[3],
		};
	return err;
}

static int run_messages(void *arg, uint64_t count)
{
	struct scale_rank *r = arg;
	int err;

	net_driver_counters(r->driver, &r->before);
	err = scale_traffic_run(&r->traffic, r->load, count);
	net_driver_counters(r->driver, &r->after);
	return err;
}

static double count_calls(const struct nccl_devmem_counters *c)
{
	return (double)(c->sys_send + c->sys_recv + c->sys_ctrl + c->sys_errqueue +
			c->sys_dontneed + c->sys_ask + c->sys_uring);
}

static double count_calls_none(const struct nccl_devmem_counters *c)
{
	return (double)(c->sys_recv_none + c->sys_ctrl_none + c->sys_errqueue_none +
			c->sys_ask_none);
}

/* What all ranks' plugins called in the last part, and how much of it brought nothing. */
static int rank_sum_calls(struct scale_rank *r, double messages, struct scale_cost *cost)
{
	struct nccl_devmem_counters unused;
	double v[] = {
		count_calls(&r->after) - count_calls(&r->before),
		count_calls_none(&r->after) - count_calls_none(&r->before),
		net_driver_counters(r->driver, &unused),
	};
	bool known;
	int err;

	err = rank_reduce(r, v, sizeof(v) / sizeof(v[0]), false);
	if (err)
		return err;
	known = v[2] >= r->run->shape.nranks;
	cost->calls = known ? v[0] / messages : -1;
	cost->calls_none = known ? v[1] / messages : -1;
	return 0;
}

static int measure_load(struct scale_rank *r, enum scale_load load, struct scale_cost *ret)
{
	const struct scale_shape *shape = &r->run->shape;
	const struct timed_work work = {
		.rendezvous = r->rendezvous,
		.nranks = shape->nranks,
		.run = run_messages,
		.arg = r,
	};
	struct scale_cost cost;
	struct timed_part part;
	double messages;
	uint64_t count = 0;
	int err;

	r->load = load;
	err = timed_part_calibrate(&work, r->run->options->seconds, MAX_COUNT, &count);
	/* However long that takes: the first messages on a connection are not like the rest. */
	if (count < LEAST_COUNT)
		count = LEAST_COUNT;
	if (!err)
		err = timed_part_run(&work, count, &part);
	if (err)
		return err;
	cost.messages = count * (uint64_t)shape->nranks;
	if (load == SCALE_BUSY)
		cost.messages *= (uint64_t)shape->conns;
	messages = (double)cost.messages;
	cost.seconds = (double)part.wall_ns / 1e9;
	cost.wall_us = (double)part.wall_ns / 1e3 / messages;
	cost.cpu_us = (double)part.cpu_ns / 1e3 / messages;
	err = rank_sum_calls(r, messages, &cost);
	if (!err)
		err = scale_traffic_lap(&r->traffic);
	if (!err)
		*ret = cost;
	return err;
}

/* Connects, timed. *ret_s is the slowest rank's. */
static int connect_timed(struct scale_rank *r, unsigned int n, double *ret_s)
{
	int64_t start;
	double s;
	int err;

	err = rendezvous_barrier(r->rendezvous);
	if (err)
		return err;
	start = monotime_ns();
	err = rank_connect(r, n);
	s = (double)(monotime_ns() - start) / 1e9;
	if (!err)
		err = rank_reduce(r, &s, 1, true);
	*ret_s = s;
	return err;
}

static int measure(struct scale_rank *r, struct scale_figures *f)
{
	const struct scale_options *o = r->run->options;
	int n = r->run->shape.conns, err;
	struct process_usage before, now;
	double conns = (double)n * r->run->shape.nranks;

	snprintf(f->name, sizeof(f->name), "%.50s v%d", r->driver->name, r->driver->api);
	process_usage_take(&before);
	err = connect_timed(r, (unsigned int)n, &f->connect_s);
	for (int load = 0; load < SCALE_LOADS && !err; load++)
		if (o->loads[load])
			err = measure_load(r, (enum scale_load)load, &f->loads[load]);
	if (err)
		return err;
	process_usage_take(&now);
	now = usage_minus(&now, &before);
	now.rss -= (int64_t)scale_traffic_buffers(&r->traffic);
	err = rank_sum_usage(r, &now);
	f->heap = (double)now.heap / conns;
	f->rss = (double)now.rss / conns;
	f->fds = now.fds / conns;
	return err;
}

static int storm(struct scale_rank *r, struct scale_storm *s)
{
	/* Of all connections, this rank's share begins here. */
	int n = r->run->shape.conns / r->run->shape.nranks;
	struct process_usage before;
	int64_t start;
	int err;

	process_usage_take(&before);
	err = connect_timed(r, (unsigned int)n, &s->connect_s);
	if (!err)
		err = scale_traffic_lap(&r->traffic);
	if (err)
		return err;
	process_usage_take(&s->open);
	s->open = usage_minus(&s->open, &before);
	/* Nobody closes a connection that its peer still uses. */
	err = rendezvous_barrier(r->rendezvous);
	if (err)
		return err;
	start = monotime_ns();
	scale_traffic_close(&r->traffic);
	s->close_s = (double)(monotime_ns() - start) / 1e9;
	process_usage_take(&s->left);
	s->left = usage_minus(&s->left, &before);
	err = rank_reduce(r, &s->close_s, 1, true);
	if (!err)
		err = rank_sum_usage(r, &s->open);
	if (!err)
		err = rank_sum_usage(r, &s->left);
	return err;
}

static int run_rank(int rank, const char *spec, const struct scale_run *run, bool storms)
{
	struct scale_shared mine = { 0 };
	struct scale_rank r;
	int err;

	report_init("devmem-perf", rank);
	err = rank_open(&r, run, rank, spec);
	if (!err)
		err = storms ? storm(&r, &mine.storm) : measure(&r, &mine.figures);
	if (!err && rank == 0)
		*run->shared = mine;
	if (!err)
		err = rendezvous_barrier(r.rendezvous);
	rank_close(&r);
	return err ? 1 : 0;
}

int scale_rank_main(int rank, const char *rendezvous, void *arg)
{
	return run_rank(rank, rendezvous, arg, false);
}

int scale_storm_main(int rank, const char *rendezvous, void *arg)
{
	return run_rank(rank, rendezvous, arg, true);
}
