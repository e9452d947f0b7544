/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From the DMA address of a dma-buf's piece to where the CPU finds it.
 */
#ifndef SDM_MEM_H
#define SDM_MEM_H

#include <linux/netdevice.h>
#include <linux/types.h>

struct page_pool;
struct sdm_dev;
struct sk_buff;

/* Windows into PCI memory that are mapped now. */
extern unsigned int sdm_mem_count;

void *sdm_dma_to_virt(const struct sdm_dev *sdm, dma_addr_t addr, size_t len);
void sdm_mem_pool_add(const struct sdm_dev *sdm, struct page_pool *pool);
void sdm_mem_pool_del(struct page_pool *pool);
bool sdm_mem_defer(struct sk_buff *skb);
void sdm_mem_init(void);
void sdm_mem_exit(void);

/* What was written to PCI memory is on its way before what is written after this.
 * Such memory is mapped write-combining, and the CPU may sit on it for long.
 */
static inline void sdm_mem_flush(void)
{
	if (READ_ONCE(sdm_mem_count))
		wmb(); /* before the stack hears of the packet */
}

#endif /* SDM_MEM_H */
