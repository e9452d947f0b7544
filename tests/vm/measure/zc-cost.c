// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a zerocopy notification costs, by SCM_ZC_NOTIFICATION and by the error queue: single system calls.
 *	zc-cost tcp|udp <IPv4 or IPv6 address>
 * TCP: an own address. UDP: an address behind a device that drops packets at once (dummy): then a send is finished when its
 * call returns. Of each the least of ROUNDS.
 */
#include <time.h>

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <poll.h>

#include "measure.h"
#include "uapi/series.h"

#define ROUNDS 400
#define SLOTS  16
#define LEN    1024

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
	if (fd >= 0)
		stream_drain(fd, data, sizeof(data));
}

static uint64_t once(const struct measure *m, int tx, int rx)
{
	unsigned int stamp = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE, none = 0;
	struct iovec iov = { .iov_base = data, .iov_len = LEN };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct pollfd pfd = { .fd = tx };
	int flags = MSG_DONTWAIT | (m->zerocopy ? MSG_ZEROCOPY : 0);
	uint64_t start, end;
	ssize_t ret;

	/* A time stamp between two notifications keeps them apart. */
	if (m->before > 1)
		setsockopt(tx, SOL_SOCKET, SO_TIMESTAMPING, &stamp, sizeof(stamp));
	for (int i = 0; i < m->before; i++) {
		if (send(tx, data, LEN, MSG_ZEROCOPY) < 0)
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

	start = count_now();
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
	end = count_now();

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

static void measure(const char *protocol, const struct measure *m, int tx, int rx)
{
	uint64_t samples[ROUNDS];

	supported = true;
	for (int i = 0; i < ROUNDS && supported; i++)
		samples[i] = once(m, tx, rx);
	if (supported)
		printf("%s.%s %lu\n", protocol, m->name, samples_least(samples, ROUNDS));
	else
		printf("%s.%s -\n", protocol, m->name);
}

int main(int argc, char **argv)
{
	static const struct measure plan[] = {
		{ "send", OP_SEND, false, -1, 0, 0 },
		{ "send.ask1.ranges0", OP_SEND, false, 1, 0, 0 },
		{ "send.ask16.ranges0", OP_SEND, false, SLOTS, 0, 0 },
		{ "send.ask1.ranges1", OP_SEND, false, 1, 1, 1 },
		{ "send.ask16.ranges1", OP_SEND, false, SLOTS, 1, 1 },
		{ "send.ask16.ranges2", OP_SEND, false, SLOTS, 2, 2 },
		{ "send.ask16.ranges4", OP_SEND, false, SLOTS, 4, 4 },
		{ "send.ask16.ranges16", OP_SEND, false, SLOTS, 16, 16 },
		{ "zcsend", OP_SEND, true, -1, 0, 0 },
		{ "zcsend.ask1.own", OP_SEND, true, 1, 0, 1 },
		{ "zcsend.ask16.own", OP_SEND, true, SLOTS, 0, 1 },
		{ "errqueue.hit", OP_ERRQUEUE, false, -1, 1, 0 },
		{ "errqueue.empty", OP_ERRQUEUE, false, -1, 0, 0 },
		{ "poll", OP_POLL, false, -1, 1, 0 },
	};
	int tx, rx = -1, one = 1;
	char name[8];

	if (argc != 3 || (strcmp(argv[1], "tcp") && strcmp(argv[1], "udp"))) {
		fprintf(stderr, "usage: zc-cost tcp|udp address\n");
		return EXIT_FAILURE;
	}
	snprintf(name, sizeof(name), "%s%d", argv[1], strchr(argv[2], ':') ? 6 : 4);
	if (!strcmp(argv[1], "udp"))
		tx = datagram_make(argv[2], 9);
	else
		stream_make(argv[2], &tx, &rx);
	if (setsockopt(tx, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		die("SO_ZEROCOPY");
	for (size_t i = 0; i < sizeof(plan) / sizeof(plan[0]); i++) {
		/* With a stream, timestamps do not come in the order of sending, and a send has not
		 * finished when its call returns.
		 */
		if (rx >= 0 && (plan[i].before > 1 || (plan[i].zerocopy && plan[i].slots >= 0)))
			continue;
		measure(name, &plan[i], tx, rx);
	}
	return 0;
}
