// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a send and a receive cost that use none of the series' features.
 *	plain-cost <own IPv4 or IPv6 address> <address to send UDP to>
 * The second address should be behind a device that drops packets at once (dummy): then a send is a send alone. TCP and
 * what UDP receives go over loopback, where a TCP send contains the receiver's part up to its queue.
 */
#include "measure.h"

#define ROUNDS 400

static uint8_t data[1 << 16];
static uint8_t control[512] __attribute__((aligned(8)));

/* The bytes of a send. The largest datagram is what both families can carry. */
static const size_t stream_sizes[] = { 1, 1024, 16384, 65536 };
static const size_t datagram_sizes[] = { 1, 1024, 16384, 65487 };

enum op {
	OP_SEND,
	OP_SENDMSG,
	OP_SENDMSG_CONTROL, /* with a control message that any socket knows */
	OP_RECV,
	OP_RECVMSG,
	OP_RECVMSG_CONTROL, /* with room for control data, without MSG_SOCK_DEVMEM */
	NR_OPS,
};

static const char *const op_names[] = { "send", "sendmsg", "sendmsg-control",
					"recv", "recvmsg", "recvmsg-control" };

static bool op_sends(enum op op)
{
	return op < OP_RECV;
}

/* Return: the instructions of one call, which must move all of @len */
static uint64_t op_once(enum op op, int fd, size_t len)
{
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	uint64_t start, end;
	ssize_t ret;

	if (op == OP_SENDMSG_CONTROL) {
		struct cmsghdr *cmsg = (void *)control;

		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SO_PRIORITY;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memset(CMSG_DATA(cmsg), 0, sizeof(int));
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int));
	} else if (op == OP_RECVMSG_CONTROL) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
	}
	start = count_now();
	switch (op) {
	case OP_SEND:
		ret = send(fd, data, len, MSG_DONTWAIT);
		break;
	case OP_SENDMSG:
	case OP_SENDMSG_CONTROL:
		ret = sendmsg(fd, &msg, MSG_DONTWAIT);
		break;
	case OP_RECV:
		ret = recv(fd, data, len, MSG_DONTWAIT);
		break;
	default:
		ret = recvmsg(fd, &msg, MSG_DONTWAIT);
		break;
	}
	end = count_now();
	if (ret != (ssize_t)len)
		die("%s of %zu bytes gave %zd", op_names[op], len, ret);
	return end - start;
}

/* @rx: -1 if nobody receives */
static void measure(const char *name, enum op op, int tx, int rx, size_t len)
{
	uint64_t samples[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		if (op_sends(op)) {
			samples[i] = op_once(op, tx, len);
		} else {
			op_once(OP_SEND, tx, len);
			samples[i] = op_once(op, rx, len);
		}
		if (rx >= 0)
			stream_drain(rx, data, sizeof(data));
	}
	printf("%s.%s.%zu %lu\n", name, op_names[op], len, samples_least(samples, ROUNDS));
}

int main(int argc, char **argv)
{
	struct sockaddr_storage ss;
	int tx, rx, drop, big = 1 << 20;
	socklen_t len;
	char name[8];
	bool v6;

	if (argc != 3) {
		fprintf(stderr, "usage: plain-cost own-address udp-address\n");
		return EXIT_FAILURE;
	}
	v6 = strchr(argv[1], ':');

	stream_make(argv[1], &tx, &rx);
	snprintf(name, sizeof(name), "tcp%d", v6 ? 6 : 4);
	for (int op = 0; op < NR_OPS; op++)
		for (size_t i = 0; i < sizeof(stream_sizes) / sizeof(stream_sizes[0]); i++)
			measure(name, op, tx, rx, stream_sizes[i]);
	close(tx);
	close(rx);

	drop = datagram_make(argv[2], 9);
	len = address_parse(&ss, argv[1], 5001);
	rx = socket(ss.ss_family, SOCK_DGRAM, 0);
	if (rx < 0 || bind(rx, (void *)&ss, len) ||
	    setsockopt(rx, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big)))
		die("UDP on %s", argv[1]);
	tx = datagram_make(argv[1], 5001);
	snprintf(name, sizeof(name), "udp%d", v6 ? 6 : 4);
	for (int op = 0; op < NR_OPS; op++) {
		for (size_t i = 0; i < sizeof(datagram_sizes) / sizeof(datagram_sizes[0]); i++) {
			if (op_sends(op))
				measure(name, op, drop, -1, datagram_sizes[i]);
			else
				measure(name, op, tx, rx, datagram_sizes[i]);
		}
	}
	return 0;
}
