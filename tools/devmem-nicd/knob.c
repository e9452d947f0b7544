// SPDX-License-Identifier: BSD-3-Clause
#include "knob.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>

#include "base/cleanup.h"
#include "nic/nic_ethtool.h"
#include "nic/nic_link.h"
#include "nic/nic_rss.h"

static int queues_get(const char *ifname, long *ret, long *ret_max)
{
	struct ethtool_channels c = { .cmd = ETHTOOL_GCHANNELS };
	int err = nic_ethtool_ioctl(ifname, &c);

	if (err)
		return err;
	if (!c.max_combined)
		return -EOPNOTSUPP;
	*ret = c.combined_count;
	*ret_max = c.max_combined;
	return 0;
}

static int queues_set(const char *ifname, long value)
{
	struct ethtool_channels c = { .cmd = ETHTOOL_GCHANNELS };
	int err = nic_ethtool_ioctl(ifname, &c);

	if (err)
		return err;
	c.cmd = ETHTOOL_SCHANNELS;
	c.combined_count = (uint32_t)value;
	return nic_ethtool_ioctl(ifname, &c);
}

static int rx_ring_get(const char *ifname, long *ret, long *ret_max)
{
	struct ethtool_ringparam r = { .cmd = ETHTOOL_GRINGPARAM };
	int err = nic_ethtool_ioctl(ifname, &r);

	if (err)
		return err;
	if (!r.rx_max_pending)
		return -EOPNOTSUPP;
	*ret = r.rx_pending;
	*ret_max = r.rx_max_pending;
	return 0;
}

static int rx_ring_set(const char *ifname, long value)
{
	struct ethtool_ringparam r = { .cmd = ETHTOOL_GRINGPARAM };
	int err = nic_ethtool_ioctl(ifname, &r);

	if (err)
		return err;
	r.cmd = ETHTOOL_SRINGPARAM;
	r.rx_pending = (uint32_t)value;
	return nic_ethtool_ioctl(ifname, &r);
}

static int mtu_get(const char *ifname, long *ret, long *ret_max)
{
	struct nic_link l;
	int err = nic_link_get((int)if_nametoindex(ifname), &l);

	if (err)
		return err;
	*ret = l.mtu;
	*ret_max = 0;
	return 0;
}

static int mtu_set(const char *ifname, long value)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_mtu = (int)value };

	if (fd < 0)
		return -errno;
	memcpy(ifr.ifr_name, ifname, strnlen(ifname, IF_NAMESIZE - 1));
	return ioctl(fd, SIOCSIFMTU, &ifr) < 0 ? -errno : 0;
}

static int split_get(const char *ifname, long *ret, long *ret_max)
{
	struct nic_rings r;
	int err = nic_rings_get((int)if_nametoindex(ifname), &r);

	if (err)
		return err;
	if (!r.has_split)
		return -EOPNOTSUPP;
	*ret = 0;
	if (r.split == ETHTOOL_TCP_DATA_SPLIT_ENABLED)
		*ret = 1 + (r.has_thresh ? (long)r.thresh : 0);
	*ret_max = 1;
	return 0;
}

static int split_set(const char *ifname, long value)
{
	struct nic_rings r, want = { .has_split = true };
	int ifindex = (int)if_nametoindex(ifname), err;
	char ext[160];

	err = nic_rings_get(ifindex, &r);
	if (err)
		return err;
	want.split = value ? ETHTOOL_TCP_DATA_SPLIT_ENABLED : ETHTOOL_TCP_DATA_SPLIT_DISABLED;
	want.has_thresh = value && r.has_thresh;
	want.thresh = value ? (uint32_t)(value - 1) : 0;
	return nic_rings_set(ifindex, &want, ext, sizeof(ext));
}

/* The queues that the RSS table leaves alone at the upper end. */
static int reserved_get(const char *ifname, long *ret, long *ret_max)
{
	_cleanup_(nic_rss_drop) struct nic_rss rss = { 0 };
	long queues, max, top = 0;
	int err;

	err = queues_get(ifname, &queues, &max);
	if (!err)
		err = nic_rss_get(ifname, &rss);
	if (err)
		return err;
	if (!rss.n)
		return -EOPNOTSUPP;
	for (unsigned int i = 0; i < rss.n; i++)
		if (rss.entry[i] > top)
			top = rss.entry[i];
	/* A number stands for an even spread alone; any other table could not be put back. */
	for (unsigned int i = 0; i < rss.n; i++)
		if (rss.entry[i] != i % (uint32_t)(top + 1))
			return -EEXIST;
	*ret = queues - 1 - top;
	*ret_max = queues - 1;
	return 0;
}

static int reserved_set(const char *ifname, long value)
{
	_cleanup_(nic_rss_drop) struct nic_rss rss = { 0 };
	long queues, max;
	int err;

	err = queues_get(ifname, &queues, &max);
	if (!err)
		err = nic_rss_get(ifname, &rss);
	if (err)
		return err;
	if (value < 0 || value >= queues)
		return -EINVAL;
	for (unsigned int i = 0; i < rss.n; i++)
		rss.entry[i] = i % (uint32_t)(queues - value);
	/* All queues in turn is the driver's own table, and is written as such. */
	return nic_rss_set(ifname, &rss, (unsigned int)queues);
}

const char *knob_error(int err)
{
	switch (err) {
	case -EOPNOTSUPP:
		return "its driver has no such setting";
	case -EEXIST:
		return "it has an RSS table of somebody's own, or a job's, which would be lost (ethtool -x)";
	default:
		return strerror(-err);
	}
}

const struct knob_ops knobs[KNOB_COUNT] = {
	[KNOB_QUEUES] = { "queues", queues_get, queues_set },
	[KNOB_RX_RING] = { "rx-ring", rx_ring_get, rx_ring_set },
	[KNOB_MTU] = { "mtu", mtu_get, mtu_set },
	[KNOB_SPLIT] = { "header-split", split_get, split_set },
	[KNOB_RESERVED] = { "reserved", reserved_get, reserved_set },
};
