/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kernel interface of devmem TCP, for C libraries and kernel headers that are older than it.
 *
 * Values and layouts are those of Linux 7.2: include/uapi/asm-generic/socket.h, include/linux/socket.h,
 * include/uapi/linux/uio.h; prose in Documentation/networking/devmem.rst. What <sys/socket.h> already
 * defines is left alone. <linux/uio.h> cannot be included beside this header: it defines struct iovec a second
 * time and, from Linux 6.12 on, the two structs below too.
 *
 * udmabuf and dma-heap need no copy here: <linux/udmabuf.h> (4.20) and <linux/dma-heap.h> (5.6) are old enough.
 */
#ifndef DEVMEM_UAPI_DEVMEM_H
#define DEVMEM_UAPI_DEVMEM_H

#include <stdint.h>
#include <sys/socket.h>

#if defined(__alpha__) || defined(__mips__) || defined(__hppa__) || defined(__sparc__)
#error "socket options have numbers of their own on this architecture: add them from its asm/socket.h"
#endif

/*
 * Control messages of recvmsg(MSG_SOCK_DEVMEM), level SOL_SOCKET, each one struct dmabuf_cmsg:
 * SCM_DEVMEM_DMABUF: a frag that lies in the bound dmabuf; its token must be given back.
 * SCM_DEVMEM_LINEAR: ->frag_size bytes that arrived in host memory and were copied to the iov; no token.
 * In sendmsg(MSG_ZEROCOPY), SCM_DEVMEM_DMABUF carries the u32 id of a send binding and
 * iov_base is an offset in that dmabuf.
 */
#ifndef SO_DEVMEM_LINEAR
#define SO_DEVMEM_LINEAR 78
#endif
#ifndef SCM_DEVMEM_LINEAR
#define SCM_DEVMEM_LINEAR SO_DEVMEM_LINEAR
#endif
#ifndef SO_DEVMEM_DMABUF
#define SO_DEVMEM_DMABUF 79
#endif
#ifndef SCM_DEVMEM_DMABUF
#define SCM_DEVMEM_DMABUF SO_DEVMEM_DMABUF
#endif

/*
 * setsockopt() with an array of struct dmabuf_token. The return value is the number of frags
 * freed, not 0. The kernel refuses more than DEVMEM_DONTNEED_TOKENS entries with EINVAL and stops silently
 * after DEVMEM_DONTNEED_FRAGS frags (net/core/sock.c, sock_devmem_dontneed()).
 */
#ifndef SO_DEVMEM_DONTNEED
#define SO_DEVMEM_DONTNEED 80
#endif
#define DEVMEM_DONTNEED_TOKENS 128
#define DEVMEM_DONTNEED_FRAGS  1024

#ifndef MSG_SOCK_DEVMEM
#define MSG_SOCK_DEVMEM 0x2000000
#endif

/*
 * @frag_offset: of the payload in the dmabuf, bytes.
 * @frag_size:   bytes.
 * @frag_token:  id in the receiving socket's table; meaningless for LINEAR.
 * @dmabuf_id:   id that bind-rx returned.
 * @flags:       zero today.
 */
struct dmabuf_cmsg {
	uint64_t frag_offset;
	uint32_t frag_size;
	uint32_t frag_token;
	uint32_t dmabuf_id;
	uint32_t flags;
};

/* Tokens [token_start, token_start + token_count). */
struct dmabuf_token {
	uint32_t token_start;
	uint32_t token_count;
};

_Static_assert(sizeof(struct dmabuf_cmsg) == 24, "kernel layout");
_Static_assert(sizeof(struct dmabuf_token) == 8, "kernel layout");

#endif
