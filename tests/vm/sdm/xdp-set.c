// SPDX-License-Identifier: BSD-3-Clause
/*
 * Attaches an XDP program that passes each packet, or takes it off again:
 *	xdp-set <interface> generic|native [frags]
 *	xdp-set <interface> off [native]
 * frags: the program declares that it understands packets of several buffers.
 * Exit: 0; 1 refused, with the kernel's own words on stderr; 77 the kernel has no BPF.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef BPF_F_XDP_HAS_FRAGS
#define BPF_F_XDP_HAS_FRAGS (1U << 5)
#endif

static int program_load(int frags)
{
	/* r0 = XDP_PASS; exit */
	static const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_XDP;
	attr.insns = (uintptr_t)code;
	attr.insn_cnt = 2;
	attr.license = (uintptr_t) "GPL";
	attr.prog_flags = frags ? BPF_F_XDP_HAS_FRAGS : 0;
	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static int on_error(struct sockaddr_nl *who, struct nlmsgerr *err, void *arg)
{
	const struct nlmsghdr *hdr = (const struct nlmsghdr *)err - 1;
	size_t inner = (hdr->nlmsg_flags & NLM_F_CAPPED) ? 0 : err->msg.nlmsg_len - NLMSG_HDRLEN;
	const uint8_t *pos = (const uint8_t *)(err + 1) + NLMSG_ALIGN(inner);
	int left = (int)((const uint8_t *)hdr + hdr->nlmsg_len - pos);

	(void)who;
	if ((hdr->nlmsg_flags & NLM_F_ACK_TLVS) && left > 0) {
		const struct nlattr *text =
			nla_find((const struct nlattr *)pos, left, NLMSGERR_ATTR_MSG);

		if (text)
			fprintf(stderr, "xdp-set: kernel: %s\n", nla_get_string(text));
	}
	*(int *)arg = err->error;
	return NL_STOP;
}

int main(int argc, char **argv)
{
	struct nl_sock *nl = nl_socket_alloc();
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK);
	bool off = argc > 2 && !strcmp(argv[2], "off");
	const char *mode = off ? (argc > 3 ? argv[3] : "") : (argc > 2 ? argv[2] : "");
	int one = 1, fd = -1, err, kernel_err = 0;
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	struct nlattr *xdp;

	if (argc < 3) {
		fprintf(stderr,
			"usage: xdp-set <interface> generic|native [frags] | off [native]\n");
		return 1;
	}
	if (!off) {
		fd = program_load(argc > 3 && !strcmp(argv[3], "frags"));
		if (fd < 0) {
			fprintf(stderr, "xdp-set: BPF_PROG_LOAD: %s\n", strerror(errno));
			return errno == ENOSYS ? 77 : 1;
		}
	}
	link.ifi_index = (int)if_nametoindex(argv[1]);
	if (!nl || !msg || !link.ifi_index || nl_connect(nl, NETLINK_ROUTE)) {
		fprintf(stderr, "xdp-set: no netlink socket, or no interface %s\n", argv[1]);
		return 1;
	}
	setsockopt(nl_socket_get_fd(nl), SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	nlmsg_append(msg, &link, sizeof(link), NLMSG_ALIGNTO);
	xdp = nla_nest_start(msg, IFLA_XDP | NLA_F_NESTED);
	nla_put_s32(msg, IFLA_XDP_FD, fd);
	nla_put_u32(msg, IFLA_XDP_FLAGS,
		    strcmp(mode, "native") ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
	nla_nest_end(msg, xdp);
	nl_socket_modify_err_cb(nl, NL_CB_CUSTOM, on_error, &kernel_err);
	err = nl_send_auto(nl, msg);
	if (err >= 0)
		err = nl_wait_for_ack(nl);
	nlmsg_free(msg);
	nl_socket_free(nl);
	if (err < 0 || kernel_err) {
		fprintf(stderr, "xdp-set: %s: %s\n", argv[1],
			kernel_err ? strerror(-kernel_err) : nl_geterror(err));
		return 1;
	}
	return 0;
}
