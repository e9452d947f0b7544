// SPDX-License-Identifier: BSD-3-Clause
/*
 * Sending straight from a dmabuf: the payload is named by an offset, the CPU never touches it.
 * Interface: Documentation/networking/devmem.rst, "TX Interface".
 */
#include "base/counter.h"
#include "path/path.h"
#include "path/zc_send.h"

static ssize_t send_devmem(struct data_sock *ds, const struct mr *mr, const uint8_t *p, size_t len,
			   struct zc_ref *ref)
{
	/* In a dmabuf send iov_base is an offset in the dmabuf, not an address. */
	uint64_t offset = mr->offset + (uint64_t)(p - mr->base);
	void *base = (void *)(uintptr_t)offset; // NOLINT(performance-no-int-to-ptr)
	struct iovec iov = { .iov_base = base, .iov_len = len };
	ssize_t n = zc_send(ds, &iov, &mr->tx_id, ref);

	if (n > 0)
		counter_add(sent_devmem, n);
	return n;
}

const struct path_ops path_send_devmem = {
	.name = "devmem",
	.rung = RUNG_DEVMEM,
	.send = send_devmem,
};
