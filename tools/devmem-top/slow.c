// SPDX-License-Identifier: BSD-3-Clause
/*
 * The slowness detector. In a ring or tree everybody soon moves at the pace of the slowest, so rates tell nothing. What tells is what
 * each connection waits for: one that waits for its peer to send may only pass on that the peer waits, too; one whose bytes are under way
 * or whose socket is full has the cause on its way or at its peer; and one whose receives are not placed has it at hand.
 */
#include <stdio.h>
#include <string.h>

#include "table.h"

/* Below that part of the looks of the process's most looked at connection nothing is said. */
#define NOTICEABLE 0.10
/* A process that asks so much less often than the busiest asker has other things to do: what it waits for when it asks holds up nobody. */
#define SELDOM 0.25

/* The nearer the cause the more it weighs. */
static double weight(enum nccl_devmem_stats_stage s)
{
	switch (s) {
	case NCCL_DEVMEM_STAGE_TOKENS:
	case NCCL_DEVMEM_STAGE_UNPACK:
		return 1.0;
	case NCCL_DEVMEM_STAGE_PEER:
		return 0.2;
	default:
		return 0.8;
	}
}

struct delta {
	uint64_t polls[NCCL_DEVMEM_STAGE_COUNT];
	uint64_t sum;
	uint64_t busy_us;
	uint64_t rwnd_us;
	uint64_t retransmits;
};

static struct delta delta_of(const struct nccl_devmem_stats_conn *c,
			     const struct nccl_devmem_stats_conn *was)
{
	static const struct nccl_devmem_stats_conn none;
	struct delta d = { 0 };
	int i;

	if (!was)
		was = &none;
	for (i = 0; i < NCCL_DEVMEM_STAGE_COUNT; i++) {
		d.polls[i] = c->polls[i] - was->polls[i];
		d.sum += d.polls[i];
	}
	d.busy_us = c->busy_us - was->busy_us;
	d.rwnd_us = c->rwnd_us - was->rwnd_us;
	d.retransmits = c->retransmits - was->retransmits;
	return d;
}

/* What the stage @s of @c means, with what TCP knows. */
static const char *cause(enum nccl_devmem_stats_stage s, const struct delta *d)
{
	switch (s) {
	case NCCL_DEVMEM_STAGE_PEER:
		return "its process sends nothing: look there";
	case NCCL_DEVMEM_STAGE_NET:
		return "its bytes come slowly: the network, or its sending";
	case NCCL_DEVMEM_STAGE_TOKENS:
		return "the receive pool is lent out: a larger pool, or see the GPU";
	case NCCL_DEVMEM_STAGE_UNPACK:
		return "the GPU is late in gathering what came";
	default:
		break;
	}
	/* The kernel counts it all the while; half of the time is no accident. */
	if (d->busy_us && 2 * d->rwnd_us > d->busy_us)
		return "its receive window is closed: it does not read";
	if (d->retransmits)
		return "packets are lost on the way";
	return "the network takes no more";
}

/* Fruitless tests of all connections of @p since @was. *ret_most: of the one that has most. */
static uint64_t count_polls(const struct proc *p, const struct proc *was, uint64_t *ret_most)
{
	uint64_t sum = 0;
	size_t i;

	*ret_most = 1;
	for (i = 0; i < p->n_conns; i++) {
		const struct nccl_devmem_stats_conn *c = &p->conns[i];
		struct delta d = delta_of(c, proc_find_conn(was, c->id));

		sum += d.sum;
		if (d.sum > *ret_most)
			*ret_most = d.sum;
	}
	return sum;
}

static void judge(struct slow *s, const struct proc *p, const struct proc *was, double asks,
		  uint64_t most, double *best)
{
	double seldom = asks < SELDOM ? asks / SELDOM : 1.0;
	size_t i;
	int k;

	for (i = 0; i < p->n_conns; i++) {
		const struct nccl_devmem_stats_conn *c = &p->conns[i];
		struct delta d = delta_of(c, proc_find_conn(was, c->id));

		for (k = 0; k < NCCL_DEVMEM_STAGE_COUNT; k++) {
			enum nccl_devmem_stats_stage stage = (enum nccl_devmem_stats_stage)k;
			double part = (double)d.polls[k] / (double)most;
			double score = part * weight(stage) * seldom;
			char host[80];

			if (part < NOTICEABLE || score <= *best)
				continue;
			*best = score;
			peer_host(c->peer, host, sizeof(host));
			*s = (struct slow){
				.proc = p,
				.conn = c,
				.stage = stage,
				.part = (double)d.polls[k] / (double)d.sum,
			};
			s->why = cause(s->stage, &d);
			snprintf(s->who, sizeof(s->who), "%s %s on %s", c->sends ? "to" : "from",
				 host, c->nic);
		}
	}
}

void slow_find(struct slow *s, const struct reading *now, const struct reading *before)
{
	uint64_t most, busiest = 1, sum;
	double best = 0;
	size_t i;

	*s = (struct slow){ 0 };
	for (i = 0; i < now->n_procs; i++) {
		sum = count_polls(&now->procs[i], reading_find(before, &now->procs[i]), &most);
		if (sum > busiest)
			busiest = sum;
	}
	for (i = 0; i < now->n_procs; i++) {
		const struct proc *was = reading_find(before, &now->procs[i]);

		sum = count_polls(&now->procs[i], was, &most);
		judge(s, &now->procs[i], was, (double)sum / (double)busiest, most, &best);
	}
}
