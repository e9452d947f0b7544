// SPDX-License-Identifier: BSD-3-Clause
/*
 * Everything that devmem changes on an interface, on one line: header split, flow rules, RSS, and what is bound to its queues.
 *   nic-state INTERFACE...
 */
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nic/nic_ethtool.h"
#include "nic/nic_netdev.h"
#include "nic/nic_rss.h"
#include "nic/nic_rule.h"
#include "nic/nic_text.h"

static int show(const char *ifname)
{
	char ranges[NIC_RANGES_MAX];
	struct nic_rings r = { 0 };
	struct nic_rss rss = { 0 };
	struct nic_queue *q = NULL;
	unsigned int n = 0, rules = 0;
	bool ntuple = false;
	uint32_t sum = 0;
	int ifindex = (int)if_nametoindex(ifname);

	if (!ifindex || nic_rings_get(ifindex, &r) || nic_rss_get(ifname, &rss) ||
	    nic_ntuple_get(ifname, &ntuple) || nic_rule_count(ifname, &rules) ||
	    nic_netdev_rx_queues(ifindex, &q, &n)) {
		fprintf(stderr, "%s: it cannot be looked at\n", ifname);
		return -1;
	}
	for (unsigned int i = 0; i < rss.n; i++)
		sum = sum * 31 + rss.entry[i];
	printf("%s split=%u thresh=%u ntuple=%d rss=%s/%08x rules=%u bound=", ifname, r.split,
	       r.thresh, ntuple, nic_ranges_text(rss.entry, rss.n, ranges, sizeof(ranges)), sum,
	       rules);
	for (unsigned int i = 0; i < n; i++)
		if (q[i].user)
			printf("%u:%s,", q[i].id, q[i].user);
	putchar('\n');
	nic_rss_drop(&rss);
	free(q);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (show(argv[i]))
			return 1;
	return argc > 1 ? 0 : 2;
}
