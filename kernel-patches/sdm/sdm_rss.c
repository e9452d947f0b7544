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

static struct sdm_rss *sdm_rss_current(struct sdm_dev *sdm)
{
	return rcu_dereference_protected(sdm->rss, lockdep_is_held(&sdm->dev->lock) ||
					 sdm->dev->reg_state != NETREG_REGISTERED);
}

static void sdm_rss_publish(struct sdm_dev *sdm, struct sdm_rss *rss)
{
	struct sdm_rss *old = sdm_rss_current(sdm);

	rcu_assign_pointer(sdm->rss, rss);
	if (old)
		kvfree_rcu(old, rcu);
}

static void sdm_rss_fill_indir(struct sdm_rss *rss, unsigned int queues)
{
	unsigned int i;

	for (i = 0; i < SDM_INDIR_SIZE; i++)
		rss->indir[i] = ethtool_rxfh_indir_default(i, queues);
}

int sdm_rss_init(struct sdm_dev *sdm, unsigned int queues)
{
	struct sdm_rss *rss;

	rss = kvzalloc_obj(*rss);
	if (!rss)
		return -ENOMEM;
	netdev_rss_key_fill(rss->key, sizeof(rss->key));
	sdm_rss_expand_key(rss);
	sdm_rss_fill_indir(rss, queues);
	RCU_INIT_POINTER(sdm->rss, rss);
	return 0;
}

void sdm_rss_free(struct sdm_dev *sdm)
{
	sdm_rss_publish(sdm, NULL);
}

/* Spread evenly over @queues, unless the user wrote a table. That one is known
 * to fit: the core refuses a number of channels that it does not.
 */
int sdm_rss_spread(struct sdm_dev *sdm, unsigned int queues)
{
	struct sdm_rss *rss;

	if (netif_is_rxfh_configured(sdm->dev))
		return 0;
	rss = kvmemdup(sdm_rss_current(sdm), sizeof(*rss), GFP_KERNEL);
	if (!rss)
		return -ENOMEM;
	sdm_rss_fill_indir(rss, queues);
	sdm_rss_publish(sdm, rss);
	return 0;
}

int sdm_rss_get(struct sdm_dev *sdm, struct ethtool_rxfh_param *rxfh)
{
	const struct sdm_rss *rss = sdm_rss_current(sdm);

	rxfh->hfunc = ETH_RSS_HASH_TOP;
	if (rxfh->indir)
		memcpy(rxfh->indir, rss->indir, sizeof(rss->indir));
	if (rxfh->key)
		memcpy(rxfh->key, rss->key, sizeof(rss->key));
	return 0;
}

int sdm_rss_set(struct sdm_dev *sdm, const struct ethtool_rxfh_param *rxfh)
{
	struct sdm_rss *rss;

	if (rxfh->hfunc != ETH_RSS_HASH_NO_CHANGE && rxfh->hfunc != ETH_RSS_HASH_TOP)
		return -EOPNOTSUPP;
	if (!rxfh->indir && !rxfh->key)
		return 0;

	rss = kvmemdup(sdm_rss_current(sdm), sizeof(*rss), GFP_KERNEL);
	if (!rss)
		return -ENOMEM;
	if (rxfh->indir)
		memcpy(rss->indir, rxfh->indir, sizeof(rss->indir));
	if (rxfh->key) {
		memcpy(rss->key, rxfh->key, sizeof(rss->key));
		sdm_rss_expand_key(rss);
	}
	sdm_rss_publish(sdm, rss);
	return 0;
}
