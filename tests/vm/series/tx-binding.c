// SPDX-License-Identifier: BSD-3-Clause
/*
 * A transmit binding whose device may go away: for test-tx-binding.
 *	tx-binding [-n count] interface
 * Binds a dmabuf of one page to the interface count times, prints "bound id=N" for
 * each, closes them when standard input ends, and says "closed".
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <net/if.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../../include/uapi/netdev_genl.h"

#define EXIT_SKIP    77
#define BINDINGS_MAX 64

static void die(const char *what)
{
	fprintf(stderr, "tx-binding: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static int dmabuf_make(void)
{
	struct udmabuf_create create = { .size = (uint64_t)sysconf(_SC_PAGESIZE) };
	int dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	int mem = memfd_create("tx-binding", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	int fd;

	if (dev < 0) {
		fprintf(stderr, "tx-binding: skip: /dev/udmabuf: %s\n", strerror(errno));
		exit(EXIT_SKIP);
	}
	if (mem < 0 || ftruncate(mem, (off_t)create.size) || fcntl(mem, F_ADD_SEALS, F_SEAL_SHRINK))
		die("memfd");
	create.memfd = (uint32_t)mem;
	fd = ioctl(dev, UDMABUF_CREATE, &create);
	if (fd < 0)
		die("UDMABUF_CREATE");
	close(mem);
	close(dev);
	return fd;
}

static int binding_reply(struct nl_msg *msg, void *arg)
{
	struct nlattr *tb[NDEV_A_DMABUF_MAX + 1];

	if (genlmsg_parse(nlmsg_hdr(msg), 0, tb, NDEV_A_DMABUF_MAX, NULL) == 0 &&
	    tb[NDEV_A_DMABUF_ID])
		*(uint32_t *)arg = nla_get_u32(tb[NDEV_A_DMABUF_ID]);
	return NL_OK;
}

/* Returns the netlink socket that the binding lives with. */
static struct nl_sock *binding_make(const char *ifname, int dmabuf)
{
	struct nl_msg *msg = nlmsg_alloc();
	struct nl_sock *nl = nl_socket_alloc();
	uint32_t id = 0;
	int family, err;

	if (!msg || !nl || genl_connect(nl))
		die("netlink socket");
	family = genl_ctrl_resolve(nl, NDEV_FAMILY);
	if (family < 0) {
		fprintf(stderr, "tx-binding: skip: no netdev netlink family\n");
		exit(EXIT_SKIP);
	}
	genlmsg_put(msg, 0, 0, family, 0, 0, NDEV_CMD_BIND_TX, 1);
	nla_put_u32(msg, NDEV_A_DMABUF_IFINDEX, if_nametoindex(ifname));
	nla_put_u32(msg, NDEV_A_DMABUF_FD, (uint32_t)dmabuf);
	nl_socket_modify_cb(nl, NL_CB_VALID, NL_CB_CUSTOM, binding_reply, &id);
	if (nl_send_auto(nl, msg) < 0)
		die("netlink send");
	nlmsg_free(msg);
	err = nl_recvmsgs_default(nl);
	if (err < 0 || !id) {
		fprintf(stderr, "tx-binding: bind-tx to %s: %s\n", ifname, nl_geterror(err));
		exit(EXIT_FAILURE);
	}
	printf("bound id=%u\n", id);
	return nl;
}

int main(int argc, char **argv)
{
	struct nl_sock *nl[BINDINGS_MAX];
	int opt, dmabuf, i, count = 1;
	char c;

	while ((opt = getopt(argc, argv, "n:")) == 'n')
		count = atoi(optarg);
	if (opt != -1 || optind + 1 != argc || count < 1 || count > BINDINGS_MAX) {
		fprintf(stderr, "usage: tx-binding [-n count] interface\n");
		return EXIT_FAILURE;
	}
	dmabuf = dmabuf_make();
	for (i = 0; i < count; i++)
		nl[i] = binding_make(argv[optind], dmabuf);
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	for (i = 0; i < count; i++)
		nl_socket_free(nl[i]);
	printf("closed\n");
	close(dmabuf);
	return 0;
}
