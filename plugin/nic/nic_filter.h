/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interface filters in NCCL_SOCKET_IFNAME's syntax (NCCL, src/misc/socket.cc and utils.cc): a comma
 * list of name prefixes; a leading '^' turns the list into an exclusion, '=' (after it) asks for
 * whole names. A ":port" after a name is ignored, as NCCL does for sockets.
 */
#ifndef DEVMEM_NIC_FILTER_H
#define DEVMEM_NIC_FILTER_H

#include <net/if.h>
#include <stdbool.h>

#define NIC_FILTER_MAX 32

struct nic_filter {
	bool exclude;
	bool exact;
	unsigned int n;
	char name[NIC_FILTER_MAX][IF_NAMESIZE];
};

/*
 * NULL or "" gives the empty filter. Names that no interface can have (longer than 15 characters)
 * and those beyond the 32nd are dropped; returns how many.
 */
unsigned int nic_filter_parse(struct nic_filter *f, const char *text);

/* The place of the first entry that matches @ifname, or -1. Says nothing about `exclude`. */
int nic_filter_match(const struct nic_filter *f, const char *ifname);

/* What the choice between interfaces goes by. */
struct nic_candidate {
	const char *name;
	bool usable; /* up, with carrier and an address */
	bool is_ethernet;
	bool is_loopback;
	bool only_link_local; /* nothing but an IPv6 link-local address, which every interface gives itself */
};

/*
 * Chooses among @c[0..n-1] (in the kernel's order); writes the indices of the chosen ones to
 * @ret_order (room for @n) and returns their number.
 *   - filter with names: those that match, in the filter's order;
 *   - exclusion: all others; no filter: Ethernet interfaces other than docker*.
 *   - interfaces with nothing but a link-local address are chosen when they are named, else only when there are no
 *     others: they are up, but nobody set them up, and the lower device of an sdm or a bridge port looks just so;
 *   - loopback likewise, and after those.
 */
unsigned int nic_filter_choose(const struct nic_filter *f, const struct nic_candidate *c,
			       unsigned int n, unsigned int *ret_order);

#endif
