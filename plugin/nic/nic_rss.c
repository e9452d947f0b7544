// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/ethtool.h>

#include "base/cleanup.h"
#include "nic/nic_ethtool.h"
#include "nic/nic_rss.h"

void nic_rss_drop(struct nic_rss *rss)
{
	free(rss->entry);
	rss->entry = NULL;
	rss->n = 0;
}

int nic_rss_copy(struct nic_rss *dst, const struct nic_rss *src)
{
	uint32_t *entry = NULL;

	if (src->n) {
		entry = malloc(src->n * sizeof(*entry));
		if (!entry)
			return -ENOMEM;
		memcpy(entry, src->entry, src->n * sizeof(*entry));
	}
	free(dst->entry);
	dst->entry = entry;
	dst->n = src->n;
	return 0;
}

bool nic_rss_equal(const struct nic_rss *a, const struct nic_rss *b)
{
	return a->n == b->n && (!a->n || !memcmp(a->entry, b->entry, a->n * sizeof(*a->entry)));
}

int nic_rss_get(const char *ifname, struct nic_rss *ret)
{
	struct ethtool_rxfh_indir size = { .cmd = ETHTOOL_GRXFHINDIR };
	_cleanup_free_ struct ethtool_rxfh_indir *req = NULL;
	struct nic_rss rss = { 0 };
	int err;

	err = nic_ethtool_ioctl(ifname, &size);
	if (err == -EOPNOTSUPP || (!err && !size.size)) {
		*ret = rss;
		return 0;
	}
	if (err)
		return err;
	if (size.size > NIC_RSS_MAX)
		return -E2BIG;

	req = calloc(1, sizeof(*req) + size.size * sizeof(req->ring_index[0]));
	if (!req)
		return -ENOMEM;
	req->cmd = ETHTOOL_GRXFHINDIR;
	req->size = size.size;
	err = nic_ethtool_ioctl(ifname, req);
	if (err)
		return err;
	if (req->size != size.size)
		return -EAGAIN;
	rss.n = size.size;
	rss.entry = malloc(rss.n * sizeof(*rss.entry));
	if (!rss.entry)
		return -ENOMEM;
	memcpy(rss.entry, req->ring_index, rss.n * sizeof(*rss.entry));
	*ret = rss;
	return 0;
}

static bool nic_rss_is_default(const struct nic_rss *rss, unsigned int n_queues)
{
	for (unsigned int i = 0; i < rss->n; i++)
		if (!n_queues || rss->entry[i] != i % n_queues)
			return false;
	return true;
}

int nic_rss_set(const char *ifname, const struct nic_rss *rss, unsigned int n_queues)
{
	_cleanup_free_ struct ethtool_rxfh_indir *req = NULL;

	req = calloc(1, sizeof(*req) + rss->n * sizeof(req->ring_index[0]));
	if (!req)
		return -ENOMEM;
	req->cmd = ETHTOOL_SRXFHINDIR;
	/* Size 0 asks for the default (net/ethtool/ioctl.c, ethtool_set_rxfh_indir()). */
	if (!nic_rss_is_default(rss, n_queues)) {
		req->size = rss->n;
		memcpy(req->ring_index, rss->entry, rss->n * sizeof(*rss->entry));
	}
	return nic_ethtool_ioctl(ifname, req);
}

static bool nic_rss_bound(uint32_t queue, const bool *bound, unsigned int n_queues)
{
	return queue < n_queues && bound[queue];
}

/* Marks in @pool (n_queues flags) the queues to lead to; returns how many there are. */
static unsigned int nic_rss_pool(const struct nic_rss *former, const bool *bound,
				 unsigned int n_queues, bool *pool)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < former->n; i++) {
		uint32_t q = former->entry[i];

		if (q < n_queues && !bound[q] && !pool[q]) {
			pool[q] = true;
			n++;
		}
	}
	for (unsigned int q = 0; !n && q < n_queues; q++)
		pool[q] = !bound[q];
	for (unsigned int q = 0; !n && q < n_queues; q++)
		n += pool[q];
	return n;
}

/* The next queue of @pool after @q, around the end; there is one. */
static unsigned int nic_rss_next(const bool *pool, unsigned int n_queues, unsigned int q)
{
	do
		q = q + 1 < n_queues ? q + 1 : 0;
	while (!pool[q]);
	return q;
}

int nic_rss_avoid(const struct nic_rss *former, const bool *bound, unsigned int n_queues,
		  struct nic_rss *ret)
{
	bool *pool = calloc(n_queues + 1, sizeof(*pool));
	unsigned int n_pool, q = n_queues;
	struct nic_rss out = { 0 };
	int err = 0;

	if (!pool || nic_rss_copy(&out, former)) {
		free(pool);
		return -ENOMEM;
	}
	n_pool = nic_rss_pool(former, bound, n_queues, pool);
	for (unsigned int i = 0; i < out.n && !err; i++) {
		if (!nic_rss_bound(out.entry[i], bound, n_queues))
			continue;
		if (!n_pool) {
			err = -EBUSY;
			continue;
		}
		q = nic_rss_next(pool, n_queues, q);
		out.entry[i] = q;
	}
	free(pool);
	if (err)
		nic_rss_drop(&out);
	else
		*ret = out;
	return err;
}

bool nic_rss_hits(const struct nic_rss *rss, const bool *bound, unsigned int n_queues)
{
	for (unsigned int i = 0; i < rss->n; i++)
		if (nic_rss_bound(rss->entry[i], bound, n_queues))
			return true;
	return false;
}
