// SPDX-License-Identifier: BSD-3-Clause
/*
 * What io_uring delivers of a control stream is the stream: also when it comes in any parts, when nobody takes it for a while, and when the
 * thread that began to receive is gone. Looking costs a system call only where something has come, and rarely otherwise.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"
#include "base/counter.h"
#include "base/uring.h"
#include "comm/ctrl_ring.h"

#define STREAM	    (4U << 20)
#define PATIENCE_MS 60000

static int fds[2];
static struct ctrl_ring *ring;

/* Of a thread that holds the receive: has it begun, and may it end? */
static bool begun, over;

static void connect_pair(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(addr);

	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&addr, sizeof(addr)), 0);
	fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fds[1] >= 0);
	close(listener);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
}

static int setup(void **state)
{
	int r;

	(void)state;
	connect_pair();
	r = ctrl_ring_create(fds[1], &ring);
	if (r == -ENOSYS || r == -EPERM) {
		print_message("io_uring is not allowed here: %s\n", strerror(-r));
		ring = NULL;
		return 0;
	}
	assert_int_equal(r, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ctrl_ring_destroy(ring);
	if (fds[0] >= 0)
		close(fds[0]);
	if (fds[1] >= 0)
		close(fds[1]);
	return 0;
}

static void need_ring(void)
{
	if (!ring)
		skip();
}

static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7);
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* Takes until something other than "not yet" comes. */
static ssize_t take(uint8_t *dst, size_t room)
{
	ssize_t n = -EAGAIN;
	int ms;

	for (ms = 0; n == -EAGAIN && ms < PATIENCE_MS; ms++) {
		n = ctrl_ring_take(ring, dst, room);
		if (n == -EAGAIN)
			nap();
	}
	return n;
}

/* Sends bytes @from.. of the stream, as many as go, at most up to @to. Returns how far it came. */
static size_t push(size_t from, size_t to)
{
	uint8_t part[3000];
	size_t n = to - from < sizeof(part) ? to - from : sizeof(part), i;
	ssize_t sent;

	for (i = 0; i < n; i++)
		part[i] = byte_at(from + i);
	sent = send(fds[0], part, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent > 0 ? from + (size_t)sent : from;
}

static void check(const uint8_t *buf, size_t at, ssize_t n)
{
	ssize_t i;

	for (i = 0; i < n; i++)
		if (buf[i] != byte_at(at + (size_t)i))
			fail_msg("byte %zu of the stream is wrong", at + (size_t)i);
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void test_parts(void **state)
{
	uint8_t buf[5000];
	size_t sent = 0, got = 0;

	(void)state;
	need_ring();
	srand(1);
	while (got < STREAM) {
		ssize_t n;

		if (sent < STREAM)
			sent = push(sent, sent + smaller((size_t)rand() % 3000 + 1, STREAM - sent));
		n = ctrl_ring_take(ring, buf, (size_t)rand() % sizeof(buf) + 1);
		if (n == -EAGAIN)
			continue;
		assert_true(n > 0);
		check(buf, got, n);
		got += (size_t)n;
	}
	assert_int_equal(sent, STREAM);
}

/* As much as the socket and the ring take while nobody takes it from them. */
static size_t push_all(size_t sent)
{
	size_t before;
	int ms, quiet = 0;

	/* The kernel makes room a little later than it could. */
	for (ms = 0; quiet < 50 && ms < PATIENCE_MS; ms++) {
		before = sent;
		sent = push(sent, sent + 3000);
		quiet = sent == before ? quiet + 1 : 0;
		if (quiet)
			nap();
	}
	return sent;
}

static void test_full(void **state)
{
	size_t sent = 0, got = 0;
	uint8_t buf[70000];
	int round, small = 64 << 10;

	(void)state;
	need_ring();
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (round = 0; round < 3; round++) {
		assert_int_equal(ctrl_ring_take(ring, buf, 1), -EAGAIN);
		sent = push_all(sent);
		assert_true(sent - got > 128 << 10);
		while (got < sent) {
			ssize_t n = take(buf, sizeof(buf));

			assert_true(n > 0);
			check(buf, got, n);
			got += (size_t)n;
		}
	}
}

static void test_end(void **state)
{
	uint8_t buf[64];

	(void)state;
	need_ring();
	assert_int_equal(ctrl_ring_take(ring, buf, sizeof(buf)), -EAGAIN);
	assert_int_equal(push(0, 10), 10);
	shutdown(fds[0], SHUT_WR);
	assert_int_equal(take(buf, sizeof(buf)), 10);
	check(buf, 0, 10);
	assert_int_equal(take(buf, sizeof(buf)), 0);
	assert_int_equal(take(buf, sizeof(buf)), 0);
}

static void test_reset(void **state)
{
	struct linger now = { .l_onoff = 1 };
	uint8_t buf[64];

	(void)state;
	need_ring();
	assert_int_equal(ctrl_ring_take(ring, buf, sizeof(buf)), -EAGAIN);
	setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fds[0]);
	fds[0] = -1;
	assert_int_equal(take(buf, sizeof(buf)), -ECONNRESET);
	assert_int_equal(take(buf, sizeof(buf)), -ECONNRESET);
}

static void *begin(void *arg)
{
	uint8_t byte;

	(void)arg;
	return (void *)(intptr_t)ctrl_ring_take(ring, &byte, 1);
}

/* Its requests end with a thread. The next one that looks goes on. */
static void test_thread_gone(void **state)
{
	uint8_t buf[64];
	pthread_t thread;
	void *r;

	(void)state;
	need_ring();
	assert_int_equal(pthread_create(&thread, NULL, begin, NULL), 0);
	assert_int_equal(pthread_join(thread, &r), 0);
	assert_int_equal((intptr_t)r, -EAGAIN);
	assert_int_equal(push(0, 20), 20);
	assert_int_equal(take(buf, 5), 5);
	assert_int_equal(take(buf + 5, sizeof(buf) - 5), 15);
	check(buf, 0, 20);
}

static void test_calls(void **state)
{
	uint64_t calls = counter_read(sys_uring), delivered = counter_read(ctrl_delivered);
	uint64_t bringing = counter_read(sys_uring_ctrl);
	uint8_t buf[64];
	size_t at;
	int i;

	(void)state;
	need_ring();
	for (at = 0; at < 1000; at += 10) {
		for (i = 0; i < 100; i++)
			assert_int_equal(ctrl_ring_take(ring, buf, sizeof(buf)), -EAGAIN);
		assert_int_equal(push(at, at + 10), at + 10);
		assert_int_equal(take(buf, sizeof(buf)), 10);
		check(buf, at, 10);
	}
	calls = counter_read(sys_uring) - calls;
	bringing = counter_read(sys_uring_ctrl) - bringing;
	/* Of 100 looks and more each; one begins the receive. */
	assert_in_range(bringing, 0, 100);
	assert_in_range(calls - bringing, 1, 50);
	assert_int_equal(counter_read(ctrl_delivered) - delivered, 100);
}

/* Sends ten bytes whenever the last ten have been taken. */
static void *push_tens(void *arg)
{
	size_t at;

	for (at = 0; at < 1000; at += 10) {
		while (__atomic_load_n((size_t *)arg, __ATOMIC_ACQUIRE) < at)
			sched_yield();
		assert_int_equal(push(at, at + 10), at + 10);
	}
	return NULL;
}

/* Takes what push_tens() sends. Returns the number of looks. */
static uint64_t take_tens(bool yields)
{
	struct timespec start, now;
	uint64_t looks = 0;
	size_t got = 0;
	pthread_t thread;
	uint8_t buf[64];

	clock_gettime(CLOCK_MONOTONIC, &start);
	now = start;
	assert_int_equal(pthread_create(&thread, NULL, push_tens, &got), 0);
	while (got < 1000 && now.tv_sec - start.tv_sec < PATIENCE_MS / 1000) {
		ssize_t n = ctrl_ring_take(ring, buf, sizeof(buf));

		looks++;
		if (n == -EAGAIN && yields)
			sched_yield();
		if (n == -EAGAIN && looks % 1024 == 0)
			clock_gettime(CLOCK_MONOTONIC, &now);
		if (n == -EAGAIN)
			continue;
		assert_int_equal(n, 10);
		check(buf, got, n);
		__atomic_store_n(&got, got + 10, __ATOMIC_RELEASE);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(got, 1000);
	return looks;
}

/* Records come by the calls that the thread makes anyway, and where it makes none by one that is made for them. */
static void test_calls_of_the_thread(void **state)
{
	uint64_t bringing, looks;

	(void)state;
	need_ring();
	take_tens(false);
	bringing = counter_read(sys_uring_ctrl);
	looks = take_tens(true);
	/* A notice that was lost is looked for then and now. */
	assert_in_range(counter_read(sys_uring_ctrl) - bringing, 0, looks / URING_LOOKS);
}

/* Ends the ring and its socket. Has the other side learnt of it? */
static bool end_ring(void)
{
	uint8_t byte;
	int ms;

	ctrl_ring_destroy(ring);
	ring = NULL;
	close(fds[1]);
	fds[1] = -1;
	for (ms = 0; recv(fds[0], &byte, 1, 0) != 0 && ms < PATIENCE_MS && errno == EAGAIN; ms++)
		nap();
	return ms < PATIENCE_MS;
}

/* The other side learns at once, though the kernel still has a receive to cancel; and what comes late harms nobody. */
static void test_destroyed(void **state)
{
	uint8_t buf[64];
	bool ended;

	(void)state;
	need_ring();
	assert_int_equal(ctrl_ring_take(ring, buf, sizeof(buf)), -EAGAIN);
	push(0, 100);
	ended = end_ring();
	push(0, 100);
	assert_true(ended);
}

static void *begin_and_spin(void *arg)
{
	uint8_t byte;

	(void)ctrl_ring_take(ring, &byte, 1);
	__atomic_store_n(&begun, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE))
		;
	return arg;
}

/* Ended by one thread (NCCL's service thread) while the receive is of another that stays and never enters the kernel by itself. */
static void test_destroyed_elsewhere(void **state)
{
	pthread_t thread;
	bool ended;
	int ms;

	(void)state;
	need_ring();
	begun = false;
	over = false;
	assert_int_equal(pthread_create(&thread, NULL, begin_and_spin, NULL), 0);
	for (ms = 0; !__atomic_load_n(&begun, __ATOMIC_ACQUIRE) && ms < PATIENCE_MS; ms++)
		nap();
	push(0, 100);
	ended = end_ring();
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(ended);
}

/* A child that was forked and has not called exec() keeps nothing open, and what it does at its end is not the parent's. */
static void test_forked(void **state)
{
	int go[2], status;
	uint8_t buf[64];
	bool ended;
	pid_t pid;

	(void)state;
	need_ring();
	assert_int_equal(ctrl_ring_take(ring, buf, sizeof(buf)), -EAGAIN);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(push(0, 10), 10);
	assert_int_equal(take(buf, sizeof(buf)), 10);
	check(buf, 0, 10);

	assert_int_equal(pipe(go), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(go[1]);
		_exit((int)read(go[0], buf, 1));
	}
	close(go[0]);
	ended = end_ring();
	close(go[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(ended);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_thread_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_calls_of_the_thread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_destroyed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_destroyed_elsewhere, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
