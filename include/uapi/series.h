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
 * Patch 4: control message of sendmsg(), level SOL_SOCKET. The caller sets @state to ASK and @nr to 0; a kernel
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
 * Patch 6: recvmsg() frees the frags named by a control message at the head of its control buffer, type
 * SCM_DEVMEM_DONTNEED with an array of struct dmabuf_token, before it receives. The kernel replaces the
 * message by one that holds the number of frags freed, a u32, whatever the call returns.
 */
#ifndef MSG_SOCK_DEVMEM_DONTNEED
#define MSG_SOCK_DEVMEM_DONTNEED 0x1000000
#endif
#ifndef SCM_DEVMEM_DONTNEED
#define SCM_DEVMEM_DONTNEED SO_DEVMEM_DONTNEED
#endif

/*
 * Patch 11: socket option, level SOL_SOCKET, of TCP sockets. setsockopt() takes an int, 0 or 1; getsockopt() gives
 * an unsigned 32-bit DEVMEM_RUN_OFF or DEVMEM_RUN_ON, which is how a program knows that the kernel has it. With
 * it on, recvmsg(MSG_SOCK_DEVMEM) describes frags by control messages of type SCM_DEVMEM_RUN, each a header and
 * as many entries as cmsg_len says, in the place of one SCM_DEVMEM_DMABUF for each frag.
 */
#ifndef SO_DEVMEM_RUN
#define SO_DEVMEM_RUN  0x5a44
#define SCM_DEVMEM_RUN SO_DEVMEM_RUN
#define DEVMEM_RUN_OFF 0x216e5200
#define DEVMEM_RUN_ON  0x216e5201

/*
 * @frag_offset: in the dmabuf, bytes.
 * @frag_size:   bytes; may be more than a niov has.
 * @flags:       0.
 */
struct dmabuf_run_entry {
	uint64_t frag_offset;
	uint32_t frag_size;
	uint32_t flags;
};

/*
 * @token:     of all entries together. It is given back as that of a frag is, and counts as one.
 * @dmabuf_id: of all entries.
 * @entries:   in the order of the stream, at least one.
 */
struct dmabuf_run_cmsg {
	uint32_t token;
	uint32_t dmabuf_id;
	struct dmabuf_run_entry entries[];
};
#endif

#endif
