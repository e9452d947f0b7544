// SPDX-License-Identifier: BSD-3-Clause
/*
 * Sending to a peer on the same host: how large the sockets' buffers are, and what is left behind of messages that follow one another so
 * that it fills no packet of its own. Nothing may stay behind for good.
 */
#include "net_pair.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

#define LARGEST (2UL << 20)
#define SLOT	(64UL << 10)
#define MANY	200
#define IN_TURN 8

static struct comm *tx, *rx;
static struct mr *tx_mr, *rx_mr;
static uint8_t source[LARGEST], target[LARGEST];

static int setup(void **state)
{
	(void)state;
	assert_ok(net_init());
	net_pair_open(&tx, &rx);
	assert_ok(net_reg_mr(tx, source, sizeof(source), NET_PTR_HOST, &tx_mr));
	assert_ok(net_reg_mr(rx, target, sizeof(target), NET_PTR_HOST, &rx_mr));
	for (size_t i = 0; i < LARGEST; i++)
		source[i] = (uint8_t)(i * 2654435761U >> 11);
	memset(target, 0, sizeof(target));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_ok(net_dereg_mr(tx, tx_mr));
	assert_ok(net_dereg_mr(rx, rx_mr));
	assert_ok(net_close(tx));
	assert_ok(net_close(rx));
	assert_ok(net_finalize());
	return 0;
}

static struct request *post(bool send, size_t offset, size_t size)
{
	struct request *req = NULL;

	if (send)
		assert_ok(net_isend(tx, source + offset, size, 0, tx_mr, &req));
	else
		assert_ok(net_irecv(rx, target + offset, size, 0, rx_mr, false, &req));
	assert_non_null(req);
	return req;
}

/* Sends and receives, each in turn, until both are done. */
static void finish_both(struct request *send, struct request *recv)
{
	int64_t end = now_ms() + WAIT_MS;

	while (send || recv) {
		if (send && is_done(send))
			send = NULL;
		if (recv && is_done(recv))
			recv = NULL;
		assert_true(now_ms() < end);
	}
}

/* A message by itself comes whole, however its size lies to that of packets, even when nobody asks for its end on this side. */
static void test_alone(void **state)
{
	static const size_t sizes[] = { 1,	  65482,     65483,	   65484,
					SLOT,	  SLOT * 2,  SLOT * 3 + 1, SLOT * 4,
					SLOT * 8, SLOT * 16, LARGEST };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		memset(target, 0, sizeof(target));
		finish_both(post(true, 0, sizes[i]), post(false, 0, sizes[i]));
		assert_memory_equal(source, target, sizes[i]);
	}
}

/* A few at a time follow one another: all of them come, with all their bytes, the last one, too. */
static void test_in_turn(void **state)
{
	struct request *recv[IN_TURN], *send[IN_TURN];
	size_t slot = LARGEST / IN_TURN;

	(void)state;
	for (size_t n = 0; n < MANY; n++) {
		/* Sizes around a packet's, two packets' and three. */
		size_t size = (n % 3 + 1) * SLOT + n % 7 * 31 - 64;

		memset(target, 0, sizeof(target));
		for (size_t i = 0; i < IN_TURN; i++)
			recv[i] = post(false, i * slot, size);
		for (size_t i = 0; i < IN_TURN; i++)
			send[i] = post(true, i * slot, size);
		for (size_t i = 0; i < IN_TURN; i++)
			finish_both(send[i], recv[i]);
		for (size_t i = 0; i < IN_TURN; i++)
			assert_memory_equal(source + i * slot, target + i * slot, size);
	}
}

/* What stayed behind of the last message goes out at the second test(), of whichever send. */
static void test_flushed(void **state)
{
	struct request *send[2], *recv[2];

	(void)state;
	for (int n = 0; n < MANY; n++) {
		int64_t end = now_ms() + WAIT_MS;

		for (int i = 0; i < 2; i++)
			recv[i] = post(false, (size_t)i * SLOT, SLOT);
		for (int i = 0; i < 2; i++)
			send[i] = post(true, (size_t)i * SLOT, SLOT);
		/* Both are with the kernel, for which there is room, as soon as the second one has been asked about. */
		while (!is_done(send[1]))
			assert_true(now_ms() < end);
		finish(recv[0]);
		finish(recv[1]);
		finish(send[0]);
	}
}

/* Of messages that follow one another something does stay behind: the last send is not done when it is first asked about. */
static void test_left_behind(void **state)
{
	struct request *recv[IN_TURN], *send[IN_TURN];
	int left = 0;

	(void)state;
	/* That they follow closely is up to the scheduler: once is enough. */
	for (int n = 0; n < MANY && !left; n++) {
		for (size_t i = 0; i < IN_TURN; i++)
			recv[i] = post(false, i * SLOT, SLOT);
		for (size_t i = 0; i < IN_TURN; i++)
			send[i] = post(true, i * SLOT, SLOT);
		/* Eight of them fit in the socket's buffer. */
		if (is_done(send[IN_TURN - 1]))
			send[IN_TURN - 1] = NULL;
		else
			left++;
		for (size_t i = 0; i < IN_TURN; i++)
			finish_both(send[i], recv[i]);
	}
	assert_int_equal(left, 1);
}

static int listen_near(struct sockaddr_in *ret_addr)
{
	socklen_t len = sizeof(*ret_addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*ret_addr = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	assert_true(fd >= 0);
	assert_ok(bind(fd, (struct sockaddr *)ret_addr, len));
	assert_ok(listen(fd, 1));
	assert_ok(getsockname(fd, (struct sockaddr *)ret_addr, &len));
	return fd;
}

/* SO_SNDBUF of a data socket (@data) to this host. *ret_fixed: the kernel leaves it there. */
static int buffer_size(bool data, bool *ret_fixed)
{
	struct sockaddr_in addr, local = { .sin_family = AF_INET };
	_cleanup_close_ int to = listen_near(&addr);
	_cleanup_close_ int fd = -1;
	int size = 0, lock = 0;
	socklen_t len = sizeof(int);

	local.sin_addr = addr.sin_addr;
	assert_ok(sock_connect((struct sockaddr *)&local, (struct sockaddr *)&addr, sizeof(addr),
			       data, &fd));
	assert_ok(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &len));
	len = sizeof(int);
	assert_ok(getsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &lock, &len));
	*ret_fixed = lock & 1 /* SOCK_SNDBUF_LOCK */;
	return size;
}

/* The most that the kernel lets SO_SNDBUF have, doubled as it is. */
static int most_size(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM, 0);
	int size = 1 << 29;
	socklen_t len = sizeof(size);

	assert_ok(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, len));
	assert_ok(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &len));
	return size;
}

static void test_buffer(void **state)
{
	bool fixed;
	int size;

	(void)state;
	size = buffer_size(true, &fixed);
	if (most_size() >= 768 << 10) {
		assert_int_equal(size, 768 << 10);
		assert_true(fixed);
	} else {
		assert_false(fixed);
	}
	buffer_size(false, &fixed);
	assert_false(fixed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flushed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_left_behind, setup, teardown),
		cmocka_unit_test(test_buffer),
	};

	setenv("NCCL_DEVMEM_IFNAME", "=lo", 1);
	setenv("NCCL_DEVMEM_STATS_DIR", "off", 1);
	/* What is lent leaves nothing behind. */
	setenv("NCCL_DEVMEM_SEND", "copy", 1);
	unit_log_clear();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
