// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/counter.h"
#include "base/param.h"
#include "base/uring.h"
#include "comm/ctrl_stream.h"

static void ring_put(struct ctrl_out *o, const void *src, size_t len)
{
	size_t at = o->queued % CTRL_BUF_SIZE;
	size_t first = len < CTRL_BUF_SIZE - at ? len : CTRL_BUF_SIZE - at;

	memcpy(o->buf + at, src, first);
	memcpy(o->buf, (const uint8_t *)src + first, len - first);
	o->queued += len;
}

void ctrl_out_put(struct ctrl_out *o, struct wire_rec rec, const void *payload, size_t len)
{
	wire_rec_swap(&rec);
	ring_put(o, &rec, sizeof(rec));
	if (len)
		ring_put(o, payload, len);
}

int ctrl_out_flush(struct ctrl_out *o, int fd)
{
	size_t len = (size_t)(o->queued - o->flushed);
	size_t at = o->flushed % CTRL_BUF_SIZE;
	struct iovec iov[2] = { { .iov_base = o->buf + at }, { .iov_base = o->buf } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 1 };
	ssize_t n;

	if (!len)
		return 1;
	iov[0].iov_len = len;
	if (len > CTRL_BUF_SIZE - at) {
		iov[0].iov_len = CTRL_BUF_SIZE - at;
		iov[1].iov_len = len - iov[0].iov_len;
		msg.msg_iovlen = 2;
	}
	counter_inc(sys_ctrl);
	n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	o->flushed += (uint64_t)n;
	return (size_t)n == len;
}

void ctrl_in_open(struct ctrl_in *in, int fd)
{
	int r = param_bool(PARAM_IO_URING) ? ctrl_ring_create(fd, &in->ring) : 0;

	if (r < 0)
		uring_tell_missing(r);
	in->by_ring = in->ring;
}

void ctrl_in_close(struct ctrl_in *in)
{
	ctrl_ring_destroy(in->ring);
	in->ring = NULL;
	in->by_ring = false;
}

static ssize_t receive(struct ctrl_in *in, int fd)
{
	uint8_t *dst = in->buf + in->tail;
	size_t room = CTRL_BUF_SIZE - in->tail;
	ssize_t n;

	if (in->by_ring) {
		n = ctrl_ring_take(in->ring, dst, room);
		if (n != -EOPNOTSUPP)
			return n;
		in->by_ring = false;
		uring_tell_missing(-EOPNOTSUPP);
	}
	counter_inc(sys_ctrl);
	counter_inc(sys_ctrl_read);
	n = recv(fd, dst, room, MSG_DONTWAIT);
	if (n < 0) {
		n = -errno;
		counter_inc(sys_ctrl_none);
	}
	return n;
}

int ctrl_in_fill(struct ctrl_in *in, int fd)
{
	ssize_t n;

	if (in->eof)
		return 0;
	if (in->head == in->tail) {
		in->head = 0;
		in->tail = 0;
	} else if (in->tail > CTRL_BUF_SIZE / 2 && in->head > 0) {
		memmove(in->buf, in->buf + in->head, in->tail - in->head);
		in->tail -= in->head;
		in->head = 0;
	}
	if (in->tail == CTRL_BUF_SIZE)
		return 0;
	n = receive(in, fd);
	if (n == 0) {
		in->eof = true;
		return 0;
	}
	if (n < 0)
		return n == -EAGAIN || n == -EINTR ? 0 : (int)n;
	in->tail += (size_t)n;
	return 1;
}

bool ctrl_in_peek(const struct ctrl_in *in, struct wire_rec *ret)
{
	if (in->tail - in->head < sizeof(*ret))
		return false;
	memcpy(ret, in->buf + in->head, sizeof(*ret));
	wire_rec_swap(ret);
	return true;
}

void ctrl_in_skip(struct ctrl_in *in, size_t n)
{
	in->head += n;
}

const uint8_t *ctrl_in_data(const struct ctrl_in *in, size_t *ret_len)
{
	*ret_len = in->tail - in->head;
	return in->buf + in->head;
}
