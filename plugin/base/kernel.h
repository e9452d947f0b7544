/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the running kernel can do beyond mainline 7.2 (kernel-patches/7.2). Found by asking it something that only such a
 * kernel answers, never by version.
 */
#ifndef DEVMEM_KERNEL_H
#define DEVMEM_KERNEL_H

#include <stdbool.h>

/*
 * @zc_notification: sendmsg() returns finished zerocopy sends (SCM_ZC_NOTIFICATION).
 * @recycle:         recvmsg() takes tokens back (MSG_SOCK_DEVMEM_DONTNEED).
 * @token_runs:      one token and one message for a run of frags (SO_DEVMEM_RUN).
 * A feature that is there but switched off by its parameter is false.
 */
struct kernel_features {
	bool zc_notification;
	bool recycle;
	bool token_runs;
};

/*
 * Asks the kernel (three sockets that are never connected) and logs the answer. Called once per plugin initialisation, before
 * other threads run.
 */
void kernel_probe(void);

/* What kernel_probe() found; all false before. */
const struct kernel_features *kernel_features(void);

#endif
