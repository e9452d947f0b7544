// SPDX-License-Identifier: BSD-3-Clause
/*
 * Pages of this process in a socket: what goes in comes out, nothing is copied on the way, and a peer that is gone is an error, not a signal.
 *
 * unit-libs: devmem_path
 * unit-wrap: splice
 */
#include "kernel_page.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "path/lend_pipe.h"

#define MIB   (1UL << 20)
#define LARGE (5 * MIB + 12345)
#define PAGE  ((size_t)sysconf(_SC_PAGESIZE))

static struct lend_pipe *lp;
static int fd, peer;
static uint8_t *source, *target;

/* The next splice() takes half, and then learns that the peer is gone, as the kernel's loop over packets can (splice_to_socket(), fs/splice.c). */
static bool lost_half_way;

ssize_t __real_splice(int in, off64_t *off_in, int out, off64_t *off_out, size_t len,
		      unsigned int flags);
ssize_t __wrap_splice(int in, off64_t *off_in, int out, off64_t *off_out, size_t len,
		      unsigned int flags);

ssize_t __wrap_splice(int in, off64_t *off_in, int out, off64_t *off_out, size_t len,
		      unsigned int flags)
{
	ssize_t n = __real_splice(in, off_in, out, off_out, lost_half_way ? len / 2 : len, flags);

	if (lost_half_way)
		raise(SIGPIPE);
	return n;
}

static void connect_pair(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	_cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(addr);

	assert_ok(bind(listener, (struct sockaddr *)&addr, len));
	assert_ok(listen(listener, 1));
	assert_ok(getsockname(listener, (struct sockaddr *)&addr, &len));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_ok(connect(fd, (struct sockaddr *)&addr, len));
	peer = accept4(listener, NULL, NULL, 0);
	assert_true(peer >= 0);
	assert_ok(fcntl(fd, F_SETFL, O_NONBLOCK));
}

static int setup(void **state)
{
	(void)state;
	lost_half_way = false;
	connect_pair();
	assert_ok(lend_pipe_create(&lp));
	source = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(source, MAP_FAILED);
	target = calloc(1, LARGE);
	for (size_t i = 0; i < LARGE; i++)
		source[i] = (uint8_t)(i * 2654435761U >> 13);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	lend_pipe_destroy(lp);
	munmap(source, LARGE);
	free(target);
	close(fd);
	close(peer);
	return 0;
}

/* Takes what the peer has, at [@pos...) of @target, which ends at @end. */
static size_t take(size_t pos, size_t end)
{
	while (pos < end) {
		ssize_t n = recv(peer, target + pos, end - pos, MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			break;
		assert_true(n > 0);
		pos += (size_t)n;
	}
	return pos;
}

/* Sends [@from, @end) of @source from byte @sent on, and takes it all. */
static void move_all(size_t from, size_t end, size_t sent)
{
	size_t got = from;

	while (got < end) {
		if (sent < end) {
			ssize_t n = lend_pipe_send(lp, fd, source + sent, end - sent);

			if (n != -EAGAIN) {
				assert_true(n > 0);
				sent += (size_t)n;
			}
		}
		got = take(got, end);
	}
	assert_int_equal(lp->held, 0);
	assert_memory_equal(source + from, target + from, end - from);
}

/* From any place of a page to any other. */
static void test_bytes(void **state)
{
	static const size_t sizes[] = {
		1, 4095, 4096, 4097, 65536, MIB - 1, MIB, MIB + 1, LARGE - 7
	};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t from = i % 2 ? 7 : 0;

		memset(target, 0, LARGE);
		move_all(from, from + sizes[i], from);
	}
}

/* Lends until the socket has no room. Returns how much it took. */
static size_t fill(void)
{
	size_t sent = 0;

	for (;;) {
		ssize_t n = lend_pipe_send(lp, fd, source + sent, LARGE - sent);

		if (n == -EAGAIN)
			return sent;
		assert_true(n > 0);
		sent += (size_t)n;
		assert_true(sent < LARGE);
	}
}

/* What the socket has no room for stays in the pipe, and goes on where it stopped. */
static void test_full(void **state)
{
	int small = 64 << 10;
	size_t sent, held;

	(void)state;
	assert_ok(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)));
	assert_ok(setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)));
	sent = fill();
	held = lp->held;
	assert_in_range(held, 1, lp->size);
	/* Asking again moves nothing. */
	assert_int_equal(lend_pipe_send(lp, fd, source + sent, LARGE - sent), -EAGAIN);
	assert_int_equal(lp->held, held);
	move_all(0, LARGE, sent);
}

/* The peer reads what the memory holds when it reads, not when it was sent: why the memory is not the sender's before that. */
static void test_no_copy(void **state)
{
	size_t size = 32 << 10, got = 0;

	(void)state;
	assert_int_equal(lend_pipe_send(lp, fd, source, size), size);
	memset(source, 0x5a, size);
	while (got < size)
		got = take(got, size);
	assert_memory_equal(source, target, size);
}

static void expect_nothing(void)
{
	uint8_t byte;

	assert_int_equal(lp->held, 0);
	assert_int_equal(recv(peer, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static void test_unreadable(void **state)
{
	(void)state;
	assert_ok(mprotect(source, MIB, PROT_NONE));
	assert_int_equal(lend_pipe_send(lp, fd, source, 2 * MIB), -EFAULT);
	expect_nothing();
	/* The connection and the pipe go on with other memory. */
	move_all(MIB, 2 * MIB, MIB);
	assert_ok(mprotect(source, MIB, PROT_READ | PROT_WRITE));
}

/* What can be read before the bad page goes; the rest is the error of the next call. */
static void test_partly_unreadable(void **state)
{
	size_t got = 0;

	(void)state;
	assert_ok(mprotect(source + PAGE, PAGE, PROT_NONE));
	assert_int_equal(lend_pipe_send(lp, fd, source, 3 * PAGE), PAGE);
	assert_int_equal(lend_pipe_send(lp, fd, source + PAGE, 2 * PAGE), -EFAULT);
	while (got < PAGE)
		got = take(got, PAGE);
	assert_memory_equal(source, target, PAGE);
	expect_nothing();
	assert_ok(mprotect(source + PAGE, PAGE, PROT_READ | PROT_WRITE));
}

static void test_device_memory(void **state)
{
	void *page = kernel_page();

	(void)state;
	if (!page) {
		print_message("no [vvar] here\n");
		skip();
	}
	assert_int_equal(lend_pipe_send(lp, fd, page, PAGE), -EFAULT);
	expect_nothing();
	move_all(0, MIB, 0);
}

static void test_no_descriptors(void **state)
{
	struct rlimit before, none;
	struct lend_pipe *other = NULL;

	(void)state;
	assert_ok(getrlimit(RLIMIT_NOFILE, &before));
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = before.rlim_max };
	assert_ok(setrlimit(RLIMIT_NOFILE, &none));
	assert_int_equal(lend_pipe_create(&other), -EMFILE);
	assert_ok(setrlimit(RLIMIT_NOFILE, &before));
	assert_null(other);
	assert_ok(lend_pipe_create(&other));
	lend_pipe_destroy(other);
}

/* In a child cmocka's assertions have nowhere to go. */
#define must(expr)                                                                 \
	do {                                                                       \
		if (!(expr)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #expr); \
			_exit(1);                                                  \
		}                                                                  \
	} while (0)

static void in_child(void (*body)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGPIPE, SIG_DFL);
		/* The parent's are open there, too. */
		connect_pair();
		must(lend_pipe_create(&lp) == 0);
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == UNIT_SKIP)
		skip();
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static bool is_pending(void)
{
	sigset_t set;

	sigpending(&set);
	return sigismember(&set, SIGPIPE);
}

static bool is_blocked(void)
{
	sigset_t set;

	pthread_sigmask(SIG_SETMASK, NULL, &set);
	return sigismember(&set, SIGPIPE);
}

static void block(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void fail_to_send(void)
{
	must(lend_pipe_send(lp, fd, source, MIB) == -EPIPE);
}

/* The peer closed with something unread: it resets the connection. */
static void peer_gone(void)
{
	ssize_t n;

	must(send(fd, "x", 1, MSG_NOSIGNAL) == 1);
	must(recv(peer, target, 1, MSG_PEEK) == 1);
	close(peer);
	n = lend_pipe_send(lp, fd, source, MIB);
	must(n == -EPIPE || n == -ECONNRESET);
	fail_to_send();
	must(!is_blocked() && !is_pending());
}

static void own_end(void)
{
	shutdown(fd, SHUT_WR);
	fail_to_send();
	must(!is_blocked() && !is_pending());
}

static void blocked_before(void)
{
	block();
	shutdown(fd, SHUT_WR);
	fail_to_send();
	must(is_blocked() && !is_pending());
}

static void pending_before(void)
{
	block();
	raise(SIGPIPE);
	shutdown(fd, SHUT_WR);
	fail_to_send();
	must(is_blocked() && is_pending());
}

static void ignored_before(void)
{
	signal(SIGPIPE, SIG_IGN);
	shutdown(fd, SHUT_WR);
	fail_to_send();
	must(!is_blocked() && !is_pending());
}

static void half_way(void)
{
	size_t size = 64 << 10;

	lost_half_way = true;
	must(lend_pipe_send(lp, fd, source, size) == (ssize_t)size / 2);
	must(lp->held == size / 2);
	must(!is_blocked() && !is_pending());
}

static void test_peer_gone(void **state)
{
	(void)state;
	in_child(peer_gone);
	in_child(own_end);
	in_child(blocked_before);
	in_child(pending_before);
	in_child(ignored_before);
	in_child(half_way);
}

static long pipe_pages_soft(void)
{
	FILE *f = fopen("/proc/sys/fs/pipe-user-pages-soft", "re");
	long n = 0;

	must(f && fscanf(f, "%ld", &n) == 1);
	fclose(f);
	return n;
}

/* A user with as much in pipes as he may have gets tiny ones, which are not worth it. */
static void use_up_pipes(void)
{
	struct rlimit files = { 0 };
	struct lend_pipe *one;
	long n = pipe_pages_soft();
	int r = 0;

	if (!n || n > 64L << 10) {
		fprintf(stderr, "fs.pipe-user-pages-soft is %ld\n", n);
		_exit(UNIT_SKIP);
	}
	/* A user of nothing else, who has no privileges. */
	if (getuid() == 0 && setresuid(54321, 54321, 54321) < 0) {
		fprintf(stderr, "no such user here\n");
		_exit(UNIT_SKIP);
	}
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	/* The smallest that are taken are of 64 KiB. */
	for (long i = 0; i <= n * (long)PAGE / (64 << 10) && r == 0; i++)
		r = lend_pipe_create(&one);
	if (r == -EMFILE) {
		fprintf(stderr, "too few descriptors\n");
		_exit(UNIT_SKIP);
	}
	must(r == -EPERM);
}

static void test_pipes_used_up(void **state)
{
	(void)state;
	in_child(use_up_pipes);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_bytes),
		CASE(test_full),
		CASE(test_no_copy),
		CASE(test_unreadable),
		CASE(test_partly_unreadable),
		CASE(test_device_memory),
		CASE(test_no_descriptors),
		CASE(test_peer_gone),
		CASE(test_pipes_used_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
