// SPDX-License-Identifier: BSD-3-Clause
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "comm/comm_stats.h"

/* TCP_INFO is read that often at most, and the clock for it is looked at with one look in so many. */
#define TCP_INTERVAL_NS 500000000LL
#define TCP_LOOKS	16

void comm_stats_attach(struct comm *comm)
{
	struct nccl_devmem_stats_conn *c = stats_conn_take();

	comm->stats = (struct comm_stats){ .shown = c };
	if (!c)
		return;
	c->sends = comm->kind == COMM_SEND;
	c->n_socks = (uint32_t)comm->n_socks;
	c->path = comm->n_socks && comm->socks[0].pool ? NCCL_DEVMEM_PATH_DEVMEM
						       : NCCL_DEVMEM_PATH_COPY;
	c->opened_ns = (uint64_t)now_ns();
	stats_text(c->nic, sizeof(c->nic), comm->nic->name);
	stats_text(c->peer, sizeof(c->peer), comm->peer);
}

void comm_stats_detach(struct comm *comm)
{
	stats_conn_give(comm->stats.shown);
	comm->stats.shown = NULL;
}

/* Does a socket lend so much of the pool that it may be left unread? */
static bool lends_too_much(const struct comm *comm)
{
	int i;

	for (i = 0; i < comm->n_socks; i++)
		if (comm->socks[i].pool && data_sock_lends_all(&comm->socks[i]))
			return true;
	return false;
}

static enum nccl_devmem_stats_stage stage_of(const struct comm *comm, const struct request *req)
{
	if (comm->kind == COMM_SEND)
		return req->accepted == req->size && req->zc.pending ? NCCL_DEVMEM_STAGE_ACK
								     : NCCL_DEVMEM_STAGE_WINDOW;
	if (!req->matched || req->covered < req->total)
		return NCCL_DEVMEM_STAGE_PEER;
	if (req->arrived == req->total)
		return NCCL_DEVMEM_STAGE_UNPACK;
	return lends_too_much(comm) ? NCCL_DEVMEM_STAGE_TOKENS : NCCL_DEVMEM_STAGE_NET;
}

static uint32_t lent_tokens(const struct comm *comm)
{
	uint64_t n = 0;
	int i;

	for (i = 0; i < comm->n_socks; i++)
		if (comm->socks[i].ledger)
			n += comm->socks[i].lent + comm->socks[i].ledger->held;
	return (uint32_t)n;
}

static void add_sock(struct nccl_devmem_stats_conn *sum, int fd)
{
	struct tcp_info ti = { 0 };
	socklen_t len = sizeof(ti);

	/* An older kernel fills less of it; the rest stays 0. */
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len) < 0)
		return;
	sum->bytes_acked += ti.tcpi_bytes_acked;
	sum->bytes_received += ti.tcpi_bytes_received;
	sum->retransmits += ti.tcpi_total_retrans;
	sum->busy_us += ti.tcpi_busy_time;
	sum->rwnd_us += ti.tcpi_rwnd_limited;
	sum->sndbuf_us += ti.tcpi_sndbuf_limited;
	if (ti.tcpi_rtt > sum->rtt_us)
		sum->rtt_us = ti.tcpi_rtt;
	if (ti.tcpi_min_rtt && (!sum->rtt_least_us || ti.tcpi_min_rtt < sum->rtt_least_us))
		sum->rtt_least_us = ti.tcpi_min_rtt;
}

static void read_tcp(struct comm *comm, int64_t now)
{
	struct nccl_devmem_stats_conn sum = { 0 }, *c = comm->stats.shown;
	int i;

	if (now < comm->stats.tcp_due)
		return;
	comm->stats.tcp_due = now + TCP_INTERVAL_NS;
	for (i = 0; i < comm->n_socks; i++)
		add_sock(&sum, comm->socks[i].fd);
	add_sock(&sum, comm->ctrl_fd);
	stats_set(&c->bytes_acked, sum.bytes_acked);
	stats_set(&c->bytes_received, sum.bytes_received);
	stats_set(&c->retransmits, sum.retransmits);
	stats_set(&c->busy_us, sum.busy_us);
	stats_set(&c->rwnd_us, sum.rwnd_us);
	stats_set(&c->sndbuf_us, sum.sndbuf_us);
	stats_set(&c->rtt_us, sum.rtt_us);
	stats_set(&c->rtt_least_us, sum.rtt_least_us);
	stats_set(&c->lent, lent_tokens(comm));
	stats_set(&c->tcp_ns, (uint64_t)now);
}

void comm_stats_look(struct comm *comm, const struct request *req)
{
	struct nccl_devmem_stats_conn *c = comm->stats.shown;
	enum nccl_devmem_stats_stage stage = stage_of(comm, req);

	TRACE3(flow_waits, comm, req, stage);
	stats_set(&c->stage, stage);
	stats_add(&c->polls[stage], COMM_STATS_LOOK);
	if (comm->stats.polls / COMM_STATS_LOOK % TCP_LOOKS == 0)
		read_tcp(comm, now_ns());
}

void comm_stats_timed(struct comm *comm, const struct request *req)
{
	struct nccl_devmem_stats_conn *c = comm->stats.shown;
	int64_t now = now_ns();
	uint64_t ns = (uint64_t)(now - req->posted_ns);
	unsigned int bucket = ns < 1000 ? 0 : 64 - (unsigned int)__builtin_clzll(ns / 1000);

	if (bucket >= NCCL_DEVMEM_STATS_BUCKETS)
		bucket = NCCL_DEVMEM_STATS_BUCKETS - 1;
	stats_add(&c->latency[bucket], 1);
	stats_add(&c->latency_ns, ns);
	if (req->path)
		stats_set(&c->path, (uint32_t)req->path->rung);
	read_tcp(comm, now);
}
