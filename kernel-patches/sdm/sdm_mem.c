// SPDX-License-Identifier: GPL-2.0
/*
 * Where the CPU finds the memory of a dma-buf. RAM is in the kernel's direct map.
 * PCI memory, as GPUs export it, has to be mapped first, which can sleep; the data
 * path cannot. So it is mapped
 *
 * - when a queue's pool is made: one of its niovs tells which BAR it is;
 * - when a packet is to be sent from it for the first time. Nobody tells a driver of a
 *   bind-tx. The packet waits for the worker, and is then sent;
 * - when a packet is received into a part of a dma-buf that lies in another BAR than
 *   the niov that was looked at. That packet is dropped, and is sent again by its peer.
 *
 * What is mapped is a whole BAR where the kernel can do that with large pages. The
 * windows stay for as long as a queue is bound, and then until nothing has been sent from
 * them for a while. A window that outlives its device is harmless: nothing looks into
 * it, and all it can do is to make a later mapping of the same addresses
 * write-combining, too.
 */
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/workqueue.h>
#include <net/page_pool/helpers.h>

#include "sdm.h"
#include "sdm_mem.h"

/* A GPU is one window; where the kernel has no large mappings, one for each GiB in use. */
#define SDM_MEM_WINDOWS		64
/* Addresses that may wait to be mapped; more ask again with their next packet. */
#define SDM_MEM_WANTED		16
/* Packets that may wait for it. */
#define SDM_MEM_DEFERRED	1024
#define SDM_MEM_IDLE		(30 * HZ)

/**
 * struct sdm_mem_window - PCI memory that is mapped
 * @start: physical address
 * @end: of the last byte
 * @virt: where @start is
 * @used: time of the last look-up, in jiffies
 */
struct sdm_mem_window {
	phys_addr_t	start;
	phys_addr_t	end;
	void		*virt;
	unsigned long	used;
};

static void sdm_mem_work(struct work_struct *work);

unsigned int sdm_mem_count;

/* Read under RCU (bottom halves off), written under the mutex. */
static struct sdm_mem_window __rcu *sdm_mem_windows[SDM_MEM_WINDOWS];
static DEFINE_MUTEX(sdm_mem_mutex);

/* Under the spinlock, which the data path takes. */
static phys_addr_t sdm_mem_wanted[SDM_MEM_WANTED];
static unsigned int sdm_mem_nr_wanted;
static struct sk_buff_head sdm_mem_deferred;
static DEFINE_SPINLOCK(sdm_mem_lock);

/* Pools with niovs. */
static atomic_t sdm_mem_pools = ATOMIC_INIT(0);
static DECLARE_DELAYED_WORK(sdm_mem_worker, sdm_mem_work);

/* Memory of the page allocator is never marked reserved; holes between RAM that have a
 * struct page are, and so is device memory with one, which is in the direct map.
 */
static bool sdm_mem_is_direct(phys_addr_t phys)
{
	struct page *page;

	if (!pfn_valid(PHYS_PFN(phys)))
		return false;
	page = pfn_to_page(PHYS_PFN(phys));
	return !PageReserved(page) || is_zone_device_page(page);
}

/* Bottom halves are off, or the mutex is held. */
static struct sdm_mem_window *sdm_mem_find(phys_addr_t phys, size_t len)
{
	unsigned int i;

	if (!READ_ONCE(sdm_mem_count))
		return NULL;
	for (i = 0; i < SDM_MEM_WINDOWS; i++) {
		struct sdm_mem_window *w;

		w = rcu_dereference_bh_check(sdm_mem_windows[i], lockdep_is_held(&sdm_mem_mutex));
		if (w && phys >= w->start && phys <= w->end && len - 1 <= w->end - phys)
			return w;
	}
	return NULL;
}

static void sdm_mem_want(phys_addr_t phys)
{
	spin_lock(&sdm_mem_lock);
	if (sdm_mem_nr_wanted < SDM_MEM_WANTED)
		sdm_mem_wanted[sdm_mem_nr_wanted++] = phys;
	spin_unlock(&sdm_mem_lock);
	mod_delayed_work(system_percpu_wq, &sdm_mem_worker, 0);
}

/**
 * sdm_dma_to_virt() - where the CPU finds what a DMA address names
 * @sdm: device
 * @addr: DMA address of a niov or a part of one, for this device
 * @len: bytes that follow it, at least 1 and all in the same niov
 *
 * Bottom halves are off, and stay off for as long as the address is used. Neither an
 * IOMMU nor bounce buffers lie between: the module does not load where they would.
 *
 * Return: its address in the kernel; NULL if it is PCI memory that is not mapped, and
 * then it is being mapped
 */
void *sdm_dma_to_virt(const struct sdm_dev *sdm, dma_addr_t addr, size_t len)
{
	phys_addr_t phys = dma_to_phys(sdm->dev->dev.parent, addr);
	struct sdm_mem_window *w;

	if (likely(sdm_mem_is_direct(phys)))
		return phys_to_virt(phys);

	w = sdm_mem_find(phys, len);
	if (unlikely(!w)) {
		sdm_mem_want(phys);
		return NULL;
	}
	WRITE_ONCE(w->used, jiffies);
	return w->virt + (phys - w->start);
}

/* The BAR that an address lies in.
 *
 * Return: whether there is one
 */
static bool sdm_mem_find_bar(phys_addr_t phys, phys_addr_t *ret_start, phys_addr_t *ret_end)
{
	struct pci_dev *pdev = NULL;
	unsigned int bar;

	for_each_pci_dev(pdev) {
		for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
			const struct resource *res = pci_resource_n(pdev, bar);

			if (!(res->flags & IORESOURCE_MEM) || res->flags & IORESOURCE_UNSET ||
			    phys < res->start || phys > res->end)
				continue;
			*ret_start = res->start;
			*ret_end = res->end;
			pci_dev_put(pdev);
			return true;
		}
	}
	return false;
}

/* As much as can be mapped of @start to @end around @phys. */
static int sdm_mem_remap(struct sdm_mem_window *w, phys_addr_t phys, phys_addr_t start,
			 phys_addr_t end)
{
	/* Another mapping of a part of it, with other attributes, can forbid the whole. */
	static const u64 sizes[] = { U64_MAX, SZ_1G, SZ_2M };
	unsigned int i = IS_ENABLED(CONFIG_HAVE_ARCH_HUGE_VMAP) ? 0 : 1;

	for (; i < ARRAY_SIZE(sizes); i++) {
		w->start = start;
		w->end = end;
		if (sizes[i] != U64_MAX) {
			w->start = max_t(u64, start, round_down((u64)phys, sizes[i]));
			w->end = min(end, w->start + (sizes[i] - 1));
		}
		w->virt = memremap(w->start, w->end - w->start + 1, MEMREMAP_WC);
		if (w->virt)
			return 0;
	}
	return -ENOMEM;
}

static void sdm_mem_unmap(unsigned int slot)
{
	struct sdm_mem_window *w;

	lockdep_assert_held(&sdm_mem_mutex);
	w = rcu_replace_pointer(sdm_mem_windows[slot], NULL, true);
	WRITE_ONCE(sdm_mem_count, sdm_mem_count - 1);
	synchronize_net();
	memunmap(w->virt);
	kfree(w);
}

/* A free slot; if there is none, that of the window not used for longest. */
static unsigned int sdm_mem_get_slot(void)
{
	unsigned int i, oldest = 0;
	unsigned long used = 0;

	for (i = 0; i < SDM_MEM_WINDOWS; i++) {
		const struct sdm_mem_window *w = rcu_dereference_protected(sdm_mem_windows[i],
									   true);

		if (!w)
			return i;
		if (!i || time_before(READ_ONCE(w->used), used)) {
			used = READ_ONCE(w->used);
			oldest = i;
		}
	}
	sdm_mem_unmap(oldest);
	return oldest;
}

static int sdm_mem_map(phys_addr_t phys)
{
	struct sdm_mem_window *w;
	phys_addr_t start, end;
	int err;

	lockdep_assert_held(&sdm_mem_mutex);
	if (sdm_mem_find(phys, 1))
		return 0;
	if (!sdm_mem_find_bar(phys, &start, &end)) {
		pr_warn_ratelimited("sdm: %pap of a dma-buf is neither RAM nor in a PCI BAR\n",
				    &phys);
		return -ENXIO;
	}
	w = kzalloc_obj(*w);
	if (!w)
		return -ENOMEM;
	err = sdm_mem_remap(w, phys, start, end);
	if (err) {
		pr_warn_ratelimited("sdm: PCI memory at %pap cannot be mapped\n", &phys);
		kfree(w);
		return err;
	}
	w->used = jiffies;
	rcu_assign_pointer(sdm_mem_windows[sdm_mem_get_slot()], w);
	WRITE_ONCE(sdm_mem_count, sdm_mem_count + 1);
	/* Does not put off a run that somebody has asked for. */
	queue_delayed_work(system_percpu_wq, &sdm_mem_worker, SDM_MEM_IDLE);
	return 0;
}

/**
 * sdm_mem_pool_add() - a pool has been made
 * @sdm: device
 * @pool: its pool, not in use yet
 *
 * If it has niovs, what they are in is mapped, and stays mapped until
 * sdm_mem_pool_del(). Can sleep.
 */
void sdm_mem_pool_add(const struct sdm_dev *sdm, struct page_pool *pool)
{
	netmem_ref netmem;
	phys_addr_t phys;

	if (!page_pool_is_unreadable(pool))
		return;
	atomic_inc(&sdm_mem_pools);
	/* None free: the queue is restarted with all in use, and was bound before. */
	netmem = page_pool_alloc_netmems(pool, GFP_KERNEL | __GFP_NOWARN);
	if (!netmem)
		return;
	phys = dma_to_phys(sdm->dev->dev.parent, page_pool_get_dma_addr_netmem(netmem));
	page_pool_put_full_netmem(pool, netmem, false);
	if (sdm_mem_is_direct(phys))
		return;
	mutex_lock(&sdm_mem_mutex);
	sdm_mem_map(phys);
	mutex_unlock(&sdm_mem_mutex);
}

/**
 * sdm_mem_pool_del() - a pool that sdm_mem_pool_add() was called for goes
 * @pool: it
 */
void sdm_mem_pool_del(struct page_pool *pool)
{
	if (page_pool_is_unreadable(pool))
		atomic_dec(&sdm_mem_pools);
}

/**
 * sdm_mem_defer() - send a packet again when what it lies in is mapped
 * @skb: packet for an sdm, sdm_dma_to_virt() has returned NULL for a part of it
 *
 * Return: whether it was taken; if not, too many wait
 */
bool sdm_mem_defer(struct sk_buff *skb)
{
	bool taken = false;

	spin_lock(&sdm_mem_lock);
	if (skb_queue_len(&sdm_mem_deferred) < SDM_MEM_DEFERRED) {
		netdev_hold(skb->dev, NULL, GFP_ATOMIC);
		__skb_queue_tail(&sdm_mem_deferred, skb);
		taken = true;
	}
	spin_unlock(&sdm_mem_lock);
	/* The worker may have been there between sdm_dma_to_virt() and this. */
	mod_delayed_work(system_percpu_wq, &sdm_mem_worker, 0);
	return taken;
}

static void sdm_mem_send(struct sk_buff_head *list)
{
	struct sk_buff *skb;

	while ((skb = __skb_dequeue(list))) {
		struct net_device *dev = skb->dev;

		local_bh_disable();
		sdm_tx_retry(skb, dev);
		local_bh_enable();
		netdev_put(dev, NULL);
	}
}

/* Unmaps what is idle.
 *
 * Return: whether something is left
 */
static bool sdm_mem_age(void)
{
	unsigned int i;

	lockdep_assert_held(&sdm_mem_mutex);
	for (i = 0; i < SDM_MEM_WINDOWS && !atomic_read(&sdm_mem_pools); i++) {
		const struct sdm_mem_window *w = rcu_dereference_protected(sdm_mem_windows[i],
									   true);

		if (w && time_after_eq(jiffies, READ_ONCE(w->used) + SDM_MEM_IDLE))
			sdm_mem_unmap(i);
	}
	return sdm_mem_count;
}

static void sdm_mem_work(struct work_struct *work)
{
	phys_addr_t wanted[SDM_MEM_WANTED];
	struct sk_buff_head list;
	unsigned int i, n;

	__skb_queue_head_init(&list);
	spin_lock_bh(&sdm_mem_lock);
	n = sdm_mem_nr_wanted;
	memcpy(wanted, sdm_mem_wanted, n * sizeof(*wanted));
	sdm_mem_nr_wanted = 0;
	skb_queue_splice_init(&sdm_mem_deferred, &list);
	spin_unlock_bh(&sdm_mem_lock);

	mutex_lock(&sdm_mem_mutex);
	for (i = 0; i < n; i++)
		sdm_mem_map(wanted[i]);
	mutex_unlock(&sdm_mem_mutex);

	sdm_mem_send(&list);

	mutex_lock(&sdm_mem_mutex);
	if (sdm_mem_age())
		queue_delayed_work(system_percpu_wq, &sdm_mem_worker, SDM_MEM_IDLE);
	mutex_unlock(&sdm_mem_mutex);
}

/**
 * sdm_mem_init() - before the first device
 */
void sdm_mem_init(void)
{
	__skb_queue_head_init(&sdm_mem_deferred);
}

/**
 * sdm_mem_exit() - give all back; no device is left
 */
void sdm_mem_exit(void)
{
	unsigned int i;

	disable_delayed_work_sync(&sdm_mem_worker);
	mutex_lock(&sdm_mem_mutex);
	for (i = 0; i < SDM_MEM_WINDOWS; i++) {
		if (rcu_access_pointer(sdm_mem_windows[i]))
			sdm_mem_unmap(i);
	}
	mutex_unlock(&sdm_mem_mutex);
}
