// SPDX-License-Identifier: BSD-3-Clause
/*
 * Sockets, tokens and bindings in more than one process: for test-fault-share.
 *
 * A token belongs to a socket, whoever has that; a binding to a netlink socket; a dmabuf's id to
 * nobody. Whatever the processes do with each other's, each frag is freed once and at the end
 * none is held.
 *
 * Exit: 0, 1, 77 where the kernel lacks it.
 */
#include <signal.h>
#include <sys/wait.h>

#include "fault.h"

enum { HELD_BYTES = 64 << 10 };

static struct dmabuf buf;
static struct binding bind_rx;
static struct ledger held, other;

/* Processes take turns: each side writes a byte when it is the other's. */
struct turns {
	int to, from;
};

static void turns_make(struct turns *parent, struct turns *child)
{
	int down[2], up[2];

	check(!pipe(down) && !pipe(up), "pipes");
	*parent = (struct turns){ down[1], up[0] };
	*child = (struct turns){ up[1], down[0] };
}

static void turn_give(const struct turns *t)
{
	check(write(t->to, "", 1) == 1, "pipe");
}

static void turn_wait(const struct turns *t)
{
	char c;

	check(read(t->from, &c, 1) == 1, "the other process has ended");
}

/* Return: pid; 0 in the child, which has to end by child_exit() */
static pid_t child_start(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	check(pid >= 0, "fork");
	return pid;
}

static void child_end(pid_t pid)
{
	int status;

	check(waitpid(pid, &status, 0) == pid && status == 0, "child: %x", status);
}

/* Two sockets bound to the same dmabuf have tokens of the same numbers. */
static void others_tokens(void)
{
	struct dmabuf_token tokens[DEVMEM_DONTNEED_TOKENS];
	struct conn mine, theirs;
	size_t ranges;
	pid_t pid;

	held.n = 0;
	conn_open(&mine);
	conn_send(&mine, HELD_BYTES);
	conn_recv_all(&mine, &held);
	ranges = ledger_tokens(&held, 0, held.n, tokens);

	pid = child_start();
	if (!pid) {
		uint8_t control[4096];
		struct msghdr msg = { .msg_control = control };

		/* a socket that has none; one that is no devmem socket; one that is no TCP */
		conn_open(&theirs);
		check(dontneed(theirs.rx, tokens, ranges) == 0, "tokens of another socket");
		request_put(control, tokens, ranges);
		msg.msg_controllen = sizeof(control);
		check(recvmsg(theirs.rx, &msg,
			      MSG_DONTWAIT | MSG_SOCK_DEVMEM | MSG_SOCK_DEVMEM_DONTNEED) < 0 &&
			      errno == EAGAIN && answer_get(control) == 0,
		      "%d tokens of another socket", answer_get(control));
		check(dontneed(theirs.tx, tokens, ranges) == 0, "tokens of the other end");
		check(dontneed(socket(AF_INET, SOCK_DGRAM, 0), tokens, ranges) < 0 &&
			      errno == EBADF,
		      "tokens to UDP");
		/* the same numbers, other frags */
		other.n = 0;
		conn_send(&theirs, HELD_BYTES);
		conn_recv_all(&theirs, &other);
		check(dontneed(theirs.rx, tokens, ranges) == (int)other.n, "own tokens");
		check(tokens_left(theirs.rx) == 0, "left");
		conn_close(&theirs);
		_exit(0);
	}
	child_end(pid);
	conn_stir(&mine, &buf);
	ledger_check(&held, &buf);
	ledger_release(&held, mine.rx);
	check(tokens_left(mine.rx) == 0, "left");
	conn_close(&mine);
}

/* A child has the parent's socket, and so its tokens. */
static void fork_child_frees(void)
{
	struct conn c;
	pid_t pid;

	held.n = 0;
	conn_open(&c);
	conn_send(&c, HELD_BYTES);
	conn_recv_all(&c, &held);

	/* one that ends without doing anything frees nothing, and unbinds nothing */
	pid = child_start();
	if (!pid)
		_exit(0);
	child_end(pid);
	conn_stir(&c, &buf);
	ledger_check(&held, &buf);

	/* one that is killed in a receive, too */
	pid = child_start();
	if (!pid) {
		conn_recv(&c, &held, 1, 0);
		_exit(EXIT_WRONG);
	}
	usleep(20000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	conn_stir(&c, &buf);
	ledger_check(&held, &buf);

	/* what it frees is free for both */
	pid = child_start();
	if (!pid) {
		ledger_release(&held, c.rx);
		_exit(0);
	}
	child_end(pid);
	check(tokens_left(c.rx) == 0, "tokens are left that the child has freed");
	conn_close(&c);
}

/* The parent closes all that it has, the child goes on: with socket, binding and tokens. */
static void fork_parent_first(void)
{
	struct turns parent, child;
	struct binding own;
	struct conn c;
	struct dmabuf b;
	pid_t pid;
	int before;

	binding_close(&bind_rx);
	before = dmabufs_count();
	dmabuf_make(&b, 1 << 20, false);
	binding_open(&own, &b, false);
	conn_open(&c);
	held.n = 0;
	conn_send(&c, HELD_BYTES);
	conn_recv_all(&c, &held);
	turns_make(&parent, &child);
	pid = child_start();
	if (!pid) {
		turn_wait(&child);
		conn_stir(&c, &b);
		ledger_check(&held, &b);
		ledger_release(&held, c.rx);
		check(tokens_left(c.rx) == 0, "left");
		turn_give(&child);
		turn_wait(&child);
		_exit(0);
	}
	conn_close(&c);
	binding_close(&own);
	dmabuf_close(&b);
	turn_give(&parent);
	turn_wait(&parent);
	check(dmabufs_count() == before + 1, "%d dmabufs, %d before", dmabufs_count(), before);
	turn_give(&parent);
	child_end(pid);
	dmabufs_wait(before);
	binding_open(&bind_rx, &buf, false);
}

static void fd_send(int sock, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { "", 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };

	control.align = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	check(sendmsg(sock, &msg, 0) == 1, "SCM_RIGHTS");
}

static int fd_recv(int sock)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	char c;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int fd;

	check(recvmsg(sock, &msg, 0) == 1 && msg.msg_controllen, "SCM_RIGHTS");
	memcpy(&fd, CMSG_DATA(&control.align), sizeof(fd));
	return fd;
}

/* What broker and job do: the binding is made in one process, its netlink socket passed, and it
 * lives until both have closed it, whoever is first.
 */
static void binding_passed(void)
{
	struct dmabuf b;
	struct binding own;
	struct conn c;
	int pair[2], before, nl;
	pid_t pid;

	binding_close(&bind_rx);
	before = dmabufs_count();
	for (int i = 0; i < 2; i++) {
		bool receiver_first = i;

		check(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
		dmabuf_make(&b, 1 << 20, false);
		conn_open(&c);
		pid = child_start();
		if (!pid) {
			/* the broker */
			binding_open(&own, &b, false);
			fd_send(pair[1], nl_socket_get_fd(own.nl));
			close(pair[0]);
			check(receiver_first ? read(pair[1], &i, 1) == 1 : true, "pipe");
			_exit(0);
		}
		nl = fd_recv(pair[0]);
		if (receiver_first) {
			close(nl);
			check(write(pair[0], "", 1) == 1, "pipe");
		}
		close(pair[1]);
		child_end(pid);
		close(pair[0]);
		held.n = 0;
		if (!receiver_first) {
			conn_send(&c, HELD_BYTES);
			conn_recv_all(&c, &held);
			conn_stir(&c, &b);
			close(nl);
			/* unbound now, with frags held, which stay */
			ledger_check(&held, &b);
			ledger_release(&held, c.rx);
		} else {
			/* both have closed it: data comes as plain data */
			char data[64];

			conn_send(&c, 64);
			readable_wait(c.rx);
			check(recv(c.rx, data, 64, MSG_DONTWAIT) > 0, "plain receive");
		}
		check(tokens_left(c.rx) == 0, "left");
		conn_close(&c);
		dmabuf_close(&b);
		dmabufs_wait(before);
	}
	binding_open(&bind_rx, &buf, false);
}

/* Ids are global: any process may send from a binding that goes out through the right device, and
 * from none that does not.
 */
static void others_bindings(void)
{
	struct turns parent, child;
	struct binding bind_tx, wrong_dev;
	struct dmabuf tx;
	struct conn c;
	uint32_t ids[2];
	int pipefd[2], before = dmabufs_count();
	pid_t pid;

	turns_make(&parent, &child);
	check(!pipe(pipefd), "pipe");
	pid = child_start();
	if (!pid) {
		dmabuf_make(&tx, 1 << 20, false);
		pattern_fill(tx.mem, 0, 0, tx.size);
		binding_open(&bind_tx, &tx, true);
		netns_enter("a");
		check(!binding_make(&wrong_dev, &tx, "sdm0", -1, 0), "bind in a");
		ids[0] = bind_tx.id;
		ids[1] = wrong_dev.id;
		check(write(pipefd[1], ids, sizeof(ids)) == sizeof(ids), "pipe");
		turn_give(&child);
		turn_wait(&child);
		/* ends with a send of the other process under way */
		_exit(0);
	}
	turn_wait(&parent);
	check(read(pipefd[0], ids, sizeof(ids)) == sizeof(ids), "pipe");
	conn_open(&c);
	held.n = 0;
	check(conn_send_from(c.tx, ids[1], 0, 4096) == -ENODEV, "another device's binding");
	check(conn_send_from(c.tx, bind_rx.id, 0, 4096) == -EINVAL, "a binding to receive");
	check(conn_send_from(c.tx, ids[0] + 1000, 0, 4096) == -EINVAL, "no binding");
	check(conn_send_from(c.tx, 0, 0, 4096) < 0, "id 0");
	check(conn_send_from(c.tx, ids[0], 1 << 20, 4096) == -EFAULT, "beyond its end");
	check(conn_send_from(c.tx, ids[0], 0, HELD_BYTES) == HELD_BYTES,
	      "another process' binding");
	c.sent = HELD_BYTES;
	conn_recv_all(&c, &held);
	ledger_check(&held, &buf);
	ledger_release(&held, c.rx);

	check(conn_send_from(c.tx, ids[0], HELD_BYTES, HELD_BYTES) == HELD_BYTES, "second send");
	c.sent = 2 * HELD_BYTES;
	turn_give(&parent);
	child_end(pid);
	conn_recv_all(&c, &held);
	ledger_check(&held, &buf);
	ledger_release(&held, c.rx);
	check(conn_send_from(c.tx, ids[0], 0, 4096) == -EINVAL, "a binding that has gone");
	conn_close(&c);
	dmabufs_wait(before);
}

/* A process that frees what it has not been given: numbers that a receive is about to give out.
 * It may free what the other holds, that is the sharers' own affair, but the kernel may not lose
 * count of it.
 */
static void tokens_guessed(void)
{
	struct dmabuf_token all = { 0, DEVMEM_DONTNEED_FRAGS };
	static struct ledger some;
	int64_t end = now_ms() + 1500;
	unsigned long receives = 0;
	struct conn c;
	pid_t pid;

	conn_open(&c);
	pid = child_start();
	if (!pid) {
		for (;;)
			dontneed(c.rx, &all, 1);
	}
	while (now_ms() < end) {
		conn_send(&c, 64 << 10);
		while (c.got < c.sent) {
			readable_wait(c.rx);
			some.n = 0;
			check(conn_recv(&c, &some, c.sent - c.got, MSG_DONTWAIT) > 0, "receive");
			receives++;
		}
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	printf(" %lu receives", receives);
	tokens_left(c.rx);
	conn_close(&c);
}

int main(void)
{
	static const struct fault_case cases[] = {
		{ "tokens of another socket", others_tokens },
		{ "child frees the parent's tokens", fork_child_frees },
		{ "parent ends first", fork_parent_first },
		{ "binding's netlink socket passed", binding_passed },
		{ "bindings of another process", others_bindings },
		{ "tokens guessed", tokens_guessed },
	};

	dmabuf_make(&buf, 1 << 20, false);
	binding_open(&bind_rx, &buf, false);
	cases_run(cases, sizeof(cases) / sizeof(*cases));
	binding_close(&bind_rx);
	dmabuf_close(&buf);
	dmabufs_wait(0);
	return 0;
}
