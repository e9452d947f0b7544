/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a NIC needs for devmem receive, brought about and put back. Every change is recorded
 * (nic_state.h) before it is made and logged once.
 *
 * Callers hold nic_lock() and an open nic_state.
 */
#ifndef DEVMEM_NIC_SETUP_H
#define DEVMEM_NIC_SETUP_H

#include "base/verdict.h"
#include "nic/nic_state.h"

/*
 * Takes the @n highest queues that nobody uses, in ascending order; queue 0 is never taken, nor one
 * that a rule of somebody else leads to (unless rules are the administrator's,
 * NCCL_DEVMEM_NIC_SETUP=0). -EBUSY: fewer than
 * @n are free.
 */
int nic_setup_choose(const struct nic_state *st, unsigned int n, unsigned int *ret_queues,
		     struct verdict *why);

/*
 * Header split on with threshold 0, ntuple rules on, RSS away from @queues. With
 * NCCL_DEVMEM_NIC_SETUP=0 only checks. What was changed before a failure stays recorded:
 * nic_setup_settle() puts it back.
 */
int nic_setup_apply(struct nic_state *st, const unsigned int *queues, unsigned int n,
		    struct verdict *why);

/*
 * Makes the NIC what its present owners need: with owners left, RSS avoids exactly the bound
 * queues; with none, and no queue bound by anybody else, all former settings return and the record
 * goes. A setting that somebody else has changed meanwhile is left alone. Failures are warned about
 * and stay recorded for the next try.
 */
void nic_setup_settle(struct nic_state *st);

/* Drops dead owners and removes their flow rules. Returns how many were dropped, or -errno. */
int nic_setup_reap(struct nic_state *st);

#endif
