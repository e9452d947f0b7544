// SPDX-License-Identifier: BSD-3-Clause
/*
 * What receiving costs, in the time stamp counter's units for each MiB: under QEMU's instruction
 * clock (tests/vm/guest --x86 --instructions) that is instructions of the receiving side.
 *
 * Each round the peer, a process of its own in another network namespace, fills the socket and
 * goes to sleep; then the socket is drained with reads of the size asked for, and everything is
 * given back. Counted are the system calls that it takes: the receives, and what releases frags.
 *
 * Prints one line: name, median, least, greatest, rounds. Exit: 0, 1 wrong, 3 bind refused,
 * 77 the kernel lacks it.
 */
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <x86intrin.h>

#include "../../../include/uapi/series.h"
#include "../series/endpoint.h"

enum { CONTROL = 64 << 10, MAX_ROUNDS = 999, WARM_UP = 16, SETTLE_US = 20000 };

/* How frags come, and how they go back: see usage. */
enum how { PLAIN, SETSOCKOPT, RECVMSG, RUN, RUN_RECVMSG };
static const char *const hows[] = { "plain", "setsockopt", "recvmsg", "run", "run-recvmsg" };

static struct options {
	const char *ifname, *netns, *address;
	size_t fill, read, pool;
	uint32_t rx_page_size;
	int queue;
	unsigned int rounds;
	enum how how;
} opt = { .fill = 1 << 20, .read = 1 << 20, .pool = 16 << 20, .queue = 3, .rounds = 21 };

static struct receiver {
	struct dmabuf buf;
	struct binding bind;
	uint8_t *memory; /* of opt.read bytes */
	struct dmabuf_token tokens[DEVMEM_DONTNEED_TOKENS];
	size_t n_tokens, n_held, got;
	unsigned int calls; /* of setsockopt() */
	_Alignas(struct cmsghdr) uint8_t control[CONTROL];
} r;

static bool releases_in_recvmsg(void)
{
	return opt.how == RECVMSG || opt.how == RUN_RECVMSG;
}

/* The peer: on each byte from @ask it sends that many times opt.fill, waits until the other
 * end's kernel has all of it, and answers. Ends with the pipe.
 */
static void peer_run(int ask, int answer)
{
	uint8_t *data = calloc(1, opt.fill), times;
	int ns = open(opt.netns, O_RDONLY | O_CLOEXEC), fd, queued;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!data || ns < 0 || setns(ns, CLONE_NEWNET))
		die("network namespace %s", opt.netns);
	fd = connection_make(opt.ifname, opt.address, false);
	while (read(ask, &times, 1) == 1) {
		for (size_t left = times * opt.fill; left;) {
			ssize_t n = write(fd, data, left < opt.fill ? left : opt.fill);

			if (n < 0)
				die("write");
			left -= (size_t)n;
		}
		do {
			usleep(1000);
			if (ioctl(fd, SIOCOUTQ, &queued))
				die("SIOCOUTQ");
		} while (queued);
		if (write(answer, &times, 1) != 1)
			die("pipe");
	}
	exit(0);
}

static void token_add(uint32_t token)
{
	struct dmabuf_token *last = &r.tokens[r.n_tokens - 1];

	if (r.n_tokens && last->token_start + last->token_count == token)
		last->token_count++;
	else if (r.n_tokens < DEVMEM_DONTNEED_TOKENS)
		r.tokens[r.n_tokens++] = (struct dmabuf_token){ token, 1 };
	else
		die("tokens of one read make more than %d ranges", DEVMEM_DONTNEED_TOKENS);
	r.n_held++;
}

/* Return: bytes that the control messages tell of */
static size_t tokens_collect(struct msghdr *msg)
{
	struct dmabuf_run_entry entry;
	struct dmabuf_run_cmsg run;
	struct dmabuf_cmsg frag;
	struct cmsghdr *cm;
	size_t sum = 0;

	for (cm = CMSG_FIRSTHDR(msg); cm; cm = CMSG_NXTHDR(msg, cm)) {
		if (cm->cmsg_level != SOL_SOCKET)
			continue;
		if (cm->cmsg_type == SCM_DEVMEM_DMABUF) {
			memcpy(&frag, CMSG_DATA(cm), sizeof(frag));
			token_add(frag.frag_token);
			sum += frag.frag_size;
		} else if (cm->cmsg_type == SCM_DEVMEM_RUN) {
			size_t len = cm->cmsg_len - CMSG_LEN(0);

			memcpy(&run, CMSG_DATA(cm), sizeof(run));
			token_add(run.token);
			for (size_t at = sizeof(run); at < len; at += sizeof(entry)) {
				memcpy(&entry, CMSG_DATA(cm) + at, sizeof(entry));
				sum += entry.frag_size;
			}
		}
	}
	return sum;
}

static void released_check(size_t freed)
{
	if (freed != r.n_held)
		die("%zu of %zu tokens freed", freed, r.n_held);
	r.n_held = 0;
	r.n_tokens = 0;
}

static uint64_t release_by_setsockopt(int fd)
{
	socklen_t len = (socklen_t)(r.n_tokens * sizeof(r.tokens[0]));
	uint64_t start = __rdtsc(), end;
	int freed = setsockopt(fd, SOL_SOCKET, SO_DEVMEM_DONTNEED, r.tokens, len);

	end = __rdtsc();
	r.calls++;
	if (freed < 0)
		die("SO_DEVMEM_DONTNEED");
	released_check((size_t)freed);
	return end - start;
}

/* One receive, which gives back what is held where it is to be done so.
 * Return: its cost
 */
static uint64_t receive(int fd)
{
	struct iovec iov = { r.memory, opt.read };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm = (struct cmsghdr *)r.control;
	bool release = releases_in_recvmsg() && r.n_tokens;
	int flags = MSG_DONTWAIT;
	uint64_t start, end;
	ssize_t n;

	if (opt.how != PLAIN) {
		msg.msg_control = r.control;
		msg.msg_controllen = sizeof(r.control);
		flags |= MSG_SOCK_DEVMEM;
	}
	if (release) {
		flags |= MSG_SOCK_DEVMEM_DONTNEED;
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_DEVMEM_DONTNEED;
		cm->cmsg_len = CMSG_LEN(r.n_tokens * sizeof(r.tokens[0]));
		memcpy(CMSG_DATA(cm), r.tokens, r.n_tokens * sizeof(r.tokens[0]));
	}
	start = __rdtsc();
	n = recvmsg(fd, &msg, flags);
	end = __rdtsc();

	if (n < 0 && (errno != EAGAIN || r.got < opt.fill))
		die("recvmsg after %zu bytes", r.got);
	if (n == 0)
		die("recvmsg: end of stream");
	if (release) {
		uint32_t freed;

		memcpy(&freed, CMSG_DATA(cm), sizeof(freed));
		released_check(freed);
	}
	if (n > 0) {
		if (opt.how != PLAIN && tokens_collect(&msg) != (size_t)n)
			die("%zd bytes received, not all in frags", n);
		r.got += (size_t)n;
	}
	return end - start;
}

/* Receives that many bytes. @wait: they are still coming.
 * Return: what it cost
 */
static uint64_t drain(int fd, size_t bytes, bool wait)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t cost = 0;

	for (r.got = 0; r.got < bytes;) {
		if (wait && poll(&p, 1, 60000) != 1)
			die("no data for 60 s");
		cost += receive(fd);
		if (r.n_tokens && !releases_in_recvmsg())
			cost += release_by_setsockopt(fd);
	}
	if (r.n_tokens)
		cost += receive(fd); /* only gives back */
	return cost;
}

static void peer_ask(int ask, uint8_t times)
{
	if (write(ask, &times, 1) != 1)
		die("the peer has ended");
}

/* It waits for ever if the window does not grow so far that a round fits. */
static void peer_wait(int answer)
{
	struct pollfd p = { .fd = answer, .events = POLLIN };
	uint8_t times;

	if (poll(&p, 1, 60000) != 1)
		die("the socket does not take %zu bytes: tcp_rmem is too small", opt.fill);
	if (read(answer, &times, 1) != 1)
		die("the peer has ended");
}

static uint64_t round_run(int fd, int ask, int answer)
{
	int queued;

	peer_ask(ask, 1);
	peer_wait(answer);
	usleep(SETTLE_US);
	if (ioctl(fd, SIOCINQ, &queued) || (size_t)queued != opt.fill)
		die("%d bytes in the socket, not %zu", queued, opt.fill);
	return drain(fd, opt.fill, false);
}

static int u64_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/*
 * A line each for calls that do nothing but give tokens back, and for instructions; per MiB. The receive at a round's end that finds
 * nothing but brings the last tokens is the next round's first one in a stream that goes on: not such a call, but in the instructions.
 */
static void report(uint64_t *costs)
{
	double mib = (double)opt.fill / (1 << 20);
	size_t middle = opt.rounds / 2;
	double calls = (double)r.calls / opt.rounds / mib;

	qsort(costs, opt.rounds, sizeof(*costs), u64_compare);
	printf("recv/niov-%u/read-%zu/%s/calls %.0f %.0f %.0f %u\n",
	       opt.rx_page_size ? opt.rx_page_size : 4096, opt.read, hows[opt.how], calls, calls,
	       calls, opt.rounds);
	printf("recv/niov-%u/read-%zu/%s %.0f %.0f %.0f %u\n",
	       opt.rx_page_size ? opt.rx_page_size : 4096, opt.read, hows[opt.how],
	       (double)costs[middle] / mib, (double)costs[0] / mib,
	       (double)costs[opt.rounds - 1] / mib, opt.rounds);
}

static void runs_enable(int fd)
{
	uint32_t value = 0;
	socklen_t len = sizeof(value);
	int one = 1;

	if (getsockopt(fd, SOL_SOCKET, SO_DEVMEM_RUN, &value, &len) || value != DEVMEM_RUN_OFF) {
		fprintf(stderr, "skip: this kernel does not know SO_DEVMEM_RUN\n");
		exit(EXIT_SKIP);
	}
	if (setsockopt(fd, SOL_SOCKET, SO_DEVMEM_RUN, &one, sizeof(one)))
		die("SO_DEVMEM_RUN");
}

static void recvmsg_release_probe(void)
{
	if (recycle_known())
		return;
	fprintf(stderr, "skip: this kernel does not know MSG_SOCK_DEVMEM_DONTNEED\n");
	exit(EXIT_SKIP);
}

static void options_parse(int argc, char **argv)
{
	bool known = true;
	int c;

	while ((c = getopt(argc, argv, "i:P:f:c:m:N:q:n:r:")) != -1) {
		switch (c) {
		case 'i':
			opt.ifname = optarg;
			break;
		case 'P':
			opt.netns = optarg;
			break;
		case 'f':
			opt.fill = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			opt.read = strtoull(optarg, NULL, 0);
			break;
		case 'm':
			opt.pool = strtoull(optarg, NULL, 0) << 20;
			break;
		case 'N':
			opt.rx_page_size = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'q':
			opt.queue = atoi(optarg);
			break;
		case 'n':
			opt.rounds = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 'r':
			known = false;
			for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
				if (strcmp(optarg, hows[i]))
					continue;
				opt.how = (enum how)i;
				known = true;
			}
			break;
		default:
			known = false;
			break;
		}
	}
	opt.address = argv[optind];
	if (known && opt.ifname && opt.netns && opt.address && opt.read && opt.fill && opt.rounds &&
	    opt.rounds <= MAX_ROUNDS)
		return;
	fputs("usage: recv-cost -i interface -P netns [options] address-to-listen-on\n"
	      "  -P netns   the peer's, as a file: /run/netns/NAME\n"
	      "  -r plain|setsockopt|recvmsg|run|run-recvmsg   copied; frags given back by one or\n"
	      "             the other; runs of frags, given back by one or the other (plain)\n"
	      "  -c bytes   a receive (1 MiB)		-f bytes   a round (1 MiB)\n"
	      "  -N bytes   of a niov			-m MiB     of the dmabuf (16)\n"
	      "  -q queue   to bind (3)		-n rounds  (21)\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	static uint64_t costs[MAX_ROUNDS];
	int ask[2], answer[2], fd, status;
	pid_t peer;

	options_parse(argc, argv);
	if (releases_in_recvmsg())
		recvmsg_release_probe();
	r.memory = calloc(1, opt.read);
	if (!r.memory)
		die("memory");
	if (opt.how != PLAIN) {
		dmabuf_make(&r.buf, opt.pool, opt.rx_page_size > 4096);
		if (binding_make(&r.bind, &r.buf, opt.ifname, opt.queue, opt.rx_page_size))
			return EXIT_REFUSED;
	}
	if (pipe2(ask, O_CLOEXEC) || pipe2(answer, O_CLOEXEC))
		die("pipe");
	peer = fork();
	if (peer < 0)
		die("fork");
	if (!peer) {
		close(ask[1]);
		peer_run(ask[0], answer[1]);
	}
	close(ask[0]);
	close(answer[1]);
	fd = connection_make(opt.ifname, opt.address, true);
	if (opt.how == RUN || opt.how == RUN_RECVMSG)
		runs_enable(fd);

	/* The window has to grow until a round fits. */
	peer_ask(ask[1], WARM_UP);
	drain(fd, WARM_UP * opt.fill, true);
	peer_wait(answer[0]);
	round_run(fd, ask[1], answer[0]);
	r.calls = 0;
	for (unsigned int i = 0; i < opt.rounds; i++)
		costs[i] = round_run(fd, ask[1], answer[0]);
	report(costs);
	close(ask[1]);
	if (waitpid(peer, &status, 0) != peer || !WIFEXITED(status))
		die("the peer");
	return WEXITSTATUS(status);
}
