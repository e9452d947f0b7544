/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For the fault-* programs: both ends of a connection between the sdm of the namespaces a and b
 * in one process, so that each step can be looked at before the next one; and what the kernel
 * still holds after it.
 *
 * What goes wrong ends the program by die(): exit 1.
 */
#ifndef SERIES_FAULT_H
#define SERIES_FAULT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/wait.h>
#include <time.h>

#include "endpoint.h"

enum {
	FAULT_PORT = 5000,
	FAULT_QUEUE = 3,
	FAULT_FRAGS = 4096,
	FAULT_CONTROL = 64 << 10,
	/* More than any socket here has had: ids are given out lowest first. */
	FAULT_TOKENS_END = 8192,
	FAULT_ETOOSMALL = 525,
};

#define check(cond, ...)                  \
	do {                              \
		if (!(cond))              \
			die(__VA_ARGS__); \
	} while (0)

struct fault_case {
	const char *name;
	void (*run)(void);
};

/* One line a case, so that the one that failed is known. Return: exit status */
static inline int cases_run(const struct fault_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		printf("%s ...", cases[i].name);
		fflush(stdout);
		cases[i].run();
		printf(" ok\n");
	}
	return 0;
}

static inline void netns_enter(const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die("namespace %s", name);
	close(fd);
}

static inline int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Two ends of a connection: rx in namespace a, tx in b. */
struct conn {
	int rx, tx;
	uint64_t sent, got; /* where each end is in the stream */
};

static inline void conn_open(struct conn *c)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(FAULT_PORT) };
	int listener, one = 1;

	*c = (struct conn){ 0 };
	inet_pton(AF_INET, "10.9.0.1", &addr.sin_addr);
	netns_enter("a");
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(listener, (void *)&addr, sizeof(addr)) || listen(listener, 1))
		die("listen");
	netns_enter("b");
	c->tx = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->tx < 0 || connect(c->tx, (void *)&addr, sizeof(addr)))
		die("connect");
	setsockopt(c->tx, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->rx = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (c->rx < 0)
		die("accept");
	close(listener);
	netns_enter("a");
}

static inline void conn_close(struct conn *c)
{
	close(c->tx);
	close(c->rx);
}

/* Plain data, of the pattern; the socket has to have room for all of it. */
static inline void conn_send(struct conn *c, size_t len)
{
	static uint8_t data[64 << 10];

	for (size_t n; len; len -= n) {
		n = len < sizeof(data) ? len : sizeof(data);
		pattern_fill(data, 0, c->sent, n);
		check(send(c->tx, data, n, MSG_DONTWAIT) == (ssize_t)n, "send");
		c->sent += n;
	}
}

static inline void readable_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, 60000) != 1)
		die("no data within 60 s");
}

/* Until all that the other end has sent has come, so that one call finds it. */
static inline void conn_arrived(const struct conn *c)
{
	int64_t end = now_ms() + 60000;
	int len = 0;

	while (!ioctl(c->rx, FIONREAD, &len) && (uint64_t)len < c->sent - c->got) {
		check(now_ms() < end, "%d of %" PRIu64 " bytes came", len, c->sent - c->got);
		usleep(500);
	}
}

struct frag {
	uint64_t at;	 /* in the stream */
	uint64_t offset; /* in the dmabuf */
	uint32_t size, token, dmabuf_id;
};

/* What the application holds, in the order it came. */
struct ledger {
	struct frag frags[FAULT_FRAGS];
	size_t n;
};

static inline void ledger_take(struct ledger *l, struct conn *c, struct msghdr *msg, size_t len)
{
	struct cmsghdr *cm;
	size_t sum = 0;

	check(!(msg->msg_flags & MSG_CTRUNC), "control data cut off");
	for (cm = CMSG_FIRSTHDR(msg); cm; cm = CMSG_NXTHDR(msg, cm)) {
		struct dmabuf_cmsg f;

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type == SCM_DEVMEM_DONTNEED)
			continue;
		check(cm->cmsg_type == SCM_DEVMEM_DMABUF && cm->cmsg_len == CMSG_LEN(sizeof(f)),
		      "control message of type %d, %zu bytes", cm->cmsg_type, (size_t)cm->cmsg_len);
		memcpy(&f, CMSG_DATA(cm), sizeof(f));
		check(l->n < FAULT_FRAGS && f.frag_token < FAULT_TOKENS_END, "too many frags");
		l->frags[l->n++] = (struct frag){ c->got + sum, f.frag_offset, f.frag_size,
						  f.frag_token, f.dmabuf_id };
		sum += f.frag_size;
	}
	check(sum == len, "%zu bytes received, %zu accounted for", len, sum);
	c->got += len;
}

/* One receive into the ledger. Return: bytes, or negative errno */
static inline ssize_t conn_recv(struct conn *c, struct ledger *l, size_t len, int flags)
{
	static _Alignas(struct cmsghdr) uint8_t control[FAULT_CONTROL];
	static uint8_t linear[1 << 20];
	struct iovec iov = { linear, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(c->rx, &msg, flags | MSG_SOCK_DEVMEM);

	if (n < 0)
		return -errno;
	ledger_take(l, c, &msg, (size_t)n);
	return n;
}

/* All that has been sent */
static inline void conn_recv_all(struct conn *c, struct ledger *l)
{
	while (c->got < c->sent) {
		readable_wait(c->rx);
		check(conn_recv(c, l, c->sent - c->got, MSG_DONTWAIT) > 0, "receive");
	}
}

/* The bytes of what is held: nobody else may have written there. */
static inline void ledger_check(const struct ledger *l, const struct dmabuf *b)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct frag *f = &l->frags[i];

		check(f->offset + f->size <= b->size, "frag outside of the dmabuf");
		pattern_check(b->mem + f->offset, 0, f->at, f->size);
	}
}

/* Return: ranges that name @n frags of the ledger from @first on */
static inline size_t ledger_tokens(const struct ledger *l, size_t first, size_t n,
				   struct dmabuf_token *tokens)
{
	size_t ranges = 0;

	for (size_t i = first; i < first + n; i++) {
		uint32_t token = l->frags[i].token;

		if (ranges &&
		    tokens[ranges - 1].token_start + tokens[ranges - 1].token_count == token) {
			tokens[ranges - 1].token_count++;
			continue;
		}
		check(ranges < DEVMEM_DONTNEED_TOKENS, "too many ranges");
		tokens[ranges++] = (struct dmabuf_token){ token, 1 };
	}
	return ranges;
}

static inline int dontneed(int fd, const struct dmabuf_token *tokens, size_t n)
{
	return setsockopt(fd, SOL_SOCKET, SO_DEVMEM_DONTNEED, tokens,
			  (socklen_t)(n * sizeof(*tokens)));
}

/* Give all of it back; each has to be there. */
static inline void ledger_release(struct ledger *l, int fd)
{
	struct dmabuf_token tokens[DEVMEM_DONTNEED_TOKENS];
	size_t ranges = ledger_tokens(l, 0, l->n, tokens);
	int freed = l->n ? dontneed(fd, tokens, ranges) : 0;

	check(freed == (int)l->n, "%d freed, %zu were held", freed, l->n);
	l->n = 0;
}

/* Free whatever the socket has still given out. Return: how many frags that were */
static inline int tokens_left(int fd)
{
	int sum = 0;

	for (uint32_t at = 0; at < FAULT_TOKENS_END; at += DEVMEM_DONTNEED_FRAGS) {
		struct dmabuf_token all = { at, DEVMEM_DONTNEED_FRAGS };
		int freed = dontneed(fd, &all, 1);

		check(freed >= 0, "DONTNEED");
		sum += freed;
	}
	return sum;
}

/* Send a dmabuf's worth several times, held frags staying held: the kernel would put new data into
 * one that it believes to be free.
 */
static inline void conn_stir(struct conn *c, const struct dmabuf *b)
{
	static struct ledger passing;
	uint64_t end = c->sent + 3 * b->size;

	while (c->sent < end) {
		conn_send(c, 64 << 10);
		conn_recv_all(c, &passing);
		ledger_check(&passing, b);
		ledger_release(&passing, c->rx);
	}
}

/* Tokens of a request at @control, which has no alignment when a page ends in it. */
static inline size_t request_put(void *control, const struct dmabuf_token *tokens, size_t n)
{
	struct cmsghdr cm = { .cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_DEVMEM_DONTNEED,
			      .cmsg_len = CMSG_LEN(n * sizeof(*tokens)) };

	memcpy(control, &cm, sizeof(cm));
	memcpy((uint8_t *)control + CMSG_LEN(0), tokens, n * sizeof(*tokens));
	return cm.cmsg_len;
}

/* Return: frags freed as the answer at @control says; -1 where there is none */
static inline int answer_get(const void *control)
{
	struct cmsghdr cm;
	uint32_t freed;

	memcpy(&cm, control, sizeof(cm));
	if (cm.cmsg_level != SOL_SOCKET || cm.cmsg_type != SCM_DEVMEM_DONTNEED ||
	    cm.cmsg_len != CMSG_LEN(sizeof(freed)))
		return -1;
	memcpy(&freed, (const uint8_t *)control + CMSG_LEN(0), sizeof(freed));
	return (int)freed;
}

/* Every CPU receives a packet: then it frees those that were put off to it. */
static inline void cpus_stir(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons(9),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t old, one;

	sched_getaffinity(0, sizeof(old), &old);
	for (long cpu = 0; cpu < n; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		sendto(fd, "", 1, 0, (void *)&addr, sizeof(addr));
	}
	sched_setaffinity(0, sizeof(old), &old);
	close(fd);
}

static inline int dmabufs_count(void)
{
	FILE *f = fopen("/sys/kernel/debug/dma_buf/bufinfo", "re");
	char line[256];
	int n = -1;

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, " objects") && sscanf(line, "Total %d", &n) == 1)
			break;
	if (f)
		fclose(f);
	check(n >= 0, "no /sys/kernel/debug/dma_buf/bufinfo");
	return n;
}

/* Until the kernel holds no more than @n dmabufs. A page pool looks for its niovs once a second. */
static inline void dmabufs_wait(int n)
{
	int64_t end = now_ms() + 60000;

	while (dmabufs_count() > n) {
		check(now_ms() < end, "%d dmabufs are held, expected %d", dmabufs_count(), n);
		cpus_stir();
		usleep(20000);
	}
	check(dmabufs_count() == n, "%d dmabufs are held, expected %d", dmabufs_count(), n);
}

static inline void dmabuf_close(struct dmabuf *b)
{
	if (b->mem)
		munmap(b->mem, b->size);
	b->mem = NULL;
	if (b->fd >= 0)
		close(b->fd);
	b->fd = -1;
}

static inline void binding_close(struct binding *b)
{
	nl_socket_free(b->nl);
	b->nl = NULL;
}

/* Bound to the test's queue in namespace a; or, @tx, for sending in b */
static inline void binding_open(struct binding *b, const struct dmabuf *buf, bool tx)
{
	netns_enter(tx ? "b" : "a");
	check(binding_make(b, buf, "sdm0", tx ? -1 : FAULT_QUEUE, 0) == 0, "bind");
	netns_enter("a");
}

/* Return: bytes or negative errno of a send from the binding @id, @len from @offset on */
static inline ssize_t conn_send_from(int fd, uint32_t id, size_t offset, size_t len)
{
	union {
		char buf[CMSG_SPACE(sizeof(uint32_t))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)offset, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int one = 1;
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one));
	control.align = (struct cmsghdr){ CMSG_LEN(sizeof(id)), SOL_SOCKET, SCM_DEVMEM_DMABUF };
	memcpy(CMSG_DATA(&control.align), &id, sizeof(id));
	n = sendmsg(fd, &msg, MSG_ZEROCOPY | MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

#endif
