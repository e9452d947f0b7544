/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's `netdev` generic netlink family: queues and devmem bindings.
 */
#ifndef DEVMEM_NIC_NETDEV_H
#define DEVMEM_NIC_NETDEV_H

#include <stdbool.h>
#include <stdint.h>

#include "nic/nic_nl.h"

/*
 * An RX queue of a running device. @user names what keeps it from being bound ("dmabuf",
 * "io_uring", "AF_XDP", "lease"), NULL when free. @provider: its buffers come from a memory
 * provider, so packets that arrive on it are not readable by ordinary sockets. @dmabuf: id of the
 * bound dmabuf, else 0.
 */
struct nic_queue {
	unsigned int id;
	uint32_t dmabuf;
	bool provider;
	const char *user;
};

/*
 * The RX queues in ascending order; *ret_queues is malloc'ed, owned by the caller. A device that is
 * down has none. -EOPNOTSUPP: no netdev family (Linux before 6.8); -ENODEV: the device is gone.
 */
int nic_netdev_rx_queues(int ifindex, struct nic_queue **ret_queues, unsigned int *ret_n);

/*
 * @niov_size: for receiving; the size of the net_iovs to divide the dmabuf into, 0 for the kernel's own choice, a page. On
 * return the size in use as the kernel tells it, 0 if it does not: then it does not know the attribute.
 */
struct nic_binding {
	uint32_t id;
	uint32_t niov_size;
};

/*
 * Bind @dmabuf_fd (borrowed) to RX queues, or for sending. The binding lives as
 * long as the socket in @nl, which the caller has opened and which must not be used for anything
 * else until it is closed. Returns 0 or the kernel's errno, with its words in @nl->ext.
 *
 * With a @dmabuf_fd of -1 nothing can be bound, but the kernel checks privilege and device before
 * it looks at the descriptor: -EBADF means "would be possible" (Linux 7.2,
 * net/core/netdev-genl.c). That is how to probe without changing anything.
 */
int nic_netdev_bind_rx(struct nic_nl *nl, int ifindex, int dmabuf_fd, const unsigned int *queues,
		       unsigned int n_queues, struct nic_binding *binding);
int nic_netdev_bind_tx(struct nic_nl *nl, int ifindex, int dmabuf_fd, uint32_t *ret_id);

#endif
