// SPDX-License-Identifier: BSD-3-Clause
/*
 * Records and payload survive short writes, short reads and the ring's end; also brought by io_uring, and where io_uring is forbidden.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "unit.h"
#include "base/counter.h"
#include "base/uring.h"
#include "comm/ctrl_stream.h"

#define MESSAGES    4000
#define PAYLOAD_MAX 9000

static struct ctrl_out out;
static struct ctrl_in in;
static int fds[2];

/* Is io_uring to be had where the tests run? */
static bool allowed;

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
	ctrl_in_close(&in);
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

/* Passes @messages on, all of which have to come whole. */
static void pass_on(uint32_t messages)
{
	static uint8_t payload[PAYLOAD_MAX];
	uint32_t sent = 0, got = 0;
	unsigned int seed = 3;
	size_t left = 0;
	int i, r;

	for (i = 0; i < 1000000 && got < messages; i++) {
		size_t len = 1 + (size_t)rand_r(&seed) % (PAYLOAD_MAX - 1);

		if (sent < messages && ctrl_out_room(&out) >= sizeof(struct wire_rec) + len) {
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
	assert_int_equal(got, messages);
	assert_int_equal(out.queued, out.flushed);
}

static void test_stream(void **state)
{
	(void)state;
	pass_on(MESSAGES);
}

static void test_stream_by_ring(void **state)
{
	uint64_t calls = counter_read(sys_ctrl_read);

	(void)state;
	ctrl_in_open(&in, fds[1]);
	if (!in.by_ring)
		skip();
	pass_on(MESSAGES);
	/* The kernel has it all from the beginning; before Linux 6.0 it says so only when asked. */
	if (in.by_ring)
		assert_int_equal(counter_read(sys_ctrl_read), calls);
}

/* As sandboxes do that forbid io_uring: io_uring_setup() fails with EPERM. */
static bool forbid_io_uring(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) == 0;
}

/* No page may be locked, which newer kernels count a ring's for. */
static bool forbid_locked_memory(void)
{
	const struct rlimit none = { 0 };

	return setrlimit(RLIMIT_MEMLOCK, &none) == 0 && (geteuid() != 0 || setuid(65534) == 0);
}

static bool forbid_descriptors(void)
{
	const struct rlimit none = { 0 };

	return setrlimit(RLIMIT_NOFILE, &none) == 0;
}

/* Runs @confined in a process that has done @confine: a filter and a limit last until its end. */
static void run_confined(bool (*confine)(void), void (*confined)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		/* An assertion that fails here goes on with the other tests, and ends with a status that says so. */
		if (!confine())
			_exit(UNIT_SKIP);
		unit_log_clear();
		confined();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == UNIT_SKIP)
		skip();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void expect(bool what)
{
	if (!what)
		_exit(1);
}

/* The stream does without, says so once and what would help. */
static void passes_on_without(void)
{
	ctrl_in_open(&in, fds[1]);
	expect(!in.by_ring && !in.ring);
	expect(unit_log_lines == 1 && strstr(unit_log_text, "not by io_uring"));
	pass_on(100);
	ctrl_in_close(&in);
	ctrl_in_open(&in, fds[1]);
	expect(unit_log_lines == 1);
	pass_on(100);
}

static void passes_on_forbidden(void)
{
	passes_on_without();
	expect(strstr(unit_log_text, strerror(EPERM)) && strstr(unit_log_text, "seccomp"));
}

static void passes_on_without_descriptors(void)
{
	passes_on_without();
	expect(!allowed || strstr(unit_log_text, "RLIMIT_NOFILE"));
}

/* Whether the kernel counts rings for it or not. */
static void passes_on_either_way(void)
{
	ctrl_in_open(&in, fds[1]);
	expect(in.by_ring || !allowed || strstr(unit_log_text, "RLIMIT_MEMLOCK"));
	pass_on(100);
	ctrl_in_close(&in);
}

static void test_forbidden(void **state)
{
	(void)state;
	run_confined(forbid_io_uring, passes_on_forbidden);
}

static void test_no_descriptors(void **state)
{
	(void)state;
	run_confined(forbid_descriptors, passes_on_without_descriptors);
}

static void test_no_locked_memory(void **state)
{
	(void)state;
	run_confined(forbid_locked_memory, passes_on_either_way);
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
		/* These before anything else is said about io_uring. */
		cmocka_unit_test_setup_teardown(test_forbidden, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_locked_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_by_ring, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_of_stream, setup, teardown),
	};
	struct uring u;

	allowed = uring_create(&u, 1, 2) == 0;
	uring_destroy(&u);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
