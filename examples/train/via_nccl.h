/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The other way for gradients: through NCCL itself, which loads the net plugin and whose kernels do the sums on the
 * GPU. What collective_run() and the ring are for --via plugin.
 */
#ifndef TRAIN_VIA_NCCL_H
#define TRAIN_VIA_NCCL_H

#include <stddef.h>
#include <stdint.h>

#include "job.h"
#include "job_options.h"

struct via_nccl;

/*
 * Joins a communicator of all ranks and fills *@ret_job: the rendezvous, and what reports say of a job; it has neither ring
 * nor driver, and is closed by job_close() after via_nccl_close(). @nccl: the library's path or NULL. @count: most
 * numbers of one sum. Where the launcher made the ranks on one machine, each counts as a host of its own (NCCL_HOSTID,
 * unless set), since they might share a GPU. Negative errno, reported.
 */
int via_nccl_open(const struct job_options *o, const char *nccl, size_t count, struct job *ret_job,
		  struct via_nccl **ret);

/* Replaces @count numbers by their sums over all ranks. Negative errno, reported; then it can only be closed. */
int via_nccl_sum(struct via_nccl *via, int64_t *sums, size_t count);

/* Ends the communicator on all ranks and sums up the plugin's counters; then as job_finish(). */
int via_nccl_finish(struct via_nccl *via, struct job_summary *ret);

/* Also after an error, with work under way. NULL is fine. */
void via_nccl_close(struct via_nccl *via);

#endif
