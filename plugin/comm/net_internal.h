/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The net context: what the process has, from the first net_init() to the last net_finalize(). Internal to plugin/comm.
 */
#ifndef DEVMEM_NET_INTERNAL_H
#define DEVMEM_NET_INTERNAL_H

#include "comm/comm.h"

/* A device's NIC, or NULL if @dev is none. Valid until the last net_finalize(). */
const struct nic *net_nic(int dev);

/* What was found about @nic, one of net_nic()'s, when the plugin was initialised. */
const struct nic_caps *net_nic_caps(const struct nic *nic);

/* May NCCL hand in GPU memory on @nic? Do its kernels unpack? */
bool net_takes_gpu(const struct nic *nic);
bool net_unpacks(void);

/* Live objects, so that the last finalize can close what NCCL dropped after an abort. Thread-safe. */
void net_track_comm(struct comm *comm);
void net_untrack_comm(struct comm *comm);

/* True in a fork()ed child, where every verb must leave descriptors, NICs and memory of the parent alone. */
bool net_is_forked(void);

/* Listening side (listen.c). */
int listen_comm_create(const struct nic *nic, void *handle, struct listen_comm **ret);
int listen_comm_accept(struct listen_comm *l, struct comm **ret);
void listen_comm_destroy(struct listen_comm *l);
/* Destroys every listen comm, or half-made connection, that is left. */
void listen_comm_sweep(void);

/* Connecting side (connect.c). */
int connect_step(const struct nic *nic, void *handle, struct comm **ret);
void connect_sweep(void);

#endif
