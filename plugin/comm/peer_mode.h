/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Do both sides of a connection keep NCCL away from the same protocols and algorithms?
 *
 * The plugin would carry the bytes of ranks that do not agree, and NCCL would take them for something else: each rank chooses protocol and
 * algorithm by itself, by the costs that its tuner leaves (src/enqueue.cc, ncclGetAlgoInfo()), and takes for granted that all choose alike.
 * Where one sends lines of LL and the other waits for slices of Simple, the receive either never ends or, being large enough, ends with
 * flags in place of numbers. So sides that differ do not get a connection.
 */
#ifndef DEVMEM_PEER_MODE_H
#define DEVMEM_PEER_MODE_H

#include <stdint.h>

#include "nic/nic.h"

/* This process' mode, as it goes into the flags of hello and ready. Between net_init() and net_finalize(). */
uint32_t peer_mode_flags(void);

/*
 * Is the mode in @flags, from @peer, this process' own? 0; -EPROTO after a message that names both. A peer that does not tell (an older
 * build) is let in.
 */
int peer_mode_check(const struct nic *nic, const char *peer, uint32_t flags);

#endif
