// SPDX-License-Identifier: GPL-2.0
/*
 * What a packet is: addresses and ports for steering, header lengths for the
 * split. Only what a network card would understand: TCP and UDP directly behind
 * an IPv4 header or an IPv6 header without extension headers.
 */
#include <linux/if_vlan.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <net/ip.h>
#include <net/ipv6.h>

#include "sdm.h"

/* Ports are at the same place in TCP and UDP. */
static bool sdm_flow_ports(const struct sk_buff *skb, unsigned int thoff, struct sdm_flow_key *key)
{
	const __be16 *ports;
	__be16 buf[2];

	ports = skb_header_pointer(skb, thoff, sizeof(buf), buf);
	if (!ports)
		return false;
	key->sport = ports[0];
	key->dport = ports[1];
	return true;
}

/* @l4len: bytes behind the network header, as that header says. */
static void sdm_flow_tcp(const struct sk_buff *skb, unsigned int thoff, unsigned int l4len,
			 struct sdm_rx_cb *cb)
{
	const struct tcphdr *th;
	struct tcphdr buf;
	unsigned int doff;

	th = skb_header_pointer(skb, thoff, sizeof(buf), &buf);
	if (!th)
		return;
	doff = th->doff * 4;
	if (doff < sizeof(*th) || l4len <= doff || skb->len < thoff + l4len)
		return;
	cb->thoff = thoff;
	cb->hlen = thoff + doff;
	cb->payload = l4len - doff;
	cb->split = true;
}

static void sdm_flow_parse4(const struct sk_buff *skb, struct sdm_flow_key *key,
			    struct sdm_rx_cb *cb)
{
	const struct iphdr *iph;
	unsigned int thoff, len;
	struct iphdr buf;

	iph = skb_header_pointer(skb, 0, sizeof(buf), &buf);
	if (!iph || iph->version != 4 || iph->ihl < 5)
		return;
	key->family = AF_INET;
	key->src.s6_addr32[0] = iph->saddr;
	key->dst.s6_addr32[0] = iph->daddr;
	if (ip_is_fragment(iph) || (iph->protocol != IPPROTO_TCP && iph->protocol != IPPROTO_UDP))
		return;
	thoff = iph->ihl * 4;
	if (!sdm_flow_ports(skb, thoff, key))
		return;
	key->proto = iph->protocol;
	len = ntohs(iph->tot_len);
	/* BIG TCP: a length that does not fit is 0, and there is no padding. */
	if (!len && skb_is_gso(skb))
		len = skb->len;
	if (key->proto == IPPROTO_TCP && len > thoff)
		sdm_flow_tcp(skb, thoff, len - thoff, cb);
}

static void sdm_flow_parse6(const struct sk_buff *skb, struct sdm_flow_key *key,
			    struct sdm_rx_cb *cb)
{
	const struct ipv6hdr *ip6h;
	struct ipv6hdr buf;
	unsigned int len;

	ip6h = skb_header_pointer(skb, 0, sizeof(buf), &buf);
	if (!ip6h || ip6h->version != 6)
		return;
	key->family = AF_INET6;
	key->src = ip6h->saddr;
	key->dst = ip6h->daddr;
	if (ip6h->nexthdr != IPPROTO_TCP && ip6h->nexthdr != IPPROTO_UDP)
		return;
	if (!sdm_flow_ports(skb, sizeof(*ip6h), key))
		return;
	key->proto = ip6h->nexthdr;
	len = ntohs(ip6h->payload_len);
	if (!len && skb_is_gso(skb))
		len = skb->len - sizeof(*ip6h);
	if (key->proto == IPPROTO_TCP)
		sdm_flow_tcp(skb, sizeof(*ip6h), len, cb);
}

/**
 * sdm_flow_parse() - read a packet's headers
 * @skb: with data at the network header, as the rx_handler gets it
 * @key: filled; family 0 where it is not IP
 * @cb: filled
 *
 * Looks without changing the packet, which others may share.
 */
void sdm_flow_parse(const struct sk_buff *skb, struct sdm_flow_key *key, struct sdm_rx_cb *cb)
{
	memset(key, 0, sizeof(*key));
	memset(cb, 0, sizeof(*cb));

	/* The stack has taken the tag out of the packet before it asks the rx_handler. */
	if (skb_vlan_tag_present(skb) && skb->vlan_proto == htons(ETH_P_8021Q)) {
		key->tagged = 1;
		key->vlan = skb_vlan_tag_get(skb);
	}
	switch (skb->protocol) {
	case htons(ETH_P_IP):
		sdm_flow_parse4(skb, key, cb);
		break;
	case htons(ETH_P_IPV6):
		sdm_flow_parse6(skb, key, cb);
		break;
	}
}
