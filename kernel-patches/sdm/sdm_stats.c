// SPDX-License-Identifier: GPL-2.0
/*
 * The queues' counters, shown by ethtool -S (each one, as a sum and per queue),
 * by the netdev family's queue statistics and as the device's statistics.
 */
#include <linux/ethtool.h>
#include <linux/netdevice.h>

#include "sdm.h"

static const char * const sdm_counter_names[SDM_NR_COUNTERS] = {
	[SDM_RX_PACKETS]	= "rx_packets",
	[SDM_RX_BYTES]		= "rx_bytes",
	[SDM_RX_DEVMEM_PACKETS]	= "rx_devmem_packets",
	[SDM_RX_DEVMEM_BYTES]	= "rx_devmem_bytes",
	[SDM_RX_DEVMEM_FRAGS]	= "rx_devmem_frags",
	[SDM_RX_NULL_DMA_BYTES]	= "rx_null_dma_bytes",
	[SDM_RX_HEADER_BYTES]	= "rx_header_bytes",
	[SDM_RX_WHOLE_BYTES]	= "rx_whole_bytes",
	[SDM_RX_CSUM_CHECKED]	= "rx_csum_checked",
	[SDM_RX_DROP_RING]	= "rx_drop_ring_full",
	[SDM_RX_DROP_NO_NIOV]	= "rx_drop_no_niov",
	[SDM_RX_DROP_NO_MEMORY]	= "rx_drop_no_memory",
	[SDM_RX_DROP_CSUM]	= "rx_drop_bad_csum",
	[SDM_RX_DROP_DOWN]	= "rx_drop_down",
	[SDM_RX_DROP_RULE]	= "rx_drop_rule",
	[SDM_RX_DROP_INJECTED]	= "rx_drop_injected",
	[SDM_RX_INJECT_DELAYED]	= "rx_inject_delayed",
	[SDM_RX_INJECT_REORDERED] = "rx_inject_reordered",
	[SDM_RX_INJECT_STARVED]	= "rx_inject_starved",
	[SDM_TX_PACKETS]	= "tx_packets",
	[SDM_TX_BYTES]		= "tx_bytes",
	[SDM_TX_DEVMEM_PACKETS]	= "tx_devmem_packets",
	[SDM_TX_DEVMEM_BYTES]	= "tx_devmem_bytes",
	[SDM_TX_DEVMEM_FRAGS]	= "tx_devmem_frags",
	[SDM_TX_NULL_DMA_BYTES]	= "tx_null_dma_bytes",
	[SDM_TX_DROP_LOWER]	= "tx_drop_lower",
	[SDM_TX_DROP_NO_MEMORY]	= "tx_drop_no_memory",
};

int sdm_stats_init(struct sdm_dev *sdm)
{
	unsigned int i;
	int cpu;

	for (i = 0; i < SDM_MAX_QUEUES; i++) {
		struct sdm_queue *q = &sdm->queues[i];

		q->counters = alloc_percpu(struct sdm_counters);
		if (!q->counters) {
			sdm_stats_free(sdm);
			return -ENOMEM;
		}
		for_each_possible_cpu(cpu)
			u64_stats_init(&per_cpu_ptr(q->counters, cpu)->syncp);
	}
	return 0;
}

void sdm_stats_free(struct sdm_dev *sdm)
{
	unsigned int i;

	for (i = 0; i < SDM_MAX_QUEUES; i++) {
		free_percpu(sdm->queues[i].counters);
		sdm->queues[i].counters = NULL;
	}
}

/* Adds the queue's counters to @sum. */
static void sdm_stats_add(const struct sdm_queue *q, u64 *sum)
{
	u64 v[SDM_NR_COUNTERS];
	unsigned int start, i;
	int cpu;

	for_each_possible_cpu(cpu) {
		const struct sdm_counters *c = per_cpu_ptr(q->counters, cpu);

		do {
			start = u64_stats_fetch_begin(&c->syncp);
			for (i = 0; i < SDM_NR_COUNTERS; i++)
				v[i] = u64_stats_read(&c->v[i]);
		} while (u64_stats_fetch_retry(&c->syncp, start));
		for (i = 0; i < SDM_NR_COUNTERS; i++)
			sum[i] += v[i];
	}
}

static void sdm_stats_range(const struct sdm_dev *sdm, unsigned int from, unsigned int to, u64 *sum)
{
	memset(sum, 0, SDM_NR_COUNTERS * sizeof(*sum));
	for (; from < to; from++)
		sdm_stats_add(&sdm->queues[from], sum);
}

static u64 sdm_stats_rx_drops(const u64 *v)
{
	return v[SDM_RX_DROP_RING] + v[SDM_RX_DROP_NO_NIOV] + v[SDM_RX_DROP_NO_MEMORY] +
	       v[SDM_RX_DROP_CSUM] + v[SDM_RX_DROP_DOWN] + v[SDM_RX_DROP_RULE] +
	       v[SDM_RX_DROP_INJECTED];
}

void sdm_stats_get64(struct net_device *dev, struct rtnl_link_stats64 *s)
{
	u64 v[SDM_NR_COUNTERS];

	sdm_stats_range(netdev_priv(dev), 0, SDM_MAX_QUEUES, v);
	s->rx_packets = v[SDM_RX_PACKETS];
	s->rx_bytes = v[SDM_RX_BYTES];
	s->rx_dropped = sdm_stats_rx_drops(v);
	s->rx_errors = v[SDM_RX_DROP_CSUM];
	s->tx_packets = v[SDM_TX_PACKETS];
	s->tx_bytes = v[SDM_TX_BYTES];
	s->tx_dropped = v[SDM_TX_DROP_LOWER] + v[SDM_TX_DROP_NO_MEMORY];
}

static void sdm_stats_fill_rx(const u64 *v, struct netdev_queue_stats_rx *rx)
{
	rx->packets = v[SDM_RX_PACKETS];
	rx->bytes = v[SDM_RX_BYTES];
	rx->alloc_fail = v[SDM_RX_DROP_NO_NIOV] + v[SDM_RX_DROP_NO_MEMORY];
	rx->hw_drops = sdm_stats_rx_drops(v);
	rx->hw_drop_overruns = v[SDM_RX_DROP_RING] + v[SDM_RX_DROP_NO_NIOV];
	rx->csum_bad = v[SDM_RX_DROP_CSUM];
}

static void sdm_stats_fill_tx(const u64 *v, struct netdev_queue_stats_tx *tx)
{
	tx->packets = v[SDM_TX_PACKETS];
	tx->bytes = v[SDM_TX_BYTES];
	tx->hw_drops = v[SDM_TX_DROP_LOWER] + v[SDM_TX_DROP_NO_MEMORY];
}

static void sdm_stats_queue_rx(struct net_device *dev, int idx, struct netdev_queue_stats_rx *rx)
{
	u64 v[SDM_NR_COUNTERS];

	sdm_stats_range(netdev_priv(dev), idx, idx + 1, v);
	sdm_stats_fill_rx(v, rx);
}

static void sdm_stats_queue_tx(struct net_device *dev, int idx, struct netdev_queue_stats_tx *tx)
{
	u64 v[SDM_NR_COUNTERS];

	sdm_stats_range(netdev_priv(dev), idx, idx + 1, v);
	sdm_stats_fill_tx(v, tx);
}

/* Queues that ethtool -L took away keep what they counted. */
static void sdm_stats_base(struct net_device *dev, struct netdev_queue_stats_rx *rx,
			   struct netdev_queue_stats_tx *tx)
{
	u64 v[SDM_NR_COUNTERS];

	sdm_stats_range(netdev_priv(dev), dev->real_num_rx_queues, SDM_MAX_QUEUES, v);
	sdm_stats_fill_rx(v, rx);
	sdm_stats_range(netdev_priv(dev), dev->real_num_tx_queues, SDM_MAX_QUEUES, v);
	sdm_stats_fill_tx(v, tx);
}

const struct netdev_stat_ops sdm_stat_ops = {
	.get_queue_stats_rx	= sdm_stats_queue_rx,
	.get_queue_stats_tx	= sdm_stats_queue_tx,
	.get_base_stats		= sdm_stats_base,
};

int sdm_stats_string_count(struct net_device *dev, int set)
{
	if (set != ETH_SS_STATS)
		return -EOPNOTSUPP;
	return SDM_NR_COUNTERS * (1 + dev->real_num_rx_queues);
}

void sdm_stats_strings(struct net_device *dev, u32 set, u8 *data)
{
	unsigned int i, qi;

	if (set != ETH_SS_STATS)
		return;
	for (i = 0; i < SDM_NR_COUNTERS; i++)
		ethtool_puts(&data, sdm_counter_names[i]);
	for (qi = 0; qi < dev->real_num_rx_queues; qi++)
		for (i = 0; i < SDM_NR_COUNTERS; i++)
			ethtool_sprintf(&data, "q%u_%s", qi, sdm_counter_names[i]);
}

void sdm_stats_values(struct net_device *dev, struct ethtool_stats *stats, u64 *data)
{
	struct sdm_dev *sdm = netdev_priv(dev);
	unsigned int qi;

	sdm_stats_range(sdm, 0, SDM_MAX_QUEUES, data);
	for (qi = 0; qi < dev->real_num_rx_queues; qi++) {
		data += SDM_NR_COUNTERS;
		sdm_stats_range(sdm, qi, qi + 1, data);
	}
}
