/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The process's counters in shared memory, for devmem-top and its like: include/nccl_devmem_stats.h has the layout.
 *
 * Publishing never fails a job: where the file cannot be had, one line says why, and everything here is of no effect. No descriptor is
 * kept. A fork()ed child shares the mapping with its parent and must not write, which net_is_forked() sees to.
 */
#ifndef DEVMEM_STATS_H
#define DEVMEM_STATS_H

#include <stdint.h>

#include "base/verdict.h"
#include "nccl_devmem_stats.h"

/* A number that one thread writes and another process reads. */
#define stats_set(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
/* The same, @n more, where no other thread of this process writes it: no locked instruction. */
static inline void stats_add(uint64_t *p, uint64_t n)
{
#ifdef __x86_64__
	/* One instruction, as whole as a store; the compilers make three of the lines below. */
	__asm__("addq %1, %0" : "+m"(*p) : "er"(n) : "cc");
#else
	stats_set(p, __atomic_load_n(p, __ATOMIC_RELAXED) + n);
#endif
}

/*
 * After param_load(), before other threads count: makes the file in NCCL_DEVMEM_STATS_DIR, and the counters (counter.h) live in it from
 * then on, at the same address. Removes what dead processes left there.
 */
void stats_open(void);

/* The file goes, the counters keep their values. Whatever was taken below is invalid from then on. */
void stats_close(void);

/*
 * A free entry, zeroed but for its id (the section says what stands for one in use); NULL where there is none. Any thread. The caller
 * fills it and gives it back.
 */
struct nccl_devmem_stats_conn *stats_conn_take(void);
void stats_conn_give(struct nccl_devmem_stats_conn *conn);
struct nccl_devmem_stats_pool *stats_pool_take(uint64_t size);
void stats_pool_give(struct nccl_devmem_stats_pool *pool);

/* For good. Later ones than there are entries are dropped. @pci may be NULL. */
void stats_nic_note(const char *name, int ifindex, int speed_mbps, const char *pci);
void stats_step_note(uint32_t id, const char *nic, int sends, int from, int to,
		     const struct verdict *why);

/* Copies @src, cut where it is longer. */
void stats_text(char *dst, size_t size, const char *src);

#endif
