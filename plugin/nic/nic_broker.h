/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The broker (devmem-nicd broker) from a job's side: for processes that may not bind RX queues themselves. Callers hold nic_lock().
 */
#ifndef DEVMEM_NIC_BROKER_H
#define DEVMEM_NIC_BROKER_H

#include <stdbool.h>

#include "base/verdict.h"
#include "nic/nic.h"

/* Is there a socket at NCCL_DEVMEM_BROKER? Says nothing about who is behind it. */
bool nic_broker_is_there(void);

/*
 * Would the broker bind queues of @nic for this process? 0, or the broker's refusal, or what keeps the two apart: -EPERM nobody
 * listens, -ECONNREFUSED whoever listens is not root.
 */
int nic_broker_probe(const struct nic *nic, struct verdict *why);

/* In a fork()ed child: gives the connection up. */
void nic_broker_forget(void);

#endif
