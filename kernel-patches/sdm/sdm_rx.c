// SPDX-License-Identifier: GPL-2.0
/*
 * Receive. The rx_handler only steers: it puts the packet, as it is, on a queue.
 * The copy is made by that queue's NAPI, so that a slow receiver fills the queue
 * and the queue drops, as a card's ring does. Until it is copied the packet keeps
 * its owner: over veth that is the sender's socket, whose small queue limit and
 * zerocopy completions then wait for the copy as they would wait for a wire.
 */
#include <linux/if_vlan.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <net/checksum.h>
#include <net/gro.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/page_pool/helpers.h>

#include "sdm.h"
#include "sdm_mem.h"

/* niovs never lie closer together than this in one page, so that a reader can use
 * its widest loads on each.
 */
#define SDM_FRAG_ALIGN	64

static unsigned int sdm_rx_niov_size(const struct sdm_queue *q)
{
	return PAGE_SIZE << q->pool->p.order;
}

static struct sdm_queue *sdm_rx_steer(struct sdm_dev *sdm, struct sk_buff *skb)
{
	struct net_device *dev = sdm->dev;
	unsigned int queues = READ_ONCE(dev->real_num_rx_queues);
	const struct sdm_rss *rss;
	struct sdm_flow_key key;
	u32 context, hash;
	int index;

	sdm_flow_parse(skb, &key, SDM_RX_CB(skb));
	index = sdm_rules_lookup(sdm, &key, &context);
	if (index == SDM_RULES_DROP)
		return NULL;
	rss = rcu_dereference(sdm->rss[context]);
	/* The core lets no context go that a rule names, except with the device. */
	if (unlikely(!rss))
		rss = rcu_dereference(sdm->rss[0]);
	hash = sdm_rss_hash(rss, &key);
	if (index == SDM_RULES_SPREAD)
		index = rss->indir[hash % SDM_INDIR_SIZE];
	if (unlikely(index >= queues))
		index = 0;

	if (key.family && (dev->features & NETIF_F_RXHASH))
		skb_set_hash(skb, hash, key.proto ? PKT_HASH_TYPE_L4 : PKT_HASH_TYPE_L3);
	return &sdm->queues[index];
}

/**
 * sdm_rx_enqueue() - put a packet where the queue's NAPI finds it
 * @q: queue
 * @skb: packet, taken over; dropped and counted if the queue is full
 *
 * In a softirq.
 */
void sdm_rx_enqueue(struct sdm_queue *q, struct sk_buff *skb)
{
	spin_lock(&q->backlog.lock);
	if (unlikely(q->backlog.qlen >= READ_ONCE(q->sdm->ring_size))) {
		spin_unlock(&q->backlog.lock);
		sdm_count(q, SDM_RX_DROP_RING, 1);
		kfree_skb(skb);
		return;
	}
	__skb_queue_tail(&q->backlog, skb);
	spin_unlock(&q->backlog.lock);
	napi_schedule(&q->napi);
}

/* In the receive softirq of the lower device, under RCU. */
rx_handler_result_t sdm_rx_handler(struct sk_buff **pskb)
{
	struct sk_buff *skb = *pskb;
	enum sdm_counter drop;
	struct sdm_queue *q;
	struct sdm_dev *sdm;

	if (unlikely(skb->pkt_type == PACKET_LOOPBACK))
		return RX_HANDLER_PASS;

	skb = skb_share_check(skb, GFP_ATOMIC);
	*pskb = skb;
	if (!skb)
		return RX_HANDLER_CONSUMED;

	BUILD_BUG_ON(sizeof(struct sdm_rx_cb) > sizeof(skb->cb));
	sdm = rcu_dereference(skb->dev->rx_handler_data);
	q = &sdm->queues[0];
	if (unlikely(!READ_ONCE(sdm->up))) {
		drop = SDM_RX_DROP_DOWN;
		goto drop;
	}
	q = sdm_rx_steer(sdm, skb);
	if (unlikely(!q)) {
		q = &sdm->queues[0];
		drop = SDM_RX_DROP_RULE;
		goto drop;
	}

	if (unlikely(READ_ONCE(q->inject.on)))
		sdm_inject_rx(q, skb);
	else
		sdm_rx_enqueue(q, skb);
	return RX_HANDLER_CONSUMED;

drop:
	sdm_count(q, drop, 1);
	kfree_skb(skb);
	return RX_HANDLER_CONSUMED;
}

static void sdm_rx_deliver(struct sdm_queue *q, struct sk_buff *skb)
{
	skb_record_rx_queue(skb, q->index);
	napi_gro_receive(&q->napi, skb);
}

/* Sum over pseudo header and TCP header and payload is right? */
static bool sdm_rx_csum_good(const struct sk_buff *skb, __wsum l4sum, unsigned int thoff)
{
	const struct ipv6hdr *ip6h = (const struct ipv6hdr *)skb->data;
	const struct iphdr *iph = (const struct iphdr *)skb->data;
	unsigned int len = skb->len - thoff;

	if (skb->protocol == htons(ETH_P_IP))
		return !csum_tcpudp_magic(iph->saddr, iph->daddr, len, IPPROTO_TCP, l4sum);
	return !csum_ipv6_magic(&ip6h->saddr, &ip6h->daddr, len, IPPROTO_TCP, l4sum);
}

/* After the split nobody can sum the payload any more: this is the last time.
 *
 * CHECKSUM_PARTIAL comes from this machine, or a guest of it, whose stack has
 * left the sum to a device; there is no wire in between that could have changed
 * the packet. CHECKSUM_UNNECESSARY has been checked by the lower device, or GRO.
 */
static bool sdm_rx_csum_verify(struct sdm_queue *q, const struct sk_buff *skb)
{
	unsigned int thoff = SDM_RX_CB(skb)->thoff;

	switch (skb->ip_summed) {
	case CHECKSUM_PARTIAL:
	case CHECKSUM_UNNECESSARY:
		return true;
	case CHECKSUM_COMPLETE:
		if (sdm_rx_csum_good(skb, csum_sub(skb->csum, csum_partial(skb->data, thoff, 0)),
				     thoff))
			return true;
		/* The device's sum may be the wrong one: see for ourselves. */
		break;
	}
	sdm_count(q, SDM_RX_CSUM_CHECKED, 1);
	return sdm_rx_csum_good(skb, skb_checksum(skb, thoff, skb->len - thoff, 0), thoff);
}

/* Copies @len bytes at @offset of @from behind the headers of @to. Whole niovs
 * for what fills them; what is left shares a niov with what is left of other packets.
 * @null: all but the copying (sdm_null.c).
 *
 * Return: bytes copied, less than @len when there are no more niovs, or one is not
 * mapped yet
 */
static unsigned int sdm_rx_fill(struct sdm_queue *q, struct sk_buff *to,
				const struct sk_buff *from, unsigned int offset,
				unsigned int len, bool null)
{
	struct page_pool *pool = q->pool;
	const unsigned int room = sdm_rx_niov_size(q);
	unsigned int done = 0;
	int i = 0;

	while (done < len) {
		unsigned int n = min_t(unsigned int, len - done, room);
		unsigned int size = ALIGN(n, SDM_FRAG_ALIGN);
		unsigned int start = 0;
		netmem_ref netmem;
		u8 *dst;

		if (unlikely(READ_ONCE(q->inject.on)) && sdm_inject_starves(q))
			break;
		if (size == room)
			netmem = page_pool_alloc_netmems(pool, GFP_ATOMIC | __GFP_NOWARN);
		else
			netmem = page_pool_alloc_frag_netmem(pool, &start, size,
							     GFP_ATOMIC | __GFP_NOWARN);
		if (!netmem)
			break;
		/* From here on @to owns it, and gives it back to the pool. */
		skb_add_rx_frag_netmem(to, i++, netmem, start, n, size);

		if (likely(!null)) {
			dst = sdm_dma_to_virt(q->sdm, page_pool_get_dma_addr_netmem(netmem), room);
			if (unlikely(!dst))
				break;
			if (WARN_ON_ONCE(skb_copy_bits(from, offset + done, dst + start, n)))
				break;
		}
		done += n;
	}
	sdm_mem_flush();
	return done;
}

/* Makes the headers of @skb those of a packet of its own with @len bytes of
 * payload that begin @offset behind the original's. @whole: it is the original.
 */
static void sdm_rx_fix_headers(struct sk_buff *skb, const struct sdm_rx_cb *cb,
			       unsigned int offset, unsigned int len, bool whole)
{
	struct tcphdr *th = (struct tcphdr *)(skb->data + cb->thoff);
	unsigned int l4len = cb->hlen - cb->thoff + len;

	if (!whole) {
		if (offset + len < cb->payload) {
			th->fin = 0;
			th->psh = 0;
		}
		if (offset)
			th->cwr = 0;
		th->seq = htonl(ntohl(th->seq) + offset);
	}
	if (skb->protocol == htons(ETH_P_IP)) {
		struct iphdr *iph = (struct iphdr *)skb->data;

		if (!whole) {
			iph_set_totlen(iph, cb->hlen + len);
			ip_send_check(iph);
		}
		if (skb->ip_summed == CHECKSUM_PARTIAL)
			th->check = ~csum_tcpudp_magic(iph->saddr, iph->daddr, l4len, IPPROTO_TCP,
						       0);
	} else {
		struct ipv6hdr *ip6h = (struct ipv6hdr *)skb->data;

		if (!whole)
			ipv6_set_payload_len(ip6h, l4len);
		if (skb->ip_summed == CHECKSUM_PARTIAL)
			th->check = ~csum_ipv6_magic(&ip6h->saddr, &ip6h->daddr, l4len,
						     IPPROTO_TCP, 0);
	}
}

/* Keeps an aggregate an aggregate: TCP counts segments to acknowledge by them. GRO
 * marks its own in the same way, with the sum left to be made, so that the packet
 * could be sent on.
 */
static void sdm_rx_set_gso(struct sk_buff *skb, const struct sk_buff *from, unsigned int len)
{
	unsigned int mss = skb_shinfo(from)->gso_size;

	if (!mss || len <= mss) {
		skb->ip_summed = CHECKSUM_UNNECESSARY;
		return;
	}
	skb_shinfo(skb)->gso_size = mss;
	skb_shinfo(skb)->gso_segs = DIV_ROUND_UP(len, mss);
	skb_shinfo(skb)->gso_type = skb_shinfo(from)->gso_type;
	skb->ip_summed = CHECKSUM_PARTIAL;
	skb->csum_start = skb_headroom(skb) + SDM_RX_CB(from)->thoff;
	skb->csum_offset = offsetof(struct tcphdr, check);
}

/* Makes a packet with @len bytes of @from's payload, from @offset on, in niovs. Of an
 * aggregate as many segments as there are niovs for, and @ret_len is less: a card,
 * too, would have taken those and lost the others. Drops are counted here.
 *
 * Return: the packet, or NULL
 */
static struct sk_buff *sdm_rx_piece(struct sdm_queue *q, const struct sk_buff *from,
				    unsigned int offset, unsigned int len, unsigned int *ret_len)
{
	const struct sdm_rx_cb *cb = SDM_RX_CB(from);
	unsigned int mac_len = from->data - skb_mac_header(from);
	unsigned int mss = skb_shinfo(from)->gso_size;
	struct sk_buff *skb;
	unsigned int done;
	bool null;

	skb = napi_alloc_skb(&q->napi, mac_len + cb->hlen);
	if (!skb) {
		sdm_count(q, SDM_RX_DROP_NO_MEMORY, 1);
		return NULL;
	}
	skb_mark_for_recycle(skb);
	skb_reset_mac_header(skb);
	skb_put_data(skb, skb_mac_header(from), mac_len + cb->hlen);
	__skb_pull(skb, mac_len);

	null = sdm_null_rx(q->sdm, from, cb->hlen);
	done = sdm_rx_fill(q, skb, from, cb->hlen + offset, len, null);
	if (unlikely(done < len)) {
		sdm_count(q, SDM_RX_DROP_NO_NIOV, 1);
		len = mss ? rounddown(done, mss) : 0;
		if (!len || pskb_trim(skb, cb->hlen + len)) {
			kfree_skb_reason(skb, SKB_DROP_REASON_NOMEM);
			return NULL;
		}
	}

	skb->protocol = from->protocol;
	skb->pkt_type = from->pkt_type;
	skb->tstamp = from->tstamp;
	*skb_hwtstamps(skb) = *skb_hwtstamps((struct sk_buff *)from);
	__vlan_hwaccel_copy_tag(skb, from);
	skb_copy_hash(skb, from);
	sdm_rx_set_gso(skb, from, len);
	sdm_rx_fix_headers(skb, cb, offset, len, len == cb->payload);

	*ret_len = len;
	sdm_count(q, SDM_RX_DEVMEM_FRAGS, skb_shinfo(skb)->nr_frags);
	sdm_count(q, SDM_RX_DEVMEM_PACKETS, 1);
	sdm_count(q, SDM_RX_DEVMEM_BYTES, len);
	if (unlikely(null))
		sdm_count(q, SDM_RX_NULL_DMA_BYTES, len);
	sdm_count(q, SDM_RX_HEADER_BYTES, mac_len + cb->hlen);
	return skb;
}

static void sdm_rx_split(struct sdm_queue *q, struct sk_buff *skb)
{
	unsigned int mss = skb_shinfo(skb)->gso_size;
	unsigned int room = MAX_SKB_FRAGS * sdm_rx_niov_size(q);
	struct sdm_rx_cb *cb = SDM_RX_CB(skb);
	unsigned int offset, want, got;

	if (!pskb_may_pull(skb, cb->hlen) || pskb_trim_rcsum(skb, cb->hlen + cb->payload)) {
		sdm_count(q, SDM_RX_DROP_NO_MEMORY, 1);
		goto drop;
	}
	if (!sdm_rx_csum_verify(q, skb)) {
		sdm_count(q, SDM_RX_DROP_CSUM, 1);
		goto drop;
	}

	/* More than fits into the niovs of one packet comes with BIG TCP. Cut it between
	 * segments, or the receiver would count one too many.
	 */
	if (mss && mss < room)
		room = rounddown(room, mss);
	for (offset = 0; offset < cb->payload; offset += got) {
		struct sk_buff *piece;

		want = min(cb->payload - offset, room);
		piece = sdm_rx_piece(q, skb, offset, want, &got);
		if (!piece)
			goto drop;
		sdm_rx_deliver(q, piece);
		if (got < want)
			goto drop;
	}
	consume_skb(skb);
	return;

drop:
	kfree_skb(skb);
}

static void sdm_rx_one(struct sdm_queue *q, struct sk_buff *skb)
{
	const struct sdm_rx_cb *cb = SDM_RX_CB(skb);

	sdm_count(q, SDM_RX_PACKETS, 1);
	sdm_count(q, SDM_RX_BYTES, skb->len + ETH_HLEN);

	skb->dev = q->sdm->dev;
	/* A lower device may have a dma-buf of its own bound. */
	if (page_pool_is_unreadable(q->pool) && skb_frags_readable(skb)) {
		if (cb->split) {
			sdm_rx_split(q, skb);
			return;
		}
		sdm_count(q, SDM_RX_WHOLE_BYTES, skb->len);
	}
	sdm_rx_deliver(q, skb);
}

int sdm_rx_poll(struct napi_struct *napi, int budget)
{
	struct sdm_queue *q = container_of(napi, struct sdm_queue, napi);
	struct sk_buff_head batch;
	struct sk_buff *skb;
	int done = 0;

	__skb_queue_head_init(&batch);
	spin_lock(&q->backlog.lock);
	while (done < budget) {
		skb = __skb_dequeue(&q->backlog);
		if (!skb)
			break;
		__skb_queue_tail(&batch, skb);
		done++;
	}
	spin_unlock(&q->backlog.lock);

	while ((skb = __skb_dequeue(&batch)))
		sdm_rx_one(q, skb);

	if (done < budget)
		napi_complete_done(napi, done);
	return done;
}
