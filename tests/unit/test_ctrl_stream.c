// SPDX-License-Identifier: BSD-3-Clause
/*
 * Records and payload survive short writes, short reads and the ring's end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"
#include "comm/ctrl_stream.h"

#define MESSAGES    4000
#define PAYLOAD_MAX 9000

static struct ctrl_out out;
static struct ctrl_in in;
static int fds[2];

static int setup(void **state)
{
	int small = 4096;

	(void)state;
	memset(&out, 0, sizeof(out));
	memset(&in, 0, sizeof(in));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	/* A small buffer makes writes short. */
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(fds[0]);
	close(fds[1]);
	return 0;
}

static uint8_t byte_at(uint32_t seq, size_t i)
{
	return (uint8_t)(seq * 131 + i * 7);
}

/* Takes what is there; returns the number of messages completed. */
static uint32_t drain(uint32_t next, size_t *left)
{
	const uint8_t *buf;
	struct wire_rec rec;
	size_t n, i;

	while (ctrl_in_fill(&in, fds[1]) == 1 || in.tail > in.head) {
		if (*left == 0) {
			if (!ctrl_in_peek(&in, &rec)) {
				if (ctrl_in_fill(&in, fds[1]) == 1)
					continue;
				break;
			}
			assert_int_equal(rec.type, WIRE_MSG);
			assert_int_equal(rec.seq, next);
			assert_int_equal(rec.value, rec.len);
			ctrl_in_skip(&in, sizeof(rec));
			*left = rec.len;
		}
		ctrl_in_peek(&in, &rec); /* peeking must not consume */
		buf = ctrl_in_data(&in, &n);
		if (n > *left)
			n = *left;
		for (i = 0; i < n; i++)
			assert_int_equal(buf[i], byte_at(next, *left - i));
		ctrl_in_skip(&in, n);
		*left -= n;
		if (*left == 0)
			next++;
		else if (n == 0)
			break;
	}
	return next;
}

static void test_stream(void **state)
{
	static uint8_t payload[PAYLOAD_MAX];
	uint32_t sent = 0, got = 0;
	unsigned int seed = 3;
	size_t left = 0;
	int i, r;

	(void)state;
	for (i = 0; i < 1000000 && got < MESSAGES; i++) {
		size_t len = 1 + (size_t)rand_r(&seed) % (PAYLOAD_MAX - 1);

		if (sent < MESSAGES && ctrl_out_room(&out) >= sizeof(struct wire_rec) + len) {
			struct wire_rec rec = {
				.type = WIRE_MSG, .seq = sent, .len = (uint32_t)len, .value = len
			};
			size_t k;

			for (k = 0; k < len; k++)
				payload[k] = byte_at(sent, len - k);
			ctrl_out_put(&out, rec, payload, len);
			sent++;
		}
		r = ctrl_out_flush(&out, fds[0]);
		assert_true(r == 0 || r == 1);
		got = drain(got, &left);
	}
	assert_int_equal(got, MESSAGES);
	assert_int_equal(out.queued, out.flushed);
}

static void test_end_of_stream(void **state)
{
	(void)state;
	assert_int_equal(ctrl_in_fill(&in, fds[1]), 0);
	assert_false(in.eof);
	shutdown(fds[0], SHUT_WR);
	assert_int_equal(ctrl_in_fill(&in, fds[1]), 0);
	assert_true(in.eof);
	close(fds[1]);
	fds[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ctrl_out_put(&out, (struct wire_rec){ .type = WIRE_MSG }, NULL, 0);
	assert_int_equal(ctrl_out_flush(&out, fds[0]), -EPIPE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_of_stream, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
