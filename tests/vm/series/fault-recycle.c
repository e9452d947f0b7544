// SPDX-License-Identifier: BSD-3-Clause
/*
 * Frags freed in recvmsg, when something is wrong with the request: for test-fault-recycle.
 *
 * In each case frags are held, a call is made that fails or half fails, and then it must hold:
 * either the answer is at the head of the control buffer and the frags are free, or the request
 * is there as it was and they are held. What the socket still has given out at the end is what
 * the ledger says, frags that are held keep their bytes, and data that was refused comes later.
 *
 * Exit: 0, 1, 77 where the kernel lacks it.
 */

#include "fault.h"
#include "storm.h"

enum { HELD_BYTES = 32 << 10, STORM_BYTES = 4 << 20, STORM_CHUNK = 16 << 10 };

static struct dmabuf buf;
static struct binding bind_rx;
static struct ledger held;
static long page;

/* Two pages and one that is not there, after a connection with frags held. */
static struct pages {
	uint8_t *mem;
	struct conn c;
	struct dmabuf_token tokens[DEVMEM_DONTNEED_TOKENS];
	size_t ranges;
} p;

static void setup(void)
{
	conn_open(&p.c);
	held.n = 0;
	conn_send(&p.c, HELD_BYTES);
	conn_recv_all(&p.c, &held);
	check(held.n >= 4, "only %zu frags", held.n);
	p.ranges = ledger_tokens(&held, 0, held.n, p.tokens);
	p.mem = mmap(NULL, 3 * (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	check(p.mem != MAP_FAILED && !munmap(p.mem + 2 * page, (size_t)page), "pages");
}

/* Nothing was freed, and is now, by the call that there is beside. */
static void teardown_held(void)
{
	conn_stir(&p.c, &buf);
	ledger_check(&held, &buf);
	ledger_release(&held, p.c.rx);
	check(tokens_left(p.c.rx) == 0, "tokens are left");
	conn_close(&p.c);
	munmap(p.mem, 2 * (size_t)page);
}

/* All was freed, and new frags get the same ids: these may not be freed by anything. */
static void teardown_freed(void)
{
	held.n = 0;
	check(tokens_left(p.c.rx) == 0, "tokens are left that were said to be free");
	conn_send(&p.c, HELD_BYTES);
	conn_recv_all(&p.c, &held);
	teardown_held();
}

/* Return: bytes or negative errno */
static ssize_t call_at(void *control, size_t len, int flags)
{
	static uint8_t linear[1 << 20];
	struct iovec iov = { linear, sizeof(linear) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = len
	};
	ssize_t n = recvmsg(p.c.rx, &msg, flags | MSG_DONTWAIT | MSG_SOCK_DEVMEM);

	return n < 0 ? -errno : n;
}

static ssize_t call(void *control, size_t len)
{
	return call_at(control, len, MSG_SOCK_DEVMEM_DONTNEED);
}

/* A request that must be refused with @want, be left as it is and free nothing. */
static void refused(void *control, size_t mapped, size_t len, ssize_t want)
{
	uint8_t before[4096];
	ssize_t have;

	memcpy(before, control, mapped);
	have = call(control, len);
	check(have == want, "refused with %zd, expected %zd", have, want);
	check(!memcmp(before, control, mapped), "the request was changed");
}

static void read_only(void)
{
	size_t len;

	setup();
	len = request_put(p.mem, p.tokens, p.ranges);
	mprotect(p.mem, (size_t)page, PROT_READ);
	refused(p.mem, len, 2 * (size_t)page, -EFAULT);
	teardown_held();
}

/* The page ends in the request, @before bytes after its beginning, and the next cannot be
 * written to, or the first.
 */
static void split_at(size_t before, bool first)
{
	uint8_t *at;
	size_t len;

	setup();
	at = p.mem + page - before;
	len = request_put(at, p.tokens, p.ranges);
	check(len > before, "request too short");
	mprotect(first ? p.mem : p.mem + page, (size_t)page, PROT_READ);
	refused(at, len, before + (size_t)page, -EFAULT);
	/* and as the process would go on: the same again where it can be written */
	mprotect(p.mem, 2 * (size_t)page, PROT_READ | PROT_WRITE);
	check(call(at, before + (size_t)page) == -EAGAIN && answer_get(at) == (int)held.n,
	      "%d of %zu freed when it was repeated", answer_get(at), held.n);
	teardown_freed();
}

static void split_after_header(void)
{
	split_at(CMSG_LEN(0), false);
	split_at(CMSG_LEN(0), true);
}

static void split_in_header(void)
{
	split_at(8, false);
	split_at(8, true);
	split_at(4, false);
	split_at(4, true);
	split_at(12, false);
}

static void split_in_answer(void)
{
	split_at(CMSG_LEN(0) + 2, false);
	split_at(CMSG_LEN(0) + 2, true);
	/* all of the answer in the first page, which cannot be written */
	split_at(CMSG_LEN(sizeof(uint32_t)), true);
}

/* Tokens that cannot be read: all, and the last ones */
static void tokens_unmapped(void)
{
	uint8_t *end;

	setup();
	end = p.mem + 2 * page;
	for (size_t in = 0; in < 2 * sizeof(struct dmabuf_token);
	     in += sizeof(struct dmabuf_token) / 2) {
		struct cmsghdr cm = { .cmsg_level = SOL_SOCKET,
				      .cmsg_type = SCM_DEVMEM_DONTNEED,
				      .cmsg_len = CMSG_LEN(2 * sizeof(struct dmabuf_token)) };
		uint8_t *at = end - CMSG_LEN(0) - in;

		memcpy(at, &cm, sizeof(cm));
		memcpy(at + CMSG_LEN(0), p.tokens, in);
		refused(at, CMSG_LEN(0) + in, 4096, -EFAULT);
	}
	refused(end - 8, 8, 4096, -EFAULT);
	check(call(end, 4096) == -EFAULT, "no buffer at all");
	teardown_held();
}

/* The answer can be written and what is received not: it stays to be received. */
static void receive_faults(void)
{
	uint8_t *at;
	size_t n;

	setup();
	n = held.n;
	conn_send(&p.c, HELD_BYTES);
	conn_arrived(&p.c);
	at = p.mem + 2 * page - CMSG_LEN(p.ranges * sizeof(*p.tokens));
	request_put(at, p.tokens, p.ranges);
	/* the answer takes 24 bytes, and the request had at least as many */
	check(call(at, 4096) == -EFAULT, "receive into nowhere");
	check(answer_get(at) == (int)n, "%d of %zu freed", answer_get(at), n);
	/* the same buffer again, now with room for nothing */
	check(call(at, CMSG_SPACE(sizeof(uint32_t))) == -FAULT_ETOOSMALL, "no room for a frag");
	check(answer_get(at) == (int)n, "the answer was not kept");
	held.n = 0;
	conn_recv_all(&p.c, &held);
	check(tokens_left(p.c.rx) == (int)held.n, "not all of what was received is held");
	held.n = 0;
	teardown_freed();
}

/* A buffer that is the request and no more; the data stays. */
static void no_room(void)
{
	size_t len, n;

	setup();
	n = held.n;
	conn_send(&p.c, HELD_BYTES);
	conn_arrived(&p.c);
	len = request_put(p.mem, p.tokens, 1);
	check(call(p.mem, len) == -FAULT_ETOOSMALL, "room for no frag");
	check(answer_get(p.mem) == (int)p.tokens[0].token_count, "not freed");
	check(tokens_left(p.c.rx) == (int)n - answer_get(p.mem), "freed and not freed");
	held.n = 0;
	conn_recv_all(&p.c, &held);
	teardown_held();
}

/* Every length that is wrong, in a buffer that is long enough or not. */
static void lengths(void)
{
	struct cmsghdr cm = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_DEVMEM_DONTNEED };
	const size_t one = CMSG_LEN(sizeof(struct dmabuf_token));
	const size_t wrong[] = { 0,
				 1,
				 CMSG_LEN(0) - 1,
				 CMSG_LEN(0),
				 CMSG_LEN(1),
				 one - 1,
				 one + 1,
				 one + 4,
				 CMSG_LEN((DEVMEM_DONTNEED_TOKENS + 1) *
					  sizeof(struct dmabuf_token)),
				 4097,
				 SIZE_MAX,
				 SIZE_MAX - 7,
				 (size_t)1 << 32,
				 ((size_t)1 << 32) + one };

	setup();
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		request_put(p.mem, p.tokens, p.ranges);
		cm.cmsg_len = wrong[i];
		memcpy(p.mem, &cm, sizeof(cm));
		refused(p.mem, 2048, 4096, -EINVAL);
	}
	/* the buffer is shorter than the message in it: by a byte; only the header; nothing */
	request_put(p.mem, p.tokens, 1);
	refused(p.mem, one, one - 1, -EINVAL);
	refused(p.mem, one, CMSG_LEN(0), -EINVAL);
	refused(p.mem, one, CMSG_LEN(0) - 1, -EINVAL);
	refused(p.mem, one, 1, -EINVAL);
	refused(p.mem, one, 0, -EINVAL);
	check(call(NULL, 0) == -EINVAL && call(NULL, 4096) == -EFAULT, "no buffer");
	check(recv(p.c.rx, p.mem, 1, MSG_DONTWAIT | MSG_SOCK_DEVMEM_DONTNEED) < 0 &&
		      errno == EINVAL,
	      "recv");
	teardown_held();
}

/* The request is what stands first. What follows is not looked at, and written over. */
static void several(void)
{
	struct cmsghdr other = { .cmsg_level = SOL_SOCKET,
				 .cmsg_type = SCM_RIGHTS,
				 .cmsg_len = CMSG_LEN(sizeof(int)) };
	struct dmabuf_token one;
	size_t len;

	/* behind another message */
	setup();
	memcpy(p.mem, &other, sizeof(other));
	request_put(p.mem + CMSG_SPACE(sizeof(int)), p.tokens, p.ranges);
	refused(p.mem, 4096, 4096, -EINVAL);
	other.cmsg_type = SCM_DEVMEM_DMABUF;
	memcpy(p.mem, &other, sizeof(other));
	refused(p.mem, 4096, 4096, -EINVAL);
	teardown_held();

	/* two requests: the second one's frags stay held */
	setup();
	one = (struct dmabuf_token){ held.frags[0].token, 1 };
	len = request_put(p.mem, &one, 1);
	one.token_start = held.frags[1].token;
	request_put(p.mem + CMSG_ALIGN(len), &one, 1);
	check(call(p.mem, 4096) == -EAGAIN && answer_get(p.mem) == 1, "the first of two");
	check(tokens_left(p.c.rx) == (int)held.n - 1, "more than the first was freed");
	teardown_freed();

	/* the same frags twice in one request: freed once */
	setup();
	memcpy(p.tokens + p.ranges, p.tokens, p.ranges * sizeof(*p.tokens));
	request_put(p.mem, p.tokens, 2 * p.ranges);
	check(call(p.mem, 4096) == -EAGAIN && answer_get(p.mem) == (int)held.n, "%d of %zu freed",
	      answer_get(p.mem), held.n);
	teardown_freed();
}

/* Tokens that name nothing, beside those that do; ranges that wrap around */
static void strange_tokens(void)
{
	setup();
	p.tokens[p.ranges++] = (struct dmabuf_token){ 0x7fffffff, 8 };
	p.tokens[p.ranges++] = (struct dmabuf_token){ UINT32_MAX, 1 };
	p.tokens[p.ranges++] = (struct dmabuf_token){ 5000, 100 };
	p.tokens[p.ranges++] = (struct dmabuf_token){ 5000, UINT32_MAX };
	request_put(p.mem, p.tokens, p.ranges);
	check(call(p.mem, 4096) == -EAGAIN && answer_get(p.mem) == (int)held.n, "%d of %zu freed",
	      answer_get(p.mem), held.n);
	teardown_freed();

	/* nobody named: nothing freed */
	setup();
	p.tokens[0] = (struct dmabuf_token){ 0, 0 };
	p.tokens[1] = (struct dmabuf_token){ 6000, UINT32_MAX };
	request_put(p.mem, p.tokens, 2);
	check(call(p.mem, 4096) == -EAGAIN && answer_get(p.mem) == 0, "nothing was named");
	teardown_held();
}

/* With flags that have nothing to do with it: freed once, as always, or refused as a whole. */
/* A receive of no bytes, while there are some: it frees, and hands out no frag of no bytes in exchange. */
static void no_bytes(void)
{
	struct iovec iov = { p.mem, 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	const int with = MSG_SOCK_DEVMEM | MSG_SOCK_DEVMEM_DONTNEED | MSG_DONTWAIT;

	for (int iovs = 0; iovs < 2; iovs++) {
		setup();
		conn_send(&p.c, HELD_BYTES);
		conn_arrived(&p.c);
		request_put(p.mem, p.tokens, p.ranges);
		msg.msg_iovlen = (size_t)iovs;
		msg.msg_control = p.mem;
		msg.msg_controllen = (size_t)page;
		check(recvmsg(p.c.rx, &msg, with) == 0, "received something");
		check(answer_get(p.mem) == (int)held.n, "%d freed", answer_get(p.mem));
		check(msg.msg_controllen == CMSG_SPACE(sizeof(uint32_t)), "told of %zu bytes more",
		      (size_t)msg.msg_controllen);
		check(tokens_left(p.c.rx) == 0, "a token nobody asked for");
		held.n = 0;
		conn_recv_all(&p.c, &held);
		teardown_held();
	}
}

static void flags(void)
{
	static const int with[] = { MSG_PEEK,	  MSG_TRUNC, MSG_WAITALL,
				    MSG_NOSIGNAL, 0x800,     MSG_CMSG_CLOEXEC };
	size_t len;

	for (size_t i = 0; i < sizeof(with) / sizeof(*with); i++) {
		setup();
		request_put(p.mem, p.tokens, p.ranges);
		check(call_at(p.mem, 4096, MSG_SOCK_DEVMEM_DONTNEED | with[i]) == -EAGAIN &&
			      answer_get(p.mem) == (int)held.n,
		      "flag %x: %d freed", with[i], answer_get(p.mem));
		teardown_freed();
	}
	/* the error queue has no frags, and MSG_OOB no control data for them */
	setup();
	len = request_put(p.mem, p.tokens, p.ranges);
	check(call_at(p.mem, 4096, MSG_SOCK_DEVMEM_DONTNEED | MSG_ERRQUEUE) == -EAGAIN,
	      "MSG_ERRQUEUE");
	check(answer_get(p.mem) < 0 && len, "freed by a look at the error queue");
	teardown_held();
	/* without the flag it is a buffer like any other */
	setup();
	request_put(p.mem, p.tokens, p.ranges);
	check(call_at(p.mem, 4096, 0) == -EAGAIN && answer_get(p.mem) < 0, "freed unasked");
	teardown_held();
}

/* Data seen by MSG_PEEK is held by a token of its own. */
static void peek(void)
{
	size_t n;

	setup();
	held.n = 0;
	check(tokens_left(p.c.rx) > 0, "held");
	conn_send(&p.c, HELD_BYTES);
	conn_arrived(&p.c);
	check(conn_recv(&p.c, &held, HELD_BYTES, MSG_DONTWAIT | MSG_PEEK) == HELD_BYTES, "peek");
	p.c.got -= HELD_BYTES;
	n = held.n;
	p.ranges = ledger_tokens(&held, 0, n, p.tokens);
	/* give back while the data is still in the receive queue, and receive it */
	request_put(p.mem, p.tokens, p.ranges);
	check(call(p.mem, 64) == -FAULT_ETOOSMALL || answer_get(p.mem) == (int)n, "peeked");
	check(answer_get(p.mem) == (int)n, "%d of %zu freed", answer_get(p.mem), n);
	tokens_left(p.c.rx);
	conn_close(&p.c);
	munmap(p.mem, 2 * (size_t)page);
}

/* Sends slowly, so that the receiver sleeps in its calls. */
static void storm_sender(void)
{
	static uint8_t chunk[STORM_CHUNK];

	for (size_t sent = 0; sent < STORM_BYTES; sent += sizeof(chunk)) {
		pattern_fill(chunk, 0, p.c.sent + sent, sizeof(chunk));
		check(send(p.c.tx, chunk, sizeof(chunk), 0) == sizeof(chunk), "send");
		usleep(1000);
	}
	_exit(0);
}

/* Receives that sleep and are interrupted, each with what the last one brought to be freed. Those
 * that are not restarted inside the kernel are repeated with the buffer as it is.
 */
static void storm(int restart)
{
	static _Alignas(struct cmsghdr) uint8_t control[FAULT_CONTROL];
	static uint8_t linear[64 << 10];
	static struct ledger kept;
	unsigned int interrupted = 0, calls = 0, signals;
	struct storm s;
	uint64_t end;
	int status;
	pid_t pid;

	setup();
	/* the lowest numbers stay held: freed twice is freed from among these */
	kept = held;
	held.n = 0;
	conn_send(&p.c, HELD_BYTES);
	conn_recv_all(&p.c, &held);
	end = p.c.sent + STORM_BYTES;
	fflush(stdout);
	pid = fork();
	if (!pid)
		storm_sender();
	storm_begin(&s, restart, 400);
	while (p.c.got < end) {
		struct iovec iov = { linear, sizeof(linear) };
		struct msghdr msg;
		ssize_t n;

		ledger_check(&held, &buf);
		p.ranges = ledger_tokens(&held, 0, held.n, p.tokens);
		request_put(control, p.tokens, p.ranges);
		do {
			msg = (struct msghdr){ .msg_iov = &iov,
					       .msg_iovlen = 1,
					       .msg_control = control,
					       .msg_controllen = sizeof(control) };
			n = recvmsg(p.c.rx, &msg, MSG_SOCK_DEVMEM | MSG_SOCK_DEVMEM_DONTNEED);
			check(answer_get(control) == (int)held.n, "%d of %zu freed",
			      answer_get(control), held.n);
			calls++;
			interrupted += n < 0;
		} while (n < 0 && errno == EINTR);
		check(n > 0, "receive: %zd", n);
		held.n = 0;
		ledger_take(&held, &p.c, &msg, (size_t)n);
	}
	signals = storm_end(&s);
	check(waitpid(pid, &status, 0) == pid && !status, "sender: %x", status);
	printf(" %u calls, %u signals, %u EINTR;", calls, signals, interrupted);
	check(signals > 20, "no storm");
	check(restart ? !interrupted : interrupted, "%u EINTR", interrupted);
	p.c.sent = end;
	for (size_t i = 0; i < kept.n; i++)
		held.frags[held.n++] = kept.frags[i];
	teardown_held();
}

static void storms(void)
{
	storm(SA_RESTART);
	storm(0);
}

int main(void)
{
	static const struct fault_case cases[] = {
		{ "read-only request", read_only },
		{ "request split behind its header", split_after_header },
		{ "request split in its header", split_in_header },
		{ "request split in the answer's place", split_in_answer },
		{ "tokens that cannot be read", tokens_unmapped },
		{ "answered, and the receive faults", receive_faults },
		{ "no room for what is received", no_room },
		{ "no bytes asked for", no_bytes },
		{ "lengths", lengths },
		{ "several control messages", several },
		{ "tokens that name nothing", strange_tokens },
		{ "flags", flags },
		{ "MSG_PEEK", peek },
		{ "signals", storms },
	};

	page = sysconf(_SC_PAGESIZE);
	if (!recycle_known()) {
		printf("skip: this kernel does not free frags in recvmsg\n");
		return EXIT_SKIP;
	}
	dmabuf_make(&buf, 1 << 20, false);
	binding_open(&bind_rx, &buf, false);
	cases_run(cases, sizeof(cases) / sizeof(*cases));
	binding_close(&bind_rx);
	dmabuf_close(&buf);
	dmabufs_wait(0);
	return 0;
}
