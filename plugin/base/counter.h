/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Process-wide counters behind nccl_devmem_counters_get(). Relaxed: they order nothing.
 */
#ifndef DEVMEM_COUNTER_H
#define DEVMEM_COUNTER_H

#include "nccl_devmem.h"

extern struct nccl_devmem_counters counters;

#define counter_add(field, n) __atomic_fetch_add(&counters.field, (uint64_t)(n), __ATOMIC_RELAXED)
#define counter_inc(field)    counter_add(field, 1)
#define counter_read(field)   __atomic_load_n(&counters.field, __ATOMIC_RELAXED)

/* Logs the closing summary: bytes by path, tokens, completions, system calls per MiB. */
void counter_log_summary(void);

#endif
