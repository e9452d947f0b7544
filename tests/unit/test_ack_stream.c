// SPDX-License-Identifier: BSD-3-Clause
/*
 * Acknowledgements: cut anywhere by the stream, nonsense is an error, said only where something was lent, and of numbers that wrap.
 *
 * unit-libs: devmem_comm
 */
#include "unit.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "comm/ack_stream.h"

static int fds[2];
static struct ack_in in;
static struct ack_out out;

static int setup(void **state)
{
	(void)state;
	in = (struct ack_in){ 0 };
	out = (struct ack_out){ 0 };
	assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(fds[0]);
	close(fds[1]);
	return 0;
}

static struct wire_ack ack_of(uint32_t consumed)
{
	struct wire_ack ack = { .magic = WIRE_MAGIC, .consumed = consumed };

	wire_ack_swap(&ack);
	return ack;
}

static void say(uint32_t consumed)
{
	struct wire_ack ack = ack_of(consumed);

	assert_int_equal(send(fds[1], &ack, sizeof(ack), 0), sizeof(ack));
}

static void test_single_bytes(void **state)
{
	struct wire_ack acks[2] = { ack_of(1), ack_of(3) };

	(void)state;
	for (size_t i = 0; i < sizeof(acks); i++) {
		assert_int_equal(ack_in_look(&in, fds[0], 5), 0);
		assert_int_equal(send(fds[1], (uint8_t *)acks + i, 1, 0), 1);
		/* The last byte of one is what tells. */
		assert_int_equal(ack_in_look(&in, fds[0], 5), i % sizeof(acks[0]) == 7);
		assert_int_equal(in.consumed, i < 7 ? 0 : i < 15 ? 1 : 3);
	}
	assert_true(ack_in_has(&in, 2));
	assert_false(ack_in_has(&in, 3));
}

static void test_many_at_once(void **state)
{
	/* More than one look takes. */
	uint32_t n = 2 * sizeof(in.buf) / sizeof(in.buf[0]) + 3;
	int looks = 0;

	(void)state;
	for (uint32_t i = 1; i <= n; i++)
		say(i);
	while (ack_in_look(&in, fds[0], n) == 1)
		looks++;
	assert_int_equal(looks, 3);
	assert_int_equal(in.consumed, n);
}

/* Whole ones and a part of the next in one read: the part is kept. */
static void test_cut_behind_whole(void **state)
{
	struct wire_ack acks[3] = { ack_of(1), ack_of(2), ack_of(3) };

	(void)state;
	assert_int_equal(send(fds[1], acks, 19, 0), 19);
	assert_int_equal(ack_in_look(&in, fds[0], 3), 1);
	assert_int_equal(in.consumed, 2);
	assert_int_equal(send(fds[1], (uint8_t *)acks + 19, 5, 0), 5);
	assert_int_equal(ack_in_look(&in, fds[0], 3), 1);
	assert_int_equal(in.consumed, 3);
}

static void test_beyond_posted(void **state)
{
	(void)state;
	say(5);
	assert_int_equal(ack_in_look(&in, fds[0], 5), 1);
	say(6);
	assert_int_equal(ack_in_look(&in, fds[0], 5), -EPROTO);
}

static void test_backwards(void **state)
{
	(void)state;
	say(5);
	say(4);
	assert_int_equal(ack_in_look(&in, fds[0], 9), -EPROTO);
}

static void test_twice(void **state)
{
	(void)state;
	say(5);
	say(5);
	assert_int_equal(ack_in_look(&in, fds[0], 9), -EPROTO);
}

static void test_wrong_magic(void **state)
{
	struct wire_ack ack = { .magic = WIRE_LENT, .consumed = 1 };

	(void)state;
	wire_ack_swap(&ack);
	assert_int_equal(send(fds[1], &ack, sizeof(ack), 0), sizeof(ack));
	assert_int_equal(ack_in_look(&in, fds[0], 9), -EPROTO);
	assert_int_equal(in.consumed, 0);
}

/* What came before the end still counts. */
static void test_end(void **state)
{
	(void)state;
	say(2);
	assert_ok(shutdown(fds[1], SHUT_WR));
	assert_int_equal(ack_in_look(&in, fds[0], 9), 1);
	assert_int_equal(in.consumed, 2);
	assert_int_equal(ack_in_look(&in, fds[0], 9), -ECONNRESET);
}

static void test_in_wraps(void **state)
{
	(void)state;
	in.consumed = UINT32_MAX - 1;
	assert_false(ack_in_has(&in, UINT32_MAX));
	say(UINT32_MAX);
	say(0);
	say(2);
	assert_int_equal(ack_in_look(&in, fds[0], 2), 1);
	assert_true(ack_in_has(&in, UINT32_MAX));
	assert_true(ack_in_has(&in, 1));
	assert_false(ack_in_has(&in, 2));
}

/* After any number of messages of which none was lent, one that is lent is not taken for an old one. */
static void test_in_late(void **state)
{
	uint32_t seq = 0;

	(void)state;
	for (uint64_t sent = 0; sent < 3ULL << 32; sent += 1U << 24, seq += 1U << 24) {
		ack_in_posted(&in, seq);
		assert_false(ack_in_has(&in, seq));
	}
	ack_in_posted(&in, seq);
	/* Of the message before, which the receiver has got to only now. */
	say(seq - (1U << 24));
	say(seq + 1);
	assert_int_equal(ack_in_look(&in, fds[0], seq + 1), 1);
	assert_true(ack_in_has(&in, seq));
}

static bool heard(uint32_t *ret)
{
	struct wire_ack ack;
	ssize_t n = recv(fds[0], &ack, sizeof(ack), 0);

	if (n < 0)
		return false;
	assert_int_equal(n, sizeof(ack));
	wire_ack_swap(&ack);
	assert_int_equal(ack.magic, WIRE_MAGIC);
	*ret = ack.consumed;
	return true;
}

static void flush(void)
{
	ack_out_flush(&out, fds[1]);
}

static void test_due(void **state)
{
	uint32_t told = 0;

	(void)state;
	/* Copied ones are nobody's concern. */
	out.consumed = 3;
	assert_false(ack_out_due(&out));
	flush();
	assert_false(heard(&told));

	ack_out_expect(&out, 4);
	assert_false(ack_out_due(&out));
	out.consumed = 5;
	assert_true(ack_out_due(&out));
	flush();
	assert_true(heard(&told));
	assert_int_equal(told, 5);
	assert_false(ack_out_due(&out));

	/* And what follows is copied again. */
	out.consumed = 9;
	assert_false(ack_out_due(&out));
	flush();
	assert_false(heard(&told));
}

/* Lent ones that begin in any order, as they come over several sockets, are covered by one ack. */
static void test_out_of_order(void **state)
{
	uint32_t told = 0;

	(void)state;
	ack_out_expect(&out, 2);
	ack_out_expect(&out, 0);
	ack_out_expect(&out, 2);
	assert_int_equal(out.lent_end, 3);
	out.consumed = 3;
	flush();
	assert_true(heard(&told));
	assert_int_equal(told, 3);
	assert_false(heard(&told));
}

static void test_out_wraps(void **state)
{
	uint32_t told = 0;

	(void)state;
	out = (struct ack_out){ .consumed = UINT32_MAX,
				.told = UINT32_MAX,
				.lent_end = UINT32_MAX };
	ack_out_expect(&out, UINT32_MAX);
	ack_out_expect(&out, 1);
	assert_int_equal(out.lent_end, 2);
	out.consumed = 0;
	flush();
	assert_true(heard(&told));
	assert_int_equal(told, 0);
	out.consumed = 2;
	assert_true(ack_out_due(&out));
	flush();
	assert_true(heard(&told));
	assert_int_equal(told, 2);
	assert_false(ack_out_due(&out));
}

/* Lent for the first time after so many copied ones that their number is half way round, or nearly all of it. */
static void test_out_late(void **state)
{
	static const uint32_t starts[] = { 1U << 30, (1U << 31) + 5, (3U << 30) + 5, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		uint32_t told = 0;

		out = (struct ack_out){ .consumed = starts[i] };
		assert_false(ack_out_due(&out));
		ack_out_expect(&out, starts[i] + 1);
		out.consumed = starts[i] + 2;
		assert_true(ack_out_due(&out));
		flush();
		assert_true(heard(&told));
		assert_int_equal(told, starts[i] + 2);
		assert_false(ack_out_due(&out));
	}
}

/* Leaves no room in the socket. */
static void fill(void)
{
	static const uint8_t junk[4096];

	while (send(fds[1], junk, sizeof(junk), 0) > 0)
		;
	while (send(fds[1], junk, 1, 0) > 0)
		;
	assert_int_equal(errno, EAGAIN);
}

static void drain(void)
{
	uint8_t junk[4096];

	while (recv(fds[0], junk, sizeof(junk), 0) > 0)
		;
}

static void test_full(void **state)
{
	uint32_t told = 0;

	(void)state;
	fill();
	ack_out_expect(&out, 0);
	out.consumed = 1;
	flush();
	assert_true(ack_out_due(&out));
	/* Meanwhile more is read: it goes behind what is half said. */
	ack_out_expect(&out, 1);
	out.consumed = 2;
	flush();
	assert_true(ack_out_due(&out));
	drain();
	flush();
	assert_false(ack_out_due(&out));
	assert_true(heard(&told));
	assert_int_equal(told, 1);
	assert_true(heard(&told));
	assert_int_equal(told, 2);
	assert_false(heard(&told));
}

/* The socket took a part: its rest goes first. */
static void test_part(void **state)
{
	struct wire_ack ack = ack_of(7);
	uint32_t told = 0;

	(void)state;
	assert_int_equal(send(fds[1], &ack, 3, 0), 3);
	out = (struct ack_out){
		.consumed = 9, .told = 7, .lent_end = 9, .left = sizeof(ack) - 3, .buf = ack
	};
	flush();
	assert_true(heard(&told));
	assert_int_equal(told, 7);
	assert_true(heard(&told));
	assert_int_equal(told, 9);
	assert_false(ack_out_due(&out));
}

/* Nobody to be told: no SIGPIPE, and nothing is left over. */
static void test_gone(void **state)
{
	(void)state;
	assert_ok(shutdown(fds[0], SHUT_RDWR));
	ack_out_expect(&out, 0);
	out.consumed = 1;
	flush();
	assert_false(ack_out_due(&out));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_single_bytes),  CASE(test_many_at_once), CASE(test_cut_behind_whole),
		CASE(test_beyond_posted), CASE(test_backwards),	   CASE(test_twice),
		CASE(test_wrong_magic),	  CASE(test_end),	   CASE(test_in_wraps),
		CASE(test_in_late),	  CASE(test_due),	   CASE(test_out_of_order),
		CASE(test_out_wraps),	  CASE(test_out_late),	   CASE(test_full),
		CASE(test_part),	  CASE(test_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
