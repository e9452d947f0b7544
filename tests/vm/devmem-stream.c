// SPDX-License-Identifier: BSD-3-Clause
/*
 * One TCP connection over devmem, each byte checked: for the tests of the sdm driver.
 *
 * Each end sends and receives at the same time, each direction either in the plain way or by
 * devmem. A byte's value depends on the stream's seed and its offset alone, and no buffer is
 * written again before the kernel has said that it is done with it, so a frag that is lost,
 * repeated, misplaced or overwritten shows. Prints "name=value" lines.
 *
 * Exit: 0 all as asked, 1 wrong or failed, 3 no progress for --stall seconds (or the peer or the
 * device went away) when --cut allows it, 77 the kernel has no devmem.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/dma-heap.h>
#include <linux/errqueue.h>
#include <linux/genetlink.h>
#include <linux/udmabuf.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../include/uapi/devmem.h"
#include "../../include/uapi/netdev_genl.h"
#include "../../kernel-patches/bar-exporter/bar_exporter.h"

enum { EXIT_WRONG = 1, EXIT_CUT = 3, EXIT_SKIP = 77 };
enum { LINEAR = 1 << 20, CONTROL = 64 << 10, MAX_SENDS = 4096 };

static struct options {
	const char *ifname, *socket_ifname, *peer, *port;
	bool listen, rx_devmem, tx_devmem, cut, bind_only, dstopts, whole, bare;
	uint64_t rx_bytes, tx_bytes, seed;
	size_t pool, hold, chunk;
	int64_t bar;
	unsigned int queues[16], n_queues;
	int stall, linger, rcvbuf;
	uint32_t rx_page_size;
	double keep_all;
} opt = { .port = "5000", .pool = 16 << 20, .chunk = 256 << 10, .stall = 60, .bar = -1 };

/* Memory that is a dmabuf: a udmabuf over a sealed memfd, whose scatter list has entries of a page;
 * from the system heap, which has large ones; or a part of a PCI BAR.
 */
struct dmabuf {
	int fd;
	uint8_t *mem;
	size_t size;
};

/* A binding lives as long as @nl. */
struct binding {
	struct nl_sock *nl;
	uint32_t id;
};

struct sender {
	struct dmabuf buf;
	struct binding bind;
	uint64_t sent, done; /* stream offsets; what lies between is the kernel's */
	uint64_t end[MAX_SENDS];
	bool acked[MAX_SENDS];
	uint32_t next_id, oldest_id;
	uint64_t completions, copied;
};

struct receiver {
	struct dmabuf buf;
	struct binding bind;
	uint64_t got, frags, linear_cmsgs, linear_bytes, whole_bytes, tokens_out, tokens_in,
		dontneed_calls;
	uint32_t *tokens; /* ring of those held */
	size_t head, held, slots;
	uint8_t *linear;
	uint8_t control[CONTROL];
};

static void die(const char *what)
{
	fprintf(stderr, "devmem-stream: %s: %s\n", what, strerror(errno));
	exit(EXIT_WRONG);
}

static void die_text(const char *what)
{
	fprintf(stderr, "devmem-stream: %s\n", what);
	exit(EXIT_WRONG);
}

/* What the two directions carry differs. */
static uint64_t stream_seed(bool sending)
{
	return opt.seed * 2 + (sending == opt.listen);
}

/* splitmix64: neighbouring words have nothing in common */
static uint64_t pattern_word(uint64_t seed, uint64_t index)
{
	uint64_t z = seed + index * 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void pattern_fill(uint8_t *to, uint64_t seed, uint64_t offset, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (uint8_t)(pattern_word(seed, (offset + i) / 8) >> ((offset + i) % 8 * 8));
}

/* What was received: right byte for byte; or, bare, where the application would have it. */
static void pattern_check(const uint8_t *data, uint64_t seed, uint64_t offset, size_t len)
{
	static uint8_t application[LINEAR];

	if (opt.bare) {
		memcpy(application, data, len);
		return;
	}
	for (size_t i = 0; i < len;) {
		uint64_t pos = offset + i, want = pattern_word(seed, pos / 8), have;

		if (pos % 8 == 0 && len - i >= 8) {
			memcpy(&have, data + i, 8);
			if (have == want) {
				i += 8;
				continue;
			}
		}
		if (data[i] != (uint8_t)(want >> (pos % 8 * 8))) {
			fprintf(stderr, "devmem-stream: wrong byte at stream offset %" PRIu64 "\n",
				pos);
			exit(EXIT_WRONG);
		}
		i++;
	}
}

/* Each takes its part of the BAR behind the last one's. */
static int dmabuf_make_bar(size_t size)
{
	static uint64_t used;
	struct bar_exporter_create create = { .offset = (uint64_t)opt.bar + used, .size = size };
	int dev = open("/dev/bar-exporter", O_RDWR | O_CLOEXEC), fd;

	if (dev < 0)
		die("/dev/bar-exporter");
	fd = ioctl(dev, BAR_EXPORTER_CREATE, &create);
	if (fd < 0)
		die("BAR_EXPORTER_CREATE");
	close(dev);
	used += size;
	return fd;
}

static int dmabuf_make_heap(size_t size)
{
	struct dma_heap_allocation_data alloc = { .len = size, .fd_flags = O_RDWR | O_CLOEXEC };
	int heap = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC);

	if (heap < 0) {
		fprintf(stderr, "devmem-stream: skip: /dev/dma_heap/system: %s\n", strerror(errno));
		exit(EXIT_SKIP);
	}
	if (ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &alloc))
		die("DMA_HEAP_IOCTL_ALLOC");
	close(heap);
	return (int)alloc.fd;
}

static int dmabuf_make_ram(size_t size)
{
	struct udmabuf_create create = { .size = size };
	int dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	int mem = memfd_create("devmem-stream", MFD_ALLOW_SEALING | MFD_CLOEXEC), fd;

	if (dev < 0) {
		fprintf(stderr, "devmem-stream: skip: /dev/udmabuf: %s\n", strerror(errno));
		exit(EXIT_SKIP);
	}
	if (mem < 0 || ftruncate(mem, (off_t)size) || fcntl(mem, F_ADD_SEALS, F_SEAL_SHRINK))
		die("memfd");
	create.memfd = (uint32_t)mem;
	fd = ioctl(dev, UDMABUF_CREATE, &create);
	if (fd < 0)
		die("UDMABUF_CREATE");
	close(mem);
	close(dev);
	return fd;
}

static void dmabuf_make(struct dmabuf *b, size_t size)
{
	if (opt.bar >= 0)
		b->fd = dmabuf_make_bar(size);
	else
		b->fd = opt.rx_page_size ? dmabuf_make_heap(size) : dmabuf_make_ram(size);
	b->size = size;
	b->mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0);
	if (b->mem == MAP_FAILED)
		die("mmap of the dmabuf");
}

static int binding_reply(struct nl_msg *msg, void *arg)
{
	struct nlattr *tb[NDEV_A_DMABUF_MAX + 1];

	if (genlmsg_parse(nlmsg_hdr(msg), 0, tb, NDEV_A_DMABUF_MAX, NULL) == 0 &&
	    tb[NDEV_A_DMABUF_ID])
		*(uint32_t *)arg = nla_get_u32(tb[NDEV_A_DMABUF_ID]);
	return NL_OK;
}

/* Kernel's own words for a refusal; libnl 3.7 does not hand them out. */
static int binding_error(struct sockaddr_nl *who, struct nlmsgerr *err, void *arg)
{
	const struct nlmsghdr *hdr = (const struct nlmsghdr *)err - 1;
	size_t inner = (hdr->nlmsg_flags & NLM_F_CAPPED) ? 0 : err->msg.nlmsg_len - NLMSG_HDRLEN;
	const uint8_t *pos = (const uint8_t *)(err + 1) + NLMSG_ALIGN(inner);
	int left = (int)((const uint8_t *)hdr + hdr->nlmsg_len - pos);
	const struct nlattr *nla = (const struct nlattr *)pos;

	(void)who;
	if ((hdr->nlmsg_flags & NLM_F_ACK_TLVS) && left > 0) {
		const struct nlattr *text = nla_find(nla, left, NLMSGERR_ATTR_MSG);

		if (text)
			fprintf(stderr, "devmem-stream: kernel: %s\n", nla_get_string(text));
	}
	*(int *)arg = err->error;
	return NL_STOP;
}

static void binding_make(struct binding *b, const struct dmabuf *buf, bool rx)
{
	struct nl_msg *msg = nlmsg_alloc();
	int family, err, kernel_err = 0, one = 1;

	b->nl = nl_socket_alloc();
	if (!msg || !b->nl || genl_connect(b->nl))
		die_text("netlink socket");
	setsockopt(nl_socket_get_fd(b->nl), SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	family = genl_ctrl_resolve(b->nl, NDEV_FAMILY);
	if (family < 0) {
		fprintf(stderr, "devmem-stream: skip: no netdev netlink family\n");
		exit(EXIT_SKIP);
	}
	genlmsg_put(msg, 0, 0, family, 0, 0, rx ? NDEV_CMD_BIND_RX : NDEV_CMD_BIND_TX, 1);
	nla_put_u32(msg, NDEV_A_DMABUF_IFINDEX, if_nametoindex(opt.ifname));
	nla_put_u32(msg, NDEV_A_DMABUF_FD, (uint32_t)buf->fd);
	for (unsigned int i = 0; rx && i < opt.n_queues; i++) {
		struct nlattr *nest = nla_nest_start(msg, NDEV_A_DMABUF_QUEUES | NLA_F_NESTED);

		nla_put_u32(msg, NDEV_A_QUEUE_ID, opt.queues[i]);
		nla_put_u32(msg, NDEV_A_QUEUE_TYPE, NDEV_QUEUE_RX);
		nla_nest_end(msg, nest);
	}
	if (rx && opt.rx_page_size)
		nla_put_u32(msg, NDEV_A_DMABUF_RX_PAGE_SIZE, opt.rx_page_size);
	nl_socket_modify_cb(b->nl, NL_CB_VALID, NL_CB_CUSTOM, binding_reply, &b->id);
	nl_socket_modify_err_cb(b->nl, NL_CB_CUSTOM, binding_error, &kernel_err);
	if (nl_send_auto(b->nl, msg) < 0)
		die_text("netlink send");
	nlmsg_free(msg);
	err = nl_recvmsgs_default(b->nl);
	if (kernel_err || err < 0 || !b->id) {
		fprintf(stderr, "devmem-stream: bind-%s refused: %s\n", rx ? "rx" : "tx",
			kernel_err ? strerror(-kernel_err) : nl_geterror(err));
		exit(EXIT_WRONG);
	}
}

static int connection_make(void)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *ai;
	int fd = -1, one = 1;

	hints.ai_flags = AI_NUMERICHOST | (opt.listen ? AI_PASSIVE : 0);
	if (getaddrinfo(opt.peer, opt.port, &hints, &ai))
		die_text("address not understood");
	for (int tries = 0; tries < 600; tries++) {
		fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			die("socket");
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		/* The device of a socket that sends by devmem must be the bound one. */
		if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, opt.socket_ifname,
			       (socklen_t)strlen(opt.socket_ifname)))
			die("SO_BINDTODEVICE");
		if (opt.rcvbuf &&
		    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &opt.rcvbuf, sizeof(opt.rcvbuf)))
			die("SO_RCVBUF");
		if (opt.listen) {
			struct pollfd p = { .fd = fd, .events = POLLIN };
			int conn;

			if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, 1))
				die("listen");
			if (poll(&p, 1, 60000) != 1)
				die_text("nobody connected within 60 s");
			conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
			if (conn < 0)
				die("accept");
			close(fd);
			fd = conn;
			break;
		}
		if (!connect(fd, ai->ai_addr, ai->ai_addrlen))
			break;
		if (errno != ECONNREFUSED && errno != EHOSTUNREACH && errno != ENETUNREACH)
			die("connect");
		close(fd);
		fd = -1;
		usleep(100000);
	}
	freeaddrinfo(ai);
	if (fd < 0)
		die_text("no connection within 60 s");
	if (fcntl(fd, F_SETFL, O_NONBLOCK))
		die("O_NONBLOCK");
	/* A socket keeps its tokens until it is destroyed. With a peer that is cut off that
	 * would be when the kernel has given up sending the rest, minutes after close().
	 */
	if (opt.cut &&
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger)))
		die("SO_LINGER");
	/* Next header and length are filled in by the kernel; then four bytes of padding. */
	if (opt.dstopts && setsockopt(fd, IPPROTO_IPV6, IPV6_DSTOPTS, "\0\0\1\4\0\0\0\0", 8))
		die("IPV6_DSTOPTS");
	if (opt.tx_devmem && setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		die("SO_ZEROCOPY");
	return fd;
}

/* Return: false when the connection is broken */
static bool sender_push(struct sender *s, int fd)
{
	while (s->sent < opt.tx_bytes) {
		size_t at = s->sent % s->buf.size, len = opt.chunk;
		struct iovec iov;
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		union {
			char bytes[CMSG_SPACE(sizeof(uint32_t))];
			struct cmsghdr align;
		} control;
		ssize_t n;

		if (len > s->buf.size - at)
			len = s->buf.size - at;
		if (len > opt.tx_bytes - s->sent)
			len = opt.tx_bytes - s->sent;
		if (s->sent + len - s->done > s->buf.size || s->next_id - s->oldest_id == MAX_SENDS)
			return true; /* wait for completions */
		if (!opt.bare)
			pattern_fill(s->buf.mem + at, stream_seed(true), s->sent, len);
		/* A BAR is mapped write-combining: out with it before the kernel reads it. */
		atomic_thread_fence(memory_order_seq_cst);

		iov.iov_len = len;
		iov.iov_base = s->buf.mem + at;
		if (opt.tx_devmem) {
			struct cmsghdr *cmsg;

			memset(&control, 0, sizeof(control));
			msg.msg_control = control.bytes;
			msg.msg_controllen = sizeof(control.bytes);
			cmsg = CMSG_FIRSTHDR(&msg);
			cmsg->cmsg_level = SOL_SOCKET;
			cmsg->cmsg_type = SCM_DEVMEM_DMABUF;
			cmsg->cmsg_len = CMSG_LEN(sizeof(uint32_t));
			memcpy(CMSG_DATA(cmsg), &s->bind.id, sizeof(uint32_t));
			iov.iov_base = (void *)at;
		}
		n = sendmsg(fd, &msg, MSG_NOSIGNAL | (opt.tx_devmem ? MSG_ZEROCOPY : 0));
		if (n < 0) {
			if (errno == EAGAIN || errno == ENOBUFS)
				return true;
			fprintf(stderr, "devmem-stream: sendmsg: %s\n", strerror(errno));
			return false;
		}
		s->sent += (uint64_t)n;
		if (opt.tx_devmem) {
			s->end[s->next_id % MAX_SENDS] = s->sent;
			s->acked[s->next_id % MAX_SENDS] = false;
			s->next_id++;
		} else {
			s->done = s->sent;
		}
	}
	return true;
}

static void sender_complete(struct sender *s, const struct sock_extended_err *e)
{
	if (e->ee_origin != SO_EE_ORIGIN_ZEROCOPY || e->ee_errno)
		return;
	for (uint32_t id = e->ee_info; id != e->ee_data + 1; id++) {
		if (id - s->oldest_id >= s->next_id - s->oldest_id || s->acked[id % MAX_SENDS])
			die_text("completion of a send that is not under way");
		s->acked[id % MAX_SENDS] = true;
		s->completions++;
		if (e->ee_code & SO_EE_CODE_ZEROCOPY_COPIED)
			s->copied++;
	}
	while (s->oldest_id != s->next_id && s->acked[s->oldest_id % MAX_SENDS])
		s->done = s->end[s->oldest_id++ % MAX_SENDS];
}

static bool sender_reap(struct sender *s, int fd)
{
	bool any = false;

	for (;;) {
		char control[256];
		struct msghdr msg = { .msg_control = control, .msg_controllen = sizeof(control) };
		struct cmsghdr *cmsg;

		if (recvmsg(fd, &msg, MSG_ERRQUEUE) < 0)
			return any;
		for (cmsg = CMSG_FIRSTHDR(&msg); cmsg; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
			if ((cmsg->cmsg_level == SOL_IP && cmsg->cmsg_type == IP_RECVERR) ||
			    (cmsg->cmsg_level == SOL_IPV6 && cmsg->cmsg_type == IPV6_RECVERR))
				sender_complete(s, (const void *)CMSG_DATA(cmsg));
		}
		any = true;
	}
}

static void receiver_release(struct receiver *r, int fd, size_t keep)
{
	while (r->held > keep) {
		struct dmabuf_token tokens[DEVMEM_DONTNEED_TOKENS];
		size_t n = 0, frags = 0;
		int freed;

		while (r->held > keep && n < DEVMEM_DONTNEED_TOKENS &&
		       frags < DEVMEM_DONTNEED_FRAGS) {
			uint32_t token = r->tokens[r->head];

			if (n && tokens[n - 1].token_start + tokens[n - 1].token_count == token)
				tokens[n - 1].token_count++;
			else
				tokens[n++] = (struct dmabuf_token){ token, 1 };
			r->head = (r->head + 1) % r->slots;
			r->held--;
			frags++;
		}
		freed = setsockopt(fd, SOL_SOCKET, SO_DEVMEM_DONTNEED, tokens,
				   (socklen_t)(n * sizeof(*tokens)));
		r->dontneed_calls++;
		if (freed < 0)
			die("SO_DEVMEM_DONTNEED");
		if ((size_t)freed != frags)
			die_text("SO_DEVMEM_DONTNEED freed another number than was given");
		r->tokens_in += frags;
	}
}

/* Return: bytes the message's cmsgs account for */
static size_t receiver_parse(struct receiver *r, struct msghdr *msg)
{
	struct cmsghdr *cmsg;
	size_t linear = 0, sum = 0;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		struct dmabuf_cmsg frag;

		if (cmsg->cmsg_level != SOL_SOCKET)
			continue;
		memcpy(&frag, CMSG_DATA(cmsg), sizeof(frag));
		if (cmsg->cmsg_type == SCM_DEVMEM_LINEAR) {
			pattern_check(r->linear + linear, stream_seed(false), r->got + sum,
				      frag.frag_size);
			linear += frag.frag_size;
			r->linear_cmsgs++;
			r->linear_bytes += frag.frag_size;
		} else if (cmsg->cmsg_type == SCM_DEVMEM_DMABUF) {
			if (frag.dmabuf_id != r->bind.id ||
			    frag.frag_offset + frag.frag_size > r->buf.size)
				die_text("frag outside the bound dmabuf");
			pattern_check(r->buf.mem + frag.frag_offset, stream_seed(false),
				      r->got + sum, frag.frag_size);
			if (r->held == r->slots)
				die_text("more tokens out than the pool can have");
			r->tokens[(r->head + r->held++) % r->slots] = frag.frag_token;
			r->tokens_out++;
			r->frags++;
		} else {
			continue;
		}
		sum += frag.frag_size;
	}
	return sum;
}

/* Return: false when the connection has ended or is broken */
static bool receiver_pull(struct receiver *r, int fd, bool keep, bool *progress)
{
	while (r->got < opt.rx_bytes) {
		struct iovec iov = { r->linear, LINEAR };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		size_t accounted;
		ssize_t n;

		if (opt.rx_devmem) {
			msg.msg_control = r->control;
			msg.msg_controllen = sizeof(r->control);
		}
		n = recvmsg(fd, &msg, opt.rx_devmem ? MSG_SOCK_DEVMEM : 0);
		if (n < 0) {
			if (errno == EAGAIN)
				return true;
			fprintf(stderr, "devmem-stream: recvmsg: %s\n", strerror(errno));
			return false;
		}
		if (n == 0)
			return false;
		*progress = true;
		if (msg.msg_flags & MSG_CTRUNC)
			die_text("control data cut off");
		if (opt.rx_devmem) {
			accounted = receiver_parse(r, &msg);
			/* A packet that the device did not split is read as by a plain recvmsg,
			 * without any control message, and never in one call with others.
			 */
			if (!accounted && opt.whole) {
				pattern_check(r->linear, stream_seed(false), r->got, (size_t)n);
				r->whole_bytes += (uint64_t)n;
				accounted = (size_t)n;
			}
		} else {
			pattern_check(r->linear, stream_seed(false), r->got, (size_t)n);
			accounted = (size_t)n;
		}
		if (accounted != (size_t)n)
			die_text("bytes received that no control message accounts for");
		r->got += (uint64_t)n;
		if (!keep)
			receiver_release(r, fd, opt.hold);
	}
	return true;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Return: true when both directions are done */
static bool stream_run(struct sender *s, struct receiver *r, int fd)
{
	double release = now() + opt.keep_all, idle = 0, since;

	while (s->done < opt.tx_bytes || r->got < opt.rx_bytes) {
		struct pollfd p = { .fd = fd };
		uint64_t sent = s->sent;
		bool progress = false;

		if (r->held > opt.hold && now() >= release)
			receiver_release(r, fd, opt.hold);
		if (!receiver_pull(r, fd, now() < release, &progress))
			return r->got == opt.rx_bytes && s->done == opt.tx_bytes;
		if (!sender_push(s, fd))
			return false;
		progress |= sender_reap(s, fd) || s->sent != sent;
		if (progress) {
			idle = 0;
			continue;
		}
		if (idle > opt.stall) {
			fprintf(stderr, "devmem-stream: no progress for %d s\n", opt.stall);
			return false;
		}
		p.events = (short)((r->got < opt.rx_bytes ? POLLIN : 0) |
				   (s->sent < opt.tx_bytes &&
						    s->sent + opt.chunk - s->done <= s->buf.size
					    ? POLLOUT
					    : 0));
		since = now();
		poll(&p, 1, 100);
		/* When the machine stands still in here, that is no time in which data could have come. */
		since = now() - since;
		idle += since < 0.2 ? since : 0.2;
	}
	return true;
}

static void report(const struct sender *s, const struct receiver *r, double seconds)
{
	printf("ns=%.0f sent=%" PRIu64 " acknowledged=%" PRIu64 " sends=%" PRIu32
	       " completions=%" PRIu64 " completions_copied=%" PRIu64 "\n",
	       seconds * 1e9, s->sent, s->done, s->next_id, s->completions, s->copied);
	printf("received=%" PRIu64 " frags=%" PRIu64 " linear_cmsgs=%" PRIu64
	       " linear_bytes=%" PRIu64 " whole_bytes=%" PRIu64 " tokens_out=%" PRIu64
	       " tokens_in=%" PRIu64 " dontneed_calls=%" PRIu64 "\n",
	       r->got, r->frags, r->linear_cmsgs, r->linear_bytes, r->whole_bytes, r->tokens_out,
	       r->tokens_in, r->dontneed_calls);
	fflush(stdout);
}

static const char usage[] =
	"usage: devmem-stream -i interface [-l] [options] address\n"
	"  -l             listen on the address instead of connecting to it\n"
	"  -p port        TCP port (5000)\n"
	"  -r bytes       receive so many; -R the same, by devmem\n"
	"  -t bytes       send so many; -T the same, by devmem\n"
	"  -q q[,q...]    receive queues to bind (for -R)\n"
	"  -P bytes       size of the pieces the bound memory is divided into (-R)\n"
	"  -V interface   of the socket, if not the one with the queues: a VLAN on it\n"
	"  -m MiB         memory of each direction (16)\n"
	"  -x MiB         take it from the BAR behind /dev/bar-exporter, from there on\n"
	"  -H frags       keep so many tokens back\n"
	"  -D seconds     keep all for so long, then no more than -H says\n"
	"  -B bytes       receive buffer (SO_RCVBUF; the kernel doubles it)\n"
	"  -s seed        of both directions; the same at both ends\n"
	"  -S seconds     without progress until it is a failure (60)\n"
	"  -C             a stream that is cut off is no failure (exit 3)\n"
	"  -L seconds     wait at the end, tokens and bindings held\n"
	"  -O             send with an IPv6 destination options header\n"
	"  -n bytes       send so many a call, none made or checked, but all copied out\n"
	"  -W             accept packets that came whole into host memory\n"
	"  -b             bind the queues, print the id, hold until stdin ends\n";

static void options_parse(int argc, char **argv)
{
	char *list;
	int c;

	while ((c = getopt(argc, argv, "i:lp:r:R:t:T:q:m:x:H:D:B:s:S:CL:bn:OWP:V:")) != -1) {
		switch (c) {
		case 'i':
			opt.ifname = optarg;
			break;
		case 'l':
			opt.listen = true;
			break;
		case 'p':
			opt.port = optarg;
			break;
		case 'R':
			opt.rx_devmem = true;
			/* fallthrough */
		case 'r':
			opt.rx_bytes = strtoull(optarg, NULL, 0);
			break;
		case 'T':
			opt.tx_devmem = true;
			/* fallthrough */
		case 't':
			opt.tx_bytes = strtoull(optarg, NULL, 0);
			break;
		case 'q':
			for (list = strtok(optarg, ","); list && opt.n_queues < 16;
			     list = strtok(NULL, ","))
				opt.queues[opt.n_queues++] = (unsigned int)strtoul(list, NULL, 0);
			break;
		case 'm':
			opt.pool = strtoull(optarg, NULL, 0) << 20;
			break;
		case 'x':
			opt.bar = (int64_t)strtoull(optarg, NULL, 0) << 20;
			break;
		case 'H':
			opt.hold = strtoull(optarg, NULL, 0);
			break;
		case 'D':
			opt.keep_all = strtod(optarg, NULL);
			break;
		case 'B':
			opt.rcvbuf = atoi(optarg);
			break;
		case 's':
			opt.seed = strtoull(optarg, NULL, 0);
			break;
		case 'S':
			opt.stall = atoi(optarg);
			break;
		case 'C':
			opt.cut = true;
			break;
		case 'L':
			opt.linger = atoi(optarg);
			break;
		case 'W':
			opt.whole = true;
			break;
		case 'n':
			opt.chunk = strtoull(optarg, NULL, 0);
			opt.bare = true;
			break;
		case 'O':
			opt.dstopts = true;
			break;
		case 'b':
			opt.bind_only = true;
			break;
		case 'P':
			opt.rx_page_size = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'V':
			opt.socket_ifname = optarg;
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	opt.peer = argv[optind];
	if (!opt.ifname || (!opt.peer && !opt.bind_only)) {
		fputs(usage, stderr);
		exit(2);
	}
	if (!opt.socket_ifname)
		opt.socket_ifname = opt.ifname;
}

int main(int argc, char **argv)
{
	static struct receiver r;
	static struct sender s;
	double seconds;
	bool done;
	char end;
	int fd;

	options_parse(argc, argv);
	if (opt.rx_devmem || opt.bind_only) {
		dmabuf_make(&r.buf, opt.pool);
		binding_make(&r.bind, &r.buf, true);
	}
	if (opt.bind_only) {
		printf("bound id=%" PRIu32 "\n", r.bind.id);
		fflush(stdout);
		while (read(STDIN_FILENO, &end, 1) > 0)
			;
		return 0;
	}
	dmabuf_make(&s.buf, opt.pool);
	if (opt.tx_devmem)
		binding_make(&s.bind, &s.buf, false);
	r.linear = malloc(LINEAR);
	/* A niov can be shared by as many frags as fit a cache line apart. */
	r.slots = opt.pool / 64 + 1;
	r.tokens = calloc(r.slots, sizeof(*r.tokens));
	if (!r.linear || !r.tokens)
		die_text("no memory");

	fd = connection_make();
	printf("connected\n");
	fflush(stdout);
	seconds = -now();
	done = stream_run(&s, &r, fd);
	seconds += now();
	if (!done && !opt.cut) {
		report(&s, &r, seconds);
		die_text("the stream was cut off");
	}
	if (opt.linger)
		sleep((unsigned int)opt.linger);
	if (!opt.cut)
		receiver_release(&r, fd, 0);
	report(&s, &r, seconds);
	if (!opt.cut &&
	    (r.tokens_out != r.tokens_in || (opt.tx_devmem && s.completions != s.next_id)))
		die_text("tokens or completions do not balance");
	/* The receiver may not have read all yet: end the sending direction alone. */
	shutdown(fd, SHUT_WR);
	for (int i = 0; !opt.cut && i < opt.stall * 10; i++) {
		ssize_t n = recv(fd, &end, 1, 0);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		usleep(100000);
	}
	return done ? 0 : EXIT_CUT;
}
