/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The RSS indirection table: which RX queue an ordinary flow's hash leads to.
 */
#ifndef DEVMEM_NIC_RSS_H
#define DEVMEM_NIC_RSS_H

#include <stdbool.h>
#include <stdint.h>

#define NIC_RSS_MAX 65536

/* @entry[i] is the queue for hash i modulo @n; malloc'ed. @n is 0 for a NIC without a table. */
struct nic_rss {
	uint32_t *entry;
	unsigned int n;
};

void nic_rss_drop(struct nic_rss *rss);
int nic_rss_copy(struct nic_rss *dst, const struct nic_rss *src);
bool nic_rss_equal(const struct nic_rss *a, const struct nic_rss *b);

/* Reads the table of the default context. A NIC without one gives 0 and an empty table. */
int nic_rss_get(const char *ifname, struct nic_rss *ret);
/*
 * Writes it. A table that is the driver's own spread over @n_queues is written as "default", so
 * that a later change of the number of queues spreads it anew. Needs CAP_NET_ADMIN.
 */
int nic_rss_set(const char *ifname, const struct nic_rss *rss, unsigned int n_queues);

/*
 * @former with every entry that leads to a queue in @bound (n_queues flags) led elsewhere: to the
 * queues that @former uses and that are not bound, or, if none is left, to any that is not bound. A
 * pure function: with nothing bound it gives @former back. *ret is malloc'ed. -EBUSY: every queue
 * is bound.
 */
int nic_rss_avoid(const struct nic_rss *former, const bool *bound, unsigned int n_queues,
		  struct nic_rss *ret);

/* Does any entry lead to a queue in @bound? */
bool nic_rss_hits(const struct nic_rss *rss, const bool *bound, unsigned int n_queues);

#endif
