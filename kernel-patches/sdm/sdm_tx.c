// SPDX-License-Identifier: GPL-2.0
/*
 * Transmit. Payload in host memory goes to the lower device as it is. Payload in
 * a dma-buf (net_iov) is copied once into pages, since the lower device may not
 * reach it, or may be software that has to read it.
 *
 * A network card is done with a buffer when it has read it; so is an sdm. The
 * original's clone ends with the copy, and what it holds (niovs, zerocopy state)
 * is released as for a card whose completion has come: the notification still
 * waits for the acknowledgment, which frees the other clone, in the
 * retransmission queue.
 *
 * What must wait until the lower device has sent is the socket's memory charge,
 * which is what TCP small queues and the send buffer live on. It goes over to the
 * copy: owner, destructor and the size that was charged. No function of this
 * module is left behind in a packet, so that removing it waits for nobody's
 * queue, and everything that knows a socket's packet by its destructor (GSO,
 * netem, fq's pacing) treats the copy as the socket's.
 */
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <net/sock.h>

#include "sdm.h"

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

static void sdm_tx_copy_frags(const struct sdm_dev *sdm, const struct sk_buff *from,
			      const struct sk_buff *to)
{
	const struct skb_shared_info *shinfo = skb_shinfo(from);
	struct sdm_tx_cursor cursor = { .skb = to };
	unsigned int i;

	for (i = 0; i < shinfo->nr_frags; i++) {
		const skb_frag_t *frag = &shinfo->frags[i];
		const void *data;

		if (skb_frag_is_net_iov(frag))
			data = sdm_dma_to_virt(sdm, skb_frag_dma_map(sdm->dev->dev.parent, frag));
		else
			data = skb_frag_address(frag);
		sdm_tx_put(&cursor, data, skb_frag_size(frag));
	}
}

/* Return: a packet for the lower device in place of @skb, which then owns nothing
 * any more; NULL without memory, @skb unchanged.
 */
static struct sk_buff *sdm_tx_copy(const struct sdm_dev *sdm, struct sk_buff *skb)
{
	unsigned int headroom = skb_headroom(skb);
	struct sk_buff *copy;
	int err;

	copy = alloc_skb_with_frags(headroom + skb_headlen(skb), skb->data_len,
				    PAGE_ALLOC_COSTLY_ORDER, &err, GFP_ATOMIC | __GFP_NOWARN);
	if (!copy)
		return NULL;

	/* The same headroom, so that the header offsets are the same, too. */
	skb_reserve(copy, headroom);
	skb_put_data(copy, skb->data, skb_headlen(skb));
	skb_copy_header(copy, skb);
	copy->unreadable = 0;
	copy->data_len = skb->data_len;
	copy->len += skb->data_len;
	skb_shinfo(copy)->tx_flags = skb_shinfo(skb)->tx_flags;
	skb_shinfo(copy)->tskey = skb_shinfo(skb)->tskey;
	sdm_tx_copy_frags(sdm, skb, copy);

	if (skb->sk) {
		swap(copy->truesize, skb->truesize);
		copy->sk = skb->sk;
		copy->destructor = skb->destructor;
		skb->sk = NULL;
		skb->destructor = NULL;
	}
	return copy;
}

netdev_tx_t sdm_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct sdm_dev *sdm = netdev_priv(dev);
	struct sdm_queue *q = &sdm->queues[skb_get_queue_mapping(skb)];
	unsigned int len = skb->len;
	int ret;

	if (unlikely(!skb_frags_readable(skb))) {
		unsigned int bytes = skb->data_len, frags = skb_shinfo(skb)->nr_frags;
		struct sk_buff *copy = sdm_tx_copy(sdm, skb);

		if (!copy) {
			sdm_count(q, SDM_TX_DROP_NO_MEMORY, 1);
			kfree_skb(skb);
			return (__force netdev_tx_t)NET_XMIT_DROP;
		}
		consume_skb(skb);
		skb = copy;
		sdm_count(q, SDM_TX_DEVMEM_PACKETS, 1);
		sdm_count(q, SDM_TX_DEVMEM_BYTES, bytes);
		sdm_count(q, SDM_TX_DEVMEM_FRAGS, frags);
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
