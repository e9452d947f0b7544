// SPDX-License-Identifier: GPL-2.0
/*
 * Flow rules (ethtool -N): TCP over IPv4 or IPv6, each of source address,
 * destination address, source port, destination port, VLAN and its priority matched
 * whole or not at all. A rule names a queue, or an RSS context to spread over, or drops.
 *
 * All rules are in one hash table, keyed by the values and by which fields count.
 * A packet is looked up once for each set of fields that some rule uses, from the
 * most specific set to the least: the cost depends on how many kinds of rule
 * there are (at most 64 a family, usually one or two), not on how many rules. So
 * the more specific rule wins; the location only names a rule.
 */
#include <linux/ethtool.h>
#include <linux/if_vlan.h>
#include <linux/in.h>
#include <linux/jhash.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <net/ipv6.h>

#include "sdm.h"

/**
 * struct sdm_rule - one rule
 * @node: in sdm_rules::hash
 * @rcu: freed after the readers are gone
 * @key: values; zero in the fields that do not count
 * @queue: where to, or %SDM_RULES_DROP, or %SDM_RULES_SPREAD
 * @context: RSS context to spread over, else 0
 * @spec: as the user gave it, to be shown
 */
struct sdm_rule {
	struct hlist_node		node;
	struct rcu_head			rcu;
	struct sdm_flow_key		key;
	int				queue;
	u32				context;
	struct ethtool_rx_flow_spec	spec;
};

/* Sets of fields, more fields first; among equals those with a VLAN, then those with
 * addresses.
 */
static const u8 sdm_rules_order[SDM_FLOW_SIGS] = {
	0x3f, 0x37, 0x3b, 0x3d, 0x3e, 0x2f, 0x1f, 0x33, 0x35, 0x36, 0x39, 0x3a,
	0x3c, 0x27, 0x2b, 0x2d, 0x2e, 0x17, 0x1b, 0x1d, 0x1e, 0x0f, 0x31, 0x32,
	0x34, 0x38, 0x23, 0x25, 0x26, 0x29, 0x2a, 0x2c, 0x13, 0x15, 0x16, 0x19,
	0x1a, 0x1c, 0x07, 0x0b, 0x0d, 0x0e, 0x30, 0x21, 0x22, 0x24, 0x28, 0x11,
	0x12, 0x14, 0x18, 0x03, 0x05, 0x06, 0x09, 0x0a, 0x0c, 0x20, 0x10, 0x01,
	0x02, 0x04, 0x08, 0x00,
};

/* Where the set stands in sdm_rules_order[] */
static unsigned int sdm_rules_rank(u8 fields)
{
	unsigned int rank = 0;

	while (sdm_rules_order[rank] != fields)
		rank++;
	return rank;
}

static unsigned int sdm_rules_family(const struct sdm_flow_key *key)
{
	return key->family == AF_INET6;
}

static u32 sdm_rules_bucket(const struct sdm_flow_key *key)
{
	BUILD_BUG_ON(sizeof(*key) % sizeof(u32));
	return jhash2((const u32 *)key, sizeof(*key) / sizeof(u32), 0) &
	       ((1 << SDM_RULES_HASH_BITS) - 1);
}

static void sdm_rules_mask(struct sdm_flow_key *to, const struct sdm_flow_key *flow, u8 fields)
{
	memset(to, 0, sizeof(*to));
	to->family = flow->family;
	to->proto = flow->proto;
	to->fields = fields;
	if (fields & SDM_FLOW_SRC)
		to->src = flow->src;
	if (fields & SDM_FLOW_DST)
		to->dst = flow->dst;
	if (fields & SDM_FLOW_SPORT)
		to->sport = flow->sport;
	if (fields & SDM_FLOW_DPORT)
		to->dport = flow->dport;
	if (fields & (SDM_FLOW_VLAN_ID | SDM_FLOW_VLAN_PRIO))
		to->tagged = flow->tagged;
	if (fields & SDM_FLOW_VLAN_ID)
		to->vlan |= flow->vlan & VLAN_VID_MASK;
	if (fields & SDM_FLOW_VLAN_PRIO)
		to->vlan |= flow->vlan & ~VLAN_VID_MASK;
}

static struct sdm_rule *sdm_rules_find(const struct sdm_rules *rules,
				       const struct sdm_flow_key *key)
{
	struct sdm_rule *rule;

	hlist_for_each_entry_rcu(rule, &rules->hash[sdm_rules_bucket(key)], node, true)
		if (!memcmp(&rule->key, key, sizeof(*key)))
			return rule;
	return NULL;
}

/**
 * sdm_rules_lookup() - which queue the rules want for a packet
 * @sdm: device
 * @flow: packet
 * @context: set to the RSS context to use, 0 if no rule names one
 *
 * Called under RCU.
 * Return: a queue, %SDM_RULES_DROP, or %SDM_RULES_SPREAD: what @context says
 */
int sdm_rules_lookup(const struct sdm_dev *sdm, const struct sdm_flow_key *flow, u32 *context)
{
	const struct sdm_rules *rules = &sdm->rules;
	const struct sdm_rule *rule;
	struct sdm_flow_key key;
	u64 active;

	*context = 0;
	if (flow->proto != IPPROTO_TCP)
		return SDM_RULES_SPREAD;

	active = READ_ONCE(rules->active[sdm_rules_family(flow)]);
	for (; active; active &= active - 1) {
		sdm_rules_mask(&key, flow, sdm_rules_order[__ffs64(active)]);
		rule = sdm_rules_find(rules, &key);
		if (rule) {
			*context = rule->context;
			return rule->queue;
		}
	}
	return SDM_RULES_SPREAD;
}

static void sdm_rules_link(struct sdm_rules *rules, struct sdm_rule *rule)
{
	unsigned int family = sdm_rules_family(&rule->key);
	unsigned int rank = sdm_rules_rank(rule->key.fields);

	hlist_add_head_rcu(&rule->node, &rules->hash[sdm_rules_bucket(&rule->key)]);
	if (!rules->used[family][rank]++)
		WRITE_ONCE(rules->active[family], rules->active[family] | BIT_ULL(rank));
	rules->slot[rule->spec.location] = rule;
	rules->count++;
}

static void sdm_rules_unlink(struct sdm_rules *rules, struct sdm_rule *rule)
{
	unsigned int family = sdm_rules_family(&rule->key);
	unsigned int rank = sdm_rules_rank(rule->key.fields);

	hlist_del_rcu(&rule->node);
	if (!--rules->used[family][rank])
		WRITE_ONCE(rules->active[family], rules->active[family] & ~BIT_ULL(rank));
	rules->slot[rule->spec.location] = NULL;
	rules->count--;
	kfree_rcu(rule, rcu);
}

/* Adds @field to the key if its mask is all ones. Return: false for a mask that
 * is neither all ones nor all zeroes, which no rule here can express.
 */
static bool sdm_rules_field(struct sdm_flow_key *key, u8 field, void *to, const void *value,
			    const void *mask, size_t len)
{
	if (!memchr_inv(mask, 0, len))
		return true;
	if (memchr_inv(mask, 0xff, len))
		return false;
	memcpy(to, value, len);
	key->fields |= field;
	return true;
}

static bool sdm_rules_key4(struct sdm_flow_key *key, const struct ethtool_rx_flow_spec *fs)
{
	const struct ethtool_tcpip4_spec *v = &fs->h_u.tcp_ip4_spec, *m = &fs->m_u.tcp_ip4_spec;

	key->family = AF_INET;
	return !m->tos &&
	       sdm_rules_field(key, SDM_FLOW_SRC, &key->src, &v->ip4src, &m->ip4src, 4) &&
	       sdm_rules_field(key, SDM_FLOW_DST, &key->dst, &v->ip4dst, &m->ip4dst, 4) &&
	       sdm_rules_field(key, SDM_FLOW_SPORT, &key->sport, &v->psrc, &m->psrc, 2) &&
	       sdm_rules_field(key, SDM_FLOW_DPORT, &key->dport, &v->pdst, &m->pdst, 2);
}

static bool sdm_rules_key6(struct sdm_flow_key *key, const struct ethtool_rx_flow_spec *fs)
{
	const struct ethtool_tcpip6_spec *v = &fs->h_u.tcp_ip6_spec, *m = &fs->m_u.tcp_ip6_spec;

	key->family = AF_INET6;
	return !m->tclass &&
	       sdm_rules_field(key, SDM_FLOW_SRC, &key->src, v->ip6src, m->ip6src, 16) &&
	       sdm_rules_field(key, SDM_FLOW_DST, &key->dst, v->ip6dst, m->ip6dst, 16) &&
	       sdm_rules_field(key, SDM_FLOW_SPORT, &key->sport, &v->psrc, &m->psrc, 2) &&
	       sdm_rules_field(key, SDM_FLOW_DPORT, &key->dport, &v->pdst, &m->pdst, 2);
}

/* VLAN ID (12 bits) and priority with drop eligibility (4 bits); the type of the tag
 * cannot be chosen, nor the bytes for the driver's own use.
 */
static bool sdm_rules_key_vlan(struct sdm_flow_key *key, const struct ethtool_rx_flow_spec *fs)
{
	u16 mask = ntohs(fs->m_ext.vlan_tci), value = ntohs(fs->h_ext.vlan_tci);

	if (!(fs->flow_type & FLOW_EXT))
		return true;
	if (fs->m_ext.vlan_etype || fs->m_ext.data[0] || fs->m_ext.data[1])
		return false;
	if (mask & VLAN_VID_MASK) {
		if (~mask & VLAN_VID_MASK)
			return false;
		key->fields |= SDM_FLOW_VLAN_ID;
		key->tagged = 1;
	}
	if (mask & ~VLAN_VID_MASK) {
		if (mask < (u16)~VLAN_VID_MASK)
			return false;
		key->fields |= SDM_FLOW_VLAN_PRIO;
		key->tagged = 1;
	}
	key->vlan = value & mask;
	return true;
}

/* Where the rule sends to; the core has checked that its RSS context exists, and that
 * it does not name a queue besides.
 */
static int sdm_rules_target(const struct sdm_dev *sdm, const struct ethtool_rxnfc *info,
			    struct sdm_rule *rule)
{
	const struct ethtool_rx_flow_spec *fs = &info->fs;

	if (fs->ring_cookie == RX_CLS_FLOW_DISC) {
		rule->queue = SDM_RULES_DROP;
	} else if (fs->flow_type & FLOW_RSS) {
		if (fs->ring_cookie || info->rss_context >= SDM_RSS_CONTEXTS)
			return -EINVAL;
		rule->queue = SDM_RULES_SPREAD;
		rule->context = info->rss_context;
	} else if (fs->ring_cookie < sdm->dev->real_num_rx_queues) {
		rule->queue = fs->ring_cookie;
	} else {
		return -EINVAL;
	}
	return 0;
}

static int sdm_rules_location(const struct sdm_rules *rules, u32 *location)
{
	unsigned int i;

	switch (*location) {
	case RX_CLS_LOC_ANY:
	case RX_CLS_LOC_FIRST:
		for (i = 0; i < SDM_RULES_MAX; i++)
			if (!rules->slot[i])
				goto found;
		return -ENOSPC;
	case RX_CLS_LOC_LAST:
		for (i = SDM_RULES_MAX; i--;)
			if (!rules->slot[i])
				goto found;
		return -ENOSPC;
	default:
		return *location < SDM_RULES_MAX ? 0 : -EINVAL;
	}
found:
	*location = i;
	return 0;
}

static int sdm_rules_insert(struct sdm_dev *sdm, struct ethtool_rxnfc *info)
{
	struct ethtool_rx_flow_spec *fs = &info->fs;
	struct sdm_rules *rules = &sdm->rules;
	struct sdm_rule *rule, *old, *same;
	bool ok;
	int err;

	rule = kzalloc_obj(*rule);
	if (!rule)
		return -ENOMEM;
	err = sdm_rules_target(sdm, info, rule);
	if (err)
		goto free_rule;

	/* The flag for MAC addresses is refused. */
	switch (fs->flow_type & ~(FLOW_EXT | FLOW_RSS)) {
	case TCP_V4_FLOW:
		ok = sdm_rules_key4(&rule->key, fs);
		break;
	case TCP_V6_FLOW:
		ok = sdm_rules_key6(&rule->key, fs);
		break;
	default:
		ok = false;
		break;
	}
	if (!ok || !sdm_rules_key_vlan(&rule->key, fs)) {
		err = -EOPNOTSUPP;
		goto free_rule;
	}
	rule->key.proto = IPPROTO_TCP;

	err = sdm_rules_location(rules, &fs->location);
	if (err)
		goto free_rule;
	old = rules->slot[fs->location];
	same = sdm_rules_find(rules, &rule->key);
	if (same && same != old) {
		err = -EEXIST;
		goto free_rule;
	}

	rule->spec = *fs;
	if (old)
		sdm_rules_unlink(rules, old);
	sdm_rules_link(rules, rule);
	return 0;

free_rule:
	kfree(rule);
	return err;
}

/* ethtool's ETHTOOL_SRXCLSRLINS and ETHTOOL_SRXCLSRLDEL; instance lock held */
int sdm_rules_set(struct sdm_dev *sdm, struct ethtool_rxnfc *info)
{
	struct sdm_rules *rules = &sdm->rules;

	switch (info->cmd) {
	case ETHTOOL_SRXCLSRLINS:
		return sdm_rules_insert(sdm, info);
	case ETHTOOL_SRXCLSRLDEL:
		if (info->fs.location >= SDM_RULES_MAX)
			return -EINVAL;
		if (!rules->slot[info->fs.location])
			return -ENOENT;
		sdm_rules_unlink(rules, rules->slot[info->fs.location]);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* ethtool's ETHTOOL_GRXCLSRL*; instance lock held */
int sdm_rules_get(struct sdm_dev *sdm, struct ethtool_rxnfc *info, u32 *locs)
{
	struct sdm_rules *rules = &sdm->rules;
	unsigned int i, n = 0;

	switch (info->cmd) {
	case ETHTOOL_GRXCLSRLCNT:
		info->rule_cnt = rules->count;
		info->data = SDM_RULES_MAX | RX_CLS_LOC_SPECIAL;
		return 0;
	case ETHTOOL_GRXCLSRULE:
		if (info->fs.location >= SDM_RULES_MAX)
			return -EINVAL;
		if (!rules->slot[info->fs.location])
			return -ENOENT;
		info->rss_context = rules->slot[info->fs.location]->context;
		info->fs = rules->slot[info->fs.location]->spec;
		return 0;
	case ETHTOOL_GRXCLSRLALL:
		info->data = SDM_RULES_MAX;
		for (i = 0; i < SDM_RULES_MAX; i++) {
			if (!rules->slot[i])
				continue;
			if (n == info->rule_cnt)
				return -EMSGSIZE;
			locs[n++] = i;
		}
		info->rule_cnt = n;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* Removes all rules, when the device goes or gives up NETIF_F_NTUPLE. */
void sdm_rules_flush(struct sdm_dev *sdm)
{
	unsigned int i;

	for (i = 0; i < SDM_RULES_MAX; i++)
		if (sdm->rules.slot[i])
			sdm_rules_unlink(&sdm->rules, sdm->rules.slot[i]);
}
