// SPDX-License-Identifier: BSD-3-Clause
/*
 * Receiving into GPU memory without a devmem NIC: the bytes are received in the host half of a block of the GPU's stage, and described as one piece
 * in its other half, to where the place has the GPU copy them first. From there they go on as frags do.
 */
#include <errno.h>
#include <sys/socket.h>

#include "base/counter.h"
#include "path/path.h"

/*
 * Where blocks are kept until NCCL's kernels are past them the place deals them out, several receives to one, and sees to it that no
 * connection is left without (unpack_blocks.c): @host is in one.
 */
static ssize_t recv_window(struct data_sock *ds, uint8_t *host, size_t len, struct arrival *a)
{
	ssize_t n;

	counter_inc(sys_recv);
	n = recv(ds->fd, host, len, MSG_DONTWAIT);
	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	counter_add(recv_staged, n);
	arrival_readable(a, host, (size_t)n);
	return n;
}

static ssize_t recv_staged(struct data_sock *ds, struct place *pl, uint8_t *host, size_t len,
			   struct arrival *a)
{
	struct stage_block *b;
	ssize_t n;

	if (pl->ops->keeps_loans)
		return recv_window(ds, host, len, a);
	b = stage_take(pl->pool->stage);
	if (!b)
		return -EAGAIN;
	counter_inc(sys_recv);
	n = recv(ds->fd, b->host, len < b->size ? len : b->size, MSG_DONTWAIT);
	if (n <= 0) {
		int err = n == 0 ? -ECONNRESET : -errno;

		stage_give(b);
		return err == -EINTR ? -EAGAIN : err;
	}
	arrival_clear(a);
	a->total = (size_t)n;
	a->n = 1;
	a->pieces[0] = (struct gather_piece){ .offset = b->offset, .len = (uint32_t)n };
	a->block = b;
	counter_add(recv_staged, n);
	return n;
}

/* No token is ever lent. */
static int recycle_nothing(struct data_sock *ds, int idle)
{
	(void)ds;
	(void)idle;
	return 0;
}

const struct path_ops path_recv_staged = {
	.name = "staged",
	.rung = RUNG_COPY,
	.recv = recv_staged,
	.recycle = recycle_nothing,
};
