// SPDX-License-Identifier: BSD-3-Clause
#include "base/counter.h"
#include "path/path.h"
#include "path/zc_send.h"

static ssize_t send_zerocopy(struct data_sock *ds, const struct mr *mr, const uint8_t *p,
			     size_t len, struct zc_ref *ref)
{
	struct iovec iov = { .iov_base = mr_cpu(mr, p), .iov_len = len };
	ssize_t n = zc_send(ds, &iov, NULL, ref);

	if (n > 0)
		counter_add(sent_zerocopy, n);
	return n;
}

const struct path_ops path_send_zerocopy = {
	.name = "zerocopy",
	.rung = RUNG_ZEROCOPY,
	.send = send_zerocopy,
};
