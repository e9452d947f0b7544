/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One zerocopy sendmsg(), with or without a dmabuf, that also brings back what has finished where the kernel can do that.
 */
#ifndef DEVMEM_ZC_SEND_H
#define DEVMEM_ZC_SEND_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "path/data_sock.h"

/*
 * Sends @iov with MSG_ZEROCOPY from @dmabuf_id's memory, or from host memory when it is NULL. Enters the send in the socket's
 * tracker for @ref and takes out those that the kernel reports finished. Returns the bytes accepted, -EAGAIN, -ENOBUFS when
 * completions must be fetched first (zc_reap()) or cannot be had, -errno.
 */
ssize_t zc_send(struct data_sock *ds, struct iovec *iov, const uint32_t *dmabuf_id,
		struct zc_ref *ref);

/*
 * Fetches completions of @ds: in sendmsg's control data where the kernel has that, else from the error queue. Returns the number
 * of sends that finished, 0 if none, or -errno.
 */
int zc_reap(struct data_sock *ds);

#endif
