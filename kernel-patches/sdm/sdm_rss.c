// SPDX-License-Identifier: GPL-2.0
/*
 * Receive side scaling: the Toeplitz hash that network cards use, so that a key
 * set by ethtool spreads flows here as it would there.
 */
#include <linux/netdevice.h>
#include <linux/slab.h>
#include <linux/unaligned.h>

#include "sdm.h"

/* The hash is linear: it is the exclusive or of what each input byte adds, and
 * that depends on the key alone. One table look-up a byte instead of eight
 * conditional steps.
 */
static void sdm_rss_expand_key(struct sdm_rss *rss)
{
	unsigned int i, bit, value;
	u32 window[8];

	for (i = 0; i < ARRAY_SIZE(rss->toeplitz); i++) {
		u64 key = (u64)get_unaligned_be32(&rss->key[i]) << 8 | rss->key[i + 4];

		/* 32 bits of the key that begin at bit 8 * i + bit */
		for (bit = 0; bit < 8; bit++)
			window[bit] = key >> (8 - bit);
		for (value = 0; value < 256; value++) {
			u32 sum = 0;

			for (bit = 0; bit < 8; bit++)
				if (value & (0x80 >> bit))
					sum ^= window[bit];
			rss->toeplitz[i][value] = sum;
		}
	}
}

static u32 sdm_rss_feed(const struct sdm_rss *rss, unsigned int *pos, const void *data,
			unsigned int len)
{
	const u8 *byte = data;
	u32 hash = 0;

	while (len--)
		hash ^= rss->toeplitz[(*pos)++][*byte++];
	return hash;
}

/**
 * sdm_rss_hash() - hash of a packet
 * @rss: key
 * @key: the packet; ports count where it has them
 *
 * Return: the hash, 0 for what is not IP
 */
u32 sdm_rss_hash(const struct sdm_rss *rss, const struct sdm_flow_key *key)
{
	unsigned int alen = key->family == AF_INET6 ? 16 : 4;
	unsigned int pos = 0;
	u32 hash;

	if (!key->family)
		return 0;
	hash = sdm_rss_feed(rss, &pos, &key->src, alen);
	hash ^= sdm_rss_feed(rss, &pos, &key->dst, alen);
	if (key->proto) {
		hash ^= sdm_rss_feed(rss, &pos, &key->sport, sizeof(key->sport));
		hash ^= sdm_rss_feed(rss, &pos, &key->dport, sizeof(key->dport));
	}
	return hash;
}

static struct sdm_rss *sdm_rss_current(struct sdm_dev *sdm, u32 context)
{
	return rcu_dereference_protected(sdm->rss[context], lockdep_is_held(&sdm->dev->lock) ||
					 sdm->dev->reg_state != NETREG_REGISTERED);
}

static void sdm_rss_publish(struct sdm_dev *sdm, u32 context, struct sdm_rss *rss)
{
	struct sdm_rss *old = sdm_rss_current(sdm, context);

	rcu_assign_pointer(sdm->rss[context], rss);
	if (old)
		kvfree_rcu(old, rcu);
}

/* The driver's own choice of a table: evenly over @queues, without those that a dma-buf
 * is bound to. What is not meant for that memory is an error to its reader. With all of
 * them bound there is no good choice.
 */
static void sdm_rss_fill_indir(struct sdm_dev *sdm, struct sdm_rss *rss, unsigned int queues)
{
	u32 usable[SDM_MAX_QUEUES];
	unsigned int i, n = 0;

	for (i = 0; i < queues; i++)
		if (!netif_rxq_has_unreadable_mp(sdm->dev, i))
			usable[n++] = i;
	for (i = 0; i < SDM_INDIR_SIZE; i++)
		rss->indir[i] = n ? usable[i % n] : i % queues;
}

static void sdm_rss_fill_key(struct sdm_rss *rss, const u8 *key)
{
	memcpy(rss->key, key, sizeof(rss->key));
	sdm_rss_expand_key(rss);
}

int sdm_rss_init(struct sdm_dev *sdm, unsigned int queues)
{
	u8 key[SDM_KEY_SIZE];
	struct sdm_rss *rss;

	rss = kvzalloc_obj(*rss);
	if (!rss)
		return -ENOMEM;
	netdev_rss_key_fill(key, sizeof(key));
	sdm_rss_fill_key(rss, key);
	sdm_rss_fill_indir(sdm, rss, queues);
	RCU_INIT_POINTER(sdm->rss[0], rss);
	return 0;
}

/* The core has removed the other contexts when the device was unregistered. */
void sdm_rss_free(struct sdm_dev *sdm)
{
	sdm_rss_publish(sdm, 0, NULL);
}

/* Spread evenly over @queues, unless the user wrote a table. That one is known
 * to fit, and so are those of contexts: the core refuses a number of channels that
 * they do not.
 */
int sdm_rss_spread(struct sdm_dev *sdm, unsigned int queues)
{
	struct sdm_rss *rss;

	if (netif_is_rxfh_configured(sdm->dev))
		return 0;
	rss = kvmemdup(sdm_rss_current(sdm, 0), sizeof(*rss), GFP_KERNEL);
	if (!rss)
		return -ENOMEM;
	sdm_rss_fill_indir(sdm, rss, queues);
	sdm_rss_publish(sdm, 0, rss);
	return 0;
}

/* The core remembers what the other contexts have. */
int sdm_rss_get(struct sdm_dev *sdm, struct ethtool_rxfh_param *rxfh)
{
	const struct sdm_rss *rss = sdm_rss_current(sdm, 0);

	rxfh->hfunc = ETH_RSS_HASH_TOP;
	if (rxfh->indir)
		memcpy(rxfh->indir, rss->indir, sizeof(rss->indir));
	if (rxfh->key)
		memcpy(rxfh->key, rss->key, sizeof(rss->key));
	return 0;
}

static bool sdm_rss_hfunc_known(const struct ethtool_rxfh_param *rxfh)
{
	return rxfh->hfunc == ETH_RSS_HASH_NO_CHANGE || rxfh->hfunc == ETH_RSS_HASH_TOP;
}

static int sdm_rss_change(struct sdm_dev *sdm, u32 context, const struct ethtool_rxfh_param *rxfh)
{
	struct sdm_rss *rss;

	if (!sdm_rss_hfunc_known(rxfh))
		return -EOPNOTSUPP;
	if (!rxfh->indir && !rxfh->key)
		return 0;

	rss = kvmemdup(sdm_rss_current(sdm, context), sizeof(*rss), GFP_KERNEL);
	if (!rss)
		return -ENOMEM;
	if (rxfh->indir)
		memcpy(rss->indir, rxfh->indir, sizeof(rss->indir));
	if (rxfh->key)
		sdm_rss_fill_key(rss, rxfh->key);
	sdm_rss_publish(sdm, context, rss);
	return 0;
}

int sdm_rss_set(struct sdm_dev *sdm, const struct ethtool_rxfh_param *rxfh)
{
	return sdm_rss_change(sdm, 0, rxfh);
}

/* ethtool_ops; what the user left open the core wants to be told in @ctx */
int sdm_rss_create_context(struct net_device *dev, struct ethtool_rxfh_context *ctx,
			   const struct ethtool_rxfh_param *rxfh, struct netlink_ext_ack *extack)
{
	struct sdm_dev *sdm = netdev_priv(dev);
	struct sdm_rss *rss;

	if (!sdm_rss_hfunc_known(rxfh)) {
		NL_SET_ERR_MSG(extack, "the Toeplitz hash is the only one there is");
		return -EOPNOTSUPP;
	}
	/* The default context's key, if no other is given */
	rss = kvmemdup(sdm_rss_current(sdm, 0), sizeof(*rss), GFP_KERNEL);
	if (!rss)
		return -ENOMEM;
	if (rxfh->indir)
		memcpy(rss->indir, rxfh->indir, sizeof(rss->indir));
	else
		sdm_rss_fill_indir(sdm, rss, dev->real_num_rx_queues);
	if (rxfh->key)
		sdm_rss_fill_key(rss, rxfh->key);

	memcpy(ethtool_rxfh_context_indir(ctx), rss->indir, sizeof(rss->indir));
	memcpy(ethtool_rxfh_context_key(ctx), rss->key, sizeof(rss->key));
	ctx->hfunc = ETH_RSS_HASH_TOP;
	sdm_rss_publish(sdm, rxfh->rss_context, rss);
	return 0;
}

/* ethtool_ops */
int sdm_rss_modify_context(struct net_device *dev, struct ethtool_rxfh_context *ctx,
			   const struct ethtool_rxfh_param *rxfh, struct netlink_ext_ack *extack)
{
	return sdm_rss_change(netdev_priv(dev), rxfh->rss_context, rxfh);
}

/* ethtool_ops; also for each that is left when the device goes */
int sdm_rss_remove_context(struct net_device *dev, struct ethtool_rxfh_context *ctx,
			   u32 context, struct netlink_ext_ack *extack)
{
	sdm_rss_publish(netdev_priv(dev), context, NULL);
	return 0;
}
