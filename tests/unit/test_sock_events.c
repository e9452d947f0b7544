// SPDX-License-Identifier: BSD-3-Clause
/*
 * A full socket is let be until it has room, and then known to have; so is a control socket until its peer closes, and a socket that
 * payload comes on until as much is there as a read is to bring. No look that finds nothing is a system call.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"
#include "base/counter.h"
#include "comm/comm.h"
#include "comm/sock_events.h"

#define PATIENCE_MS 60000

/* A data and a control socket, and their peers'. */
static struct comm comm;
static struct sock_events events;
static int peers[2];

static int connect_pair(int *ret_peer)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(addr);

	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	*ret_peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(*ret_peer >= 0);
	close(listener);
	return fd;
}

static int setup(void **state)
{
	(void)state;
	comm = (struct comm){ .n_socks = 1 };
	comm.socks[0].fd = connect_pair(&peers[0]);
	comm.ctrl_fd = connect_pair(&peers[1]);
	sock_events_open(&events, &comm);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sock_events_close(&events);
	close(comm.socks[0].fd);
	close(comm.ctrl_fd);
	close(peers[0]);
	close(peers[1]);
	return 0;
}

static void need_ring(void)
{
	if (!events.on)
		skip();
}

static void nap(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* Looks until @flag is set. */
static bool comes(const bool *flag)
{
	int ms;

	for (ms = 0; !*flag && ms < PATIENCE_MS; ms++) {
		sock_events_look(&events);
		if (!*flag)
			nap();
	}
	return *flag;
}

static void fill(void)
{
	static const uint8_t bytes[65536];
	int quiet;

	/* The kernel makes room a little later than it could. */
	for (quiet = 0; quiet < 50; quiet++) {
		while (send(comm.socks[0].fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			quiet = 0;
		nap();
	}
}

static void drain(void)
{
	static uint8_t bytes[65536];
	int quiet;

	for (quiet = 0; quiet < 20; quiet++) {
		while (recv(peers[0], bytes, sizeof(bytes), 0) > 0)
			quiet = 0;
		nap();
	}
}

static void test_room(void **state)
{
	uint64_t calls;
	int round, i;

	(void)state;
	need_ring();
	assert_true(sock_events_may_send(&events, 0));
	for (round = 0; round < 3; round++) {
		do {
			fill();
			/* What came of filling it is history. */
			sock_events_look(&events);
			sock_events_full(&events, 0);
		} while (send(comm.socks[0].fd, "", 1, MSG_DONTWAIT) == 1);
		calls = counter_read(sys_uring);
		for (i = 1; i < SOCK_EVENTS_SKIP; i++) {
			sock_events_look(&events);
			assert_false(sock_events_may_send(&events, 0));
		}
		assert_in_range(counter_read(sys_uring) - calls, 0,
				SOCK_EVENTS_SKIP / URING_LOOKS + 1);
		/* In case it waits for something else. */
		assert_true(sock_events_may_send(&events, 0));
		drain();
		assert_true(comes(&events.socks[0].may_send));
	}
}

static void test_peer_closes(void **state)
{
	int i;

	(void)state;
	need_ring();
	assert_true(sock_events_may_end(&events));
	for (i = 0; i < 10 * SOCK_EVENTS_SKIP; i++) {
		sock_events_look(&events);
		assert_false(sock_events_may_end(&events));
	}
	shutdown(peers[1], SHUT_WR);
	assert_true(comes(&events.socks[1].may_read));
	assert_true(sock_events_may_end(&events));
}

static void test_reset(void **state)
{
	struct linger now = { .l_onoff = 1 };

	(void)state;
	need_ring();
	fill();
	sock_events_look(&events);
	sock_events_full(&events, 0);
	setsockopt(peers[0], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(peers[0]);
	peers[0] = -1;
	assert_true(comes(&events.socks[0].may_send));
}

static void *look(void *arg)
{
	sock_events_look(arg);
	return NULL;
}

/* Polls end with the thread that began them; until others stand nothing is held back. */
static void test_thread_gone(void **state)
{
	pthread_t thread;

	(void)state;
	need_ring();
	assert_int_equal(pthread_create(&thread, NULL, look, &events), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(events.socks[0].standing);
	fill();
	sock_events_full(&events, 0);
	assert_true(comes(&events.socks[0].may_send));
	sock_events_look(&events);
	sock_events_full(&events, 0);
	assert_true(events.socks[0].standing);
	drain();
	assert_true(comes(&events.socks[0].may_send));
}

/* The data socket's other end sends, and its events are those of a receiving comm. */
static int setup_recv(void **state)
{
	setup(state);
	sock_events_close(&events);
	close(comm.socks[0].fd);
	close(peers[0]);
	comm.socks[0].fd = connect_pair(&peers[0]);
	sock_events_open_recv(&events, &comm);
	return 0;
}

/* Small parts: what the kernel takes for a window that is about to close is of their size. */
static void send_parts(size_t bytes)
{
	static const uint8_t part[1000];

	for (; bytes; bytes -= sizeof(part))
		assert_int_equal(send(peers[0], part, sizeof(part), 0), sizeof(part));
}

static void read_all(void)
{
	static uint8_t bytes[65536];

	while (recv(comm.socks[0].fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

/* Not before it is whole, and, once read, not again until as much has come again. */
static void test_whole(void **state)
{
	int whole = 20000, round, i;

	(void)state;
	need_ring();
	assert_ok(setsockopt(comm.socks[0].fd, SOL_SOCKET, SO_RCVLOWAT, &whole, sizeof(whole)));
	assert_true(sock_events_may_read(&events, 0));
	sock_events_look(&events);
	for (round = 0; round < 3; round++) {
		send_parts(19000);
		for (i = 1; i < SOCK_EVENTS_SKIP; i++) {
			sock_events_look(&events);
			assert_false(sock_events_may_read(&events, 0));
		}
		/* In case an event was lost. */
		assert_true(sock_events_may_read(&events, 0));
		send_parts(1000);
		assert_true(comes(&events.socks[0].may_read));
		assert_true(sock_events_may_read(&events, 0));
		read_all();
		sock_events_left(&events, 0);
		assert_true(sock_events_may_read(&events, 0));
		/* Noted, and then read for another reason. */
		send_parts(20000);
		assert_true(comes(&events.socks[0].may_read));
		sock_events_unread(&events, 0);
		read_all();
	}
}

/* What is not whole is to be read when nothing more can come. */
static void test_part_at_the_end(void **state)
{
	int whole = 20000;

	(void)state;
	need_ring();
	assert_ok(setsockopt(comm.socks[0].fd, SOL_SOCKET, SO_RCVLOWAT, &whole, sizeof(whole)));
	assert_true(sock_events_may_read(&events, 0));
	sock_events_look(&events);
	send_parts(1000);
	shutdown(peers[0], SHUT_WR);
	assert_true(comes(&events.socks[0].may_read));
}

static void test_off(void **state)
{
	int i;

	(void)state;
	sock_events_close(&events);
	sock_events_open(&events, &comm);
	uring_destroy(&events.u);
	events.on = false;
	for (i = 0; i < 3; i++) {
		sock_events_look(&events);
		sock_events_full(&events, 0);
		assert_true(sock_events_may_send(&events, 0));
		assert_true(sock_events_may_read(&events, 0));
		assert_true(sock_events_may_end(&events));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_peer_closes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_thread_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whole, setup_recv, teardown),
		cmocka_unit_test_setup_teardown(test_part_at_the_end, setup_recv, teardown),
		cmocka_unit_test_setup_teardown(test_off, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
