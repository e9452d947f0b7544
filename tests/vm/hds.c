// SPDX-License-Identifier: BSD-3-Clause
/*
 * Sets or shows a device's TCP header split, which the ethtool of Debian 12 cannot:
 *	hds <interface> [on|off [threshold]]
 * Exit: 0, or 1 with the reason on stderr.
 */
#include <errno.h>
#include <linux/ethtool_netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../include/uapi/netdev_genl.h"

static int hds_show(struct nl_msg *msg, void *arg)
{
	struct nlattr *tb[NDEV_A_RINGS_MAX + 1];

	(void)arg;
	if (genlmsg_parse(nlmsg_hdr(msg), 0, tb, NDEV_A_RINGS_MAX, NULL))
		return NL_SKIP;
	if (tb[NDEV_A_RINGS_TCP_DATA_SPLIT]) {
		static const char *const names[] = { "unknown", "off", "on" };
		unsigned int v = nla_get_u8(tb[NDEV_A_RINGS_TCP_DATA_SPLIT]);

		printf("tcp-data-split=%s", v < 3 ? names[v] : "?");
	} else {
		printf("tcp-data-split=unsupported");
	}
	if (tb[NDEV_A_RINGS_HDS_THRESH] && tb[NDEV_A_RINGS_HDS_THRESH_MAX])
		printf(" hds-thresh=%u hds-thresh-max=%u", nla_get_u32(tb[NDEV_A_RINGS_HDS_THRESH]),
		       nla_get_u32(tb[NDEV_A_RINGS_HDS_THRESH_MAX]));
	printf("\n");
	return NL_OK;
}

int main(int argc, char **argv)
{
	struct nl_sock *nl = nl_socket_alloc();
	struct nl_msg *msg = nlmsg_alloc();
	struct nlattr *header;
	bool set = argc > 2;
	int family, err;

	if (argc < 2) {
		fprintf(stderr, "usage: hds <interface> [on|off [threshold]]\n");
		return 1;
	}
	if (!nl || !msg || genl_connect(nl)) {
		fprintf(stderr, "hds: no netlink socket\n");
		return 1;
	}
	family = genl_ctrl_resolve(nl, ETHTOOL_GENL_NAME);
	if (family < 0) {
		fprintf(stderr, "hds: the kernel has no ethtool netlink family\n");
		return 1;
	}
	genlmsg_put(msg, 0, 0, family, 0, set ? NLM_F_ACK : 0,
		    set ? ETHTOOL_MSG_RINGS_SET : ETHTOOL_MSG_RINGS_GET, ETHTOOL_GENL_VERSION);
	header = nla_nest_start(msg, ETHTOOL_A_RINGS_HEADER | NLA_F_NESTED);
	nla_put_string(msg, ETHTOOL_A_HEADER_DEV_NAME, argv[1]);
	nla_nest_end(msg, header);
	if (set)
		nla_put_u8(msg, NDEV_A_RINGS_TCP_DATA_SPLIT,
			   strcmp(argv[2], "on") ? ETHTOOL_TCP_DATA_SPLIT_DISABLED
						 : ETHTOOL_TCP_DATA_SPLIT_ENABLED);
	if (argc > 3)
		nla_put_u32(msg, NDEV_A_RINGS_HDS_THRESH, (uint32_t)strtoul(argv[3], NULL, 0));
	nl_socket_modify_cb(nl, NL_CB_VALID, NL_CB_CUSTOM, hds_show, NULL);
	err = nl_send_auto(nl, msg);
	if (err >= 0)
		err = set ? nl_wait_for_ack(nl) : nl_recvmsgs_default(nl);
	nlmsg_free(msg);
	nl_socket_free(nl);
	if (err < 0) {
		fprintf(stderr, "hds: %s: %s\n", argv[1], nl_geterror(err));
		return 1;
	}
	return 0;
}
