// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/counter.h"
#include "comm/ack_stream.h"
#include "comm/sock.h"

int ack_in_look(struct ack_in *in, int fd, uint32_t posted)
{
	bool news = false;
	size_t i, whole;
	ssize_t n;

	counter_inc(sys_ctrl);
	n = recv(fd, (uint8_t *)in->buf + in->pos, sizeof(in->buf) - in->pos, MSG_DONTWAIT);
	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	in->pos += (size_t)n;
	whole = in->pos / sizeof(in->buf[0]);
	for (i = 0; i < whole; i++) {
		struct wire_ack ack = in->buf[i];

		wire_ack_swap(&ack);
		if (ack.magic != WIRE_MAGIC || (int32_t)(ack.consumed - in->consumed) <= 0 ||
		    (int32_t)(posted - ack.consumed) < 0)
			return -EPROTO;
		in->consumed = ack.consumed;
		news = true;
	}
	in->pos -= whole * sizeof(in->buf[0]);
	memmove(in->buf, in->buf + whole, in->pos);
	return news;
}

static bool send_rest(struct ack_out *out, int fd)
{
	size_t pos = sizeof(out->buf) - out->left;
	int r = sock_write_some(fd, &out->buf, sizeof(out->buf), &pos);

	out->left = r < 0 ? 0 : sizeof(out->buf) - pos;
	return out->left == 0;
}

void ack_out_flush(struct ack_out *out, int fd)
{
	if (out->left && !send_rest(out, fd))
		return;
	if (!ack_out_due(out))
		return;
	out->buf = (struct wire_ack){ .magic = WIRE_MAGIC, .consumed = out->consumed };
	wire_ack_swap(&out->buf);
	out->left = sizeof(out->buf);
	out->told = out->consumed;
	send_rest(out, fd);
}
