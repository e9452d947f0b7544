// SPDX-License-Identifier: GPL-2.0
/*
 * Flow rules (ethtool -N): TCP over IPv4 or IPv6, each of source address,
 * destination address, source port and destination port matched whole or not at
 * all.
 *
 * All rules are in one hash table, keyed by the values and by which fields count.
 * A packet is looked up once for each set of fields that some rule uses, from the
 * most specific set to the least: the cost depends on how many kinds of rule
 * there are (at most 16 a family, usually one or two), not on how many rules. So
 * the more specific rule wins; the location only names a rule.
 */
#include <linux/ethtool.h>
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
 * @queue: where to, or %SDM_RULES_DROP
 * @spec: as the user gave it, to be shown
 */
struct sdm_rule {
	struct hlist_node		node;
	struct rcu_head			rcu;
	struct sdm_flow_key		key;
	int				queue;
	struct ethtool_rx_flow_spec	spec;
};

/* Sets of fields, more fields first. */
static const u8 sdm_rules_order[SDM_FLOW_SIGS] = {
	0xf, 0x7, 0xb, 0xd, 0xe, 0x3, 0x5, 0x6, 0x9, 0xa, 0xc, 0x1, 0x2, 0x4, 0x8, 0x0,
};

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
 *
 * Called under RCU.
 * Return: a queue, %SDM_RULES_DROP or %SDM_RULES_NO_MATCH
 */
int sdm_rules_lookup(const struct sdm_dev *sdm, const struct sdm_flow_key *flow)
{
	const struct sdm_rules *rules = &sdm->rules;
	const struct sdm_rule *rule;
	struct sdm_flow_key key;
	unsigned int i;
	u32 active;

	if (flow->proto != IPPROTO_TCP)
		return SDM_RULES_NO_MATCH;
	active = READ_ONCE(rules->active[sdm_rules_family(flow)]);
	if (!active)
		return SDM_RULES_NO_MATCH;

	for (i = 0; i < SDM_FLOW_SIGS; i++) {
		if (!(active & BIT(sdm_rules_order[i])))
			continue;
		sdm_rules_mask(&key, flow, sdm_rules_order[i]);
		rule = sdm_rules_find(rules, &key);
		if (rule)
			return rule->queue;
	}
	return SDM_RULES_NO_MATCH;
}

static void sdm_rules_link(struct sdm_rules *rules, struct sdm_rule *rule)
{
	unsigned int family = sdm_rules_family(&rule->key);
	u8 fields = rule->key.fields;

	hlist_add_head_rcu(&rule->node, &rules->hash[sdm_rules_bucket(&rule->key)]);
	if (!rules->used[family][fields]++)
		WRITE_ONCE(rules->active[family], rules->active[family] | BIT(fields));
	rules->slot[rule->spec.location] = rule;
	rules->count++;
}

static void sdm_rules_unlink(struct sdm_rules *rules, struct sdm_rule *rule)
{
	unsigned int family = sdm_rules_family(&rule->key);
	u8 fields = rule->key.fields;

	hlist_del_rcu(&rule->node);
	if (!--rules->used[family][fields])
		WRITE_ONCE(rules->active[family], rules->active[family] & ~BIT(fields));
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

static int sdm_rules_insert(struct sdm_dev *sdm, struct ethtool_rx_flow_spec *fs)
{
	struct sdm_rules *rules = &sdm->rules;
	struct sdm_rule *rule, *old, *same;
	bool ok;
	int err;

	rule = kzalloc_obj(*rule);
	if (!rule)
		return -ENOMEM;

	if (fs->ring_cookie == RX_CLS_FLOW_DISC) {
		rule->queue = SDM_RULES_DROP;
	} else if (fs->ring_cookie < sdm->dev->real_num_rx_queues) {
		rule->queue = fs->ring_cookie;
	} else {
		err = -EINVAL;
		goto free_rule;
	}

	/* The flags for RSS contexts, VLAN tags and MAC addresses are refused. */
	switch (fs->flow_type) {
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
	if (!ok) {
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
		return sdm_rules_insert(sdm, &info->fs);
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
