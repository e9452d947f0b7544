// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>

#include "base/counter.h"
#include "path/path.h"

/*
 * No zc_ref: that the memory is free again is the peer's to tell (comm/ack_stream.h). Whoever chooses this path sees to that, and to
 * ds->lend; it is missing where that has turned out not to work since.
 */
static ssize_t send_spliced(struct data_sock *ds, const struct mr *mr, const uint8_t *p, size_t len,
			    struct zc_ref *ref)
{
	ssize_t n;

	(void)ref;
	if (!ds->lend)
		return -EOPNOTSUPP;
	n = lend_pipe_send(ds->lend, ds->fd, mr_cpu(mr, p), len);
	if (n > 0)
		counter_add(sent_zerocopy, n);
	return n;
}

const struct path_ops path_send_spliced = {
	.name = "splice",
	.rung = RUNG_ZEROCOPY,
	.send = send_spliced,
};
