// SPDX-License-Identifier: GPL-2.0
/*
 * What ethtool shows and sets. All of these run under the instance lock.
 */
#include <linux/ethtool.h>
#include <linux/netdevice.h>
#include <net/netdev_lock.h>

#include "sdm.h"

static void sdm_get_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	const struct sdm_dev *sdm = netdev_priv(dev);

	strscpy(info->driver, "sdm", sizeof(info->driver));
	strscpy(info->bus_info, netdev_name(sdm->lower), sizeof(info->bus_info));
}

static int sdm_get_link_ksettings(struct net_device *dev, struct ethtool_link_ksettings *cmd)
{
	const struct sdm_dev *sdm = netdev_priv(dev);

	return __ethtool_get_link_ksettings(sdm->lower, cmd);
}

/* Packets go down as they are, and copies with what is asked for and their socket; hardware
 * time stamps come up with them.
 */
static int sdm_get_ts_info(struct net_device *dev, struct kernel_ethtool_ts_info *info)
{
	const struct sdm_dev *sdm = netdev_priv(dev);

	return ethtool_get_ts_info_by_layer(sdm->lower, info);
}

static void sdm_get_ringparam(struct net_device *dev, struct ethtool_ringparam *ring,
			      struct kernel_ethtool_ringparam *kring,
			      struct netlink_ext_ack *extack)
{
	const struct sdm_dev *sdm = netdev_priv(dev);

	ring->rx_max_pending = SDM_RING_MAX;
	ring->rx_pending = sdm->ring_size;
	/* Off until somebody says otherwise, not unknown. */
	kring->tcp_data_split = dev->cfg->hds_config == ETHTOOL_TCP_DATA_SPLIT_ENABLED ?
				ETHTOOL_TCP_DATA_SPLIT_ENABLED : ETHTOOL_TCP_DATA_SPLIT_DISABLED;
	kring->hds_thresh = dev->cfg->hds_thresh;
	kring->hds_thresh_max = SDM_HDS_THRESH_MAX;
}

/* Header split itself is the core's to remember (dev->cfg): what it means is
 * decided by whether a dma-buf is bound, which the core allows only with it on.
 */
static int sdm_set_ringparam(struct net_device *dev, struct ethtool_ringparam *ring,
			     struct kernel_ethtool_ringparam *kring,
			     struct netlink_ext_ack *extack)
{
	struct sdm_dev *sdm = netdev_priv(dev);

	if (ring->rx_pending < SDM_RING_MIN) {
		NL_SET_ERR_MSG_FMT(extack, "the rx ring needs at least %d entries", SDM_RING_MIN);
		return -EINVAL;
	}
	WRITE_ONCE(sdm->ring_size, ring->rx_pending);
	return 0;
}

static void sdm_get_channels(struct net_device *dev, struct ethtool_channels *ch)
{
	ch->max_combined = min(dev->num_rx_queues, dev->num_tx_queues);
	ch->combined_count = dev->real_num_rx_queues;
}

static int sdm_set_channels(struct net_device *dev, struct ethtool_channels *ch)
{
	/* Receive and transmit queues come in pairs. */
	if (!ch->combined_count)
		return -EINVAL;
	return sdm_queues_set_count(netdev_priv(dev), ch->combined_count);
}

static u32 sdm_get_rx_ring_count(struct net_device *dev)
{
	return dev->real_num_rx_queues;
}

static int sdm_get_rxnfc(struct net_device *dev, struct ethtool_rxnfc *info, u32 *locs)
{
	return sdm_rules_get(netdev_priv(dev), info, locs);
}

static int sdm_set_rxnfc(struct net_device *dev, struct ethtool_rxnfc *info)
{
	if (!(dev->features & NETIF_F_NTUPLE))
		return -EOPNOTSUPP;
	return sdm_rules_set(netdev_priv(dev), info);
}

static u32 sdm_get_rxfh_key_size(struct net_device *dev)
{
	return SDM_KEY_SIZE;
}

static u32 sdm_get_rxfh_indir_size(struct net_device *dev)
{
	return SDM_INDIR_SIZE;
}

static int sdm_get_rxfh(struct net_device *dev, struct ethtool_rxfh_param *rxfh)
{
	return sdm_rss_get(netdev_priv(dev), rxfh);
}

static int sdm_set_rxfh(struct net_device *dev, struct ethtool_rxfh_param *rxfh,
			struct netlink_ext_ack *extack)
{
	return sdm_rss_set(netdev_priv(dev), rxfh);
}

static int sdm_get_rxfh_fields(struct net_device *dev, struct ethtool_rxfh_fields *fields)
{
	switch (fields->flow_type) {
	case TCP_V4_FLOW:
	case TCP_V6_FLOW:
	case UDP_V4_FLOW:
	case UDP_V6_FLOW:
		fields->data = RXH_IP_SRC | RXH_IP_DST | RXH_L4_B_0_1 | RXH_L4_B_2_3;
		return 0;
	case IPV4_FLOW:
	case IPV6_FLOW:
		fields->data = RXH_IP_SRC | RXH_IP_DST;
		return 0;
	default:
		fields->data = 0;
		return 0;
	}
}

/* The lower device's settings and the number of queues are under RTNL, which the
 * core takes for an ops-locked device only where it is asked to.
 */
const struct ethtool_ops sdm_ethtool_ops = {
	.supported_ring_params	= ETHTOOL_RING_USE_TCP_DATA_SPLIT | ETHTOOL_RING_USE_HDS_THRS,
	.op_needs_rtnl		= ETHTOOL_OP_NEEDS_RTNL_LINKSETTINGS |
				  ETHTOOL_OP_NEEDS_RTNL_SCHANNELS,
	.rxfh_per_ctx_key	= 1,
	.rxfh_max_num_contexts	= SDM_RSS_CONTEXTS,
	.get_drvinfo		= sdm_get_drvinfo,
	.get_link		= ethtool_op_get_link,
	.get_link_ksettings	= sdm_get_link_ksettings,
	.get_ts_info		= sdm_get_ts_info,
	.get_ringparam		= sdm_get_ringparam,
	.set_ringparam		= sdm_set_ringparam,
	.get_channels		= sdm_get_channels,
	.set_channels		= sdm_set_channels,
	.get_rx_ring_count	= sdm_get_rx_ring_count,
	.get_rxnfc		= sdm_get_rxnfc,
	.set_rxnfc		= sdm_set_rxnfc,
	.get_rxfh_key_size	= sdm_get_rxfh_key_size,
	.get_rxfh_indir_size	= sdm_get_rxfh_indir_size,
	.get_rxfh		= sdm_get_rxfh,
	.set_rxfh		= sdm_set_rxfh,
	.create_rxfh_context	= sdm_rss_create_context,
	.modify_rxfh_context	= sdm_rss_modify_context,
	.remove_rxfh_context	= sdm_rss_remove_context,
	.get_rxfh_fields	= sdm_get_rxfh_fields,
	.get_sset_count		= sdm_stats_string_count,
	.get_strings		= sdm_stats_strings,
	.get_ethtool_stats	= sdm_stats_values,
};
