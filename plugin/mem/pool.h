/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The receive pool of one NIC: a dmabuf that the NIC's bound RX queues fill, shared by all connections of the process.
 */
#ifndef DEVMEM_POOL_H
#define DEVMEM_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "mem/provider.h"
#include "nic/nic.h"

/*
 * @block: the memory; frag offsets of the kernel's cmsgs are offsets in it.
 * @rx:    the binding.
 * @reserved: bytes promised to data sockets by pool_reserve().
 */
struct pool {
	struct nic nic;
	struct mem_block block;
	struct nic_rx *rx;
	size_t reserved;
	int refs;
	struct pool *next;
};

/*
 * The process's pool on @nic; made and bound by the first caller (provider by NCCL_DEVMEM_POOL_MEMORY, size by
 * NCCL_DEVMEM_POOL_SIZE). A failure is remembered with its verdict until the last reference to the plugin goes, so that it
 * costs and logs once. Thread-safe. pool_put() of the last reference unbinds and frees.
 */
int pool_get(const struct nic *nic, struct pool **ret, struct verdict *why);
void pool_put(struct pool *pool);

/*
 * Promises @bytes of the pool to a socket: the sum of all receive windows must stay below the pool, or the NIC
 * drops packets while the application holds frags. A quarter of the pool is never promised: it stays for the NIC's rings. -ENOSPC with @why naming NCCL_DEVMEM_POOL_SIZE.
 */
int pool_reserve(struct pool *pool, size_t bytes, struct verdict *why);
void pool_unreserve(struct pool *pool, size_t bytes);

/* Forgets remembered failures; at plugin finalize. */
void pool_reset(void);

#endif
