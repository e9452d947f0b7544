// SPDX-License-Identifier: BSD-3-Clause
/*
 * Receives what devmem-stream sends, by devmem, and gives frags back in the way that is asked:
 * for test-recycle and test-niov.
 *
 * A frag's bytes are checked when it is given back, not when it comes: while it is held nothing
 * else may be written there. A frag that the kernel frees twice is written over before that, or is
 * missing from the count when its own turn comes.
 *
 * Prints "name=value" words. Exit: 0, 1 wrong, 3 bind refused, 77 the kernel lacks it.
 */
#include <poll.h>
#include <signal.h>
#include <sys/time.h>

#include "endpoint.h"
#include "recv_call.h"

enum { LINEAR = 1 << 20, CONTROL = 256 << 10, MAX_HELD = 1 << 20 };

/* BY_*: setsockopt, the recvmsg that comes next, or the same through io_uring */
enum release { BY_SETSOCKOPT, BY_RECVMSG, BY_URING };

static struct options {
	const char *ifname, *address;
	uint64_t bytes;
	size_t pool, hold, chunk;
	uint32_t rx_page_size;
	enum release release;
	enum recv_how how;
	bool heap, nonblock, storm, bind_only;
	int queue;
} opt = { .pool = 16 << 20, .chunk = 1 << 20, .queue = 3 };

struct frag {
	uint64_t at;	 /* in the stream */
	uint64_t offset; /* in the dmabuf */
	uint32_t size, token;
};

static struct receiver {
	struct dmabuf buf;
	struct binding bind;
	struct uring uring;
	struct frag *held; /* ring of MAX_HELD */
	size_t head, n_held;
	uint8_t *linear;
	uint64_t got, frags, freed, setsockopts, recvmsgs, repeats, signals, largest;
	_Alignas(struct cmsghdr) uint8_t control[CONTROL];
} r;

/* Ranges of the oldest frags beyond those to keep.
 * Return: frags in them
 */
static size_t tokens_take(struct dmabuf_token *tokens, size_t *ret_n, size_t keep)
{
	size_t n = 0, frags = 0;

	while (r.n_held > keep && frags < DEVMEM_DONTNEED_FRAGS) {
		const struct frag *f = &r.held[r.head % MAX_HELD];

		if (n && tokens[n - 1].token_start + tokens[n - 1].token_count == f->token)
			tokens[n - 1].token_count++;
		else if (n < DEVMEM_DONTNEED_TOKENS)
			tokens[n++] = (struct dmabuf_token){ f->token, 1 };
		else
			break;
		pattern_check(r.buf.mem + f->offset, 0, f->at, f->size);
		r.head++;
		r.n_held--;
		frags++;
	}
	*ret_n = n;
	return frags;
}

static void release_by_setsockopt(int fd, size_t keep)
{
	struct dmabuf_token tokens[DEVMEM_DONTNEED_TOKENS];
	size_t n, frags;

	while ((frags = tokens_take(tokens, &n, keep))) {
		int ret = setsockopt(fd, SOL_SOCKET, SO_DEVMEM_DONTNEED, tokens,
				     (socklen_t)(n * sizeof(*tokens)));
		r.setsockopts++;
		if (ret != (int)frags)
			die("setsockopt freed %d of %zu", ret, frags);
		r.freed += frags;
	}
}

/* Return: frags asked for at the head of the control buffer */
static size_t request_make(size_t keep)
{
	struct dmabuf_token tokens[DEVMEM_DONTNEED_TOKENS];
	struct cmsghdr *cm = (struct cmsghdr *)r.control;
	size_t n, frags = tokens_take(tokens, &n, keep);

	if (!frags)
		return 0;
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_DEVMEM_DONTNEED;
	cm->cmsg_len = CMSG_LEN(n * sizeof(*tokens));
	memcpy(CMSG_DATA(cm), tokens, n * sizeof(*tokens));
	return frags;
}

/* The kernel has put the count where the request was. */
static void result_check(size_t frags)
{
	const struct cmsghdr *cm = (const struct cmsghdr *)r.control;
	uint32_t freed;

	memcpy(&freed, CMSG_DATA(cm), sizeof(freed));
	if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_DEVMEM_DONTNEED ||
	    cm->cmsg_len != CMSG_LEN(sizeof(freed)))
		die("no count: level %d type %d len %zu", cm->cmsg_level, cm->cmsg_type,
		    (size_t)cm->cmsg_len);
	if (freed != frags)
		die("recvmsg freed %u of %zu", freed, frags);
}

/* A multishot receive has no place of its own for a request: refused. The same without the flag
 * gets as far as looking for a buffer, and there is none.
 */
static void multishot_check(int fd)
{
	struct msghdr msg = { 0 };
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_RECVMSG,
		.fd = fd,
		.addr = (uintptr_t)&msg,
		.len = 1,
		.ioprio = IORING_RECV_MULTISHOT,
		.flags = IOSQE_BUFFER_SELECT,
	};
	struct io_uring_cqe cqe;

	for (int with = 0; with < 2; with++) {
		sqe.msg_flags = MSG_SOCK_DEVMEM | (with ? MSG_SOCK_DEVMEM_DONTNEED : 0);
		uring_submit(&r.uring, &sqe, 0);
		uring_next(&r.uring, &cqe, true);
		if (cqe.res != (with ? -EINVAL : -ENOBUFS))
			die("multishot receive, flag %d: %d", with, cqe.res);
	}
}

/* One receive, repeated with the very same buffers as long as it is interrupted or there is
 * nothing: what a program that knows nothing of the release does.
 */
static ssize_t receive(int fd, struct msghdr *msg, size_t keep)
{
	size_t frags = opt.release == BY_SETSOCKOPT ? 0 : request_make(keep);
	int flags = MSG_SOCK_DEVMEM | (frags ? MSG_SOCK_DEVMEM_DONTNEED : 0);
	ssize_t n;

	for (;;) {
		msg->msg_control = r.control;
		msg->msg_controllen = sizeof(r.control);
		r.recvmsgs++;
		n = recv_call(opt.release == BY_URING ? RECV_URING : opt.how, &r.uring, fd, msg,
			      flags);
		if (n < 0)
			errno = (int)-n;
		if (frags)
			result_check(frags);
		if (n >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
		r.repeats += frags > 0;
		if (errno == EAGAIN) {
			struct pollfd p = { .fd = fd, .events = POLLIN };

			if (poll(&p, 1, 60000) == 0)
				die("no data for 60 s");
		}
	}
	r.freed += frags;
	return n;
}

static void frags_take(struct msghdr *msg, size_t len)
{
	struct cmsghdr *cm;
	size_t sum = 0, linear = 0;

	for (cm = CMSG_FIRSTHDR(msg); cm; cm = CMSG_NXTHDR(msg, cm)) {
		struct dmabuf_cmsg c;

		if (cm->cmsg_level != SOL_SOCKET ||
		    (cm->cmsg_type != SCM_DEVMEM_DMABUF && cm->cmsg_type != SCM_DEVMEM_LINEAR))
			continue;
		memcpy(&c, CMSG_DATA(cm), sizeof(c));
		if (cm->cmsg_type == SCM_DEVMEM_LINEAR) {
			pattern_check(r.linear + linear, 0, r.got + sum, c.frag_size);
			linear += c.frag_size;
		} else {
			if (c.dmabuf_id != r.bind.id || c.frag_offset + c.frag_size > r.buf.size ||
			    r.n_held == MAX_HELD)
				die("frag at %" PRIu64 " of %u", (uint64_t)c.frag_offset,
				    c.frag_size);
			r.held[(r.head + r.n_held++) % MAX_HELD] =
				(struct frag){ r.got + sum, c.frag_offset, c.frag_size,
					       c.frag_token };
			r.frags++;
			if (c.frag_size > r.largest)
				r.largest = c.frag_size;
		}
		sum += c.frag_size;
	}
	if (sum != len)
		die("%zu bytes received, %zu accounted for", len, sum);
	r.got += len;
}

static void on_alarm(int sig)
{
	(void)sig;
	r.signals++;
}

/* Every other signal restarts the call inside the kernel, the others end it with EINTR. */
static void storm_start(void)
{
	struct itimerval every = { { 0, 700 }, { 0, 700 } };
	struct sigaction act = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };

	if (sigaction(SIGALRM, &act, NULL) || setitimer(ITIMER_REAL, &every, NULL))
		die("timer");
}

static void options_parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "i:n:m:H:c:q:N:r:hsSb3")) != -1) {
		switch (c) {
		case 'i':
			opt.ifname = optarg;
			break;
		case 'n':
			opt.bytes = strtoull(optarg, NULL, 0);
			break;
		case 'm':
			opt.pool = strtoull(optarg, NULL, 0) << 20;
			break;
		case 'H':
			opt.hold = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			opt.chunk = strtoull(optarg, NULL, 0);
			break;
		case 'q':
			opt.queue = atoi(optarg);
			break;
		case 'N':
			opt.rx_page_size = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'r':
			opt.release = !strcmp(optarg, "recvmsg") ? BY_RECVMSG
				      : !strcmp(optarg, "uring") ? BY_URING
								 : BY_SETSOCKOPT;
			break;
		case 'h':
			opt.heap = true;
			break;
		case 's':
			opt.nonblock = true;
			break;
		case 'S':
			opt.storm = true;
			break;
		case 'b':
			opt.bind_only = true;
			break;
		case '3':
			opt.how = RECV_32;
			break;
		default:
			goto usage;
		}
	}
	opt.address = argv[optind];
	if (opt.ifname && (opt.address || opt.bind_only) && opt.chunk <= LINEAR)
		return;
usage:
	fputs("usage: devmem-recv -i interface [options] address-to-listen-on\n"
	      "  -n bytes   to receive		-r setsockopt|recvmsg|uring  how frags go back\n"
	      "  -m MiB     of the dmabuf (16)	-h           from a dma-heap\n"
	      "  -N bytes   of a niov		-q queue     to bind (3)\n"
	      "  -c bytes   a receive (1 MiB)	-H frags     to keep back\n"
	      "  -s         do not block	-S           a signal every 0.7 ms\n"
	      "  -b         bind, say so, end	-3           receive as a 32-bit program\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	int fd, err;

	options_parse(argc, argv);
	dmabuf_make(&r.buf, opt.pool, opt.heap);
	err = binding_make(&r.bind, &r.buf, opt.ifname, opt.queue, opt.rx_page_size);
	if (err) {
		printf("refused=%d\n", err);
		return EXIT_REFUSED;
	}
	printf("bound=%" PRIu32 " rx_page_size=%" PRIu32 "\n", r.bind.id, r.bind.rx_page_size);
	fflush(stdout);
	if (opt.bind_only)
		return 0;

	r.linear = malloc(LINEAR);
	r.held = calloc(MAX_HELD, sizeof(*r.held));
	if (!r.linear || !r.held)
		die("memory");
	if (opt.release == BY_URING)
		uring_make(&r.uring, 8);
	fd = connection_make(opt.ifname, opt.address, true);
	if (opt.nonblock && fcntl(fd, F_SETFL, O_NONBLOCK))
		die("O_NONBLOCK");
	if (opt.release == BY_URING)
		multishot_check(fd);
	if (opt.storm)
		storm_start();

	while (r.got < opt.bytes) {
		struct iovec iov = { r.linear, opt.chunk };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n = receive(fd, &msg, opt.hold);

		if (n <= 0)
			die("receive: %zd after %" PRIu64 " bytes", n, r.got);
		if (msg.msg_flags & MSG_CTRUNC)
			die("control data cut off");
		frags_take(&msg, (size_t)n);
		if (opt.release == BY_SETSOCKOPT)
			release_by_setsockopt(fd, opt.hold);
	}
	/* What is left goes back with nothing to receive any more: the sender says no more. */
	if (opt.storm)
		setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	while (opt.release != BY_SETSOCKOPT && r.n_held) {
		struct iovec iov = { r.linear, opt.chunk };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = r.control,
				      .msg_controllen = sizeof(r.control) };
		size_t frags = request_make(0);

		r.recvmsgs++;
		if (recvmsg(fd, &msg, MSG_DONTWAIT | MSG_SOCK_DEVMEM | MSG_SOCK_DEVMEM_DONTNEED) >
		    0)
			die("more bytes than were asked for");
		result_check(frags);
		r.freed += frags;
	}
	release_by_setsockopt(fd, 0);
	if (r.freed != r.frags)
		die("%" PRIu64 " frags, %" PRIu64 " freed", r.frags, r.freed);
	printf("received=%" PRIu64 " frags=%" PRIu64 " freed=%" PRIu64 " setsockopts=%" PRIu64
	       " receives=%" PRIu64 " repeats=%" PRIu64 " signals=%" PRIu64 " largest=%" PRIu64
	       "\n",
	       r.got, r.frags, r.freed, r.setsockopts, r.recvmsgs, r.repeats, r.signals, r.largest);
	return 0;
}
