// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <sys/socket.h>

#include "base/counter.h"
#include "path/path.h"

static ssize_t send_copy(struct data_sock *ds, const struct mr *mr, const uint8_t *p, size_t len,
			 struct zc_ref *ref)
{
	ssize_t n;

	(void)ref;
	counter_inc(sys_send);
	n = send(ds->fd, mr_cpu(mr, p), len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	counter_add(sent_copy, n);
	return n;
}

const struct path_ops path_send_copy = {
	.name = "copy",
	.rung = RUNG_COPY,
	.send = send_copy,
};
