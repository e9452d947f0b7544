// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <linux/sockios.h>
#include <netlink/genl/genl.h>

#include "base/cleanup.h"
#include "nic/nic_ethtool.h"
#include "nic/nic_nl.h"
#include "uapi/netdev_genl.h"

static struct nl_msg *nic_rings_msg(const struct nic_nl *nl, uint8_t cmd, int ifindex)
{
	struct nl_msg *msg = nic_nl_msg(nl, cmd, 0);
	struct nlattr *nest;

	if (!msg)
		return NULL;
	/* Families with strict validation refuse a nest without the flag. */
	nest = nla_nest_start(msg, ETHTOOL_A_RINGS_HEADER | NLA_F_NESTED);
	if (!nest || nla_put_u32(msg, ETHTOOL_A_HEADER_DEV_INDEX, (uint32_t)ifindex) < 0) {
		nlmsg_free(msg);
		return NULL;
	}
	nla_nest_end(msg, nest);
	return msg;
}

static int nic_rings_on_reply(const struct nlmsghdr *nlh, void *arg)
{
	struct nlattr *tb[NDEV_A_RINGS_MAX + 1];
	struct nic_rings *r = arg;

	if (genlmsg_parse((struct nlmsghdr *)nlh, 0, tb, NDEV_A_RINGS_MAX, NULL) < 0)
		return -EPROTO;
	if (tb[NDEV_A_RINGS_TCP_DATA_SPLIT]) {
		r->has_split = true;
		r->split = nla_get_u8(tb[NDEV_A_RINGS_TCP_DATA_SPLIT]);
	}
	if (tb[NDEV_A_RINGS_HDS_THRESH]) {
		r->has_thresh = true;
		r->thresh = nla_get_u32(tb[NDEV_A_RINGS_HDS_THRESH]);
	}
	return 0;
}

int nic_rings_get(int ifindex, struct nic_rings *ret)
{
	_cleanup_(nic_nl_close) struct nic_nl nl = { 0 };
	struct nic_rings r = { 0 };
	int err;

	err = nic_nl_open(&nl, ETHTOOL_GENL_NAME);
	if (err)
		return err;
	err = nic_nl_call(&nl, nic_rings_msg(&nl, ETHTOOL_MSG_RINGS_GET, ifindex),
			  nic_rings_on_reply, &r);
	if (err)
		return err;
	*ret = r;
	return 0;
}

int nic_rings_set(int ifindex, const struct nic_rings *rings, char *ext, size_t ext_len)
{
	_cleanup_(nic_nl_close) struct nic_nl nl = { 0 };
	struct nl_msg *msg;
	int err;

	err = nic_nl_open(&nl, ETHTOOL_GENL_NAME);
	if (err)
		return err;
	msg = nic_rings_msg(&nl, ETHTOOL_MSG_RINGS_SET, ifindex);
	if (!msg)
		return -ENOMEM;
	if ((rings->has_split && nla_put_u8(msg, NDEV_A_RINGS_TCP_DATA_SPLIT, rings->split) < 0) ||
	    (rings->has_thresh && nla_put_u32(msg, NDEV_A_RINGS_HDS_THRESH, rings->thresh) < 0)) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	err = nic_nl_call(&nl, msg, NULL, NULL);
	snprintf(ext, ext_len, "%s", nl.ext);
	return err;
}

int nic_ethtool_ioctl(const char *ifname, void *cmd)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_data = cmd };

	if (fd < 0) /* a host without IPv4 */
		fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	return ioctl(fd, SIOCETHTOOL, &ifr) < 0 ? -errno : 0;
}

void nic_driver_get(const char *ifname, char *driver, size_t driver_len, char *bus, size_t bus_len)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };

	if (nic_ethtool_ioctl(ifname, &info)) {
		info.driver[0] = '\0';
		info.bus_info[0] = '\0';
	}
	snprintf(driver, driver_len, "%s", info.driver);
	snprintf(bus, bus_len, "%s", info.bus_info);
}

int nic_speed_get(const char *ifname)
{
	/*
	 * The kernel answers the first request with the size of its bitmaps, negated (ethtool.h).
	 */
	struct {
		struct ethtool_link_settings s;
		uint32_t masks[3 * 127];
	} req = { .s.cmd = ETHTOOL_GLINKSETTINGS };
	int err;

	err = nic_ethtool_ioctl(ifname, &req);
	if (err)
		return err;
	if (req.s.link_mode_masks_nwords >= 0)
		return -ENODATA;
	req.s.link_mode_masks_nwords = (int8_t)-req.s.link_mode_masks_nwords;
	req.s.cmd = ETHTOOL_GLINKSETTINGS;
	err = nic_ethtool_ioctl(ifname, &req);
	if (err)
		return err;
	if (!req.s.speed || req.s.speed == (uint32_t)SPEED_UNKNOWN || req.s.speed > INT32_MAX)
		return -ENODATA;
	return (int)req.s.speed;
}

int nic_ntuple_get(const char *ifname, bool *ret_on)
{
	struct ethtool_value v = { .cmd = ETHTOOL_GFLAGS };
	int err = nic_ethtool_ioctl(ifname, &v);

	if (err)
		return err;
	*ret_on = v.data & ETH_FLAG_NTUPLE;
	return 0;
}

int nic_ntuple_set(const char *ifname, bool on)
{
	struct ethtool_value v = { .cmd = ETHTOOL_GFLAGS };
	bool now;
	int err;

	/* The request carries all flags at once: read, change the one bit, write. */
	err = nic_ethtool_ioctl(ifname, &v);
	if (err)
		return err;
	v.cmd = ETHTOOL_SFLAGS;
	v.data = on ? v.data | ETH_FLAG_NTUPLE : v.data & ~(uint32_t)ETH_FLAG_NTUPLE;
	err = nic_ethtool_ioctl(ifname, &v);
	if (err)
		return err;
	/* A feature that another one forbids is silently left as it was. */
	err = nic_ntuple_get(ifname, &now);
	if (err)
		return err;
	return now == on ? 0 : -EOPNOTSUPP;
}
