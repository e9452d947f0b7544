/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The receive pool of one NIC: a dmabuf that the NIC's bound RX queues fill, shared by all connections of the process.
 */
#ifndef DEVMEM_POOL_H
#define DEVMEM_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "mem/gpu.h"
#include "mem/provider.h"
#include "mem/stage.h"
#include "nic/nic.h"

/*
 * @block: the memory; frag offsets of the kernel's cmsgs are offsets in it. Those of pieces are from the GPU's base: block.offset more.
 * @gpu: whose memory it is, or who sees it where it is the host's; NULL for memory of the host alone.
 * @stage: of @gpu; NULL where it is not the GPU's memory.
 * @rx:    the binding; NULL for a pool that only stands before a stage.
 * @reserved: bytes promised to data sockets by pool_reserve().
 * @shown:  what is told of it in shared memory; NULL where nothing is.
 */
struct pool {
	struct nic nic;
	struct mem_block block;
	struct gpu *gpu;
	struct stage *stage;
	struct nic_rx *rx;
	struct nccl_devmem_stats_pool *shown;
	size_t reserved;
	int refs;
	struct pool *next;
};

/*
 * The process's pool on @nic for receives of @gpu (NULL: of the host); made and bound by the first caller (provider by NCCL_DEVMEM_POOL_MEMORY, size by
 * NCCL_DEVMEM_POOL_SIZE). A failure is remembered with its verdict until the last reference to the plugin goes, so that it
 * costs and logs once; not that of a broker which ended meanwhile. A pool whose binding is lost (nic_rx_is_lost()) stays with
 * those who have it, and who comes next makes another. Thread-safe. pool_put() of the last reference unbinds and frees.
 */
int pool_get(const struct nic *nic, struct gpu *gpu, struct pool **ret, struct verdict *why);
/* One of @gpu's memory that no NIC fills, for its stage (the staged receive). Ended by pool_put(), too. */
int pool_get_staged(struct gpu *gpu, struct pool **ret, struct verdict *why);
void pool_put(struct pool *pool);

/*
 * Promises @bytes of the pool to a socket: the sum of all receive windows must stay below the pool, or the NIC
 * drops packets while the application holds frags. A quarter of the pool is never promised: it stays for the NIC's rings. -ENOSPC with @why naming NCCL_DEVMEM_POOL_SIZE.
 */
int pool_reserve(struct pool *pool, size_t bytes, struct verdict *why);
/* The least that keeps a data socket moving. */
#define POOL_RESERVE_MIN (256UL << 10)
void pool_unreserve(struct pool *pool, size_t bytes);
/* Bytes that pool_reserve() still has to promise. */
size_t pool_unreserved(struct pool *pool);

/* Forgets remembered failures; at plugin finalize. */
void pool_reset(void);

#endif
