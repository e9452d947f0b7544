// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <sys/socket.h>

#include "base/counter.h"
#include "path/path.h"

#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

static ssize_t send_zerocopy(struct data_sock *ds, const struct mr *mr, const uint8_t *p,
			     size_t len, struct zc_ref *ref)
{
	ssize_t n;

	if (zc_tracker_full(ds->zc))
		return -ENOBUFS;
	counter_inc(sys_send);
	n = send(ds->fd, mr_cpu(mr, p), len, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_ZEROCOPY);
	/* ENOBUFS: net.core.optmem_max worth of notifications is pending, or it never fits one. */
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (n > 0)
		zc_tracker_sent(ds->zc, ref);
	counter_add(sent_zerocopy, n);
	return n;
}

const struct path_ops path_send_zerocopy = {
	.name = "zerocopy",
	.rung = RUNG_ZEROCOPY,
	.send = send_zerocopy,
};
