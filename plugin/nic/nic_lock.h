/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one lock of the control plane. Taken by the functions of nic.h, held across netlink requests;
 * never taken while a lock of a higher room is wanted.
 */
#ifndef DEVMEM_NIC_LOCK_H
#define DEVMEM_NIC_LOCK_H

void nic_lock(void);
void nic_unlock(void);
/* In a fork()ed child: its former holder may be a thread that does not exist here. */
void nic_lock_reset(void);

/* What nic_forget() is made of. The caller holds the lock. */
void nic_rx_forget_all(void);
void nic_tx_forget_all(void);

#endif
