// SPDX-License-Identifier: BSD-3-Clause
/*
 * Receives what devmem-stream sends as runs of frags (SO_DEVMEM_RUN), and does to them what a
 * program may or should not do: for test-runs.
 *
 * The bytes of a run are checked when it is given back, not when it comes: while it is held
 * nothing else may be written there. Each receive is checked in itself: the bytes told of are the
 * bytes returned.
 *
 * Prints "name=value" words. Exit: 0, 1 wrong, 3 bind refused, 77 the kernel lacks it.
 */
#include <poll.h>

#include "../../../include/uapi/series.h"
#include "endpoint.h"
#include "recv_call.h"

enum { ETOOSMALL = 525, LINEAR = 1 << 20, CONTROL = 256 << 10, MAX_HELD = 1024 };
enum { MAX_RUN = 63, MAX_ENTRIES = MAX_RUN, WAIT_MS = 60000 };

static struct options {
	const char *ifname, *address;
	uint64_t bytes, unbind_at, exit_at;
	size_t pool, hold, chunk, control;
	uint32_t rx_page_size;
	int queue;
	enum recv_how how;
	bool in_recvmsg, heap, peek, toggle, misuse, odd, probe_only;
} opt = { .pool = 16 << 20, .chunk = 1 << 20, .control = CONTROL, .queue = 3 };

/* What one token stands for. @at: in the stream. */
struct held {
	uint64_t at;
	uint32_t token, n;
	struct dmabuf_run_entry entries[MAX_ENTRIES];
};

static struct receiver {
	struct dmabuf buf;
	struct binding bind;
	struct uring uring;
	struct held held[MAX_HELD]; /* ring */
	size_t head, n_held;
	uint8_t *linear;
	bool on;
	uint64_t got, entries, runs, singles, freed, receives, setsockopts, peeked, too_small;
	_Alignas(struct cmsghdr) uint8_t control[CONTROL];
} r;

static int run_get(int fd, uint32_t *ret_value)
{
	socklen_t len = sizeof(*ret_value);

	*ret_value = 0;
	if (getsockopt(fd, SOL_SOCKET, SO_DEVMEM_RUN, ret_value, &len))
		return -errno;
	return len == sizeof(*ret_value) ? 0 : -EPROTO;
}

static int run_set(int fd, int value)
{
	if (setsockopt(fd, SOL_SOCKET, SO_DEVMEM_RUN, &value, sizeof(value)))
		return -errno;
	r.on = value;
	return 0;
}

static void value_expect(int fd, uint32_t want)
{
	uint32_t value;
	int err = run_get(fd, &value);

	if (err || value != want)
		die("SO_DEVMEM_RUN is %#x (%d), not %#x", value, err, want);
}

/* The option by itself. Needs no device. */
static void probe(void)
{
	static const int families[] = { AF_INET, AF_INET6 };
	uint32_t value;

	for (size_t i = 0; i < 2; i++) {
		int fd = socket(families[i], SOCK_STREAM | SOCK_CLOEXEC, 0);
		uint8_t byte = 1;

		if (fd < 0)
			die("socket");
		if (run_get(fd, &value) || (value & ~1u) != DEVMEM_RUN_OFF) {
			printf("runs: this kernel does not know SO_DEVMEM_RUN\n");
			exit(EXIT_SKIP);
		}
		value_expect(fd, DEVMEM_RUN_OFF);
		if (run_set(fd, 1))
			die("SO_DEVMEM_RUN");
		value_expect(fd, DEVMEM_RUN_ON);
		if (run_set(fd, 2) != -EINVAL || run_set(fd, -1) != -EINVAL)
			die("values other than 0 and 1 are taken");
		if (!setsockopt(fd, SOL_SOCKET, SO_DEVMEM_RUN, &byte, sizeof(byte)))
			die("a value of one byte is taken");
		value_expect(fd, DEVMEM_RUN_ON);
		if (run_set(fd, 0))
			die("SO_DEVMEM_RUN");
		value_expect(fd, DEVMEM_RUN_OFF);
		close(fd);

		fd = socket(families[i], SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (run_set(fd, 1) != -EOPNOTSUPP || run_get(fd, &value) != -EOPNOTSUPP)
			die("UDP");
		close(fd);
	}
	printf("runs: yes\n");
}

static void held_check(const struct held *h)
{
	uint64_t at = h->at;

	for (uint32_t i = 0; i < h->n; i++) {
		const struct dmabuf_run_entry *e = &h->entries[i];

		pattern_check(r.buf.mem + e->frag_offset, 0, at, e->frag_size);
		at += e->frag_size;
	}
}

/* Return: what the kernel says */
static int tokens_free(int fd, const struct dmabuf_token *tokens, size_t n)
{
	r.setsockopts++;
	return setsockopt(fd, SOL_SOCKET, SO_DEVMEM_DONTNEED, tokens,
			  (socklen_t)(n * sizeof(*tokens)));
}

/* Ranges of the oldest tokens beyond those to keep, bytes checked.
 * Return: tokens in them
 */
static size_t tokens_take(struct dmabuf_token *tokens, size_t *ret_n, size_t keep)
{
	size_t n = 0, count = 0;

	while (r.n_held > keep && count < DEVMEM_DONTNEED_FRAGS) {
		const struct held *h = &r.held[r.head % MAX_HELD];

		if (n && tokens[n - 1].token_start + tokens[n - 1].token_count == h->token)
			tokens[n - 1].token_count++;
		else if (n < DEVMEM_DONTNEED_TOKENS)
			tokens[n++] = (struct dmabuf_token){ h->token, 1 };
		else
			break;
		held_check(h);
		r.head++;
		r.n_held--;
		count++;
	}
	*ret_n = n;
	return count;
}

static void release(int fd, size_t keep)
{
	struct dmabuf_token tokens[DEVMEM_DONTNEED_TOKENS];
	size_t n, count;
	int freed;

	while ((count = tokens_take(tokens, &n, keep))) {
		freed = tokens_free(fd, tokens, n);
		if (freed != (int)count)
			die("%d of %zu tokens freed", freed, count);
		r.freed += count;
		if (!opt.misuse)
			continue;
		/* They are gone, and nobody else has them yet. */
		freed = tokens_free(fd, tokens, n);
		if (freed)
			die("%d tokens freed twice", freed);
	}
}

/* Tokens that nobody has been given: 0 is none, and the others are far away. */
static void wrong_tokens(int fd)
{
	const struct dmabuf_token tokens[] = {
		{ 0, 1 }, { 1u << 30, 4096 }, { UINT32_MAX, 1 }, { UINT32_MAX - 5, UINT32_MAX },
		{ 5, 0 },
	};
	int freed = tokens_free(fd, tokens, sizeof(tokens) / sizeof(tokens[0]));

	if (freed)
		die("%d tokens freed that do not exist", freed);
}

static struct held *held_add(uint64_t at, uint32_t token)
{
	struct held *h = &r.held[(r.head + r.n_held++) % MAX_HELD];

	if (r.n_held > MAX_HELD)
		die("more than %d tokens", MAX_HELD);
	h->at = at;
	h->token = token;
	h->n = 0;
	return h;
}

static void entry_add(struct held *h, const struct dmabuf_run_entry *e, uint32_t dmabuf_id)
{
	if (dmabuf_id != r.bind.id || !e->frag_size || e->flags ||
	    e->frag_offset + e->frag_size > r.buf.size || h->n == MAX_ENTRIES)
		die("entry %u: %u bytes at %" PRIu64 " of dmabuf %u, flags %#x", h->n, e->frag_size,
		    (uint64_t)e->frag_offset, dmabuf_id, e->flags);
	h->entries[h->n++] = *e;
	r.entries++;
}

/* Return: bytes of the run */
static size_t run_take(const struct cmsghdr *cm, uint64_t at)
{
	size_t len = cm->cmsg_len - CMSG_LEN(0), sum = 0;
	const uint8_t *data = CMSG_DATA(cm);
	struct dmabuf_run_cmsg run;
	struct held *h;

	if (cm->cmsg_len < CMSG_LEN(sizeof(run) + sizeof(struct dmabuf_run_entry)) ||
	    (len - sizeof(run)) % sizeof(struct dmabuf_run_entry))
		die("a run of %zu bytes", len);
	memcpy(&run, data, sizeof(run));
	h = held_add(at, run.token);
	for (size_t pos = sizeof(run); pos < len; pos += sizeof(struct dmabuf_run_entry)) {
		struct dmabuf_run_entry e;

		memcpy(&e, data + pos, sizeof(e));
		entry_add(h, &e, run.dmabuf_id);
		sum += e.frag_size;
	}
	r.runs++;
	return sum;
}

/* Takes what a receive brought that begins at @at in the stream. */
static void result_take(struct msghdr *msg, size_t len, uint64_t at)
{
	size_t sum = 0, linear = 0;
	struct cmsghdr *cm;

	for (cm = CMSG_FIRSTHDR(msg); cm; cm = CMSG_NXTHDR(msg, cm)) {
		struct dmabuf_cmsg c;

		if (cm->cmsg_level != SOL_SOCKET)
			continue;
		if (cm->cmsg_type == SCM_DEVMEM_RUN) {
			if (!r.on)
				die("a run though the option is off");
			sum += run_take(cm, at + sum);
		} else if (cm->cmsg_type == SCM_DEVMEM_DMABUF) {
			if (r.on)
				die("a frag by itself though the option is on");
			memcpy(&c, CMSG_DATA(cm), sizeof(c));
			entry_add(held_add(at + sum, c.frag_token),
				  &(struct dmabuf_run_entry){ c.frag_offset, c.frag_size, 0 },
				  c.dmabuf_id);
			r.singles++;
			sum += c.frag_size;
		} else if (cm->cmsg_type == SCM_DEVMEM_LINEAR) {
			memcpy(&c, CMSG_DATA(cm), sizeof(c));
			pattern_check(r.linear + linear, 0, at + sum, c.frag_size);
			linear += c.frag_size;
			sum += c.frag_size;
		}
	}
	if (sum != len)
		die("%zu bytes received, %zu accounted for", len, sum);
}

/* Return: frags asked for at the head of the control buffer */
static size_t request_make(size_t keep)
{
	struct dmabuf_token tokens[DEVMEM_DONTNEED_TOKENS];
	struct cmsghdr *cm = (struct cmsghdr *)r.control;
	size_t n, count = tokens_take(tokens, &n, keep);

	if (!count)
		return 0;
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_DEVMEM_DONTNEED;
	cm->cmsg_len = CMSG_LEN(n * sizeof(*tokens));
	memcpy(CMSG_DATA(cm), tokens, n * sizeof(*tokens));
	return count;
}

/* One receive of at most @chunk bytes, with @control bytes for what it tells.
 * Return: bytes, or negative errno
 */
static ssize_t receive(int fd, size_t chunk, size_t control, int flags)
{
	size_t asked = opt.in_recvmsg && !(flags & MSG_PEEK) ? request_make(opt.hold) : 0;
	struct iovec iov = { r.linear, chunk };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = r.control };
	uint32_t freed;
	ssize_t n;

	/* room for the answer comes on top */
	msg.msg_controllen = asked ? sizeof(r.control) : control;
	r.receives++;
	n = recv_call(opt.how, &r.uring, fd, &msg,
		      flags | MSG_SOCK_DEVMEM | (asked ? MSG_SOCK_DEVMEM_DONTNEED : 0));
	if (asked) {
		memcpy(&freed, CMSG_DATA((struct cmsghdr *)r.control), sizeof(freed));
		if (freed != asked)
			die("recvmsg freed %u of %zu", freed, asked);
		r.freed += freed;
	}
	if (n > 0) {
		if (msg.msg_flags & MSG_CTRUNC)
			die("control data cut off");
		result_take(&msg, (size_t)n, r.got);
	}
	return n;
}

static void data_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, WAIT_MS) != 1)
		die("no data for %d ms", WAIT_MS);
}

/* A look at what comes next: runs of its own, which go back at once. */
static void peek(int fd, size_t chunk)
{
	size_t before = r.n_held;
	ssize_t n;

	data_wait(fd);
	n = receive(fd, chunk, opt.control, MSG_PEEK | MSG_DONTWAIT);
	if (n <= 0)
		die("peek: %zd", n);
	r.peeked += (uint64_t)n;
	/* Only those: the older ones are to be kept. */
	while (r.n_held > before) {
		struct held *h = &r.held[(r.head + --r.n_held) % MAX_HELD];

		held_check(h);
		if (tokens_free(fd, &(struct dmabuf_token){ h->token, 1 }, 1) != 1)
			die("a peeked run is not to be freed");
		r.freed++;
	}
}

/* There is no room for one entry: nothing may be lost. */
static void too_small(int fd)
{
	ssize_t n;

	data_wait(fd);
	for (size_t control = 0; control < CMSG_LEN(24); control += 13) {
		n = receive(fd, 4096, control, MSG_DONTWAIT);
		if (n != -ETOOSMALL)
			die("control buffer of %zu bytes: %zd", control, n);
		r.too_small++;
	}
}

static void receive_all(int fd)
{
	/* Sizes that have nothing to do with those of frags. */
	static const size_t odd[] = { 1, 4095, 70001, 4097, 262144, 13, 8192, 999999 };

	for (unsigned int i = 0; r.got < opt.bytes; i++) {
		size_t chunk = opt.odd ? odd[i % (sizeof(odd) / sizeof(odd[0]))] : opt.chunk;
		ssize_t n;

		if (opt.toggle && run_set(fd, i & 1))
			die("SO_DEVMEM_RUN");
		if (opt.misuse && r.on && i % 16 == 0) {
			too_small(fd);
			wrong_tokens(fd);
		}
		if (opt.peek)
			peek(fd, chunk);
		n = receive(fd, chunk, opt.control, 0);
		if (n <= 0)
			die("receive: %zd after %" PRIu64 " bytes", n, r.got);
		r.got += (uint64_t)n;
		if (!opt.in_recvmsg)
			release(fd, opt.hold);
		if (opt.exit_at && r.got >= opt.exit_at) {
			printf("held=%zu received=%" PRIu64 "\n", r.n_held, r.got);
			exit(0);
		}
		if (opt.unbind_at && r.got >= opt.unbind_at)
			break;
	}
}

static void options_parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "i:n:m:H:c:C:q:N:r:u:x:hptwoPU3")) != -1) {
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
		case 'C':
			opt.control = strtoull(optarg, NULL, 0);
			break;
		case 'q':
			opt.queue = atoi(optarg);
			break;
		case 'N':
			opt.rx_page_size = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'r':
			opt.in_recvmsg = !strcmp(optarg, "recvmsg");
			break;
		case 'u':
			opt.unbind_at = strtoull(optarg, NULL, 0);
			break;
		case 'x':
			opt.exit_at = strtoull(optarg, NULL, 0);
			break;
		case 'h':
			opt.heap = true;
			break;
		case 'p':
			opt.peek = true;
			break;
		case 't':
			opt.toggle = true;
			break;
		case 'w':
			opt.misuse = true;
			break;
		case 'o':
			opt.odd = true;
			break;
		case 'U':
			opt.how = RECV_URING;
			break;
		case '3':
			opt.how = RECV_32;
			break;
		case 'P':
			opt.probe_only = true;
			break;
		default:
			goto usage;
		}
	}
	opt.address = argv[optind];
	if (opt.probe_only || (opt.ifname && opt.address && opt.chunk && opt.chunk <= LINEAR &&
			       opt.control <= CONTROL && opt.hold < MAX_HELD))
		return;
usage:
	fputs("usage: devmem-runs -P | -i interface [options] address-to-listen-on\n"
	      "  -P         look whether the kernel has it, end\n"
	      "  -n bytes   to receive		-r setsockopt|recvmsg  how tokens go back\n"
	      "  -m MiB     of the dmabuf (16)	-h           from a dma-heap\n"
	      "  -N bytes   of a niov		-q queue     to bind (3)\n"
	      "  -c bytes   a receive (1 MiB)	-C bytes     of the control buffer\n"
	      "  -H tokens  to keep back	-o           reads of odd sizes\n"
	      "  -p         peek first		-t           option off and on in turn\n"
	      "  -w         what is wrong, too\n"
	      "  -U         receive by io_uring	-3           as a 32-bit program\n"
	      "  -x bytes   exit then, as it is	-u bytes     then unbind, with tokens held\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	int fd, err;

	options_parse(argc, argv);
	probe();
	if (opt.probe_only)
		return 0;
	dmabuf_make(&r.buf, opt.pool, opt.heap);
	err = binding_make(&r.bind, &r.buf, opt.ifname, opt.queue, opt.rx_page_size);
	if (err) {
		printf("refused=%d\n", err);
		return EXIT_REFUSED;
	}
	printf("bound=%" PRIu32 "\n", r.bind.id);
	fflush(stdout);
	r.linear = malloc(LINEAR);
	if (!r.linear)
		die("memory");
	if (opt.how == RECV_URING)
		uring_make(&r.uring, 8);
	fd = connection_make(opt.ifname, opt.address, true);
	if (run_set(fd, 1))
		die("SO_DEVMEM_RUN");

	receive_all(fd);
	if (opt.unbind_at) {
		nl_socket_free(r.bind.nl);
		/* The device goes on, without this memory. */
		usleep(300000);
		printf("unbound with %zu tokens held\n", r.n_held);
	}
	opt.in_recvmsg = false;
	release(fd, 0);
	if (r.freed != r.runs + r.singles)
		die("%" PRIu64 " tokens, %" PRIu64 " freed", r.runs + r.singles, r.freed);
	printf("received=%" PRIu64 " entries=%" PRIu64 " runs=%" PRIu64 " singles=%" PRIu64
	       " freed=%" PRIu64 " receives=%" PRIu64 " setsockopts=%" PRIu64 " peeked=%" PRIu64
	       " too_small=%" PRIu64 "\n",
	       r.got, r.entries, r.runs, r.singles, r.freed, r.receives, r.setsockopts, r.peeked,
	       r.too_small);
	return 0;
}
