// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "nic/nic_broker.h"
#include "nic/nic_ethtool.h"
#include "nic/nic_link.h"
#include "nic/nic_lock.h"
#include "nic/nic_netdev.h"
#include "nic/nic_nl.h"
#include "nic/nic_probe.h"
#include "nic/nic_rss.h"
#include "nic/nic_rule.h"
#include "uapi/netdev_genl.h"

#define REMEDY_KERNEL                                                                           \
	"boot Linux 6.16 or newer with CONFIG_NET_DEVMEM=y (it follows from DMA_SHARED_BUFFER " \
	"and PAGE_POOL)"
#define REMEDY_NIC                                                                               \
	"use a NIC whose driver has devmem (mlx5, gve, bnxt, fbnic), or stack sdm on this one: " \
	"ip link add sdm0 link %s type sdm"
#define REMEDY_CAP                                                                          \
	"run with CAP_NET_ADMIN (setcap cap_net_admin+ep <program>), or let the broker do " \
	"it: systemctl enable --now devmem-broker.socket"

static int no_driver(const struct nic *nic, const char *what, const char *ext, struct verdict *why)
{
	char driver[64], bus[64], remedy[192];

	nic_driver_get(nic->name, driver, sizeof(driver), bus, sizeof(bus));
	snprintf(remedy, sizeof(remedy), REMEDY_NIC, nic->name);
	return verdict_set(why, -EOPNOTSUPP, nic->is_loopback ? "" : remedy, "%s: %s%s %s%s%s",
			   nic->name, driver[0] ? "driver " : "this device", driver, what,
			   ext[0] ? ": " : "", ext);
}

/*
 * Queues that netkit shows are leased from another NIC (Linux 7.2): to bind one is possible, but header split and flow rules are
 * that NIC's, in a namespace that this process does not reach.
 */
static bool is_netkit(const struct nic *nic)
{
	char driver[64], bus[64];

	nic_driver_get(nic->name, driver, sizeof(driver), bus, sizeof(bus));
	return !strcmp(driver, "netkit");
}

static int no_steering(const struct nic *nic, struct verdict *why)
{
	return verdict_set(why, -EOPNOTSUPP,
			   "nothing where it is enough to send by devmem; else give this network "
			   "namespace a NIC, or a virtual function of one, of its own",
			   "%s: netkit lends queues of a NIC whose flow rules this process cannot "
			   "set, so receives are copied",
			   nic->name);
}

static int no_kernel(const struct nic *nic, const char *what, struct verdict *why)
{
	return verdict_set(why, -EOPNOTSUPP, REMEDY_KERNEL, "%s: %s", nic->name, what);
}

/*
 * Asks the kernel to bind nothing: it checks privilege, device and driver before it looks at the
 * descriptor. Returns -EBADF where binding would be possible.
 */
static int bind_nothing(const struct nic *nic, bool tx, struct nic_nl *nl)
{
	const unsigned int queue = 0;
	struct nic_binding b = { 0 };
	uint32_t id;
	int err;

	err = nic_nl_open(nl, NDEV_FAMILY);
	if (err) {
		memset(nl, 0, sizeof(*nl));
		return err;
	}
	err = tx ? nic_netdev_bind_tx(nl, nic->ifindex, -1, &id)
		 : nic_netdev_bind_rx(nl, nic->ifindex, -1, &queue, 1, &b);
	return err ? err : -EPROTO;
}

static int probe_link(const struct nic *nic, struct nic_link *ret, struct verdict *why)
{
	int err = nic_link_get(nic->ifindex, ret);

	if (err)
		return verdict_set(why, err, NULL, "%s: %s", nic->name,
				   err == -ENODEV ? "the interface is gone" : strerror(-err));
	return 0;
}

/* What the driver lacks can be seen without privilege. */
static int probe_rx_driver(const struct nic *nic, struct verdict *why)
{
	_cleanup_(nic_rss_drop) struct nic_rss rss = { 0 };
	struct nic_rings rings = { 0 };
	int err;

	err = nic_rings_get(nic->ifindex, &rings);
	if (err == -EOPNOTSUPP || (!err && !rings.has_split))
		return no_driver(nic, "has no header split (tcp-data-split)", "", why);
	if (err)
		return verdict_set(why, err, NULL, "%s: reading the ring settings: %s", nic->name,
				   strerror(-err));
	err = nic_rss_get(nic->name, &rss);
	if (!err && !rss.n)
		return no_driver(
			nic, "has no RSS table, so other traffic cannot be kept off a bound queue",
			"", why);
	err = nic_rule_supported(nic->name);
	if (err == -EOPNOTSUPP)
		return no_driver(nic, "has no flow rules (ntuple)", "", why);
	return 0;
}

static int probe_rx_queues(const struct nic *nic, struct verdict *why)
{
	_cleanup_free_ struct nic_queue *q = NULL;
	char remedy[96];
	unsigned int n = 0;
	int err;

	err = nic_netdev_rx_queues(nic->ifindex, &q, &n);
	if (err)
		return verdict_set(why, err, NULL, "%s: listing the queues: %s", nic->name,
				   strerror(-err));
	if (n >= 2)
		return 0;
	if (!n) {
		snprintf(remedy, sizeof(remedy), "ip link set %s up", nic->name);
		return verdict_set(why, -ENETDOWN, remedy, "%s: the interface is down", nic->name);
	}
	snprintf(remedy, sizeof(remedy), "ethtool -L %s combined 2 (or more)", nic->name);
	return verdict_set(why, -EBUSY, remedy,
			   "%s: %u RX queue; devmem needs one beside that of other traffic",
			   nic->name, n);
}

int nic_probe_rx(const struct nic *nic, struct verdict *why)
{
	_cleanup_(nic_nl_close) struct nic_nl nl = { 0 };
	struct nic_link link;
	char remedy[96];
	int bind, err;

	if (nic->is_loopback)
		return no_driver(nic, "moves packets inside the host and has no queues to bind", "",
				 why);
	err = probe_link(nic, &link, why);
	if (err)
		return err;
	if (is_netkit(nic))
		return no_steering(nic, why);

	bind = bind_nothing(nic, false, &nl);
	if (!nl.sk)
		return no_kernel(nic, "the kernel has no netdev netlink family", why);
	if (bind == -EOPNOTSUPP && (nl.ext_attr || nl.ext[0]))
		return no_driver(nic, "has no queue management for devmem", nl.ext, why);
	if (bind == -EOPNOTSUPP) {
		/* Either the driver or the kernel: name the driver's gap if one is seen. */
		if (probe_rx_driver(nic, why))
			return why->err;
		return no_kernel(nic, "the kernel has no devmem receive", why);
	}
	if (bind != -EBADF && bind != -EPERM && bind != -EACCES)
		return verdict_set(why, bind, NULL, "%s: asking for devmem receive: %s%s%s",
				   nic->name, strerror(-bind), nl.ext[0] ? ": " : "", nl.ext);

	err = probe_rx_driver(nic, why);
	if (!err)
		err = probe_rx_queues(nic, why);
	if (err)
		return err;
	if (link.xdp) {
		snprintf(remedy, sizeof(remedy), "ip link set dev %s xdp off", nic->name);
		return verdict_set(why, -EEXIST, remedy,
				   "%s: an XDP program is attached; devmem receive excludes XDP",
				   nic->name);
	}
	if (bind != -EBADF)
		return verdict_set(
			why, -EPERM, REMEDY_CAP,
			"%s: binding RX queues needs CAP_NET_ADMIN, which this process lacks",
			nic->name);
	return verdict_set(why, 0, NULL, "%s: devmem receive is possible", nic->name);
}

int nic_probe_tx(const struct nic *nic, struct verdict *why)
{
	_cleanup_(nic_nl_close) struct nic_nl nl = { 0 };
	struct nic_link link;
	int bind, err;

	if (nic->is_loopback)
		return no_driver(nic, "moves packets inside the host and cannot read device memory",
				 "", why);
	err = probe_link(nic, &link, why);
	if (err)
		return err;
	bind = bind_nothing(nic, true, &nl);
	if (!nl.sk)
		return no_kernel(nic, "the kernel has no netdev netlink family", why);
	if (bind == -EOPNOTSUPP && (nl.ext_attr || nl.ext[0]))
		return no_driver(nic, "cannot send from device memory", nl.ext, why);
	if (bind == -EOPNOTSUPP)
		return no_kernel(nic, "the kernel has no devmem send (bind-tx, Linux 6.16)", why);
	if (bind != -EBADF)
		return verdict_set(why, bind, NULL, "%s: asking for devmem send: %s%s%s", nic->name,
				   strerror(-bind), nl.ext[0] ? ": " : "", nl.ext);
	return verdict_set(why, 0, NULL, "%s: devmem send is possible", nic->name);
}

int nic_probe_dmabuf(const struct nic *nic, int dmabuf_fd, struct verdict *why)
{
	off_t size = lseek(dmabuf_fd, 0, SEEK_END);
	long page = sysconf(_SC_PAGESIZE);

	if (size < 0)
		return verdict_set(why, errno == EBADF ? -EBADF : -EINVAL, NULL,
				   "%s: descriptor %d is not a dmabuf: %s", nic->name, dmabuf_fd,
				   strerror(errno));
	if (!size || size % page)
		return verdict_set(
			why, -EINVAL, "export a dmabuf of whole pages",
			"%s: the dmabuf has %jd bytes, which is no multiple of the page size %ld",
			nic->name, (intmax_t)size, page);
	return 0;
}

void nic_probe(const struct nic *nic, struct nic_caps *ret)
{
	_cleanup_free_ struct nic_queue *q = NULL;

	memset(ret, 0, sizeof(*ret));
	nic_netdev_rx_queues(nic->ifindex, &q, &ret->rx_queues);
	nic_lock();
	if (nic_probe_rx(nic, &ret->rx_devmem) == -EPERM && nic_broker_is_there())
		nic_broker_probe(nic, &ret->rx_devmem);
	nic_unlock();
	nic_probe_tx(nic, &ret->tx_devmem);
}
