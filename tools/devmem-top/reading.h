/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the processes of this machine publish (nccl_devmem_stats.h), read at one moment.
 */
#ifndef READING_H
#define READING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/process.h"
#include "nccl_devmem_stats.h"

/*
 * One process. Texts are made printable; entries are those in use, in this program's layout.
 * @rank, @job: from its environment (torchrun, Slurm, Open MPI, PMIx), as far as this user may read that; -1, and else "pid" and its parent's number.
 * @unsure: it is of another PID namespace, so it may be dead.
 */
struct proc {
	struct process_id id;
	int rank;
	char job[64];
	bool unsure;
	struct nccl_devmem_stats head;
	struct nccl_devmem_counters counters;
	struct nccl_devmem_stats_nic *nics;
	struct nccl_devmem_stats_pool *pools;
	struct nccl_devmem_stats_step *steps;
	struct nccl_devmem_stats_conn *conns;
	size_t n_nics, n_pools, n_steps, n_conns;
};

/* @ns: CLOCK_MONOTONIC. @strange: files that are damaged, of another version, or not of the user whose process they speak of. */
struct reading {
	uint64_t ns;
	struct proc *procs;
	size_t n_procs;
	unsigned int strange;
};

/* Reads @dir, sorted by job, rank and PID, and removes what dead processes left. 0, or -errno of opening @dir; -ENOMEM. */
int reading_take(const char *dir, struct reading *ret);
void reading_drop(struct reading *r);

/* What an earlier reading (or NULL) has of the same process and connection; NULL if it has none. */
const struct proc *reading_find(const struct reading *r, const struct proc *of);
const struct nccl_devmem_stats_conn *proc_find_conn(const struct proc *p, uint64_t id);

/* The process's payload bytes in one direction, all paths. */
uint64_t proc_bytes(const struct proc *p, bool sends);

#endif
