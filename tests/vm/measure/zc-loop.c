// SPDX-License-Identifier: BSD-3-Clause
/*
 * What sending with MSG_ZEROCOPY costs as a whole, completions included: by the error queue, and by SCM_ZC_NOTIFICATION.
 *	zc-loop tcp|udp <IPv4 or IPv6 address>
 * TCP: an own address, whose receiving end this program reads too, but not in what it counts. UDP: an address behind
 * a device that drops packets (dummy).
 *
 * One round is SENDS sends. After each @limit of them the completions are collected: `old` reads the error queue until it is
 * empty (one read more than there are notifications, as who counts nothing has to), `new` has the first send of the next
 * @limit ask for up to SLOTS ranges. Counted are the system calls of the sender: of each position in the round the median of
 * ROUNDS, summed. A round in which not every send is reported ends the program.
 */
#include <time.h>

#include <linux/errqueue.h>

#include "measure.h"
#include "uapi/series.h"

#define ROUNDS 61
#define SENDS  32
#define SLOTS  16

static uint8_t data[1 << 16], sink[1 << 18];

/* Calls of one round at most: a send each, and with limit 1 a hit and an empty read after each */
#define CALLS (SENDS * 3)

struct loop {
	int tx, rx; /* @rx: -1 if nobody receives */
	size_t len;
	int limit;
	bool in_band;
	uint32_t finished; /* sends reported so far */
	int nr_calls;
	uint64_t calls[CALLS]; /* of this round */
};

static union {
	char buf[CMSG_SPACE(sizeof(struct zc_notification) + SLOTS * sizeof(struct zc_range))];
	struct cmsghdr cmsg;
} control;

static void loop_count(struct loop *l, uint64_t n)
{
	if (l->nr_calls == CALLS)
		die("more than %d calls in a round", CALLS);
	l->calls[l->nr_calls++] = n;
}

static bool loop_errqueue_read(struct loop *l)
{
	char buf[256];
	struct msghdr msg = { .msg_control = buf, .msg_controllen = sizeof(buf) };
	uint64_t start = count_now();
	ssize_t ret = recvmsg(l->tx, &msg, MSG_ERRQUEUE | MSG_DONTWAIT);
	const struct sock_extended_err *ee;
	struct cmsghdr *cmsg;

	loop_count(l, count_now() - start);
	if (ret < 0) {
		if (errno != EAGAIN)
			die("recvmsg(MSG_ERRQUEUE)");
		return false;
	}
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg)
		die("no control message in the error queue");
	ee = (const void *)CMSG_DATA(cmsg);
	l->finished += ee->ee_data - ee->ee_info + 1;
	return true;
}

/* Return: false if this kernel does not know SCM_ZC_NOTIFICATION */
static bool loop_send(struct loop *l, bool ask)
{
	struct zc_notification *zcn = (void *)CMSG_DATA(&control.cmsg);
	struct iovec iov = { .iov_base = data, .iov_len = l->len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	uint64_t start, end;
	ssize_t ret;

	/* Setting this up is part of what asking costs. */
	start = count_now();
	if (ask) {
		control.cmsg.cmsg_level = SOL_SOCKET;
		control.cmsg.cmsg_type = SCM_ZC_NOTIFICATION;
		control.cmsg.cmsg_len = CMSG_LEN(sizeof(*zcn) + SLOTS * sizeof(struct zc_range));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		zcn->state = ZC_NOTIFICATION_ASK;
		zcn->nr = 0;
	}
	ret = sendmsg(l->tx, &msg, MSG_ZEROCOPY | MSG_DONTWAIT);
	end = count_now();
	if (ret < 0 && errno == EINVAL && ask)
		return false;
	if (ret != (ssize_t)l->len)
		die("sendmsg of %zu bytes gave %zd", l->len, ret);
	loop_count(l, end - start);
	if (ask) {
		if (zcn->state != ZC_NOTIFICATION_DONE)
			die("sendmsg gave no answer");
		for (uint32_t i = 0; i < zcn->nr; i++)
			l->finished += zcn->ranges[i].hi - zcn->ranges[i].lo + 1;
	}
	/* An acknowledgement that nothing delays, so the send is finished then. */
	if (l->rx >= 0)
		stream_drain(l->rx, sink, sizeof(sink));
	return true;
}

static bool loop_round(struct loop *l)
{
	l->nr_calls = 0;
	for (int i = 0; i < SENDS; i++) {
		if (!loop_send(l, l->in_band && i % l->limit == 0))
			return false;
		if (!l->in_band && (i + 1) % l->limit == 0)
			while (loop_errqueue_read(l))
				;
	}
	return true;
}

/* Whether all is reported that can be after @round rounds: in-band the last @limit sends of a round wait for the next. A
 * datagram that is dropped within the call is finished when the same call asks, and a send of its own round more.
 */
static bool loop_complete(const struct loop *l, int round)
{
	uint32_t sent = (uint32_t)(round + 1) * SENDS;

	return l->finished == sent ||
	       (l->in_band && l->finished + (uint32_t)l->limit >= sent && l->finished < sent);
}

static void measure(const char *name, int tx, int rx, size_t len, int limit, bool in_band)
{
	static uint64_t calls[CALLS][ROUNDS];
	struct loop l = { .tx = tx, .rx = rx, .len = len, .limit = limit, .in_band = in_band };
	uint64_t total = 0;
	int nr = 0;

	/* The first rounds grow windows and caches. */
	for (int round = -8; round < ROUNDS; round++) {
		if (!loop_round(&l)) {
			printf("%s.%zu.limit%d.new -\n", name, len, limit);
			return;
		}
		if (!loop_complete(&l, round + 8)) {
			fprintf(stderr, "%s %zu: %u of %u sends reported\n", name, len, l.finished,
				(uint32_t)(round + 9) * SENDS);
			exit(EXIT_FAILURE);
		}
		if (round < 0)
			continue;
		if (round > 0 && l.nr_calls != nr) {
			fprintf(stderr, "%s %zu: %d calls in a round, %d in the one before\n", name,
				len, l.nr_calls, nr);
			exit(EXIT_FAILURE);
		}
		nr = l.nr_calls;
		for (int i = 0; i < nr; i++)
			calls[i][round] = l.calls[i];
	}
	for (int i = 0; i < nr; i++)
		total += samples_median(calls[i], ROUNDS);
	printf("%s.%zu.limit%d.%s %lu\n", name, len, limit, in_band ? "new" : "old", total);
}

int main(int argc, char **argv)
{
	/* The largest datagram is what both families can carry. */
	static const size_t sizes[] = { 1024, 4096, 16384, 65536 }, largest = 65487;
	static const int limits[] = { 1, 32 };
	char name[8];
	bool udp;

	if (argc != 3 || (strcmp(argv[1], "tcp") && strcmp(argv[1], "udp"))) {
		fprintf(stderr, "usage: zc-loop tcp|udp address\n");
		return EXIT_FAILURE;
	}
	udp = !strcmp(argv[1], "udp");
	snprintf(name, sizeof(name), "%s%d", argv[1], strchr(argv[2], ':') ? 6 : 4);
	memset(data, 1, sizeof(data));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) * 4; i++) {
		size_t len = sizes[i / 4];
		int limit = limits[i / 2 % 2], tx, rx = -1, one = 1;

		if (udp)
			tx = datagram_make(argv[2], 9);
		else
			stream_make(argv[2], &tx, &rx);
		if (udp && len > largest)
			len = largest;
		if (setsockopt(tx, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
			die("SO_ZEROCOPY");
		measure(name, tx, rx, len, limit, i % 2);
		close(tx);
		if (rx >= 0)
			close(rx);
	}
	return 0;
}
