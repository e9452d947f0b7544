/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ladder: devmem -> zerocopy -> copy. Every step down is said once, with reason and remedy.
 */
#ifndef DEVMEM_LADDER_H
#define DEVMEM_LADDER_H

#include "base/verdict.h"

enum rung { RUNG_COPY, RUNG_ZEROCOPY, RUNG_DEVMEM };
enum direction { DIR_SEND, DIR_RECV };

const char *rung_name(enum rung r);

/*
 * The path @nic_name uses in direction @dir became @to instead of @from because of @why. Warns once for each distinct
 * (NIC, direction, from, to, reason). Returns 0, or, when NCCL_DEVMEM_REQUIRE forbids @to, logs an error
 * and returns @why->err (never 0). Any thread.
 */
int ladder_step_down(const char *nic_name, enum direction dir, enum rung from, enum rung to,
		     const struct verdict *why);

/* Says once per NIC and direction which path is in use. */
void ladder_chosen(const char *nic_name, enum direction dir, enum rung rung, const char *detail);

/* Forgets what has been said; at plugin finalize. */
void ladder_reset(void);

#endif
