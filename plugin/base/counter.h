/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Process-wide counters behind nccl_devmem_counters_get(). Relaxed: they order nothing. They have pages of their own, which stats.c
 * exchanges for shared ones.
 */
#ifndef DEVMEM_COUNTER_H
#define DEVMEM_COUNTER_H

#include "nccl_devmem.h"

/* As large as the pages of any kernel for the machine, and no larger than what its linker aligns to. */
#ifdef __aarch64__
#define COUNTER_PAGE (64UL << 10)
#else
#define COUNTER_PAGE (4UL << 10)
#endif

union counter_page {
	struct nccl_devmem_counters counters;
	char page[COUNTER_PAGE];
};

extern union counter_page counter_page;

#define counter_add(field, n) \
	__atomic_fetch_add(&counter_page.counters.field, (uint64_t)(n), __ATOMIC_RELAXED)
#define counter_inc(field)  counter_add(field, 1)
#define counter_read(field) __atomic_load_n(&counter_page.counters.field, __ATOMIC_RELAXED)

/* Logs the closing summary: bytes by path, tokens, completions, system calls per MiB. */
void counter_log_summary(void);

#endif
