// SPDX-License-Identifier: GPL-2.0
/*
 * Transmit. Payload in host memory goes to the lower device as it is. Payload in
 * a dma-buf (net_iov) is copied once into pages, since the lower device may not
 * reach it, or may be software that has to read it.
 *
 * Until the lower device is done with the copy, all is as if it had the original:
 *
 * - The socket's charge goes over to the copy: owner, destructor and the size that
 *   was charged. TCP small queues and the send buffer thus wait for the lower
 *   device, and what knows a socket's packet by its destructor treats the copy as
 *   one: GSO, which divides the charge over the segments, and netem, which ends it
 *   where a delay stands for the wire.
 * - The original lives until the last piece of the copy is gone: a retransmission
 *   sees that it is still here, a zerocopy notification waits for it. What ties the
 *   two is the copy's zerocopy state (ubuf_info): unlike a destructor it is
 *   inherited by segments and survives skb_orphan(). It lies in the original's
 *   control block, which is ours by now. Where a copy is received on this machine
 *   by something else than an sdm, the stack replaces its pages, taking them for a
 *   user's.
 */
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/wait_bit.h>
#include <net/sock.h>

#include "sdm.h"
#include "sdm_mem.h"

/* Copies on their way, each with sdm_tx_done() to be called. */
static atomic_t sdm_tx_under_way = ATOMIC_INIT(0);

/* One owner of the copy's pages is done; at the last one the original may go. The
 * pages are the kernel's own, so it does not matter whether somebody copied them.
 */
static void sdm_tx_done(struct sk_buff *copy, struct ubuf_info *ubuf, bool zerocopy)
{
	if (!refcount_dec_and_test(&ubuf->refcnt))
		return;
	dev_consume_skb_any(container_of((void *)ubuf, struct sk_buff, cb));
	if (atomic_dec_and_test(&sdm_tx_under_way))
		wake_up_var(&sdm_tx_under_way);
}

static const struct ubuf_info_ops sdm_tx_ubuf_ops = {
	.complete	= sdm_tx_done,
};

/* Makes @skb live as long as the pages of @copy. */
static void sdm_tx_hold(struct sk_buff *skb, struct sk_buff *copy)
{
	struct ubuf_info *ubuf = (struct ubuf_info *)skb->cb;

	BUILD_BUG_ON(sizeof(*ubuf) > sizeof(skb->cb));
	ubuf->ops = &sdm_tx_ubuf_ops;
	ubuf->flags = SKBFL_ZEROCOPY_ENABLE | SKBFL_DONT_ORPHAN;
	refcount_set(&ubuf->refcnt, 1);
	skb_zcopy_init(copy, ubuf);
	atomic_inc(&sdm_tx_under_way);
}

/* Makes @copy the one that is charged to the socket. The original stays known as the
 * socket's, without a charge: skb_fclone_busy() asks for that.
 */
static void sdm_tx_move_charge(struct sk_buff *skb, struct sk_buff *copy)
{
	struct sock *sk = skb->sk;

	if (!sk || !skb->destructor)
		return;
	swap(copy->truesize, skb->truesize);
	copy->sk = sk;
	copy->destructor = skb->destructor;
	skb->sk = NULL;
	skb->destructor = NULL;
	/* A socket that is being freed will not ask any more. */
	if (!refcount_inc_not_zero(&sk->sk_refcnt))
		return;
	skb->sk = sk;
	skb->destructor = sock_efree;
}

/**
 * sdm_tx_drain() - wait until no packet refers to this module's code
 *
 * When all devices are gone. The copies are in the queues of their lower devices,
 * which send them, or drop them when they go down.
 */
void sdm_tx_drain(void)
{
	wait_var_event(&sdm_tx_under_way, !atomic_read(&sdm_tx_under_way));
	/* The last sdm_tx_done() may not have returned yet: in a softirq, or in a
	 * task that was preempted there.
	 */
	synchronize_net();
	synchronize_rcu_tasks();
}

/* Where the next byte of a copy goes. */
struct sdm_tx_cursor {
	const struct sk_buff	*skb;
	unsigned int		frag;
	unsigned int		offset;
};

static void sdm_tx_put(struct sdm_tx_cursor *to, const u8 *data, unsigned int len)
{
	while (len) {
		const skb_frag_t *frag = &skb_shinfo(to->skb)->frags[to->frag];
		unsigned int n = min(len, skb_frag_size(frag) - to->offset);

		memcpy((u8 *)skb_frag_address(frag) + to->offset, data, n);
		data += n;
		len -= n;
		to->offset += n;
		if (to->offset == skb_frag_size(frag)) {
			to->frag++;
			to->offset = 0;
		}
	}
}

/* Return: false if a part of it is PCI memory that has to be mapped first */
static bool sdm_tx_copy_frags(const struct sdm_dev *sdm, const struct sk_buff *from,
			      const struct sk_buff *to)
{
	const struct skb_shared_info *shinfo = skb_shinfo(from);
	struct sdm_tx_cursor cursor = { .skb = to };
	unsigned int i;

	for (i = 0; i < shinfo->nr_frags; i++) {
		const skb_frag_t *frag = &shinfo->frags[i];
		const void *data;

		if (skb_frag_is_net_iov(frag))
			data = sdm_dma_to_virt(sdm, skb_frag_dma_map(sdm->dev->dev.parent, frag),
					       skb_frag_size(frag));
		else
			data = skb_frag_address(frag);
		if (unlikely(!data))
			return false;
		sdm_tx_put(&cursor, data, skb_frag_size(frag));
	}
	return true;
}

/* @ret_null: its payload is not the original's (sdm_null.c)
 *
 * Return: a packet for the lower device in place of @skb, which now belongs to it;
 * -ENOMEM, or -EAGAIN if sdm_mem_defer() can help; then @skb is unchanged.
 */
static struct sk_buff *sdm_tx_copy(const struct sdm_dev *sdm, struct sk_buff *skb,
				   bool *ret_null)
{
	struct page *null = sdm_null_tx(sdm, skb);
	unsigned int headroom = skb_headroom(skb);
	struct sk_buff *copy;
	int err;

	/* So there is no limit of ours to what a socket may hand down (tso_max_size). */
	static_assert(MAX_SKB_FRAGS * (PAGE_SIZE << PAGE_ALLOC_COSTLY_ORDER) >= GSO_MAX_SIZE);
	copy = alloc_skb_with_frags(headroom + skb_headlen(skb), null ? 0 : skb->data_len,
				    PAGE_ALLOC_COSTLY_ORDER, &err, GFP_ATOMIC | __GFP_NOWARN);
	if (!copy)
		return ERR_PTR(-ENOMEM);

	/* The same headroom, so that the header offsets are the same, too. */
	skb_reserve(copy, headroom);
	skb_put_data(copy, skb->data, skb_headlen(skb));
	skb_copy_header(copy, skb);
	copy->unreadable = 0;
	copy->data_len = skb->data_len;
	copy->len += skb->data_len;
	skb_shinfo(copy)->tx_flags = skb_shinfo(skb)->tx_flags;
	skb_shinfo(copy)->tskey = skb_shinfo(skb)->tskey;
	if (unlikely(null)) {
		sdm_null_fill(copy, null, skb->data_len);
	} else if (unlikely(!sdm_tx_copy_frags(sdm, skb, copy))) {
		kfree_skb(copy);
		return ERR_PTR(-EAGAIN);
	}

	sdm_tx_move_charge(skb, copy);
	sdm_tx_hold(skb, copy);
	*ret_null = null;
	return copy;
}

/* @defer: the packet may wait until its memory is mapped */
static netdev_tx_t sdm_tx(struct sk_buff *skb, struct net_device *dev, bool defer)
{
	struct sdm_dev *sdm = netdev_priv(dev);
	struct sdm_queue *q = &sdm->queues[skb_get_queue_mapping(skb)];
	unsigned int len = skb->len;
	int ret;

	if (unlikely(!skb_frags_readable(skb))) {
		unsigned int bytes = skb->data_len, frags = skb_shinfo(skb)->nr_frags;
		bool null;
		struct sk_buff *copy = sdm_tx_copy(sdm, skb, &null);

		if (IS_ERR(copy)) {
			if (PTR_ERR(copy) == -EAGAIN && defer && sdm_mem_defer(skb))
				return NETDEV_TX_OK;
			sdm_count(q, SDM_TX_DROP_NO_MEMORY, 1);
			kfree_skb(skb);
			return (__force netdev_tx_t)NET_XMIT_DROP;
		}
		skb = copy;
		sdm_count(q, SDM_TX_DEVMEM_PACKETS, 1);
		sdm_count(q, SDM_TX_DEVMEM_BYTES, bytes);
		sdm_count(q, SDM_TX_DEVMEM_FRAGS, frags);
		if (unlikely(null))
			sdm_count(q, SDM_TX_NULL_DMA_BYTES, bytes);
	}

	/* The stack segments, linearizes and sums for the lower device what that
	 * cannot do itself.
	 */
	skb->dev = sdm->lower;
	ret = dev_queue_xmit(skb);
	if (likely(ret == NET_XMIT_SUCCESS || ret == NET_XMIT_CN)) {
		sdm_count(q, SDM_TX_PACKETS, 1);
		sdm_count(q, SDM_TX_BYTES, len);
	} else {
		sdm_count(q, SDM_TX_DROP_LOWER, 1);
	}
	return (__force netdev_tx_t)ret;
}

netdev_tx_t sdm_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	return sdm_tx(skb, dev, true);
}

/**
 * sdm_tx_retry() - send what sdm_mem_defer() has taken
 * @skb: packet
 * @dev: the sdm; it may be down by now
 *
 * Bottom halves are off.
 */
void sdm_tx_retry(struct sk_buff *skb, struct net_device *dev)
{
	const struct sdm_dev *sdm = netdev_priv(dev);

	if (READ_ONCE(sdm->up))
		sdm_tx(skb, dev, false);
	else
		kfree_skb(skb);
}
