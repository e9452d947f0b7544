/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A control stream that the kernel delivers by itself: one io_uring receive stands for all of it (IORING_RECV_MULTISHOT, Linux 6.0) and
 * fills buffers as bytes come. Neither a look in vain nor one that finds something is a system call.
 *
 * Where the buffers are full, the receive ends and TCP's window closes, until ctrl_ring_take() makes room and begins it anew.
 */
#ifndef DEVMEM_CTRL_RING_H
#define DEVMEM_CTRL_RING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ctrl_ring;

/*
 * For socket @fd, which loses O_NONBLOCK: io_uring would take that for "do not wait" (io_uring_enter(2)). Nothing is received before the
 * first take. 0 or -errno where the kernel has no such thing or does not allow it.
 */
int ctrl_ring_create(int fd, struct ctrl_ring **ret);

/*
 * Ends the connection, too (shutdown(2)): the receive that stands would keep it open until the kernel comes to cancel it. NULL is fine. Any
 * thread.
 */
void ctrl_ring_destroy(struct ctrl_ring *r);

/*
 * Copies what has come, at most @room > 0 bytes, to @dst, and sees to it that a receive stands. Bytes (> 0), 0 at end of stream, -EAGAIN,
 * -errno of the socket, or -EOPNOTSUPP when this cannot be done here and recv() has to do: then no byte has been lost.
 */
ssize_t ctrl_ring_take(struct ctrl_ring *r, uint8_t *dst, size_t room);

#endif
