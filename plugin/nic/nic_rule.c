// SPDX-License-Identifier: BSD-3-Clause
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/ethtool.h>

#include "base/cleanup.h"
#include "nic/nic_ethtool.h"
#include "nic/nic_rule.h"

#define NIC_RULES_MAX (1u << 20)

static int nic_flow_addr(const struct sockaddr *sa, sa_family_t *family, uint8_t addr[16],
			 uint16_t *port)
{
	memset(addr, 0, 16);
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		*family = AF_INET;
		memcpy(addr, &in->sin_addr, 4);
		*port = in->sin_port;
		return 0;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		*port = in6->sin6_port;
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
			*family = AF_INET;
			memcpy(addr, &in6->sin6_addr.s6_addr[12], 4);
		} else {
			*family = AF_INET6;
			memcpy(addr, &in6->sin6_addr, 16);
		}
		return 0;
	}
	return -EAFNOSUPPORT;
}

int nic_flow_set(struct nic_flow *flow, const struct sockaddr *local, const struct sockaddr *remote)
{
	struct nic_flow f = { 0 };
	sa_family_t family;
	int err;

	err = nic_flow_addr(remote, &family, f.src, &f.sport);
	if (!err)
		err = nic_flow_addr(local, &f.family, f.dst, &f.dport);
	if (err)
		return err;
	if (f.family != family || !f.sport || !f.dport)
		return -EINVAL;
	*flow = f;
	return 0;
}

bool nic_flow_equal(const struct nic_flow *a, const struct nic_flow *b)
{
	return a->family == b->family && a->sport == b->sport && a->dport == b->dport &&
	       !memcmp(a->src, b->src, sizeof(a->src)) && !memcmp(a->dst, b->dst, sizeof(a->dst));
}

const char *nic_flow_text(const struct nic_flow *flow, char *buf, size_t len)
{
	bool v6 = flow->family == AF_INET6;
	char src[INET6_ADDRSTRLEN] = "?";
	char dst[INET6_ADDRSTRLEN] = "?";

	inet_ntop(flow->family, flow->src, src, sizeof(src));
	inet_ntop(flow->family, flow->dst, dst, sizeof(dst));
	snprintf(buf, len, v6 ? "[%s]:%u > [%s]:%u" : "%s:%u > %s:%u", src, ntohs(flow->sport), dst,
		 ntohs(flow->dport));
	return buf;
}

static void nic_rule_spec_put(struct ethtool_rx_flow_spec *fs, const struct nic_flow *flow)
{
	if (flow->family == AF_INET) {
		fs->flow_type = TCP_V4_FLOW;
		memcpy(&fs->h_u.tcp_ip4_spec.ip4src, flow->src, 4);
		memcpy(&fs->h_u.tcp_ip4_spec.ip4dst, flow->dst, 4);
		fs->h_u.tcp_ip4_spec.psrc = flow->sport;
		fs->h_u.tcp_ip4_spec.pdst = flow->dport;
		memset(&fs->m_u.tcp_ip4_spec.ip4src, 0xff, 4);
		memset(&fs->m_u.tcp_ip4_spec.ip4dst, 0xff, 4);
		fs->m_u.tcp_ip4_spec.psrc = 0xffff;
		fs->m_u.tcp_ip4_spec.pdst = 0xffff;
	} else {
		fs->flow_type = TCP_V6_FLOW;
		memcpy(fs->h_u.tcp_ip6_spec.ip6src, flow->src, 16);
		memcpy(fs->h_u.tcp_ip6_spec.ip6dst, flow->dst, 16);
		fs->h_u.tcp_ip6_spec.psrc = flow->sport;
		fs->h_u.tcp_ip6_spec.pdst = flow->dport;
		memset(fs->m_u.tcp_ip6_spec.ip6src, 0xff, 16);
		memset(fs->m_u.tcp_ip6_spec.ip6dst, 0xff, 16);
		fs->m_u.tcp_ip6_spec.psrc = 0xffff;
		fs->m_u.tcp_ip6_spec.pdst = 0xffff;
	}
}

/* Does (key, mask) of the rule match the bytes of a flow? A zero mask is a wildcard. */
static bool nic_rule_field(const void *key, const void *mask, const void *val, size_t len)
{
	const uint8_t *k = key, *m = mask, *v = val;

	for (size_t i = 0; i < len; i++)
		if ((k[i] ^ v[i]) & m[i])
			return false;
	return true;
}

static bool nic_rule_ones(const void *mask, size_t len)
{
	const uint8_t *m = mask;

	for (size_t i = 0; i < len; i++)
		if (m[i] != 0xff)
			return false;
	return true;
}

static void nic_rule_parse(const struct ethtool_rx_flow_spec *fs, const struct nic_flow *asked,
			   struct nic_rule *rule)
{
	const struct ethtool_tcpip4_spec *k4 = &fs->h_u.tcp_ip4_spec, *m4 = &fs->m_u.tcp_ip4_spec;
	const struct ethtool_tcpip6_spec *k6 = &fs->h_u.tcp_ip6_spec, *m6 = &fs->m_u.tcp_ip6_spec;
	struct nic_flow *f = &rule->flow;

	rule->loc = fs->location;
	rule->queue = fs->ring_cookie;
	if (fs->flow_type == TCP_V4_FLOW) {
		f->family = AF_INET;
		memcpy(f->src, &k4->ip4src, 4);
		memcpy(f->dst, &k4->ip4dst, 4);
		f->sport = k4->psrc;
		f->dport = k4->pdst;
		rule->exact = nic_rule_ones(&m4->ip4src, 4) && nic_rule_ones(&m4->ip4dst, 4) &&
			      m4->psrc == 0xffff && m4->pdst == 0xffff;
		rule->covers = asked && asked->family == AF_INET && !m4->tos &&
			       nic_rule_field(&k4->ip4src, &m4->ip4src, asked->src, 4) &&
			       nic_rule_field(&k4->ip4dst, &m4->ip4dst, asked->dst, 4) &&
			       nic_rule_field(&k4->psrc, &m4->psrc, &asked->sport, 2) &&
			       nic_rule_field(&k4->pdst, &m4->pdst, &asked->dport, 2);
	} else if (fs->flow_type == TCP_V6_FLOW) {
		f->family = AF_INET6;
		memcpy(f->src, k6->ip6src, 16);
		memcpy(f->dst, k6->ip6dst, 16);
		f->sport = k6->psrc;
		f->dport = k6->pdst;
		rule->exact = nic_rule_ones(m6->ip6src, 16) && nic_rule_ones(m6->ip6dst, 16) &&
			      m6->psrc == 0xffff && m6->pdst == 0xffff;
		rule->covers = asked && asked->family == AF_INET6 && !m6->tclass &&
			       nic_rule_field(k6->ip6src, m6->ip6src, asked->src, 16) &&
			       nic_rule_field(k6->ip6dst, m6->ip6dst, asked->dst, 16) &&
			       nic_rule_field(&k6->psrc, &m6->psrc, &asked->sport, 2) &&
			       nic_rule_field(&k6->pdst, &m6->pdst, &asked->dport, 2);
	}
}

static int rule_table(const char *ifname, struct ethtool_rxnfc *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->cmd = ETHTOOL_GRXCLSRLCNT;
	return nic_ethtool_ioctl(ifname, ret);
}

int nic_rule_supported(const char *ifname)
{
	struct ethtool_rxnfc nfc;

	return rule_table(ifname, &nfc);
}

int nic_rule_count(const char *ifname, unsigned int *ret_n)
{
	struct ethtool_rxnfc nfc;
	int err = rule_table(ifname, &nfc);

	if (!err)
		*ret_n = nfc.rule_cnt;
	return err;
}

/* The places in use; *ret_size is the size of the table. */
static int nic_rule_locs(const char *ifname, uint32_t **ret_locs, uint32_t *ret_n,
			 uint32_t *ret_size)
{
	_cleanup_free_ struct ethtool_rxnfc *req = NULL;
	struct ethtool_rxnfc cnt;
	uint32_t *locs;
	int err;

	err = rule_table(ifname, &cnt);
	if (err)
		return err;
	if (cnt.rule_cnt > NIC_RULES_MAX)
		return -E2BIG;
	/* Room for rules that others add meanwhile. */
	cnt.rule_cnt += 16;
	req = calloc(1, sizeof(*req) + cnt.rule_cnt * sizeof(req->rule_locs[0]));
	if (!req)
		return -ENOMEM;
	req->cmd = ETHTOOL_GRXCLSRLALL;
	req->rule_cnt = cnt.rule_cnt;
	err = nic_ethtool_ioctl(ifname, req);
	if (err)
		return err;
	if (req->rule_cnt > cnt.rule_cnt)
		return -EAGAIN;
	locs = calloc(req->rule_cnt + 1, sizeof(*locs));
	if (!locs)
		return -ENOMEM;
	memcpy(locs, req->rule_locs, req->rule_cnt * sizeof(*locs));
	*ret_locs = locs;
	*ret_n = req->rule_cnt;
	*ret_size = (uint32_t)(req->data & ~(uint64_t)RX_CLS_LOC_SPECIAL);
	return 0;
}

int nic_rule_table(const char *ifname, unsigned int *ret_n, unsigned int *ret_size)
{
	_cleanup_free_ uint32_t *locs = NULL;
	uint32_t n, size;
	int err = nic_rule_locs(ifname, &locs, &n, &size);

	if (err)
		return err;
	*ret_n = n;
	*ret_size = size;
	return 0;
}

/* The highest free place: low ones win over high ones, and belong to the administrator. */
static int nic_rule_free_loc(const char *ifname, uint32_t *ret_loc)
{
	uint32_t *locs = NULL, n, size;
	int err;

	err = nic_rule_locs(ifname, &locs, &n, &size);
	if (err)
		return err;
	err = -ENOSPC;
	/* Among the n + 1 highest places one is free. */
	for (uint32_t back = 1; err && back <= n + 1 && back <= size; back++) {
		bool taken = false;

		for (uint32_t i = 0; i < n && !taken; i++)
			taken = locs[i] == size - back;
		if (!taken) {
			*ret_loc = size - back;
			err = 0;
		}
	}
	free(locs);
	return err;
}

int nic_rule_add(const char *ifname, const struct nic_flow *flow, unsigned int queue,
		 uint32_t *ret_loc)
{
	struct ethtool_rxnfc req = { .cmd = ETHTOOL_SRXCLSRLINS };
	struct ethtool_rxnfc cnt;
	int err;

	err = rule_table(ifname, &cnt);
	if (err)
		return err;
	nic_rule_spec_put(&req.fs, flow);
	req.fs.ring_cookie = queue;
	req.fs.location = RX_CLS_LOC_ANY;
	/* A driver that cannot choose the place itself says so by leaving out the flag. */
	if (!(cnt.data & RX_CLS_LOC_SPECIAL)) {
		err = nic_rule_free_loc(ifname, &req.fs.location);
		if (err)
			return err;
	}
	err = nic_ethtool_ioctl(ifname, &req);
	if (err)
		return err;
	*ret_loc = req.fs.location;
	return 0;
}

static int nic_rule_get(const char *ifname, uint32_t loc, const struct nic_flow *asked,
			struct nic_rule *ret)
{
	struct ethtool_rxnfc req = { .cmd = ETHTOOL_GRXCLSRULE, .fs.location = loc };
	int err;

	err = nic_ethtool_ioctl(ifname, &req);
	if (err)
		return err;
	memset(ret, 0, sizeof(*ret));
	nic_rule_parse(&req.fs, asked, ret);
	ret->loc = loc;
	return 0;
}

int nic_rule_del(const char *ifname, const struct nic_flow *flow, unsigned int queue, uint32_t loc)
{
	struct ethtool_rxnfc req = { .cmd = ETHTOOL_SRXCLSRLDEL, .fs.location = loc };
	struct nic_rule rule;
	int err;

	err = nic_rule_get(ifname, loc, NULL, &rule);
	if (err)
		return err == -EINVAL ? -ENOENT : err;
	if (!rule.exact || rule.queue != queue || !nic_flow_equal(&rule.flow, flow))
		return -ENOENT;
	return nic_ethtool_ioctl(ifname, &req);
}

int nic_rule_walk(const char *ifname, const struct nic_flow *flow, nic_rule_fn fn, void *arg)
{
	uint32_t *locs = NULL, n, size;
	int err;

	err = nic_rule_locs(ifname, &locs, &n, &size);
	if (err)
		return err;
	for (uint32_t i = 0; i < n && !err; i++) {
		struct nic_rule rule;

		if (nic_rule_get(ifname, locs[i], flow, &rule))
			continue; /* removed by somebody meanwhile */
		err = fn(&rule, arg);
	}
	free(locs);
	return err;
}
