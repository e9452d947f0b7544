/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections between two readings, one by one or put together.
 */
#ifndef TABLE_H
#define TABLE_H

#include "reading.h"

/* What a row is: a connection, or all of a peer host, a NIC, a rank (process, so GPU) or a job, each direction by itself. */
enum table_group { GROUP_CONN, GROUP_PEER, GROUP_NIC, GROUP_RANK, GROUP_JOB, GROUP_COUNT };
enum table_sort {
	SORT_RATE,
	SORT_WAIT,
	SORT_LATENCY,
	SORT_RTT,
	SORT_RETRANS,
	SORT_NAME,
	SORT_COUNT
};

extern const char *const group_names[GROUP_COUNT];
extern const char *const sort_names[SORT_COUNT];
extern const char *const stage_names[NCCL_DEVMEM_STAGE_COUNT];
extern const char *const path_names[3];

/*
 * @job: always; @proc, @nic, @peer: NULL or empty where the row has several. @conns: connections in it. Of the time between the readings:
 * @rate in bytes/s, @msgs and @retrans per second, @latency and @polls as in nccl_devmem_stats.h, @waits: not-done tests, of all tests.
 * @rtt_us: the largest.
 */
struct row {
	const char *job;
	const struct proc *proc;
	char nic[16];
	char peer[80];
	bool sends;
	uint32_t path;
	unsigned int conns;
	double rate;
	double msgs;
	double retrans;
	double waits;
	uint64_t done;
	uint64_t polls[NCCL_DEVMEM_STAGE_COUNT];
	uint64_t latency[NCCL_DEVMEM_STATS_BUCKETS];
	uint32_t rtt_us;
};

struct table {
	struct row *rows;
	size_t n;
};

/* @before may be NULL: then since each connection began. 0 or -ENOMEM. Rows point into @now. */
int table_make(struct table *t, const struct reading *now, const struct reading *before,
	       enum table_group group, enum table_sort sort);
void table_drop(struct table *t);

/* The stage that @r waited in most, and its part of all not-done tests, 0 to 1. */
enum nccl_devmem_stats_stage row_stage(const struct row *r, double *ret_part);

/* Microseconds that the part @q of its requests did not exceed, as a power of two; 0 when none was measured. */
double row_latency_us(const struct row *r, double q);

/* Address without port. */
void peer_host(const char *peer, char *host, size_t size);

/*
 * Who holds the others up: the connection that waited most in a stage that is its own (not for a peer that may itself wait), else for its peer.
 * @who names it, @why says what its stage means. @conn is NULL when nobody waits noticeably.
 */
struct slow {
	const struct proc *proc;
	const struct nccl_devmem_stats_conn *conn;
	enum nccl_devmem_stats_stage stage;
	double part;
	char who[128];
	const char *why;
};

void slow_find(struct slow *s, const struct reading *now, const struct reading *before);

#endif
