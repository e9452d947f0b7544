// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a zerocopy notification costs, by SCM_ZC_NOTIFICATION and by the error queue.
 *	zc-cost <IPv4 or IPv6 address to send UDP to>
 * Prints the time stamp counter's difference around one system call, the least of ROUNDS.
 * Under QEMU's instruction clock (-icount shift=0) that is the number of instructions, in
 * the kernel and in the two or three of the call itself.
 *
 * UDP goes to the address given, which should be one behind a device that drops packets at
 * once (dummy): then a send is finished when its call returns. TCP goes over loopback.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <x86intrin.h>

#include "../../../include/uapi/series.h"

#define ROUNDS 400
#define SLOTS  16

static uint8_t data[1 << 16];
static bool supported = true;

static union {
	char buf[CMSG_SPACE(sizeof(struct zc_notification) + SLOTS * sizeof(struct zc_range))];
	struct cmsghdr cmsg;
} control;

/* What is done and timed. */
enum op {
	OP_SEND,     /* sendmsg with control data as @slots says */
	OP_ERRQUEUE, /* recvmsg(MSG_ERRQUEUE) */
	OP_POLL,
};

struct measure {
	const char *name;
	enum op op;
	bool zerocopy;
	int slots;  /* -1: no control data */
	int before; /* zerocopy sends that are finished before it */
	int ranges; /* expected in the answer, -1: any */
};

static void die(const char *what)
{
	fprintf(stderr, "zc-cost: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static struct zc_notification *zcn(void)
{
	return (void *)CMSG_DATA(&control.cmsg);
}

static ssize_t errqueue_read(int fd)
{
	char buf[512];
	struct msghdr msg = { .msg_control = buf, .msg_controllen = sizeof(buf) };

	return recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT);
}

static void discard(int fd)
{
	while (fd >= 0 && recv(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
}

static uint64_t once(const struct measure *m, int tx, int rx, size_t len)
{
	unsigned int stamp = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE, none = 0;
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct pollfd pfd = { .fd = tx };
	int flags = MSG_DONTWAIT | (m->zerocopy ? MSG_ZEROCOPY : 0);
	uint64_t start, end;
	ssize_t ret;

	/* A time stamp between two notifications keeps them apart. */
	if (m->before > 1)
		setsockopt(tx, SOL_SOCKET, SO_TIMESTAMPING, &stamp, sizeof(stamp));
	for (int i = 0; i < m->before; i++) {
		if (send(tx, data, len, MSG_ZEROCOPY) < 0)
			die("send");
		discard(rx);
	}
	if (m->before > 1)
		setsockopt(tx, SOL_SOCKET, SO_TIMESTAMPING, &none, sizeof(none));
	if (m->slots >= 0) {
		size_t size =
			sizeof(struct zc_notification) + (size_t)m->slots * sizeof(struct zc_range);

		control.cmsg.cmsg_level = SOL_SOCKET;
		control.cmsg.cmsg_type = SCM_ZC_NOTIFICATION;
		control.cmsg.cmsg_len = CMSG_LEN(size);
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(size);
		zcn()->state = ZC_NOTIFICATION_ASK;
		zcn()->nr = 0;
	}

	start = __rdtsc();
	switch (m->op) {
	case OP_SEND:
		ret = sendmsg(tx, &msg, flags);
		break;
	case OP_ERRQUEUE:
		ret = errqueue_read(tx);
		break;
	default:
		ret = poll(&pfd, 1, 0);
		break;
	}
	end = __rdtsc();

	if (m->op == OP_SEND && ret < 0) {
		if (errno != EINVAL || m->slots < 0)
			die("sendmsg");
		supported = false;
		return 0;
	}
	if (m->slots >= 0 && (zcn()->state != ZC_NOTIFICATION_DONE ||
			      (m->ranges >= 0 && (int)zcn()->nr != m->ranges))) {
		fprintf(stderr, "zc-cost: %s: %u ranges, expected %d\n", m->name, zcn()->nr,
			m->ranges);
		exit(EXIT_FAILURE);
	}
	discard(rx);
	while (errqueue_read(tx) >= 0)
		;
	return end - start;
}

static uint64_t least(const struct measure *m, int tx, int rx, size_t len)
{
	uint64_t min = UINT64_MAX;

	for (int i = 0; i < ROUNDS && supported; i++) {
		uint64_t now = once(m, tx, rx, len);

		if (now < min)
			min = now;
	}
	return min;
}

static void measure_all(const char *protocol, int tx, int rx, size_t len)
{
	const struct measure plan[] = {
		{ "send", OP_SEND, false, -1, 0, 0 },
		{ "send, ask 1, none finished", OP_SEND, false, 1, 0, 0 },
		{ "send, ask 16, none finished", OP_SEND, false, 16, 0, 0 },
		{ "send, ask 1, one finished", OP_SEND, false, 1, 1, 1 },
		{ "send, ask 16, one finished", OP_SEND, false, 16, 1, 1 },
		{ "send, ask 16, 16 ranges", OP_SEND, false, 16, 16, 16 },
		{ "zerocopy send", OP_SEND, true, -1, 0, 0 },
		{ "zerocopy send, ask 1, its own", OP_SEND, true, 1, 0, 1 },
		{ "zerocopy send, ask 16, its own", OP_SEND, true, 16, 0, 1 },
		{ "error queue, one", OP_ERRQUEUE, false, -1, 1, 0 },
		{ "error queue, empty", OP_ERRQUEUE, false, -1, 0, 0 },
		{ "poll", OP_POLL, false, -1, 1, 0 },
	};
	uint64_t first = 0;

	for (size_t i = 0; i < sizeof(plan) / sizeof(plan[0]); i++) {
		const struct measure *m = &plan[i];
		uint64_t n;

		/* With a stream, timestamps do not come in the order of sending, and a
		 * send has not finished when its call returns.
		 */
		if (rx >= 0 && (m->before > 1 || (m->zerocopy && m->slots >= 0)))
			continue;
		supported = true;
		n = least(m, tx, rx, len);
		if (!supported) {
			printf("%s %zu: %-32s -\n", protocol, len, m->name);
			continue;
		}
		if (m->op == OP_SEND && m->slots < 0)
			first = n;
		if (m->op == OP_SEND && m->slots >= 0)
			printf("%s %zu: %-32s %6lu  +%ld\n", protocol, len, m->name, n,
			       (long)(n - first));
		else
			printf("%s %zu: %-32s %6lu\n", protocol, len, m->name, n);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(9) };
	struct sockaddr_in lo = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t lolen = sizeof(lo);
	struct sockaddr *sa = (void *)&v4;
	socklen_t salen = sizeof(v4);
	int one = 1, listener, tx, rx;

	if (argc != 2) {
		fprintf(stderr, "usage: zc-cost address\n");
		return EXIT_FAILURE;
	}
	if (inet_pton(AF_INET, argv[1], &v4.sin_addr) != 1) {
		if (inet_pton(AF_INET6, argv[1], &v6.sin6_addr) != 1)
			die("address");
		sa = (void *)&v6;
		salen = sizeof(v6);
	}
	tx = socket(sa->sa_family, SOCK_DGRAM, 0);
	if (tx < 0 || connect(tx, sa, salen) ||
	    setsockopt(tx, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		die("UDP socket");
	measure_all("udp", tx, -1, 1024);
	close(tx);

	listener = socket(AF_INET, SOCK_STREAM, 0);
	tx = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || tx < 0 || bind(listener, (void *)&lo, lolen) || listen(listener, 1) ||
	    getsockname(listener, (void *)&lo, &lolen) || connect(tx, (void *)&lo, lolen) ||
	    setsockopt(tx, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		die("TCP connection");
	setsockopt(tx, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one));
	rx = accept(listener, NULL, NULL);
	if (rx < 0)
		die("accept");
	measure_all("tcp", tx, rx, 1024);
	return 0;
}
