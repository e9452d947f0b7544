/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pipe through which pages of this process go to a socket without being copied: vmsplice(2) puts references to them into it, splice(2)
 * moves those into the socket's packets (MSG_SPLICE_PAGES inside the kernel, net/ipv4/tcp.c since Linux 6.5, sendpage before).
 *
 * MSG_ZEROCOPY cannot do that on one host: packets that turn round on it are given copies of the pages first, because the receiver could
 * keep them for ever (skb_orphan_frags_rx(), net/core/dev.c). Here the pages stay where they are until the receiver has read them, and
 * the kernel tells nobody when: whoever lends has to hear it from the peer before it writes there again.
 */
#ifndef DEVMEM_LEND_PIPE_H
#define DEVMEM_LEND_PIPE_H

#include <stddef.h>
#include <sys/types.h>

/* @held: bytes in it that the socket has not taken; what they were lent from is the user's to know. @size: bytes of whole pages it takes. */
struct lend_pipe {
	int rd;
	int wr;
	size_t held;
	size_t size;
};

/* 0; -EMFILE, -ENFILE; -EPERM where the user has so many pipes that only very small ones are left (fs.pipe-user-pages-soft); -ENOMEM. */
int lend_pipe_create(struct lend_pipe **ret);
void lend_pipe_destroy(struct lend_pipe *lp);

/*
 * Lends [p, p + len) to the stream socket @fd, which does not block. Whatever an earlier call left in the pipe must be the first bytes of it.
 * Returns the bytes that the socket took (> 0; @held is 0 then, or the socket is full), -EAGAIN, or -errno; -EFAULT for memory whose pages
 * cannot be had (of a device), with nothing moved. No SIGPIPE.
 */
ssize_t lend_pipe_send(struct lend_pipe *lp, int fd, const void *p, size_t len);

#endif
