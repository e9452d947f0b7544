// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

const char *const group_names[GROUP_COUNT] = { "conn", "peer", "nic", "rank", "job" };
const char *const sort_names[SORT_COUNT] = { "rate", "wait", "latency", "rtt", "retrans", "name" };
const char *const path_names[3] = { "copy", "zerocopy", "devmem" };
const char *const stage_names[NCCL_DEVMEM_STAGE_COUNT] = {
#define S(id, name, text) [NCCL_DEVMEM_STAGE_##id] = (name),
	NCCL_DEVMEM_STATS_STAGES(S)
#undef S
};

void peer_host(const char *peer, char *host, size_t size)
{
	const char *end = strrchr(peer, ':');
	size_t n = end ? (size_t)(end - peer) : strlen(peer);

	if (*peer == '[' && n > 2 && peer[n - 1] == ']') {
		peer++;
		n -= 2;
	}
	snprintf(host, size, "%.*s", (int)n, peer);
}

/* Now less before; of an entry that begins anew, now. */
static uint64_t grown(uint64_t now, uint64_t before)
{
	return now >= before ? now - before : now;
}

/* The row of @c alone; @was is what was before, or NULL. */
static struct row row_of(const struct proc *p, const struct nccl_devmem_stats_conn *c,
			 const struct nccl_devmem_stats_conn *was, double seconds)
{
	static const struct nccl_devmem_stats_conn none;
	struct row r = { .job = p->job,
			 .proc = p,
			 .sends = c->sends,
			 .path = c->path < 3 ? c->path : 0,
			 .conns = 1,
			 .rtt_us = c->rtt_us };
	int i;

	if (!was)
		was = &none;
	snprintf(r.nic, sizeof(r.nic), "%s", c->nic);
	snprintf(r.peer, sizeof(r.peer), "%s", c->peer);
	r.done = grown(c->msgs, was->msgs);
	r.rate = (double)grown(c->bytes, was->bytes) / seconds;
	r.msgs = (double)r.done / seconds;
	r.retrans = (double)grown(c->retransmits, was->retransmits) / seconds;
	for (i = 0; i < NCCL_DEVMEM_STATS_BUCKETS; i++)
		r.latency[i] = grown(c->latency[i], was->latency[i]);
	for (i = 0; i < NCCL_DEVMEM_STAGE_COUNT; i++)
		r.polls[i] = grown(c->polls[i], was->polls[i]);
	return r;
}

static double seconds_between(const struct reading *now, const struct reading *before,
			      const struct nccl_devmem_stats_conn *c, bool seen)
{
	uint64_t from = seen ? before->ns : c->opened_ns;

	/* A connection's clock is this machine's, if the file tells the truth. */
	return from < now->ns && now->ns - from > 1000000 ? (double)(now->ns - from) / 1e9 : 1e-3;
}

static bool same_row(const struct row *a, const struct row *b, enum table_group group)
{
	char x[80], y[80];

	if (a->sends != b->sends)
		return false;
	switch (group) {
	case GROUP_PEER:
		peer_host(a->peer, x, sizeof(x));
		peer_host(b->peer, y, sizeof(y));
		return !strcmp(x, y);
	case GROUP_NIC:
		return !strcmp(a->nic, b->nic);
	case GROUP_RANK:
		return a->proc == b->proc;
	case GROUP_JOB:
		return !strcmp(a->job, b->job);
	default:
		return false;
	}
}

static void row_add(struct row *r, const struct row *more)
{
	int i;

	if (r->proc != more->proc)
		r->proc = NULL;
	if (strcmp(r->job, more->job) != 0)
		r->job = "";
	if (strcmp(r->nic, more->nic) != 0)
		r->nic[0] = '\0';
	if (more->path < r->path)
		r->path = more->path;
	if (more->rtt_us > r->rtt_us)
		r->rtt_us = more->rtt_us;
	r->conns += more->conns;
	r->rate += more->rate;
	r->msgs += more->msgs;
	r->retrans += more->retrans;
	r->done += more->done;
	for (i = 0; i < NCCL_DEVMEM_STATS_BUCKETS; i++)
		r->latency[i] += more->latency[i];
	for (i = 0; i < NCCL_DEVMEM_STAGE_COUNT; i++)
		r->polls[i] += more->polls[i];
}

static void row_enter(struct table *t, const struct row *r, enum table_group group)
{
	struct row *at;
	char x[80], y[80];

	for (at = t->rows; at < t->rows + t->n; at++) {
		if (!same_row(at, r, group))
			continue;
		peer_host(at->peer, x, sizeof(x));
		peer_host(r->peer, y, sizeof(y));
		snprintf(at->peer, sizeof(at->peer), "%s", strcmp(x, y) != 0 ? "" : x);
		row_add(at, r);
		return;
	}
	t->rows[t->n++] = *r;
}

enum nccl_devmem_stats_stage row_stage(const struct row *r, double *ret_part)
{
	uint64_t sum = 0;
	int i, most = 0;

	for (i = 0; i < NCCL_DEVMEM_STAGE_COUNT; i++) {
		sum += r->polls[i];
		if (r->polls[i] > r->polls[most])
			most = i;
	}
	*ret_part = sum ? (double)r->polls[most] / (double)sum : 0;
	return (enum nccl_devmem_stats_stage)most;
}

double row_latency_us(const struct row *r, double q)
{
	uint64_t sum = 0, at = 0;
	int i;

	for (i = 0; i < NCCL_DEVMEM_STATS_BUCKETS; i++)
		sum += r->latency[i];
	for (i = 0; i < NCCL_DEVMEM_STATS_BUCKETS && sum; i++) {
		at += r->latency[i];
		if ((double)at >= q * (double)sum)
			return (double)(1ULL << i);
	}
	return 0;
}

static double descending(const struct row *r, enum table_sort sort)
{
	switch (sort) {
	case SORT_RATE:
		return r->rate;
	case SORT_WAIT:
		return r->waits;
	case SORT_LATENCY:
		return row_latency_us(r, 0.99);
	case SORT_RTT:
		return r->rtt_us;
	case SORT_RETRANS:
		return r->retrans;
	default:
		return 0;
	}
}

static int compare_rows(const void *a, const void *b, void *arg)
{
	const struct row *x = a, *y = b;
	double p = descending(x, *(enum table_sort *)arg);
	double q = descending(y, *(enum table_sort *)arg);
	int r = (p < q) - (p > q);

	if (!r)
		r = strcmp(x->peer, y->peer);
	return r ? r : x->sends - y->sends;
}

int table_make(struct table *t, const struct reading *now, const struct reading *before,
	       enum table_group group, enum table_sort sort)
{
	size_t i, j, room = 1;

	for (i = 0; i < now->n_procs; i++)
		room += now->procs[i].n_conns;
	t->n = 0;
	t->rows = calloc(room, sizeof(*t->rows));
	if (!t->rows)
		return -ENOMEM;
	for (i = 0; i < now->n_procs; i++) {
		const struct proc *p = &now->procs[i];
		const struct proc *was = reading_find(before, p);

		for (j = 0; j < p->n_conns; j++) {
			const struct nccl_devmem_stats_conn *c = &p->conns[j];
			const struct nccl_devmem_stats_conn *old = proc_find_conn(was, c->id);
			double seconds = seconds_between(now, before, c, old != NULL);
			struct row r = row_of(p, c, old, seconds);

			row_enter(t, &r, group);
		}
	}
	for (i = 0; i < t->n; i++) {
		uint64_t polls = 0;

		for (j = 0; j < NCCL_DEVMEM_STAGE_COUNT; j++)
			polls += t->rows[i].polls[j];
		if (polls)
			t->rows[i].waits = (double)polls / (double)(polls + t->rows[i].done);
	}
	qsort_r(t->rows, t->n, sizeof(*t->rows), compare_rows, &sort);
	return 0;
}

void table_drop(struct table *t)
{
	free(t->rows);
	t->rows = NULL;
	t->n = 0;
}
