// SPDX-License-Identifier: GPL-2.0
/*
 * The device: its making and removal by rtnetlink ("ip link add ... type sdm"),
 * and following its lower device in all that happens to that.
 */
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/etherdevice.h>
#include <linux/if_arp.h>
#include <linux/iommu-dma.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/platform_device.h>
#include <linux/swiotlb.h>
#include <net/netdev_lock.h>
#include <net/rtnetlink.h>

#include "sdm.h"
#include "sdm_mem.h"

#define SDM_FEATURES	(NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_ALL_TSO | NETIF_F_GSO_UDP_L4 | \
			 NETIF_F_HIGHDMA | NETIF_F_RXCSUM | NETIF_F_RXHASH | NETIF_F_NTUPLE)

/* The device that memory is mapped for. Nobody holds a reference on the device of
 * a DMA mapping, and the mapping of a bound dma-buf outlives the netdev that it was
 * bound to: by as long as a socket holds tokens, or a process its netlink socket.
 * It can outlive the module. So there is one for all, and once made it stays; a
 * module that is loaded again finds it. No code of the module is behind it.
 */
static struct device *sdm_dma_dev;

/* For tests, and only where the kernel's bindings hold the device (patch "net: devmem:
 * hold the device that a dma-buf is mapped for"): a device that can be unplugged.
 */
static bool sdm_dma_dev_goes;
module_param_named(dma_dev_goes, sdm_dma_dev_goes, bool, 0600);
MODULE_PARM_DESC(dma_dev_goes, "remove the DMA device with the module, as hardware is unplugged");

static struct rtnl_link_ops sdm_link_ops;

static struct sdm_dev *sdm_of_lower(const struct net_device *lower)
{
	if (rtnl_dereference(lower->rx_handler) != sdm_rx_handler)
		return NULL;
	return rtnl_dereference(lower->rx_handler_data);
}

/* Not every device loses its carrier when it is set down. */
static void sdm_follow_link(struct sdm_dev *sdm)
{
	netif_stacked_transfer_operstate(sdm->lower, sdm->dev);
	if (!netif_running(sdm->lower))
		netif_carrier_off(sdm->dev);
}

static void sdm_follow_limits(struct sdm_dev *sdm)
{
	netif_inherit_tso_max(sdm->dev, sdm->lower);
	sdm->dev->hard_header_len = sdm->lower->hard_header_len;
	sdm->dev->needed_headroom = sdm->lower->needed_headroom;
	sdm->dev->needed_tailroom = sdm->lower->needed_tailroom;
}

static int sdm_init(struct net_device *dev)
{
	struct sdm_dev *sdm = netdev_priv(dev);
	unsigned int i;
	int err;

	netdev_lockdep_set_classes(dev);
	err = sdm_stats_init(sdm);
	if (err)
		return err;
	err = sdm_rss_init(sdm, dev->real_num_rx_queues);
	if (err) {
		sdm_stats_free(sdm);
		return err;
	}
	for (i = 0; i < SDM_MAX_QUEUES; i++) {
		skb_queue_head_init(&sdm->queues[i].backlog);
		sdm->queues[i].sdm = sdm;
		sdm->queues[i].index = i;
		sdm_inject_init_queue(&sdm->queues[i]);
	}
	netdev_hold(sdm->lower, &sdm->lower_tracker, GFP_KERNEL);
	return 0;
}

static void sdm_uninit(struct net_device *dev)
{
	sdm_inject_hide(netdev_priv(dev));
}

/* When the last reference is gone; until then the lower device is looked at. */
static void sdm_free(struct net_device *dev)
{
	struct sdm_dev *sdm = netdev_priv(dev);

	sdm_rules_flush(sdm);
	sdm_rss_free(sdm);
	sdm_stats_free(sdm);
	netdev_put(sdm->lower, &sdm->lower_tracker);
}

static int sdm_change_mtu(struct net_device *dev, int mtu)
{
	const struct sdm_dev *sdm = netdev_priv(dev);

	if (mtu > READ_ONCE(sdm->lower->mtu))
		return -EINVAL;
	WRITE_ONCE(dev->mtu, mtu);
	return 0;
}

static void sdm_set_promisc(struct sdm_dev *sdm, bool on)
{
	if (!sdm->attached || sdm->lower_promisc == on)
		return;
	sdm->lower_promisc = on;
	dev_set_promiscuity(sdm->lower, on ? 1 : -1);
}

/* Multicast is always let through by the lower device (see sdm_attach()). Other
 * addresses of our own make the core ask for promiscuous mode.
 */
static void sdm_change_rx_flags(struct net_device *dev, int change)
{
	if (change & IFF_PROMISC)
		sdm_set_promisc(netdev_priv(dev), dev->flags & IFF_PROMISC);
}

static int sdm_get_iflink(const struct net_device *dev)
{
	const struct sdm_dev *sdm = netdev_priv(dev);

	return READ_ONCE(sdm->lower->ifindex);
}

static int sdm_set_features(struct net_device *dev, netdev_features_t features)
{
	if (dev->features & ~features & NETIF_F_NTUPLE)
		sdm_rules_flush(netdev_priv(dev));
	return 0;
}

static const struct net_device_ops sdm_netdev_ops = {
	.ndo_init		= sdm_init,
	.ndo_uninit		= sdm_uninit,
	.ndo_open		= sdm_open,
	.ndo_stop		= sdm_stop,
	.ndo_start_xmit		= sdm_start_xmit,
	.ndo_change_mtu		= sdm_change_mtu,
	.ndo_change_rx_flags	= sdm_change_rx_flags,
	.ndo_set_features	= sdm_set_features,
	.ndo_get_iflink		= sdm_get_iflink,
	.ndo_get_stats64	= sdm_stats_get64,
	.ndo_validate_addr	= eth_validate_addr,
};

static void sdm_setup(struct net_device *dev)
{
	ether_setup(dev);
	dev->max_mtu = ETH_MAX_MTU;
	/* A packet is given on, so it cannot be sent again; and the queue to wait
	 * in is the lower device's.
	 */
	dev->priv_flags &= ~IFF_TX_SKB_SHARING;
	dev->priv_flags |= IFF_NO_QUEUE;
	netif_keep_dst(dev);
	dev->lltx = true;
	dev->netdev_ops = &sdm_netdev_ops;
	dev->ethtool_ops = &sdm_ethtool_ops;
	dev->queue_mgmt_ops = &sdm_queue_mgmt_ops;
	dev->stat_ops = &sdm_stat_ops;
	dev->netmem_tx = NETMEM_TX_DMA;
	dev->hw_features = SDM_FEATURES;
	dev->features = SDM_FEATURES;
	dev->vlan_features = SDM_FEATURES & ~NETIF_F_NTUPLE;
	dev->needs_free_netdev = true;
	dev->priv_destructor = sdm_free;
}

/* Takes over the traffic of the lower device, once the sdm is registered. */
static int sdm_attach(struct sdm_dev *sdm, struct netlink_ext_ack *extack)
{
	struct net_device *lower = sdm->lower;
	int err;

	err = netdev_rx_handler_register(lower, sdm_rx_handler, sdm);
	if (err) {
		NL_SET_ERR_MSG_FMT(extack, "%s already belongs to another device", lower->name);
		return err;
	}
	err = netdev_upper_dev_link(lower, sdm->dev, extack);
	if (err)
		goto unregister_handler;
	err = dev_set_allmulti(lower, 1);
	if (err)
		goto unlink;
	sdm->attached = true;
	sdm_follow_link(sdm);
	return 0;

unlink:
	netdev_upper_dev_unlink(lower, sdm->dev);
unregister_handler:
	netdev_rx_handler_unregister(lower);
	return err;
}

static void sdm_detach(struct sdm_dev *sdm)
{
	if (!sdm->attached)
		return;
	sdm_set_promisc(sdm, false);
	sdm->attached = false;
	dev_set_allmulti(sdm->lower, -1);
	netdev_upper_dev_unlink(sdm->lower, sdm->dev);
	netdev_rx_handler_unregister(sdm->lower);
}

static int sdm_check_lower(const struct net_device *lower, struct netlink_ext_ack *extack)
{
	if (lower->type != ARPHRD_ETHER || lower->flags & IFF_LOOPBACK) {
		NL_SET_ERR_MSG_FMT(extack, "%s is not an Ethernet device", lower->name);
		return -EINVAL;
	}
	if (lower->rtnl_link_ops == &sdm_link_ops) {
		NL_SET_ERR_MSG(extack, "an sdm cannot stand on another sdm");
		return -EINVAL;
	}
	if (netdev_is_rx_handler_busy((struct net_device *)lower)) {
		NL_SET_ERR_MSG_FMT(extack, "%s already belongs to another device", lower->name);
		return -EBUSY;
	}
	return 0;
}

static int sdm_newlink(struct net_device *dev, struct rtnl_newlink_params *params,
		       struct netlink_ext_ack *extack)
{
	struct sdm_dev *sdm = netdev_priv(dev);
	struct nlattr **tb = params->tb;
	struct net_device *lower;
	unsigned int queues;
	int err;

	if (!tb[IFLA_LINK]) {
		NL_SET_ERR_MSG(extack, "the device to stand on is missing (link <device>)");
		return -EINVAL;
	}
	lower = __dev_get_by_index(rtnl_newlink_link_net(params), nla_get_u32(tb[IFLA_LINK]));
	if (!lower)
		return -ENODEV;
	err = sdm_check_lower(lower, extack);
	if (err)
		return err;
	if (tb[IFLA_ADDRESS] && !ether_addr_equal(nla_data(tb[IFLA_ADDRESS]), lower->dev_addr)) {
		NL_SET_ERR_MSG_FMT(extack, "the address is that of %s", lower->name);
		return -EINVAL;
	}
	if (!tb[IFLA_MTU]) {
		dev->mtu = lower->mtu;
	} else if (dev->mtu > lower->mtu) {
		NL_SET_ERR_MSG_FMT(extack, "the mtu is larger than that of %s (%u)", lower->name,
				   lower->mtu);
		return -EINVAL;
	}

	sdm->dev = dev;
	sdm->lower = lower;
	sdm->ring_size = SDM_RING_DEFAULT;
	eth_hw_addr_inherit(dev, lower);
	SET_NETDEV_DEV(dev, sdm_dma_dev);
	sdm_follow_limits(sdm);
	/* So that coming up is an event, and the state is known from then on. */
	netif_carrier_off(dev);

	queues = min(dev->num_rx_queues, dev->num_tx_queues);
	if (!tb[IFLA_NUM_RX_QUEUES] && !tb[IFLA_NUM_TX_QUEUES])
		queues = min(queues, SDM_DEFAULT_QUEUES);
	err = netif_set_real_num_queues(dev, queues, queues);
	if (err)
		return err;

	err = register_netdevice(dev);
	if (err)
		return err;
	err = sdm_attach(sdm, extack);
	if (err) {
		unregister_netdevice(dev);
		return err;
	}
	return 0;
}

static void sdm_dellink(struct net_device *dev, struct list_head *head)
{
	sdm_detach(netdev_priv(dev));
	unregister_netdevice_queue(dev, head);
}

static int sdm_validate(struct nlattr *tb[], struct nlattr *data[], struct netlink_ext_ack *extack)
{
	unsigned int max = 0;

	if (tb[IFLA_NUM_RX_QUEUES])
		max = nla_get_u32(tb[IFLA_NUM_RX_QUEUES]);
	if (tb[IFLA_NUM_TX_QUEUES])
		max = max(max, nla_get_u32(tb[IFLA_NUM_TX_QUEUES]));
	if (max > SDM_MAX_QUEUES) {
		NL_SET_ERR_MSG_FMT(extack, "at most %d queues", SDM_MAX_QUEUES);
		return -EINVAL;
	}
	return 0;
}

static unsigned int sdm_max_queues(void)
{
	return SDM_MAX_QUEUES;
}

static struct net *sdm_get_link_net(const struct net_device *dev)
{
	const struct sdm_dev *sdm = netdev_priv(dev);

	return dev_net(sdm->lower);
}

static struct rtnl_link_ops sdm_link_ops = {
	.kind			= "sdm",
	.priv_size		= sizeof(struct sdm_dev),
	.setup			= sdm_setup,
	.validate		= sdm_validate,
	.newlink		= sdm_newlink,
	.dellink		= sdm_dellink,
	.get_num_tx_queues	= sdm_max_queues,
	.get_num_rx_queues	= sdm_max_queues,
	.get_link_net		= sdm_get_link_net,
};

static void sdm_follow_address(struct sdm_dev *sdm)
{
	eth_hw_addr_set(sdm->dev, sdm->lower->dev_addr);
	call_netdevice_notifiers(NETDEV_CHANGEADDR, sdm->dev);
}

static void sdm_lower_gone(struct sdm_dev *sdm)
{
	LIST_HEAD(kill);

	sdm_dellink(sdm->dev, &kill);
	unregister_netdevice_many(&kill);
}

/* An sdm itself: also after its move to another namespace it is announced as new. */
static int sdm_own_event(struct net_device *dev, unsigned long event)
{
	if (event == NETDEV_REGISTER || event == NETDEV_CHANGENAME)
		sdm_inject_show(netdev_priv(dev));
	return NOTIFY_DONE;
}

/* Under RTNL. The lower device may be ops-locked and locked now; ours is not. */
static int sdm_lower_event(struct notifier_block *nb, unsigned long event, void *info)
{
	struct net_device *lower = netdev_notifier_info_to_dev(info);
	struct sdm_dev *sdm = sdm_of_lower(lower);

	if (lower->rtnl_link_ops == &sdm_link_ops)
		return sdm_own_event(lower, event);
	if (!sdm)
		return NOTIFY_DONE;

	switch (event) {
	case NETDEV_UP:
	case NETDEV_DOWN:
	case NETDEV_CHANGE:
		sdm_follow_link(sdm);
		break;
	case NETDEV_CHANGEMTU:
		dev_set_mtu(sdm->dev, lower->mtu);
		break;
	case NETDEV_CHANGEADDR:
		sdm_follow_address(sdm);
		break;
	case NETDEV_FEAT_CHANGE:
		sdm_follow_limits(sdm);
		break;
	case NETDEV_UNREGISTER:
		/* The same event announces a move to another namespace. */
		if (lower->reg_state == NETREG_UNREGISTERING)
			sdm_lower_gone(sdm);
		break;
	case NETDEV_PRE_TYPE_CHANGE:
		return NOTIFY_BAD;
	case NETDEV_NOTIFY_PEERS:
	case NETDEV_BONDING_FAILOVER:
	case NETDEV_RESEND_IGMP:
		call_netdevice_notifiers(event, sdm->dev);
		break;
	}
	return NOTIFY_DONE;
}

static struct notifier_block sdm_notifier = {
	.notifier_call	= sdm_lower_event,
};

/* sdm_dma_to_virt() must find the memory itself: not an IOMMU's address for it, and
 * not a copy, as a machine whose memory is encrypted makes for its devices.
 */
static bool sdm_dma_is_direct(struct device *dev)
{
	return !get_dma_ops(dev) && !use_dma_iommu(dev) && !is_swiotlb_force_bounce(dev);
}

static int sdm_find_dma_dev(void)
{
	const struct platform_device_info info = {
		.name		= "sdm",
		.id		= PLATFORM_DEVID_NONE,
		.dma_mask	= DMA_BIT_MASK(64),
	};
	struct platform_device *pdev;

	sdm_dma_dev = bus_find_device_by_name(&platform_bus_type, NULL, "sdm");
	if (sdm_dma_dev)
		return 0;

	pdev = platform_device_register_full(&info);
	if (IS_ERR(pdev))
		return PTR_ERR(pdev);
	if (!sdm_dma_is_direct(&pdev->dev)) {
		pr_err("sdm: DMA on this machine does not go straight to memory (IOMMU, Xen, encrypted memory or swiotlb=force)\n");
		platform_device_unregister(pdev);
		return -EOPNOTSUPP;
	}
	sdm_dma_dev = get_device(&pdev->dev);
	dma_set_max_seg_size(sdm_dma_dev, UINT_MAX);
	return 0;
}

static int __init sdm_module_init(void)
{
	int err;

	sdm_mem_init();
	err = sdm_find_dma_dev();
	if (err)
		return err;
	sdm_inject_init();
	err = register_netdevice_notifier(&sdm_notifier);
	if (err)
		goto remove_debugfs;
	err = rtnl_link_register(&sdm_link_ops);
	if (err)
		goto unregister_notifier;
	return 0;

unregister_notifier:
	unregister_netdevice_notifier(&sdm_notifier);
remove_debugfs:
	sdm_inject_exit();
	put_device(sdm_dma_dev);
	return err;
}

static void __exit sdm_module_exit(void)
{
	rtnl_link_unregister(&sdm_link_ops);
	unregister_netdevice_notifier(&sdm_notifier);
	sdm_mem_exit();
	sdm_inject_exit();
	sdm_tx_drain();
	sdm_null_exit();
	if (sdm_dma_dev_goes)
		platform_device_unregister(to_platform_device(sdm_dma_dev));
	put_device(sdm_dma_dev);
}

module_init(sdm_module_init);
module_exit(sdm_module_exit);

MODULE_DESCRIPTION("Software devmem TCP device on any Ethernet device");
MODULE_LICENSE("GPL");
MODULE_ALIAS_RTNL_LINK("sdm");
