// SPDX-License-Identifier: BSD-3-Clause
/*
 * Zerocopy notifications from sendmsg when their answer cannot be written, their request cannot be
 * believed, the send would block, or signals rain: for test-fault-notify.
 *
 * Each send is told once, by the control message or by the error queue, and by the one where it
 * was left if the other could not. Needs no device but lo and a veth without a peer.
 *
 * Exit: 0, 1, 77 where the kernel lacks it.
 */
#include <time.h> /* before the next one, which needs it */
#include <linux/errqueue.h>
#include <sys/time.h>

#include "fault.h"
#include "storm.h"

enum { SLOTS = 16, PAYLOAD = 16 << 10, SENDS_MAX = 4096, STORM_SENDS = 300 };

#define ZCN_LEN(slots) (sizeof(struct zc_notification) + (slots) * sizeof(struct zc_range))

/* A socket with zerocopy, and what of its sends has been told. */
static struct ends {
	int tx, rx;
	uint32_t sends, told;
	uint8_t seen[SENDS_MAX];
} e;

static uint8_t *mem; /* two pages, the one behind is not there */
static long page;
static uint8_t data[1 << 20];

static void ends_open(int type)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;
	socklen_t len = sizeof(addr);

	memset(&e, 0, sizeof(e));
	e.tx = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	check(fd >= 0 && !bind(fd, (void *)&addr, len) && (type == SOCK_DGRAM || !listen(fd, 1)) &&
		      !getsockname(fd, (void *)&addr, &len) && !connect(e.tx, (void *)&addr, len) &&
		      !setsockopt(e.tx, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)),
	      "sockets");
	e.rx = type == SOCK_DGRAM ? fd : accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	if (type == SOCK_STREAM)
		close(fd);
	mem = mmap(NULL, 3 * (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	check(mem != MAP_FAILED && !munmap(mem + 2 * page, (size_t)page), "pages");
}

static void told(uint32_t lo, uint32_t hi)
{
	for (uint32_t id = lo;; id++) {
		check(id < e.sends, "send %u was told, there were %u", id, e.sends);
		check(!e.seen[id]++, "send %u was told twice", id);
		e.told++;
		if (id == hi)
			break;
	}
}

/* Return: whether there was one */
static bool errqueue_read(void)
{
	uint8_t control[256];
	struct msghdr msg = { .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *cm;

	if (recvmsg(e.tx, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
		check(errno == EAGAIN, "error queue");
		return false;
	}
	for (cm = CMSG_FIRSTHDR(&msg); cm; cm = CMSG_NXTHDR(&msg, cm)) {
		struct sock_extended_err see;

		memcpy(&see, CMSG_DATA(cm), sizeof(see));
		check(see.ee_origin == SO_EE_ORIGIN_ZEROCOPY && !see.ee_errno, "entry");
		told(see.ee_info, see.ee_data);
	}
	return true;
}

/* Return: length of the request at @at, which need not be aligned */
static size_t ask_put(void *at, unsigned int slots)
{
	struct cmsghdr cm = { .cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_ZC_NOTIFICATION,
			      .cmsg_len = CMSG_LEN(ZCN_LEN(slots)) };
	struct zc_notification zcn = { .state = ZC_NOTIFICATION_ASK };

	memset(at, 0, cm.cmsg_len);
	memcpy(at, &cm, sizeof(cm));
	memcpy((uint8_t *)at + CMSG_LEN(0), &zcn, sizeof(zcn));
	return cm.cmsg_len;
}

/* Return: ranges at @at, -1 if it was not answered */
static int answer_take(const void *at)
{
	const uint8_t *payload = (const uint8_t *)at + CMSG_LEN(0);
	struct zc_notification zcn;
	struct zc_range range;

	memcpy(&zcn, payload, sizeof(zcn));
	if (zcn.state != ZC_NOTIFICATION_DONE) {
		check(zcn.state == ZC_NOTIFICATION_ASK, "state %x", zcn.state);
		return -1;
	}
	for (uint32_t i = 0; i < zcn.nr; i++) {
		memcpy(&range, payload + ZCN_LEN(i), sizeof(range));
		told(range.lo, range.hi);
	}
	return (int)zcn.nr;
}

/* Return: bytes or negative errno */
static ssize_t send_from(void *from, void *control, size_t controllen, size_t len, int flags)
{
	struct iovec iov = { from, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = controllen };
	ssize_t n = sendmsg(e.tx, &msg, flags | MSG_NOSIGNAL);

	if (n < 0)
		return -errno;
	if (n > 0 && (flags & MSG_ZEROCOPY))
		e.sends++;
	return n;
}

static ssize_t send_with(void *control, size_t controllen, size_t len, int flags)
{
	return send_from(data, control, controllen, len, flags);
}

static void drain(void)
{
	static uint8_t sink[1 << 20];

	while (recv(e.rx, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

static void pollerr_wait(void)
{
	struct pollfd p = { .fd = e.tx };

	check(poll(&p, 1, 60000) == 1, "no notification within 60 s");
}

/* Three sends whose notifications are in the error queue, in one range. */
static void three_finished(void)
{
	for (int i = 0; i < 3; i++)
		check(send_with(NULL, 0, 4096, MSG_ZEROCOPY) == 4096, "send");
	drain();
	pollerr_wait();
	/* all of it, not the first alone */
	usleep(20000);
}

static void ends_close(void)
{
	int64_t end = now_ms() + 60000;

	drain();
	while (e.told < e.sends && now_ms() < end)
		if (!errqueue_read())
			usleep(1000);
	check(e.told == e.sends, "%u sends, %u were told", e.sends, e.told);
	check(!errqueue_read(), "more than there was");
	close(e.tx);
	close(e.rx);
	munmap(mem, 2 * (size_t)page);
}

static const int types[] = { SOCK_STREAM, SOCK_DGRAM };

/* The first of two pages ends @before bytes after the request begins. One of them cannot be
 * written to; the send takes place all the same, and all stays in the error queue.
 */
static void answer_faults(int type, size_t before, bool first, bool errqueue)
{
	uint8_t *at;
	size_t len;

	ends_open(type);
	three_finished();
	at = mem + page - before;
	len = ask_put(at, SLOTS);
	mprotect(first ? mem : mem + page, (size_t)page, PROT_READ);
	check(send_with(at, len, 4096, MSG_ZEROCOPY) == 4096, "the send itself");
	check(answer_take(at) == -1 && e.told == 0, "answered where it cannot be");
	drain();
	pollerr_wait();
	if (errqueue) {
		check(errqueue_read() && e.told >= 3, "%u told by the error queue", e.told);
	} else {
		mprotect(mem, 2 * (size_t)page, PROT_READ | PROT_WRITE);
		len = ask_put(at, SLOTS);
		check(send_with(at, len, 4096, MSG_ZEROCOPY) == 4096 && answer_take(at) > 0 &&
			      e.told >= 3,
		      "%u told when asked again", e.told);
	}
	ends_close();
}

static void copy_out(void)
{
	/* in the header, in the state, between, in nr, in the first and in the second range */
	static const size_t at[] = { 4, 8, 12, 16, 18, 20, 22, 24, 26, 28, 30, 34, 36, 40 };

	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++)
		for (int type = 0; type < 2; type++)
			for (int second = 0; second < 2; second++) {
				/* nothing is written to the header, so there only the other */
				if (second ? at[i] >= 36 : at[i] <= 16)
					continue;
				answer_faults(types[type], at[i], !second, i & 1);
			}
}

/* The request can be read only in part: no send. */
static void copy_in(void)
{
	for (int type = 0; type < 2; type++) {
		ends_open(types[type]);
		three_finished();
		for (size_t in = 0; in < 40; in += 4) {
			uint8_t whole[512];
			size_t len = ask_put(whole, SLOTS);

			memcpy(mem + 2 * page - in, whole, in);
			check(send_with(mem + 2 * page - in, len, 4096, MSG_ZEROCOPY) == -EFAULT,
			      "%zu bytes of a request", in);
		}
		ends_close();
	}
}

static void refused(const char *what, void *control, size_t len, int want)
{
	uint8_t before[1024];
	ssize_t have;

	memcpy(before, control, sizeof(before));
	have = send_with(control, len, 4096, MSG_ZEROCOPY);
	check(have == want, "%s: %zd, expected %d", what, have, want);
	check(!memcmp(before, control, sizeof(before)), "%s: was written to", what);
}

static struct cmsghdr *cmsg_put(void *at, int type)
{
	struct cmsghdr *cm = at;

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = type;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memset(CMSG_DATA(cm), 0, sizeof(int));
	return cm;
}

/* Lengths that lie, several, in another order, states that are none: refused as a whole, or
 * answered, and nothing is lost.
 */
static void requests(void)
{
	struct cmsghdr *cm;
	struct zc_notification *zcn;
	size_t len;

	for (int type = 0; type < 2; type++) {
		ends_open(types[type]);
		three_finished();
		cm = (struct cmsghdr *)mem;
		zcn = (void *)CMSG_DATA(cm);
		for (size_t n = 0; n < sizeof(*zcn); n++) {
			ask_put(mem, SLOTS);
			cm->cmsg_len = CMSG_LEN(n);
			refused("too short", mem, CMSG_LEN(n), -EINVAL);
		}
		for (size_t n = 0; n < CMSG_LEN(0); n++) {
			ask_put(mem, SLOTS);
			cm->cmsg_len = n;
			refused("shorter than a header", mem, 512, -EINVAL);
		}
		len = ask_put(mem, SLOTS);
		refused("longer than the buffer, by one", mem, len - 1, -EINVAL);
		cm->cmsg_len = SIZE_MAX;
		refused("as long as can be", mem, len, -EINVAL);
		cm->cmsg_len = ((size_t)1 << 32) + len;
		refused("4 GiB longer", mem, len, -EINVAL);
		for (uint32_t i = 0; i < 4; i++) {
			static const uint32_t states[] = { 0, ZC_NOTIFICATION_DONE, UINT32_MAX,
							   ZC_NOTIFICATION_ASK + 1 };
			len = ask_put(mem, SLOTS);
			zcn->state = states[i];
			refused("state", mem, len, -EINVAL);
		}
		len = ask_put(mem, SLOTS);
		zcn->nr = 1;
		refused("nr", mem, len, -EINVAL);
		len = ask_put(mem, 2);
		len = CMSG_ALIGN(len) + ask_put(mem + CMSG_ALIGN(len), 2);
		refused("two", mem, len, -EINVAL);
		check(e.told == 0, "told by what was refused");

		/* The send fails for a message of another kind: as with any error of the send
		 * itself it was asked and is answered.
		 */
		len = ask_put(mem, 2);
		cmsg_put(mem + CMSG_ALIGN(len), 0x7abc);
		check(send_with(mem, CMSG_ALIGN(len) + CMSG_SPACE(sizeof(int)), 4096,
				MSG_ZEROCOPY) == -EINVAL &&
			      answer_take(mem) > 0 && e.told == 3,
		      "beside one that nobody knows");
		cmsg_put(mem, 0x7abc);
		len = CMSG_SPACE(sizeof(int)) + ask_put(mem + CMSG_SPACE(sizeof(int)), 2);
		check(send_with(mem, len, 4096, MSG_ZEROCOPY) == -EINVAL &&
			      answer_take(mem + CMSG_SPACE(sizeof(int))) == 0,
		      "behind one that nobody knows");

		/* a header alone, behind it, ends the list: answered */
		len = ask_put(mem, 2);
		check(send_with(mem, len + 8, 4096, MSG_ZEROCOPY) == 4096 && answer_take(mem) >= 0,
		      "with less than a header behind it");
		/* room for no range and a byte less than for two */
		len = ask_put(mem, 0);
		check(send_with(mem, len, 4096, MSG_ZEROCOPY) == 4096 && answer_take(mem) == 0,
		      "no room");
		drain();
		pollerr_wait();
		len = ask_put(mem, 2);
		cm->cmsg_len = len - 1;
		check(send_with(mem, len, 4096, MSG_ZEROCOPY) == 4096 && answer_take(mem) == 1,
		      "room for almost two");
		ends_close();

		/* without SO_ZEROCOPY */
		ends_open(types[type]);
		setsockopt(e.tx, SOL_SOCKET, SO_ZEROCOPY, &(int){ 0 }, sizeof(int));
		len = ask_put(mem, SLOTS);
		refused("no SO_ZEROCOPY", mem, len, -EOPNOTSUPP);
		ends_close();
	}
}

/* A stream that is full, and a receiver that has gone */
static void stream_full(void)
{
	ssize_t n;
	size_t len;

	ends_open(SOCK_STREAM);
	three_finished();
	do {
		n = send_with(NULL, 0, sizeof(data), MSG_DONTWAIT);
	} while (n > 0);
	check(n == -EAGAIN, "full");
	len = ask_put(mem, SLOTS);
	check(send_with(mem, len, PAYLOAD, MSG_DONTWAIT | MSG_ZEROCOPY) == -EAGAIN &&
		      answer_take(mem) > 0 && e.told == 3,
	      "EAGAIN with %u of 3 told", e.told);
	len = ask_put(mem, SLOTS);
	check(send_with(mem, len, PAYLOAD, MSG_DONTWAIT | MSG_ZEROCOPY) == -EAGAIN &&
		      answer_take(mem) == 0,
	      "EAGAIN again");
	drain();
	ends_close();

	ends_open(SOCK_STREAM);
	three_finished();
	shutdown(e.tx, SHUT_WR);
	len = ask_put(mem, SLOTS);
	check(send_with(mem, len, PAYLOAD, MSG_ZEROCOPY) == -EPIPE && answer_take(mem) > 0 &&
		      e.told == 3,
	      "EPIPE with %u of 3 told", e.told);
	ends_close();
}

/* Datagrams to where nobody answers ARP stay with the neighbour, and fill the socket. */
static void datagrams_full(void)
{
	struct sockaddr_in there = { .sin_family = AF_INET, .sin_port = htons(9) }, here;
	socklen_t here_len = sizeof(here);
	int small = 1, tries;
	ssize_t n;
	size_t len;

	ends_open(SOCK_DGRAM);
	three_finished();
	inet_pton(AF_INET, "192.0.2.2", &there.sin_addr);
	check(!getpeername(e.tx, (void *)&here, &here_len), "getpeername");
	check(!connect(e.tx, (void *)&(struct sockaddr_in){ .sin_family = AF_UNSPEC },
		       sizeof(there)) &&
		      !connect(e.tx, (void *)&there, sizeof(there)),
	      "connect to nobody");
	setsockopt(e.tx, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (tries = 0, n = 1; n > 0 && tries < 64; tries++)
		n = send_with(NULL, 0, 1400, MSG_DONTWAIT | MSG_ZEROCOPY);
	check(n == -EAGAIN, "EAGAIN after %d datagrams: %zd", tries, n);
	len = ask_put(mem, SLOTS);
	check(send_with(mem, len, 1400, MSG_DONTWAIT | MSG_ZEROCOPY) == -EAGAIN &&
		      answer_take(mem) > 0 && e.told == 3,
	      "EAGAIN with %u of 3 told", e.told);
	len = ask_put(mem, SLOTS);
	check(send_with(mem, len, 1400, MSG_DONTWAIT) == -EAGAIN && answer_take(mem) == 0,
	      "EAGAIN again");
	/* the neighbour gives up, and with it go the packets */
	ends_close();
}

/* Reads slowly, checks each byte, ends at the end of the stream. */
static void reader_run(int fd)
{
	static uint8_t sink[1 << 16];
	uint64_t got = 0;
	ssize_t n;

	while ((n = recv(fd, sink, sizeof(sink), 0)) > 0) {
		pattern_check(sink, 0, got, (size_t)n);
		got += (uint64_t)n;
		usleep(300);
	}
	_exit(n ? EXIT_WRONG : 0);
}

/* Blocking sends that signals interrupt, with and without SA_RESTART; a send that is made again
 * inside the kernel may not lose what it would have been told.
 */
static void storm(int restart, bool timeout)
{
	struct timeval tv = { .tv_sec = 20 };
	unsigned int interrupted = 0, unanswered = 0, by_ask = 0;
	/* all of the stream: nothing is written again while the kernel may look at it */
	static uint8_t stream[STORM_SENDS * 2 * PAYLOAD];
	unsigned int signals;
	struct storm s;
	size_t sent = 0;
	int status;
	pid_t pid;

	pattern_fill(stream, 0, 0, sizeof(stream));
	ends_open(SOCK_STREAM);
	setsockopt(e.tx, SOL_SOCKET, SO_SNDBUF, &(int){ 64 << 10 }, sizeof(int));
	/* with a timeout calls are never restarted */
	if (timeout)
		setsockopt(e.tx, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	fflush(stdout);
	pid = fork();
	if (!pid) {
		close(e.tx);
		reader_run(e.rx);
	}
	close(e.rx);
	e.rx = -1;
	storm_begin(&s, restart, 300);
	while (e.sends < STORM_SENDS) {
		size_t len = ask_put(mem, SLOTS);
		int ranges;
		ssize_t n;

		n = send_from(stream + sent, mem, len, 2 * PAYLOAD, MSG_ZEROCOPY);
		check(n > 0 || n == -EINTR, "send: %zd", n);
		ranges = answer_take(mem);
		interrupted += n < 0;
		unanswered += ranges < 0;
		by_ask += ranges > 0;
		check(n < 0 || ranges >= 0, "a send that took place was not answered");
		if (n > 0)
			sent += (size_t)n;
	}
	signals = storm_end(&s);
	shutdown(e.tx, SHUT_WR);
	check(waitpid(pid, &status, 0) == pid && status == 0, "reader: %x", status);
	printf(" %u sends, %u signals, %u EINTR, %u unanswered, %u answers with ranges;", e.sends,
	       signals, interrupted, unanswered, by_ask);
	check(signals > 20 && by_ask > 0, "no storm");
	check(restart || interrupted, "never interrupted");
	check(!(restart && !timeout) || interrupted == 0, "EINTR with SA_RESTART");
	ends_close();
}

static void storms(void)
{
	storm(SA_RESTART, false);
	storm(0, false);
	storm(SA_RESTART, true);
}

static void probe(void)
{
	struct {
		struct cmsghdr cm;
		uint8_t payload[ZCN_LEN(1)];
	} ask;
	struct iovec iov = { "", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ask };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one));
	msg.msg_controllen = ask_put(&ask, 1);
	sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
	if (answer_take(&ask) < 0) {
		printf("skip: this kernel has no SCM_ZC_NOTIFICATION\n");
		exit(EXIT_SKIP);
	}
}

int main(void)
{
	static const struct fault_case cases[] = {
		{ "answer that cannot be written", copy_out },
		{ "request that cannot be read", copy_in },
		{ "requests that are wrong", requests },
		{ "EAGAIN and EPIPE of a stream", stream_full },
		{ "EAGAIN of datagrams", datagrams_full },
		{ "signals", storms },
	};

	page = sysconf(_SC_PAGESIZE);
	probe();
	return cases_run(cases, sizeof(cases) / sizeof(*cases));
}
