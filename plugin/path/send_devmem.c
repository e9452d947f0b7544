// SPDX-License-Identifier: BSD-3-Clause
/*
 * Sending straight from a dmabuf: the payload is named by an offset, the CPU never touches it.
 * Interface: Documentation/networking/devmem.rst, "TX Interface".
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/counter.h"
#include "path/path.h"
#include "uapi/devmem.h"

#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

static ssize_t send_devmem(struct data_sock *ds, const struct mr *mr, const uint8_t *p, size_t len,
			   struct zc_ref *ref)
{
	/* In a dmabuf send iov_base is an offset in the dmabuf, not an address. */
	uint64_t offset = mr->offset + (uint64_t)(p - mr->base);
	struct iovec iov = { .iov_base = (void *)(uintptr_t)offset,
			     .iov_len = len }; // NOLINT(performance-no-int-to-ptr)
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(uint32_t))];
	} control = { 0 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	ssize_t n;

	if (zc_tracker_full(ds->zc))
		return -ENOBUFS;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_DEVMEM_DMABUF;
	c->cmsg_len = CMSG_LEN(sizeof(uint32_t));
	memcpy(CMSG_DATA(c), &mr->tx_id, sizeof(uint32_t));

	counter_inc(sys_send);
	n = sendmsg(ds->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_ZEROCOPY);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (n > 0)
		zc_tracker_sent(ds->zc, ref);
	counter_add(sent_devmem, n);
	return n;
}

const struct path_ops path_send_devmem = {
	.name = "devmem",
	.rung = RUNG_DEVMEM,
	.send = send_devmem,
};
