/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kernel interface of this project's own patch series (kernel-patches/7.2), for headers that lack it: all but a patched
 * kernel's. docs/kernel-interface.md describes it. None of it may be used without a positive probe (base/kernel.h).
 */
#ifndef DEVMEM_UAPI_SERIES_H
#define DEVMEM_UAPI_SERIES_H

#include <stdint.h>

#include "uapi/devmem.h"

/*
 * Patch 2: control message of sendmsg(), level SOL_SOCKET. The caller sets @state to ASK and @nr to 0; a kernel
 * that has the patch sets DONE and fills in @nr ranges of finished zerocopy sends, whatever the call returns.
 */
#ifndef SCM_ZC_NOTIFICATION
#define SCM_ZC_NOTIFICATION  0x5a43
#define ZC_NOTIFICATION_ASK  0x3f6e437a
#define ZC_NOTIFICATION_DONE 0x216e437a

/* Sends @lo to @hi, inclusive, modulo 2^32. @code: SO_EE_CODE_ZEROCOPY_COPIED or 0. */
struct zc_range {
	uint32_t lo;
	uint32_t hi;
	uint32_t code;
};

struct zc_notification {
	uint32_t state;
	uint32_t nr;
	struct zc_range ranges[];
};
#endif

/*
 * Patch 4: recvmsg() frees the frags named by a control message at the head of its control buffer, type
 * SCM_DEVMEM_DONTNEED with an array of struct dmabuf_token, before it receives. The kernel replaces the
 * message by one that holds the number of frags freed, a u32, whatever the call returns.
 */
#ifndef MSG_SOCK_DEVMEM_DONTNEED
#define MSG_SOCK_DEVMEM_DONTNEED 0x1000000
#endif
#ifndef SCM_DEVMEM_DONTNEED
#define SCM_DEVMEM_DONTNEED SO_DEVMEM_DONTNEED
#endif

#endif
