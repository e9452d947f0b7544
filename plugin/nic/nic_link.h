/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The interfaces and addresses of this network namespace, by rtnetlink: unlike sysfs and
 * getifaddrs() it always shows the caller's own namespace, and knows of XDP and of addresses not
 * yet usable.
 */
#ifndef DEVMEM_NIC_LINK_H
#define DEVMEM_NIC_LINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * @flags: IFF_*. @type: ARPHRD_*. @mac: zero where there is none. @xdp: a program is attached.
 */
struct nic_link {
	char name[IF_NAMESIZE];
	int ifindex;
	unsigned int flags;
	unsigned short type;
	unsigned int mtu;
	uint8_t mac[6];
	bool xdp;
};

/* @usable: not tentative and not a duplicate. @preferred: not deprecated. */
struct nic_addr {
	struct sockaddr_storage sa;
	socklen_t len;
	int ifindex;
	bool usable;
	bool preferred;
};

/* Each *ret is malloc'ed and owned by the caller. Return 0 or -errno. */
int nic_link_list(struct nic_link **ret, unsigned int *ret_n);
int nic_addr_list(struct nic_addr **ret, unsigned int *ret_n);

/* One interface; -ENODEV when it is gone. */
int nic_link_get(int ifindex, struct nic_link *ret);

#endif
