// SPDX-License-Identifier: GPL-2.0
/*
 * Measuring without the copies. What a card's DMA engine moves sdm copies by the CPU,
 * so who counts instructions counts those, too. Switched through debugfs, for a device:
 *
 *	sdm/<device>@<inode of its network namespace>/null_dma
 *		0	payload is copied, as ever
 *		1	nothing is copied where a card would use DMA
 *
 * Then the data of a stream are lost: for measuring, and nothing else. A packet whose
 * payload lies in a dma-buf goes out with zeroes. A packet with those zeroes that comes
 * to a bound queue, of a device that has this on, too, goes up in niovs that nobody has
 * written. All else is done as ever: headers, niovs taken from the pool and given back,
 * charges, completions. Payload in host memory is left alone, also on its way to a
 * bound queue: what a program says of itself before it sends from a dma-buf arrives.
 *
 * The zeroes are one block of pages for all devices, which stays until the module goes.
 * By it a packet is known. So both ends have to be on this machine, with no device in
 * between that copies; else the receiver copies zeroes.
 */
#include <linux/debugfs.h>
#include <linux/mm.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>

#include "sdm.h"

#define SDM_NULL_ORDER	PAGE_ALLOC_COSTLY_ORDER
#define SDM_NULL_SIZE	(PAGE_SIZE << SDM_NULL_ORDER)

static struct page *sdm_null_page;

/* Return: the block of zeroes; NULL: no memory */
static struct page *sdm_null_get_page(void)
{
	struct page *page = READ_ONCE(sdm_null_page), *other;

	if (page)
		return page;
	page = alloc_pages(GFP_KERNEL | __GFP_ZERO | __GFP_COMP, SDM_NULL_ORDER);
	if (!page)
		return NULL;
	other = cmpxchg(&sdm_null_page, NULL, page);
	if (!other)
		return page;
	put_page(page);
	return other;
}

/**
 * sdm_null_tx() - whether a packet's payload is not to be read
 * @sdm: device that sends it
 * @skb: packet with a part of its payload in a dma-buf at least
 *
 * Return: the zeroes to be sent instead; NULL: copy
 */
struct page *sdm_null_tx(const struct sdm_dev *sdm, const struct sk_buff *skb)
{
	struct page *page = READ_ONCE(sdm->null_dma);
	unsigned int i;

	if (likely(!page))
		return NULL;
	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++) {
		if (!skb_frag_is_net_iov(&skb_shinfo(skb)->frags[i]))
			return NULL;
	}
	return page;
}

/**
 * sdm_null_fill() - zeroes in place of payload
 * @skb: packet without frags
 * @page: from sdm_null_tx()
 * @len: of the payload, at most GSO_MAX_SIZE
 */
void sdm_null_fill(struct sk_buff *skb, struct page *page, unsigned int len)
{
	int i = 0;

	static_assert(MAX_SKB_FRAGS * SDM_NULL_SIZE >= GSO_MAX_SIZE);
	while (len) {
		unsigned int n = min_t(unsigned int, len, SDM_NULL_SIZE);

		get_page(page);
		skb_fill_page_desc(skb, i++, page, 0, n);
		skb->truesize += n;
		len -= n;
	}
	/* Whoever wants to write there has to copy. */
	skb_shinfo(skb)->flags |= SKBFL_SHARED_FRAG;
}

/**
 * sdm_null_rx() - whether a packet's payload is not to be written
 * @sdm: device that has received it
 * @skb: packet, readable
 * @hlen: bytes in front of the payload
 */
bool sdm_null_rx(const struct sdm_dev *sdm, const struct sk_buff *skb, unsigned int hlen)
{
	const struct page *page = READ_ONCE(sdm->null_dma);
	unsigned int i;

	if (likely(!page))
		return false;
	if (skb_headlen(skb) != hlen || skb_has_frag_list(skb))
		return false;
	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++) {
		if (skb_frag_page(&skb_shinfo(skb)->frags[i]) != page)
			return false;
	}
	return true;
}

static int sdm_null_get(void *data, u64 *ret_value)
{
	const struct sdm_dev *sdm = data;

	*ret_value = !!READ_ONCE(sdm->null_dma);
	return 0;
}

static int sdm_null_set(void *data, u64 value)
{
	struct page *page = NULL;
	struct sdm_dev *sdm = data;

	if (value > 1)
		return -ERANGE;
	if (value) {
		page = sdm_null_get_page();
		if (!page)
			return -ENOMEM;
	}
	if (xchg(&sdm->null_dma, page) != page)
		netdev_warn(sdm->dev, "null_dma: payload in dma-bufs is %s\n",
			    value ? "NOT moved from now on, what arrives is not what was sent" :
				    "moved again");
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(sdm_null_fops, sdm_null_get, sdm_null_set, "%llu\n");

/* Makes the device's file, in its directory. */
void sdm_null_show(struct sdm_dev *sdm)
{
	debugfs_create_file("null_dma", 0600, sdm->debugfs, sdm, &sdm_null_fops);
}

/* No device is left. A packet that still has the zeroes has references to them. */
void sdm_null_exit(void)
{
	if (sdm_null_page)
		put_page(sdm_null_page);
}
