// SPDX-License-Identifier: BSD-3-Clause
/*
 * Memory lent to the socket, through the plugin: a send is done when the peer has read it and not before, whatever is in between; and where
 * lending does not work, messages are copied, which is said.
 */
#include "kernel_page.h"
#include "net_pair.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/counter.h"

#define KIB	1024UL
#define MIB	(1024 * KIB)
#define LARGEST (8 * MIB)
#define AT_ONCE 6
/* Asked that often without anything moving, nothing will. */
#define OFTEN 500

static struct comm *tx, *rx;
static struct mr *tx_mr, *rx_mr;
/* A slot for each message under way. */
static uint8_t *source, *target;

static int open_pair(const char *sockets, const char *send)
{
	setenv("NCCL_DEVMEM_SOCKETS", sockets, 1);
	setenv("NCCL_DEVMEM_SEND", send, 1);
	unit_log_clear();
	assert_ok(net_init());
	net_pair_open(&tx, &rx);
	source = calloc(AT_ONCE, LARGEST);
	target = calloc(AT_ONCE, LARGEST);
	assert_ok(net_reg_mr(tx, source, AT_ONCE * LARGEST, NET_PTR_HOST, &tx_mr));
	assert_ok(net_reg_mr(rx, target, AT_ONCE * LARGEST, NET_PTR_HOST, &rx_mr));
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return open_pair("1", "zerocopy");
}

static int setup_sockets(void **state)
{
	(void)state;
	return open_pair("4", "zerocopy");
}

static int setup_small(void **state)
{
	(void)state;
	setenv("NCCL_DEVMEM_SPLICE_MIN", "4K", 1);
	return open_pair("1", "zerocopy");
}

static int setup_small_sockets(void **state)
{
	(void)state;
	setenv("NCCL_DEVMEM_SPLICE_MIN", "4K", 1);
	return open_pair("4", "zerocopy");
}

static int setup_auto(void **state)
{
	(void)state;
	return open_pair("1", "auto");
}

static void close_rx(void)
{
	assert_ok(net_dereg_mr(rx, rx_mr));
	assert_ok(net_close(rx));
	rx = NULL;
}

static int teardown(void **state)
{
	(void)state;
	if (rx)
		close_rx();
	assert_ok(net_dereg_mr(tx, tx_mr));
	assert_ok(net_close(tx));
	assert_ok(net_finalize());
	free(source);
	free(target);
	unsetenv("NCCL_DEVMEM_SPLICE_MIN");
	return 0;
}

static uint8_t byte_at(size_t i, unsigned int seed)
{
	return (uint8_t)((i + 1) * (2 * seed + 1) >> 3 ^ seed);
}

static void fill(size_t slot, size_t size, unsigned int seed)
{
	for (size_t i = 0; i < size; i++)
		source[slot * LARGEST + i] = byte_at(i, seed);
}

static void check(size_t slot, size_t size, unsigned int seed)
{
	for (size_t i = 0; i < size; i++)
		if (target[slot * LARGEST + i] != byte_at(i, seed))
			fail_msg("message %u of %zu bytes is wrong at %zu", seed, size, i);
}

static struct request *post_send(size_t slot, size_t size)
{
	struct request *req = NULL;

	assert_ok(net_isend(tx, source + slot * LARGEST, size, 0, tx_mr, &req));
	assert_non_null(req);
	return req;
}

static struct request *post_recv(size_t slot, size_t size)
{
	struct request *req = NULL;

	assert_ok(net_irecv(rx, target + slot * LARGEST, size, 0, rx_mr, false, &req));
	assert_non_null(req);
	return req;
}

static void expect_waiting(struct request *req)
{
	for (int i = 0; i < OFTEN; i++)
		assert_false(is_done(req));
}

/* One message, the send asked about first. */
static void exchange(size_t slot, size_t size, unsigned int seed)
{
	int64_t end = now_ms() + WAIT_MS;
	struct request *send, *recv;

	fill(slot, size, seed);
	send = post_send(slot, size);
	recv = post_recv(slot, size);
	while (send || recv) {
		if (send && is_done(send)) {
			memset(source + slot * LARGEST, 0xee, size);
			send = NULL;
		}
		if (recv && is_done(recv))
			recv = NULL;
		assert_true(now_ms() < end);
	}
	check(slot, size, seed);
}

/* Whether all of it fits in the socket's buffers or not, and whether its receive is posted before or after. */
static void test_done_when_read(void **state)
{
	static const size_t sizes[] = { 64 * KIB, 64 * KIB + 1, 256 * KIB, MIB + 5, LARGEST };
	uint64_t before = counter_read(sent_zerocopy);
	uint64_t sum = 0;

	(void)state;
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int64_t end = now_ms() + WAIT_MS;
		struct request *send, *recv;

		fill(0, sizes[i], i);
		send = post_send(0, sizes[i]);
		expect_waiting(send);
		recv = post_recv(0, sizes[i]);
		/* Posted is not read. */
		expect_waiting(send);
		while (!is_done(recv)) {
			assert_false(is_done(send));
			assert_true(now_ms() < end);
		}
		finish(send);
		memset(source, 0xee, sizes[i]);
		check(0, sizes[i], i);
		sum += sizes[i];
	}
	assert_int_equal(counter_read(sent_zerocopy) - before, sum);
	assert_logged("send path zerocopy, host memory, lent to the socket");
}

/* What follows is read whole, but not what is before: that is not the sender's yet. */
static void test_in_order(void **state)
{
	struct request *first, *second, *recv[2];

	(void)state;
	fill(0, MIB, 1);
	fill(1, MIB, 2);
	first = post_send(0, MIB);
	second = post_send(1, MIB);
	recv[0] = post_recv(0, MIB);
	for (int i = 0; i < OFTEN; i++) {
		is_done(first);
		if (is_done(recv[0]))
			break;
	}
	/* The second one's receive is not posted. */
	expect_waiting(second);
	recv[1] = post_recv(1, MIB);
	finish(recv[1]);
	finish(second);
	check(0, MIB, 1);
	check(1, MIB, 2);
}

/* Small ones, which are copied, are done without the receiver, between lent ones that are not. */
static void test_small_between(void **state)
{
	struct request *lent[2], *small, *recv;

	(void)state;
	fill(0, 64 * KIB, 1);
	fill(1, 8, 2);
	fill(2, 64 * KIB, 3);
	lent[0] = post_send(0, 64 * KIB);
	small = post_send(1, 8);
	lent[1] = post_send(2, 64 * KIB);
	finish(small);
	memset(source + LARGEST, 0xee, 8);
	expect_waiting(lent[0]);
	expect_waiting(lent[1]);
	for (size_t i = 0; i < 3; i++) {
		recv = post_recv(i, 64 * KIB);
		finish(recv);
		check(i, i == 1 ? 8 : 64 * KIB, (unsigned int)i + 1);
	}
	finish(lent[0]);
	finish(lent[1]);
}

/*
 * Many messages of all sizes, some under way at any time, posted and asked about in turn. The memory of each is used again as soon as it is
 * done: if it was not read by then, the receiver sees that.
 */
static void test_mixed(void **state)
{
	static const size_t sizes[] = { 0,	 8,   64 * KIB - 1, 64 * KIB, MIB + 5, 64 * KIB + 7,
					LARGEST, 100, 128 * KIB };
	size_t n_sizes = sizeof(sizes) / sizeof(sizes[0]);
	struct request *send[AT_ONCE] = { 0 }, *recv[AT_ONCE] = { 0 };
	unsigned int sent = 0, posted = 0, read = 0, done = 0, many = 150;
	int64_t end = now_ms() + 4 * WAIT_MS;

	(void)state;
	while (done < many || read < many) {
		size_t slot = sent % AT_ONCE;

		if (sent < many && sent - done < AT_ONCE && sent - read < AT_ONCE) {
			fill(slot, sizes[sent % n_sizes], sent);
			send[slot] = post_send(slot, sizes[sent % n_sizes]);
			sent++;
		}
		/* The receiver lags behind by a different number each time. */
		if (posted < many && posted - read < AT_ONCE && (posted % 5 || sent > posted)) {
			slot = posted % AT_ONCE;
			recv[slot] = post_recv(slot, LARGEST);
			posted++;
		}
		slot = done % AT_ONCE;
		if (send[slot] && is_done(send[slot])) {
			memset(source + slot * LARGEST, 0xee, sizes[done % n_sizes]);
			send[slot] = NULL;
			done++;
		}
		slot = read % AT_ONCE;
		if (recv[slot] && is_done(recv[slot])) {
			check(slot, sizes[read % n_sizes], read);
			recv[slot] = NULL;
			read++;
		}
		assert_true(now_ms() < end);
	}
}

/* Asks about @send until it fails. Returns how. */
static int wait_error(struct request *send)
{
	int64_t end = now_ms() + WAIT_MS;

	for (;;) {
		size_t size;
		int done = 0;
		int r = net_test(send, &done, &size);

		if (r < 0)
			return r;
		assert_false(done);
		assert_true(now_ms() < end);
	}
}

static void expect_gone(int r)
{
	assert_true(r == -ECONNRESET || r == -EPIPE);
	assert_logged("failed");
}

/* It has read nothing: what is lent lies in its sockets, or in the pipe. */
static void test_peer_closes(void **state)
{
	struct request *send = post_send(0, LARGEST);

	(void)state;
	expect_waiting(send);
	close_rx();
	expect_gone(wait_error(send));
}

/* It has read a part. */
static void test_peer_closes_half_way(void **state)
{
	struct request *send = post_send(0, LARGEST), *recv = post_recv(0, LARGEST);

	(void)state;
	/* One call reads less than that. */
	is_done(recv);
	is_done(send);
	assert_false(is_done(recv));
	close_rx();
	expect_gone(wait_error(send));
}

/* It has read everything, and said so: the sends are done though it is gone. */
static void test_peer_closes_behind(void **state)
{
	struct request *send[2], *recv;

	(void)state;
	for (size_t i = 0; i < 2; i++)
		send[i] = post_send(i, 128 * KIB);
	for (size_t i = 0; i < 2; i++) {
		recv = post_recv(i, 128 * KIB);
		finish(recv);
	}
	close_rx();
	finish(send[0]);
	finish(send[1]);
}

/* The sender closes with memory lent: it is nobody's fault, and the receiver hears of it. */
static void test_closed_while_lent(void **state)
{
	struct request *recv;

	(void)state;
	post_send(0, LARGEST);
	recv = post_recv(0, LARGEST);
	is_done(recv);
	assert_ok(net_dereg_mr(tx, tx_mr));
	assert_ok(net_close(tx));
	expect_gone(wait_error(recv));
	close_rx();
	assert_ok(net_finalize());
	free(source);
	free(target);
}

/* Copied for the rest of the connection: done without the receiver. */
static void expect_copied(void)
{
	uint64_t before = counter_read(sent_zerocopy);
	struct request *send, *recv;

	fill(0, 64 * KIB, 9);
	send = post_send(0, 64 * KIB);
	finish(send);
	memset(source, 0xee, 64 * KIB);
	recv = post_recv(0, 64 * KIB);
	finish(recv);
	check(0, 64 * KIB, 9);
	exchange(0, MIB + 5, 10);
	assert_int_equal(counter_read(sent_zerocopy), before);
}

static void test_no_descriptors(void **state)
{
	uint64_t steps = counter_read(steps_down);
	struct rlimit before, none;

	(void)state;
	assert_ok(getrlimit(RLIMIT_NOFILE, &before));
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = before.rlim_max };
	assert_ok(setrlimit(RLIMIT_NOFILE, &none));
	exchange(0, MIB + 5, 1);
	assert_ok(setrlimit(RLIMIT_NOFILE, &before));
	assert_logged(
		"send path copy instead of zerocopy: making a pipe to lend memory through: Too many open files");
	expect_copied();
	assert_int_equal(counter_read(steps_down) - steps, 1);
}

/*
 * Memory that cannot be lent, between messages that were or were to be: of those that are under way, what is in the sockets stays lent, what
 * is in the pipe and behind it is copied.
 */
static void test_device_memory(void **state)
{
	uint64_t steps = counter_read(steps_down);
	struct request *send[3], *recv[3];
	void *page = kernel_page();
	struct mr *mr = NULL;

	(void)state;
	if (!page) {
		print_message("no [vvar] here\n");
		skip();
	}
	assert_ok(net_reg_mr(tx, page, 4096, NET_PTR_HOST, &mr));
	fill(0, LARGEST, 1);
	fill(2, LARGEST, 3);
	send[0] = post_send(0, LARGEST);
	assert_ok(net_isend(tx, page, 4096, 0, mr, &send[1]));
	send[2] = post_send(2, LARGEST);
	for (size_t i = 0; i < 3; i++)
		recv[i] = post_recv(i, LARGEST);
	for (size_t i = 0; i < 3; i++) {
		int64_t end = now_ms() + WAIT_MS;

		while (!is_done(recv[i])) {
			if (send[0] && is_done(send[0])) {
				memset(source, 0xee, LARGEST);
				send[0] = NULL;
			}
			/* Read with or behind the last receive. */
			assert_false(is_done(send[2]));
			assert_true(now_ms() < end);
		}
	}
	for (size_t i = 0; i < 3; i++)
		if (send[i])
			finish(send[i]);
	check(0, LARGEST, 1);
	check(2, LARGEST, 3);
	assert_logged("send path copy instead of zerocopy: splice: Bad address");
	assert_int_equal(counter_read(steps_down) - steps, 1);
	assert_ok(net_dereg_mr(tx, mr));
	expect_copied();
}

/* Left to itself the plugin tries both, and no byte is lost on the way from one to the other. */
static void test_by_price(void **state)
{
	uint64_t copied = counter_read(sent_copy), lent = counter_read(sent_zerocopy);

	(void)state;
	for (unsigned int i = 0; i < 40; i++)
		exchange(i % AT_ONCE, i % 2 ? MIB : 100 * KIB, i);
	assert_true(counter_read(sent_copy) - copied >= 4 * MIB);
	assert_true(counter_read(sent_zerocopy) - lent >= 4 * MIB);
}

#define CASE(f, setup) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_done_when_read, setup),
		CASE(test_done_when_read, setup_sockets),
		CASE(test_in_order, setup),
		CASE(test_in_order, setup_sockets),
		CASE(test_small_between, setup),
		CASE(test_mixed, setup),
		CASE(test_mixed, setup_sockets),
		CASE(test_mixed, setup_auto),
		CASE(test_peer_closes, setup),
		CASE(test_peer_closes, setup_sockets),
		CASE(test_peer_closes_half_way, setup),
		CASE(test_peer_closes_half_way, setup_sockets),
		CASE(test_peer_closes_behind, setup),
		CASE(test_peer_closes_behind, setup_sockets),
		cmocka_unit_test_setup(test_closed_while_lent, setup),
		CASE(test_no_descriptors, setup),
		CASE(test_no_descriptors, setup_sockets),
		CASE(test_device_memory, setup_small),
		CASE(test_device_memory, setup_small_sockets),
		CASE(test_by_price, setup_auto),
	};

	setenv("NCCL_DEVMEM_IFNAME", "=lo", 1);
	setenv("NCCL_DEVMEM_STATS_DIR", "off", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
