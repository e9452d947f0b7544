// SPDX-License-Identifier: GPL-2.0
/*
 * Queues: their making and stopping with the device, by ethtool -L, and one at a
 * time by the core when a dma-buf is bound to one (queue_mgmt_ops).
 */
#include <linux/netdevice.h>
#include <net/netdev_lock.h>
#include <net/netdev_queues.h>
#include <net/page_pool/helpers.h>

#include "sdm.h"
#include "sdm_mem.h"

/* niovs (or pages) that wait in the pool's ring instead of going back to the
 * provider; a bound on what is set aside, not on what is in use.
 */
#define SDM_POOL_RING	1024

/* What the core hands from one life of a queue to the next. The NAPI and the
 * packets that wait stay where they are: only the pool changes, and nothing is
 * dropped by a bind.
 */
struct sdm_queue_mem {
	struct page_pool *pool;
};

/* On a queue with a memory provider the pool's netmems are the bound dma-buf's
 * niovs. On any other the pool is there because the core wants one, and stays
 * empty: packets go up as they came.
 *
 * The napi is left out here: at this time it may still be running for the pool
 * that is replaced.
 */
static struct page_pool *sdm_pool_create(struct sdm_dev *sdm, int idx,
					 const struct netdev_queue_config *qcfg)
{
	const struct page_pool_params params = {
		.flags		= PP_FLAG_DMA_MAP | PP_FLAG_DMA_SYNC_DEV |
				  PP_FLAG_ALLOW_UNREADABLE_NETMEM,
		.order		= get_order(qcfg->rx_page_size),
		.pool_size	= SDM_POOL_RING,
		.nid		= NUMA_NO_NODE,
		.dev		= sdm->dev->dev.parent,
		.dma_dir	= DMA_FROM_DEVICE,
		.max_len	= qcfg->rx_page_size,
		.netdev		= sdm->dev,
		.queue_idx	= idx,
	};
	struct page_pool *pool = page_pool_create(&params);

	if (!IS_ERR(pool))
		sdm_mem_pool_add(sdm, pool);
	return pool;
}

static void sdm_pool_destroy(struct page_pool *pool)
{
	sdm_mem_pool_del(pool);
	page_pool_destroy(pool);
}

/* Takes the pool. Packets may have come while the NAPI was off and their
 * napi_schedule() was lost; nobody else will start it for them.
 */
static void sdm_queue_run(struct sdm_queue *q, struct page_pool *pool)
{
	q->pool = pool;
	page_pool_enable_direct_recycling(pool, &q->napi);
	napi_enable_locked(&q->napi);

	local_bh_disable();
	napi_schedule(&q->napi);
	local_bh_enable();
}

/* Gives the pool back. */
static struct page_pool *sdm_queue_halt(struct sdm_queue *q)
{
	struct page_pool *pool = q->pool;

	napi_disable_locked(&q->napi);
	page_pool_disable_direct_recycling(pool);
	q->pool = NULL;
	return pool;
}

/* Drops what waits. The NAPI is off. */
void sdm_queue_purge(struct sdm_queue *q)
{
	struct sk_buff_head list;
	unsigned int n;

	__skb_queue_head_init(&list);
	spin_lock_bh(&q->backlog.lock);
	n = q->backlog.qlen;
	skb_queue_splice_init(&q->backlog, &list);
	if (n)
		sdm_count(q, SDM_RX_DROP_DOWN, n);
	spin_unlock_bh(&q->backlog.lock);
	__skb_queue_purge(&list);
}

static void sdm_queues_down(struct sdm_dev *sdm, unsigned int from, unsigned int to)
{
	struct net_device *dev = sdm->dev;
	unsigned int i;

	for (i = from; i < to; i++) {
		struct sdm_queue *q = &sdm->queues[i];

		netif_queue_set_napi(dev, i, NETDEV_QUEUE_TYPE_RX, NULL);
		netif_queue_set_napi(dev, i, NETDEV_QUEUE_TYPE_TX, NULL);
		sdm_pool_destroy(sdm_queue_halt(q));
		__netif_napi_del_locked(&q->napi);
	}
	/* The rx_handler may be about to queue to one of these, and the list of
	 * NAPIs is read under RCU.
	 */
	synchronize_net();
	for (i = from; i < to; i++) {
		sdm_inject_purge(&sdm->queues[i]);
		sdm_queue_purge(&sdm->queues[i]);
	}
}

static int sdm_queues_up(struct sdm_dev *sdm, unsigned int from, unsigned int to)
{
	struct net_device *dev = sdm->dev;
	unsigned int i;

	for (i = from; i < to; i++) {
		struct sdm_queue *q = &sdm->queues[i];
		struct netdev_queue_config qcfg;
		struct page_pool *pool;

		netdev_queue_config(dev, i, &qcfg);
		pool = sdm_pool_create(sdm, i, &qcfg);
		if (IS_ERR(pool)) {
			sdm_queues_down(sdm, from, i);
			return PTR_ERR(pool);
		}
		netif_napi_add_config_locked(dev, &q->napi, sdm_rx_poll, i);
		sdm_queue_run(q, pool);
		netif_queue_set_napi(dev, i, NETDEV_QUEUE_TYPE_RX, &q->napi);
		netif_queue_set_napi(dev, i, NETDEV_QUEUE_TYPE_TX, &q->napi);
	}
	return 0;
}

int sdm_open(struct net_device *dev)
{
	struct sdm_dev *sdm = netdev_priv(dev);
	int err;

	netdev_assert_locked(dev);
	err = sdm_queues_up(sdm, 0, dev->real_num_rx_queues);
	if (err)
		return err;
	WRITE_ONCE(sdm->up, true);
	netif_tx_start_all_queues(dev);
	return 0;
}

int sdm_stop(struct net_device *dev)
{
	struct sdm_dev *sdm = netdev_priv(dev);

	netdev_assert_locked(dev);
	WRITE_ONCE(sdm->up, false);
	netif_tx_stop_all_queues(dev);
	sdm_queues_down(sdm, 0, dev->real_num_rx_queues);
	return 0;
}

/**
 * sdm_queues_set_count() - change the number of queues
 * @sdm: device, its instance lock held
 * @count: new number; that no bound queue, rule or RSS table entry lies beyond it
 *	has been checked by the core
 *
 * New queues run before packets are steered to them; old ones are stopped after.
 *
 * Return: 0 or a negative errno, then nothing has changed
 */
int sdm_queues_set_count(struct sdm_dev *sdm, unsigned int count)
{
	struct net_device *dev = sdm->dev;
	unsigned int old = dev->real_num_rx_queues;
	bool up = sdm->up;
	int err;

	if (up && count > old) {
		err = sdm_queues_up(sdm, old, count);
		if (err)
			return err;
	}
	if (count < old) {
		err = sdm_rss_spread(sdm, count);
		if (err)
			return err;
	}
	err = netif_set_real_num_queues(dev, count, count);
	if (err)
		goto undo;
	if (count > old) {
		/* A table that leaves the new queues out is still a good one. */
		if (sdm_rss_spread(sdm, count))
			netdev_warn(dev, "no memory to spread flows over the new queues\n");
	} else if (up) {
		sdm_queues_down(sdm, count, old);
	}
	return 0;

undo:
	if (up && count > old)
		sdm_queues_down(sdm, old, count);
	return err;
}

static int sdm_queue_mem_alloc(struct net_device *dev, struct netdev_queue_config *qcfg,
			       void *per_queue_mem, int idx)
{
	struct sdm_queue_mem *mem = per_queue_mem;
	struct page_pool *pool;

	/* Also called while the device is down; the core then frees it at once,
	 * having learned that the provider works. sdm_open() makes the real one.
	 */
	pool = sdm_pool_create(netdev_priv(dev), idx, qcfg);
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	mem->pool = pool;
	return 0;
}

static void sdm_queue_mem_free(struct net_device *dev, void *per_queue_mem)
{
	struct sdm_queue_mem *mem = per_queue_mem;

	sdm_pool_destroy(mem->pool);
}

static int sdm_queue_start(struct net_device *dev, struct netdev_queue_config *qcfg,
			   void *per_queue_mem, int idx)
{
	struct sdm_dev *sdm = netdev_priv(dev);
	struct sdm_queue_mem *mem = per_queue_mem;

	sdm_queue_run(&sdm->queues[idx], mem->pool);
	return 0;
}

static int sdm_queue_stop(struct net_device *dev, void *per_queue_mem, int idx)
{
	struct sdm_dev *sdm = netdev_priv(dev);
	struct sdm_queue_mem *mem = per_queue_mem;

	mem->pool = sdm_queue_halt(&sdm->queues[idx]);
	return 0;
}

static void sdm_queue_default_qcfg(struct net_device *dev, struct netdev_queue_config *qcfg)
{
	qcfg->rx_page_size = PAGE_SIZE;
}

static int sdm_queue_validate_qcfg(struct net_device *dev, struct netdev_queue_config *qcfg,
				   struct netlink_ext_ack *extack)
{
	if (!is_power_of_2(qcfg->rx_page_size) || qcfg->rx_page_size < PAGE_SIZE ||
	    qcfg->rx_page_size > SDM_RX_PAGE_MAX) {
		NL_SET_ERR_MSG_FMT_MOD(extack, "rx page size must be a power of two from %lu to %u",
				       PAGE_SIZE, SDM_RX_PAGE_MAX);
		return -EINVAL;
	}
	return 0;
}

const struct netdev_queue_mgmt_ops sdm_queue_mgmt_ops = {
	.ndo_queue_mem_size	= sizeof(struct sdm_queue_mem),
	.ndo_queue_mem_alloc	= sdm_queue_mem_alloc,
	.ndo_queue_mem_free	= sdm_queue_mem_free,
	.ndo_queue_start	= sdm_queue_start,
	.ndo_queue_stop		= sdm_queue_stop,
	.ndo_default_qcfg	= sdm_queue_default_qcfg,
	.ndo_validate_qcfg	= sdm_queue_validate_qcfg,
	.supported_params	= QCFG_RX_PAGE_SIZE,
};
