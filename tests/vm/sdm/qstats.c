// SPDX-License-Identifier: BSD-3-Clause
/*
 * Statistics of a device's queues by the netdev family:
 *	qstats <interface> [queue]
 * A line for the device, or for each queue: "rx 3 packets=... bytes=...". What the driver does
 * not report is left out. Exit: 0, or 1 with the reason on stderr.
 */
#include <inttypes.h>
#include <net/if.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdio.h>
#include <string.h>

#include "../../../include/uapi/netdev_genl.h"

/* Linux 7.2, Documentation/netlink/specs/netdev.yaml, attribute set "qstats" */
enum {
	QSTATS_CMD_GET = 12,
	QSTATS_A_IFINDEX = 1,
	QSTATS_A_QUEUE_TYPE = 2,
	QSTATS_A_QUEUE_ID = 3,
	QSTATS_A_SCOPE = 4,
	QSTATS_A_MAX = 64,
	QSTATS_SCOPE_QUEUE = 1,
};

static const char *const names[QSTATS_A_MAX + 1] = {
	[8] = "rx_packets",	      [9] = "rx_bytes",
	[10] = "tx_packets",	      [11] = "tx_bytes",
	[12] = "rx_alloc_fail",	      [13] = "rx_hw_drops",
	[14] = "rx_hw_drop_overruns", [18] = "rx_csum_bad",
	[24] = "tx_hw_drops",
};

static int show(struct nl_msg *msg, void *arg)
{
	struct nlattr *tb[QSTATS_A_MAX + 1];

	if (genlmsg_parse(nlmsg_hdr(msg), 0, tb, QSTATS_A_MAX, NULL) ||
	    nla_get_u32(tb[QSTATS_A_IFINDEX]) != *(unsigned int *)arg)
		return NL_SKIP;
	if (tb[QSTATS_A_QUEUE_ID])
		printf("%s %u", nla_get_u32(tb[QSTATS_A_QUEUE_TYPE]) == NDEV_QUEUE_RX ? "rx" : "tx",
		       nla_get_u32(tb[QSTATS_A_QUEUE_ID]));
	else
		printf("device");
	for (int i = 0; i <= QSTATS_A_MAX; i++) {
		uint64_t value;

		if (!tb[i] || !names[i])
			continue;
		/* Sent as 32 bits if that is enough. */
		value = nla_len(tb[i]) == 8 ? nla_get_u64(tb[i]) : nla_get_u32(tb[i]);
		printf(" %s=%" PRIu64, names[i], value);
	}
	printf("\n");
	return NL_OK;
}

int main(int argc, char **argv)
{
	struct nl_sock *nl = nl_socket_alloc();
	struct nl_msg *msg = nlmsg_alloc();
	unsigned int ifindex;
	int family, err;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: qstats <interface> [queue]\n");
		return 1;
	}
	ifindex = if_nametoindex(argv[1]);
	if (!nl || !msg || genl_connect(nl) || !ifindex) {
		fprintf(stderr, "qstats: no netlink socket, or no interface %s\n", argv[1]);
		return 1;
	}
	family = genl_ctrl_resolve(nl, NDEV_FAMILY);
	if (family < 0) {
		fprintf(stderr, "qstats: the kernel has no netdev netlink family\n");
		return 1;
	}
	genlmsg_put(msg, 0, 0, family, 0, NLM_F_DUMP, QSTATS_CMD_GET, 1);
	nla_put_u32(msg, QSTATS_A_IFINDEX, ifindex);
	if (argc > 2)
		nla_put_u64(msg, QSTATS_A_SCOPE, QSTATS_SCOPE_QUEUE);
	nl_socket_modify_cb(nl, NL_CB_VALID, NL_CB_CUSTOM, show, &ifindex);
	err = nl_send_auto(nl, msg);
	if (err >= 0)
		err = nl_recvmsgs_default(nl);
	nlmsg_free(msg);
	nl_socket_free(nl);
	if (err < 0) {
		fprintf(stderr, "qstats: %s: %s\n", argv[1], nl_geterror(err));
		return 1;
	}
	return 0;
}
