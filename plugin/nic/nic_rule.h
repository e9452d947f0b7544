/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Flow rules (ethtool's ntuple rules): a TCP connection to an RX queue. Adding and removing need
 * CAP_NET_ADMIN, listing does not.
 */
#ifndef DEVMEM_NIC_RULE_H
#define DEVMEM_NIC_RULE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * A TCP flow as the receiver sees it, addresses and ports in network byte order. For AF_INET the
 * first four bytes of an address count, the rest is zero.
 */
struct nic_flow {
	sa_family_t family;
	uint8_t src[16];
	uint8_t dst[16];
	uint16_t sport;
	uint16_t dport;
};

/* An IPv4-mapped IPv6 address is IPv4 on the wire. -EAFNOSUPPORT, -EINVAL: not one flow. */
int nic_flow_set(struct nic_flow *flow, const struct sockaddr *local,
		 const struct sockaddr *remote);
bool nic_flow_equal(const struct nic_flow *a, const struct nic_flow *b);
/* "10.0.0.1:5 > 10.0.0.2:6"; returns @buf. */
const char *nic_flow_text(const struct nic_flow *flow, char *buf, size_t len);
#define NIC_FLOW_TEXT_MAX (2 * INET6_ADDRSTRLEN + 24)

/* Can this NIC have rules at all? 0, -EOPNOTSUPP or another errno. */
int nic_rule_supported(const char *ifname);
/* How many rules there are, whoever made them. */
int nic_rule_count(const char *ifname, unsigned int *ret_n);
/* The same, and how many the table holds: 0 where the driver does not tell. */
int nic_rule_table(const char *ifname, unsigned int *ret_n, unsigned int *ret_size);

/*
 * Adds the rule @flow -> @queue; *ret_loc is its place in the NIC's table. -ENOSPC: table full,
 * -EEXIST: the NIC has this rule already, -EOPNOTSUPP: no such rules (or the feature is off).
 */
int nic_rule_add(const char *ifname, const struct nic_flow *flow, unsigned int queue,
		 uint32_t *ret_loc);
/* Removes the rule at @loc if it is still @flow -> @queue; -ENOENT when it is not. */
int nic_rule_del(const char *ifname, const struct nic_flow *flow, unsigned int queue, uint32_t loc);

/*
 * One rule of the table. @exact: it is a plain TCP 5-tuple, all of it in @flow. Otherwise @flow
 * says nothing. @covers: it matches the flow that was asked about.
 */
struct nic_rule {
	uint32_t loc;
	uint64_t queue;
	bool exact;
	bool covers;
	struct nic_flow flow;
};

/* A nonzero return value of the callback ends the walk and is returned. */
typedef int (*nic_rule_fn)(const struct nic_rule *rule, void *arg);
/*
 * Shows all rules to @fn, which may remove the one it is shown. @flow, if not NULL, is what
 * `covers` is about.
 */
int nic_rule_walk(const char *ifname, const struct nic_flow *flow, nic_rule_fn fn, void *arg);

#endif
