// SPDX-License-Identifier: BSD-3-Clause
/*
 * Numbered datagrams, to see what becomes of each:
 *	udp-probe -l port			receives; a line for each:
 *						number, microseconds under way
 *	udp-probe address port count [gap-us]	sends
 * The receiver ends when the last one has come, or when nothing comes any more: for 2 s (at first
 * 15 s), or 0.5 s after one of the last 20, between which the sender waits 2 ms, so that not all
 * of them are lost.
 * Sender and receiver are on one machine: they share a clock. A socket buffer that is too small
 * shows as "overrun" on stderr and exit 1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct probe {
	uint32_t number;
	uint32_t left; /* how many come after it */
	uint64_t sent_ns;
};

enum { TAIL = 20, TAIL_GAP_US = 2000 };

static void die(const char *what)
{
	fprintf(stderr, "udp-probe: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int receive(uint16_t port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 32 << 20, one = 1;
	uint32_t overrun = 0;
	struct probe p = { .left = UINT32_MAX };

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		die("socket");
	fprintf(stderr, "listening\n");
	for (uint32_t left = UINT32_MAX; left;) {
		char control[CMSG_SPACE(sizeof(uint32_t))];
		struct iovec iov = { &p, sizeof(p) };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		int wait = left == UINT32_MAX ? 60000 : left < TAIL ? 1000 : 4000, n = 0;
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

		/* In parts: a machine that stands still for a while uses up one of them, not all. */
		for (int part = 0; part < 4 && n == 0; part++)
			n = poll(&poll_fd, 1, wait / 4);
		if (n == 0)
			break;
		if (recvmsg(fd, &msg, 0) != sizeof(p))
			die("recvmsg");
		if (p.left < left)
			left = p.left;
		if (CMSG_FIRSTHDR(&msg))
			memcpy(&overrun, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(overrun));
		printf("%u %llu\n", p.number, (unsigned long long)((now_ns() - p.sent_ns) / 1000));
	}
	if (overrun) {
		fprintf(stderr, "overrun: %u datagrams found no room in the socket\n", overrun);
		return 1;
	}
	return 0;
}

static int transmit(const char *peer, uint16_t port, uint32_t count, useconds_t gap)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || inet_pton(AF_INET, peer, &addr.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		die("socket");
	for (uint32_t i = 0; i < count; i++) {
		struct probe p = { .number = i, .left = count - 1 - i, .sent_ns = now_ns() };

		/* Refused was an earlier one: nobody has to listen. */
		if (send(fd, &p, sizeof(p), 0) != sizeof(p) && errno != ECONNREFUSED)
			die("send");
		if (p.left < TAIL)
			usleep(TAIL_GAP_US);
		else if (gap)
			usleep(gap);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "-l"))
		return receive((uint16_t)atoi(argv[2]));
	if (argc == 4 || argc == 5)
		return transmit(argv[1], (uint16_t)atoi(argv[2]), (uint32_t)atoi(argv[3]),
				argc > 4 ? (useconds_t)atoi(argv[4]) : 0);
	fprintf(stderr, "usage: udp-probe -l port | address port count [gap-us]\n");
	return 2;
}
