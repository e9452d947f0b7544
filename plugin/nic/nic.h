/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network interface: discovery, what it can do, and its bindings.
 *
 * Everything here is control plane: netlink (libnl-3) and ethtool ioctls, called while connections
 * are set up or torn down, never per message. All functions may be called from several threads;
 * what touches bindings and settings serialises on one lock inside, and between processes on a lock
 * in NCCL_DEVMEM_STATE_DIR.
 */
#ifndef DEVMEM_NIC_H
#define DEVMEM_NIC_H

#include <limits.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/verdict.h"

/*
 * @speed_mbps: link speed; 10000 where the driver does not tell, as NCCL's own socket transport
 * assumes.
 * @pci_path:   canonical /sys/devices/... path of the PCI device, "" for virtual devices.
 * @guid:       stable for the interface on this host (MAC and ifindex).
 * @addr:       the address that connections use; link-local IPv6 carries its scope id.
 */
struct nic {
	char name[IF_NAMESIZE];
	char pci_path[PATH_MAX];
	struct sockaddr_storage addr;
	socklen_t addrlen;
	uint64_t guid;
	int ifindex;
	int speed_mbps;
	unsigned int mtu;
	bool is_loopback;
};

/*
 * Lists usable interfaces: up, with an address of @family (AF_UNSPEC: IPv4 preferred), passing
 * @filter (NCCL_SOCKET_IFNAME's syntax: "eth,ens", "^docker,lo", "=eth0"; empty: all Ethernet
 * interfaces except docker*, loopback only when nothing else is left). Order: as the kernel lists
 * them, filter order first when one is given.
 *
 * *ret_nics is malloc'ed and owned by the caller; *ret_n may be 0 with @why telling which filter
 * matched nothing and what interfaces there are. Returns 0 or -errno of the netlink query.
 */
int nic_list(const char *filter, int family, struct nic **ret_nics, int *ret_n,
	     struct verdict *why);

/*
 * Is @addr one of this network namespace's own addresses? Traffic to it goes through lo and never
 * reaches a NIC.
 */
bool nic_addr_is_local(const struct sockaddr *addr);

/*
 * What the NIC and kernel offer for devmem TCP, without changing anything. Each verdict has err 0
 * or the reason why not: kernel without the netdev family, driver without queue management, header
 * split unsupported, one queue only, no CAP_NET_ADMIN, XDP attached...
 */
struct nic_caps {
	struct verdict rx_devmem;
	struct verdict tx_devmem;
	unsigned int rx_queues;
};
void nic_probe(const struct nic *nic, struct nic_caps *ret);

/*
 * A receive binding: a dmabuf bound to RX queues of one NIC. Making it turns header split on
 * (threshold 0), keeps RSS away from the bound queues, and records the former settings in
 * NCCL_DEVMEM_STATE_DIR before it touches them; the last process that lets go of the NIC (or the
 * next start after a crash) puts them back. Queues are taken from the highest one that nobody has
 * bound downwards; queue 0 stays for ordinary traffic. With NCCL_DEVMEM_NIC_SETUP=0 settings are
 * checked, not changed.
 *
 * @dmabuf_fd is borrowed for the call; the kernel keeps its own reference for the life of the
 * binding. A process without CAP_NET_ADMIN has it all done by the broker (NCCL_DEVMEM_BROKER) where
 * one serves it. Errors: -EPERM no CAP_NET_ADMIN, -EOPNOTSUPP driver or kernel cannot, -EBUSY no free
 * queue, -EINVAL dmabuf size;
 * @why always says which and what to do.
 */
struct nic_rx;
int nic_rx_bind(const struct nic *nic, int dmabuf_fd, unsigned int n_queues, struct nic_rx **ret,
		struct verdict *why);

/*
 * Steers the TCP flow remote -> local (the 5-tuple as the receiver sees it; IPv4-mapped addresses
 * are IPv4) to one of the bound queues, the one with fewest flows. *ret_rule identifies the rule
 * for nic_rx_unsteer(); it is never given out twice. From the return on, new segments of the flow
 * land in the bound dmabuf. @sock is the flow's socket (borrowed): it shows a broker that the flow
 * is this process's; without a broker -1 will do.
 *
 * Errors: -ENOSPC the NIC's rule table is full, -EEXIST it has this rule already, -EPERM no
 * CAP_NET_ADMIN any more,
 * -ESTALE the binding is a parent process's, -EINVAL or -EAFNOSUPPORT not the two ends of a flow;
 * -ENOENT with NCCL_DEVMEM_NIC_SETUP=0 when no rule of the administrator's leads the flow to a
 * bound queue.
 */
int nic_rx_steer(struct nic_rx *rx, int sock, const struct sockaddr *local,
		 const struct sockaddr *remote, uint32_t *ret_rule, struct verdict *why);
/* Unknown and already removed rules are ignored. */
void nic_rx_unsteer(struct nic_rx *rx, uint32_t rule);

/*
 * Bytes of a net_iov of the binding: a page, or more where the kernel can (kernel-patches/7.2, NCCL_DEVMEM_NIOV_SIZE). A frag
 * never spans two, and a token holds back all of the one its frag lies in.
 */
uint32_t nic_rx_niov_size(const struct nic_rx *rx);

/*
 * Has who made the binding for this process, the broker, ended without being asked to? Then its flow rules are gone, or will be
 * when the next broker starts: its flows come to ordinary queues, and it takes no new ones. A new binding may be had, of other
 * memory. @why, filled only then, says so. False for a binding of this process's own. Costs a system call.
 */
bool nic_rx_is_lost(const struct nic_rx *rx, struct verdict *why);

/* Names for the log: bound queues ("3" or "3-5"). Valid as long as @rx. */
const char *nic_rx_queues(const struct nic_rx *rx);

/*
 * Ends the binding (closes its netlink socket), removes left-over rules, restores settings if last.
 * NULL is fine.
 */
void nic_rx_release(struct nic_rx *rx);

/*
 * A send binding: makes @dmabuf_fd (borrowed) sendable through @nic. nic_tx_id() is the id that
 * goes into SCM_DEVMEM_DMABUF. bind-tx needs no privilege. The binding must be released before the
 * device goes away: an unpatched 7.2 kernel uses freed memory otherwise.
 */
struct nic_tx;
int nic_tx_bind(const struct nic *nic, int dmabuf_fd, struct nic_tx **ret, struct verdict *why);
uint32_t nic_tx_id(const struct nic_tx *tx);
void nic_tx_release(struct nic_tx *tx);

/*
 * Puts back what dead processes changed on NICs of this network namespace. Called once at plugin
 * initialisation.
 */
void nic_restore_stale(void);

/*
 * In a fork()ed child: forget everything without touching the NIC; the parent still owns it. Handles
 * may still be released, which then only frees them. Without this call a child's releases leave the
 * NIC alone, too, but its copies of the descriptors keep the parent's bindings alive after the
 * parent's death.
 */
void nic_forget(void);

#endif
