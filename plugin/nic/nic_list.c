// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "nic/nic.h"
#include "nic/nic_ethtool.h"
#include "nic/nic_filter.h"
#include "nic/nic_link.h"

#define NIC_SPEED_UNKNOWN_MBPS 10000

static bool nic_addr_is_link_local(const struct nic_addr *a)
{
	const struct sockaddr_in6 *in6 = (const void *)&a->sa;

	return a->sa.ss_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr);
}

/*
 * Higher is better, 0 is unusable. IPv4 before IPv6, global before link-local, current before
 * deprecated.
 */
static int nic_addr_rank(const struct nic_addr *a, int family)
{
	int rank = 1;

	if (!a->usable || (family != AF_UNSPEC && a->sa.ss_family != family))
		return 0;
	if (a->sa.ss_family == AF_INET)
		rank += 4;
	if (a->preferred)
		rank += 1;
	if (a->sa.ss_family == AF_INET6 && !nic_addr_is_link_local(a))
		rank += 2;
	return rank;
}

static const struct nic_addr *nic_addr_best(const struct nic_addr *a, unsigned int n, int ifindex,
					    int family)
{
	const struct nic_addr *best = NULL;
	int best_rank = 0;

	for (unsigned int i = 0; i < n; i++) {
		int rank = a[i].ifindex == ifindex ? nic_addr_rank(&a[i], family) : 0;

		if (rank > best_rank) {
			best_rank = rank;
			best = &a[i];
		}
	}
	return best;
}

static void nic_pci_path(const char *ifname, char path[PATH_MAX])
{
	char driver[64], bus[64], link[128];
	char real[PATH_MAX];

	path[0] = '\0';
	nic_driver_get(ifname, driver, sizeof(driver), bus, sizeof(bus));
	/* sysfs shows every PCI device, while its class/net is that of the mounting namespace. */
	if (!bus[0] || strchr(bus, '/'))
		return;
	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s", bus);
	if (realpath(link, real))
		snprintf(path, PATH_MAX, "%s", real);
}

static void nic_fill(struct nic *nic, const struct nic_link *l, const struct nic_addr *a)
{
	int speed = nic_speed_get(l->name);

	memset(nic, 0, sizeof(*nic));
	snprintf(nic->name, sizeof(nic->name), "%s", l->name);
	nic->ifindex = l->ifindex;
	nic->mtu = l->mtu;
	nic->is_loopback = l->flags & IFF_LOOPBACK;
	nic->speed_mbps = speed > 0 ? speed : NIC_SPEED_UNKNOWN_MBPS;
	memcpy(&nic->addr, &a->sa, sizeof(nic->addr));
	nic->addrlen = a->len;
	for (int i = 0; i < 6; i++)
		nic->guid = nic->guid << 8 | l->mac[i];
	nic->guid = nic->guid << 16 | (uint16_t)l->ifindex;
	nic_pci_path(l->name, nic->pci_path);
}

/* "lo, eth0 (down), eth1 (no carrier), eth2 (no address)" */
static void nic_describe(const struct nic_link *l, const struct nic_candidate *c, unsigned int n,
			 char *buf, size_t len)
{
	size_t used = 0;

	buf[0] = '\0';
	for (unsigned int i = 0; i < n && used < len; i++) {
		const char *state = " (no address)";

		if (c[i].usable)
			state = "";
		else if (!(l[i].flags & IFF_UP))
			state = " (down)";
		else if (!(l[i].flags & IFF_RUNNING))
			state = " (no carrier)";
		used += (size_t)snprintf(buf + used, len - used, "%s%s%s", i ? ", " : "", l[i].name,
					 state);
	}
}

static void nic_none_found(const char *filter, int family, const char *there_are,
			   struct verdict *why)
{
	const char *what = family == AF_INET	? "an IPv4 address"
			   : family == AF_INET6 ? "an IPv6 address"
						: "an address";

	if (filter && *filter)
		verdict_set(why, -ENODEV, "set NCCL_DEVMEM_IFNAME to one of them, or unset it",
			    "no interface that is up and has %s matches the filter \"%.60s\"; "
			    "there are: %s",
			    what, filter, there_are);
	else
		verdict_set(why, -ENODEV,
			    "ip link set <interface> up; ip addr add <address> dev <interface>",
			    "no interface is up and has %s; there are: %s", what, there_are);
}

/* What the kernel said, and what the choice goes by; @cand and @order have @n_links places. */
struct nic_survey {
	struct nic_link *links;
	struct nic_addr *addrs;
	struct nic_candidate *cand;
	unsigned int *order;
	unsigned int n_links;
	unsigned int n_addrs;
};

static void nic_survey_drop(struct nic_survey *s)
{
	free(s->links);
	free(s->addrs);
	free(s->cand);
	free(s->order);
}

static int nic_survey_take(struct nic_survey *s, int family)
{
	int err;

	err = nic_link_list(&s->links, &s->n_links);
	if (!err)
		err = nic_addr_list(&s->addrs, &s->n_addrs);
	if (err)
		return err;
	s->cand = calloc(s->n_links + 1, sizeof(*s->cand));
	s->order = calloc(s->n_links + 1, sizeof(*s->order));
	if (!s->cand || !s->order)
		return -ENOMEM;
	for (unsigned int i = 0; i < s->n_links; i++) {
		const struct nic_link *l = &s->links[i];
		const struct nic_addr *best =
			nic_addr_best(s->addrs, s->n_addrs, l->ifindex, family);

		s->cand[i].name = l->name;
		s->cand[i].is_loopback = l->flags & IFF_LOOPBACK;
		s->cand[i].is_ethernet = l->type == ARPHRD_ETHER;
		s->cand[i].usable = (l->flags & IFF_UP) && (l->flags & IFF_RUNNING) && best;
		s->cand[i].only_link_local = best && nic_addr_is_link_local(best);
	}
	return 0;
}

static int nic_survey_choose(struct nic_survey *s, const char *filter, int family,
			     struct nic **ret_nics, int *ret_n, struct verdict *why)
{
	unsigned int n_chosen, dropped;
	char there_are[160];
	struct nic_filter f;
	struct nic *nics;

	dropped = nic_filter_parse(&f, filter);
	if (dropped)
		log_warn("interface filter \"%.80s\": %u entries are no interface names or beyond "
			 "the %dth and are ignored",
			 filter, dropped, NIC_FILTER_MAX);
	n_chosen = nic_filter_choose(&f, s->cand, s->n_links, s->order);

	nics = calloc(n_chosen + 1, sizeof(*nics));
	if (!nics)
		return verdict_set(why, -ENOMEM, NULL, "out of memory");
	for (unsigned int i = 0; i < n_chosen; i++) {
		const struct nic_link *l = &s->links[s->order[i]];

		nic_fill(&nics[i], l, nic_addr_best(s->addrs, s->n_addrs, l->ifindex, family));
	}
	if (n_chosen) {
		verdict_set(why, 0, NULL, "%u interfaces", n_chosen);
	} else {
		nic_describe(s->links, s->cand, s->n_links, there_are, sizeof(there_are));
		nic_none_found(filter, family, there_are, why);
	}
	*ret_n = (int)n_chosen;
	*ret_nics = nics;
	return 0;
}

int nic_list(const char *filter, int family, struct nic **ret_nics, int *ret_n, struct verdict *why)
{
	struct nic_survey s = { 0 };
	int err;

	err = nic_survey_take(&s, family);
	if (err)
		verdict_set(why, err, NULL, "the kernel did not list the interfaces: %s",
			    strerror(-err));
	else
		err = nic_survey_choose(&s, filter, family, ret_nics, ret_n, why);
	nic_survey_drop(&s);
	return err;
}

/* The address as IPv6 (IPv4 mapped), so that one comparison serves both. */
static bool nic_addr_normal(const struct sockaddr *sa, struct in6_addr *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (sa->sa_family == AF_INET) {
		ret->s6_addr[10] = 0xff;
		ret->s6_addr[11] = 0xff;
		memcpy(&ret->s6_addr[12], &((const struct sockaddr_in *)(const void *)sa)->sin_addr,
		       4);
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		*ret = ((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
		return true;
	}
	return false;
}

bool nic_addr_is_local(const struct sockaddr *addr)
{
	_cleanup_free_ struct nic_addr *addrs = NULL;
	struct in6_addr want, have;
	unsigned int n = 0;

	if (!nic_addr_normal(addr, &want))
		return false;
	/* 127/8 needs no entry of its own, and connecting to "any" reaches this host. */
	if (IN6_IS_ADDR_LOOPBACK(&want) || IN6_IS_ADDR_UNSPECIFIED(&want))
		return true;
	if (IN6_IS_ADDR_V4MAPPED(&want) &&
	    (want.s6_addr[12] == 127 || !memcmp(&want.s6_addr[12], "\0\0\0\0", 4)))
		return true;
	if (nic_addr_list(&addrs, &n))
		return false;
	for (unsigned int i = 0; i < n; i++) {
		const struct sockaddr_in6 *mine = (const void *)&addrs[i].sa;
		const struct sockaddr_in6 *theirs = (const void *)addr;

		if (!nic_addr_normal((const struct sockaddr *)&addrs[i].sa, &have) ||
		    memcmp(&want, &have, sizeof(want)) != 0)
			continue;
		/* The same link-local address may exist on several links. */
		if (!IN6_IS_ADDR_LINKLOCAL(&want) || !theirs->sin6_scope_id ||
		    theirs->sin6_scope_id == mine->sin6_scope_id)
			return true;
	}
	return false;
}
