// SPDX-License-Identifier: BSD-3-Clause
/*
 * Lent memory on the wire, against a peer made by hand: only a peer that acknowledges is lent anything, and is believed only what can be.
 */
#include "unit.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/counter.h"
#include "comm/net.h"
#include "comm/sock.h"
#include "comm/wire.h"

#define SIZE (128UL << 10)
/* Asked that often without anything moving, nothing will. */
#define OFTEN 500
/* Longer than any stall of the machine. */
#define WAIT_MS 60000

/* The plugin's end, and the sockets of the other. */
static struct comm *comm;
static struct mr *mr;
static int ctrl, data;
static uint8_t memory[SIZE], bytes[sizeof(struct wire_frame) + SIZE];

static int setup(void **state)
{
	(void)state;
	unit_log_clear();
	assert_ok(net_init());
	for (size_t i = 0; i < SIZE; i++)
		memory[i] = (uint8_t)(i * 2654435761U >> 11);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_ok(net_dereg_mr(comm, mr));
	assert_ok(net_close(comm));
	assert_ok(net_finalize());
	close(ctrl);
	close(data);
	return 0;
}

static void hear(int fd, void *buf, size_t len)
{
	for (size_t pos = 0; pos < len;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		n = recv(fd, (uint8_t *)buf + pos, len - pos, 0);
		assert_true(n > 0);
		pos += (size_t)n;
	}
}

static void say(int fd, const void *buf, size_t len)
{
	assert_int_equal(send(fd, buf, len, MSG_NOSIGNAL), len);
}

static void say_ack(uint32_t consumed)
{
	struct wire_ack ack = { .magic = WIRE_MAGIC, .consumed = consumed };

	wire_ack_swap(&ack);
	say(ctrl, &ack, sizeof(ack));
}

/* The listening side by hand, which answers @flags. Returns what the hello had. */
static uint32_t listen_by_hand(uint32_t flags)
{
	uint8_t handle[NET_HANDLE_SIZE] __attribute__((aligned(8))) = { 0 };
	struct wire_ready ready = { .magic = WIRE_MAGIC, .version = WIRE_VERSION, .flags = flags };
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct wire_handle h = { .magic = WIRE_MAGIC, .version = WIRE_VERSION, .family = AF_INET };
	int64_t end = now_ms() + WAIT_MS;
	socklen_t len = sizeof(addr);
	struct wire_hello hello[2];
	int listener, fds[2];

	listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_ok(bind(listener, (struct sockaddr *)&addr, len));
	assert_ok(listen(listener, 2));
	assert_ok(getsockname(listener, (struct sockaddr *)&addr, &len));
	memcpy(h.addr, &addr.sin_addr, sizeof(addr.sin_addr));
	h.port = addr.sin_port;
	wire_handle_swap(&h);
	memcpy(handle, &h, sizeof(h));

	/* The sockets connect at the first call, and say hello at one of the next. */
	comm = NULL;
	assert_ok(net_connect(0, handle, &comm));
	for (int i = 0; i < 2; i++) {
		struct pollfd p;

		fds[i] = accept(listener, NULL, NULL);
		assert_true(fds[i] >= 0);
		p = (struct pollfd){ .fd = fds[i], .events = POLLIN };
		while (poll(&p, 1, 0) == 0) {
			assert_ok(net_connect(0, handle, &comm));
			assert_true(now_ms() < end);
		}
		hear(fds[i], &hello[i], sizeof(hello[i]));
		wire_hello_swap(&hello[i]);
		assert_int_equal(hello[i].magic, WIRE_MAGIC);
		assert_int_equal(hello[i].n_socks, 1);
	}
	close(listener);
	len = hello[0].kind == WIRE_HELLO_DATA;
	ctrl = fds[len];
	data = fds[!len];
	wire_ready_swap(&ready);
	say(ctrl, &ready, sizeof(ready));
	while (!comm) {
		assert_ok(net_connect(0, handle, &comm));
		assert_true(now_ms() < end);
	}
	assert_ok(net_reg_mr(comm, memory, SIZE, NET_PTR_HOST, &mr));
	return hello[len].flags;
}

static int dial(const struct wire_handle *h)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = h->port };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	memcpy(&addr.sin_addr, h->addr, sizeof(addr.sin_addr));
	assert_ok(connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	return fd;
}

/* The connecting side by hand, with @flags in its hello. Returns what the answer has. */
static uint32_t connect_by_hand(uint32_t flags)
{
	uint8_t handle[NET_HANDLE_SIZE] __attribute__((aligned(8)));
	struct wire_hello hello = {
		.magic = WIRE_MAGIC, .version = WIRE_VERSION, .conn = 77, .n_socks = 1
	};
	int64_t end = now_ms() + WAIT_MS;
	struct listen_comm *listen = NULL;
	struct wire_ready ready;
	struct wire_handle h;

	assert_ok(net_listen(0, handle, &listen));
	memcpy(&h, handle, sizeof(h));
	wire_handle_swap(&h);
	memcpy(hello.nonce, h.nonce, sizeof(h.nonce));
	hello.kind = WIRE_HELLO_CTRL;
	hello.flags = flags;
	wire_hello_swap(&hello);
	ctrl = dial(&h);
	say(ctrl, &hello, sizeof(hello));
	wire_hello_swap(&hello);
	hello.kind = WIRE_HELLO_DATA;
	hello.flags = 0;
	wire_hello_swap(&hello);
	data = dial(&h);
	say(data, &hello, sizeof(hello));
	comm = NULL;
	while (!comm) {
		assert_ok(net_accept(listen, &comm));
		assert_true(now_ms() < end);
	}
	hear(ctrl, &ready, sizeof(ready));
	wire_ready_swap(&ready);
	assert_int_equal(ready.status, 0);
	assert_ok(net_close_listen(listen));
	assert_ok(net_reg_mr(comm, memory, SIZE, NET_PTR_HOST, &mr));
	return ready.flags;
}

static int ask(struct request *req, bool *ret_done)
{
	size_t size = 0;
	int done = 0;
	int r = net_test(req, &done, &size);

	*ret_done = done;
	return r;
}

static struct request *post_send(void)
{
	struct request *req = NULL;

	assert_ok(net_isend(comm, memory, SIZE, 0, mr, &req));
	assert_non_null(req);
	return req;
}

static void expect_waiting(struct request *req)
{
	bool done;

	for (int i = 0; i < OFTEN; i++) {
		assert_ok(ask(req, &done));
		assert_false(done);
	}
}

static void expect_done(struct request *req)
{
	int64_t end = now_ms() + WAIT_MS;
	bool done = false;

	while (!done) {
		assert_ok(ask(req, &done));
		assert_true(now_ms() < end);
	}
}

/* Takes a whole message of the plugin's. Returns its frame's magic. */
static uint32_t take(struct request *req)
{
	struct wire_frame f;
	bool done = false;

	/* It goes as soon as it is asked about, and fits. */
	if (req)
		assert_ok(ask(req, &done));
	hear(data, bytes, sizeof(bytes));
	memcpy(&f, bytes, sizeof(f));
	wire_frame_swap(&f);
	assert_int_equal(f.len, SIZE);
	assert_memory_equal(bytes + sizeof(f), memory, SIZE);
	return f.magic;
}

/* Done with the ack, not when the bytes are taken. */
static void test_lent(void **state)
{
	struct request *req;

	(void)state;
	assert_true(listen_by_hand(WIRE_FRAMES | WIRE_ACKS) & WIRE_ACKS);
	req = post_send();
	assert_int_equal(take(req), WIRE_LENT);
	expect_waiting(req);
	say_ack(1);
	expect_done(req);
}

/* A build that knows frames, and nothing of acks: everything is copied, and nothing is waited for. */
static void test_never_acks(void **state)
{
	uint64_t before = counter_read(sent_zerocopy);
	struct request *req;

	(void)state;
	listen_by_hand(WIRE_FRAMES);
	req = post_send();
	expect_done(req);
	assert_int_equal(take(NULL), WIRE_MAGIC);
	assert_int_equal(counter_read(sent_zerocopy), before);
	assert_logged("send path copy instead of zerocopy");
}

/* To such a one not even its end may be taken for an ack, nor the other way round. */
static void test_never_acks_speaks(void **state)
{
	struct request *req;
	int64_t end = now_ms() + WAIT_MS;
	int r = 0;

	(void)state;
	listen_by_hand(WIRE_FRAMES);
	say_ack(1);
	/* More than the sockets take. */
	for (int i = 0; i < NET_MAX_REQUESTS && r == 0; i++)
		r = net_isend(comm, memory, SIZE, 0, mr, &req);
	while (r == 0) {
		bool done;

		assert_non_null(req);
		r = ask(req, &done);
		assert_false(done);
		assert_true(now_ms() < end);
	}
	assert_int_equal(r, -EPROTO);
}

static void expect_refused(uint32_t consumed, int err)
{
	struct request *req;
	int64_t end = now_ms() + WAIT_MS;
	bool done = false;
	int r = 0;

	listen_by_hand(WIRE_FRAMES | WIRE_ACKS);
	req = post_send();
	take(req);
	if (err == -EPROTO)
		say_ack(consumed);
	else
		shutdown(ctrl, SHUT_WR);
	while (r == 0) {
		r = ask(req, &done);
		assert_false(done);
		assert_true(now_ms() < end);
	}
	assert_int_equal(r, err);
}

static void test_too_much(void **state)
{
	(void)state;
	expect_refused(2, -EPROTO);
}

static void test_nothing_new(void **state)
{
	(void)state;
	expect_refused(0, -EPROTO);
}

static void test_control_ends(void **state)
{
	(void)state;
	expect_refused(0, -ECONNRESET);
}

static void say_frame(uint32_t magic, uint32_t seq)
{
	struct wire_frame f = { .magic = magic, .seq = seq, .len = 1000, .total = 1000 };

	wire_frame_swap(&f);
	memcpy(bytes, &f, sizeof(f));
	memset(bytes + sizeof(f), (int)seq, 1000);
	say(data, bytes, sizeof(f) + 1000);
}

static void take_one(void)
{
	struct request *req = NULL;

	assert_ok(net_irecv(comm, memory, SIZE, 0, mr, false, &req));
	assert_non_null(req);
	expect_done(req);
}

static bool has_acked(void)
{
	struct pollfd p = { .fd = ctrl, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* The receiver acknowledges what was lent, and what was not only along with that. */
static void test_receiver(void **state)
{
	struct wire_ack ack;

	(void)state;
	assert_int_equal(connect_by_hand(WIRE_FRAMES | WIRE_ACKS) & (WIRE_FRAMES | WIRE_ACKS),
			 WIRE_FRAMES | WIRE_ACKS);
	say_frame(WIRE_MAGIC, 0);
	take_one();
	assert_false(has_acked());
	say_frame(WIRE_MAGIC, 1);
	say_frame(WIRE_LENT, 2);
	take_one();
	take_one();
	do {
		hear(ctrl, &ack, sizeof(ack));
		wire_ack_swap(&ack);
		assert_int_equal(ack.magic, WIRE_MAGIC);
		assert_in_range(ack.consumed, 2, 3);
	} while (ack.consumed < 3);
	say_frame(WIRE_MAGIC, 3);
	take_one();
	assert_false(has_acked());
}

/* A sender that never lends is told nothing of acks, and hears none. */
static void test_sender_never_lends(void **state)
{
	(void)state;
	assert_int_equal(connect_by_hand(WIRE_FRAMES) & (WIRE_FRAMES | WIRE_ACKS), WIRE_FRAMES);
	for (uint32_t i = 0; i < 40; i++) {
		say_frame(WIRE_MAGIC, i);
		take_one();
	}
	assert_false(has_acked());
}

/* Acks are of frames: records get along without. */
static void test_no_frames(void **state)
{
	(void)state;
	assert_int_equal(connect_by_hand(WIRE_ACKS) & (WIRE_FRAMES | WIRE_ACKS), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_lent),     CASE(test_never_acks),	    CASE(test_never_acks_speaks),
		CASE(test_too_much), CASE(test_nothing_new),	    CASE(test_control_ends),
		CASE(test_receiver), CASE(test_sender_never_lends), CASE(test_no_frames),
	};

	setenv("NCCL_DEVMEM_IFNAME", "=lo", 1);
	setenv("NCCL_DEVMEM_STATS_DIR", "off", 1);
	setenv("NCCL_DEVMEM_SOCKETS", "1", 1);
	setenv("NCCL_DEVMEM_SEND", "zerocopy", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
