// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a message costs one connection does not depend on how many others there are: system calls as the counters have them, and
 * instructions of isend(), irecv() and test(), counted one by one. No time is looked at.
 *
 * unit-args: frames records
 */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/counter.h"
#include "comm/net.h"
#include "comm/sock.h"

#define MESSAGE 8192
/* Counted: each byte that the plugin copies is an instruction (rep movsb). */
#define SHORT	 64
#define MESSAGES 64
#define FEW	 1
#define MANY	 64
/* Longer than any stall of the machine. */
#define WAIT_MS 60000

/* Both ends of a connection; @waiting: a receive that nothing comes for. */
struct pair {
	struct listen_comm *listen;
	struct comm *send, *recv;
	struct mr *send_mr, *recv_mr;
	struct request *waiting;
};

/* The others, and at [0] the one that works. */
struct crowd {
	struct pair pairs[MANY + 1];
	int n;
};

static uint8_t source[MESSAGE], target[MESSAGE], spare[MESSAGE];
static size_t length = MESSAGE;

/* In the traced child cmocka's assertions have nowhere to go. */
#define must(expr)                                                                 \
	do {                                                                       \
		if (!(expr)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #expr); \
			abort();                                                   \
		}                                                                  \
	} while (0)

static void pair_open(struct pair *p)
{
	uint8_t handle[NET_HANDLE_SIZE] __attribute__((aligned(8)));
	int64_t end = now_ms() + WAIT_MS;

	must(net_listen(0, handle, &p->listen) == 0);
	while (!p->send || !p->recv) {
		if (!p->send)
			must(net_connect(0, handle, &p->send) == 0);
		if (!p->recv)
			must(net_accept(p->listen, &p->recv) == 0);
		must(now_ms() < end);
	}
	must(net_close_listen(p->listen) == 0);
	must(net_reg_mr(p->send, source, sizeof(source), NET_PTR_HOST, &p->send_mr) == 0);
	must(net_reg_mr(p->recv, target, sizeof(target), NET_PTR_HOST, &p->recv_mr) == 0);
}

static void pair_close(struct pair *p)
{
	must(net_dereg_mr(p->send, p->send_mr) == 0);
	must(net_dereg_mr(p->recv, p->recv_mr) == 0);
	must(net_close(p->send) == 0);
	must(net_close(p->recv) == 0);
}

static void crowd_open(struct crowd *c, int others, bool waiting)
{
	memset(c, 0, sizeof(*c));
	must(net_init() == 0);
	for (c->n = 0; c->n <= others; c->n++) {
		struct pair *p = &c->pairs[c->n];

		pair_open(p);
		if (!waiting || c->n == 0)
			continue;
		must(net_dereg_mr(p->recv, p->recv_mr) == 0);
		must(net_reg_mr(p->recv, spare, sizeof(spare), NET_PTR_HOST, &p->recv_mr) == 0);
		must(net_irecv(p->recv, spare, sizeof(spare), 0, p->recv_mr, false, &p->waiting) ==
		     0);
		must(p->waiting);
	}
}

static void crowd_close(struct crowd *c)
{
	while (c->n)
		pair_close(&c->pairs[--c->n]);
	must(net_finalize() == 0);
}

static struct request *post_recv(struct pair *p)
{
	struct request *req = NULL;

	must(net_irecv(p->recv, target, length, 0, p->recv_mr, false, &req) == 0 && req);
	return req;
}

static struct request *post_send(struct pair *p)
{
	struct request *req = NULL;

	must(net_isend(p->send, source, length, 0, p->send_mr, &req) == 0 && req);
	return req;
}

static int test_once(struct request *req)
{
	size_t size = 0;
	int done = 0;

	must(net_test(req, &done, &size) == 0);
	must(!done || size == length);
	return done;
}

/* Both to their end: each needs the other to be tested. */
static void finish(struct request *send, struct request *recv)
{
	int64_t end = now_ms() + WAIT_MS;

	while (send || recv) {
		if (send && test_once(send))
			send = NULL;
		if (recv && test_once(recv))
			recv = NULL;
		must(now_ms() < end);
	}
}

/* A message that differs from the last, checked. */
static void one_message(struct pair *p, int number)
{
	struct request *recv, *send;

	memset(source, number + 1, length);
	memset(target, 0, length);
	recv = post_recv(p);
	send = post_send(p);
	finish(send, recv);
	must(!memcmp(source, target, length));
}

/* System calls so far, but for those that brought nothing: how often one looks in vain depends on time. */
static uint64_t useful_calls(void)
{
	return counter_read(sys_send) + counter_read(sys_recv) + counter_read(sys_ctrl) +
	       counter_read(sys_errqueue) + counter_read(sys_uring_ctrl) -
	       counter_read(sys_recv_none) - counter_read(sys_ctrl_none) -
	       counter_read(sys_errqueue_none);
}

static uint64_t calls_beside(int others, bool waiting)
{
	struct crowd c;
	uint64_t before;

	crowd_open(&c, others, waiting);
	one_message(&c.pairs[0], 0);
	before = useful_calls();
	for (int i = 0; i < MESSAGES; i++)
		one_message(&c.pairs[0], i);
	before = useful_calls() - before;
	crowd_close(&c);
	return before;
}

static void calls_are_flat(bool waiting)
{
	uint64_t few = calls_beside(FEW, waiting), many = calls_beside(MANY, waiting);

	printf("%d messages beside %d others: %llu system calls, beside %d: %llu\n", MESSAGES, FEW,
	       (unsigned long long)few, MANY, (unsigned long long)many);
	/* One sends it, at the least: with io_uring no call has to receive a record. */
	assert_true(few >= MESSAGES);
	/* A message may come in two parts, now and then. */
	assert_true(many <= few + MESSAGES / 4);
}

static void test_calls_beside_quiet(void **state)
{
	(void)state;
	calls_are_flat(false);
}

static void test_calls_beside_waiting(void **state)
{
	(void)state;
	calls_are_flat(true);
}

/* What is counted: calls that come to their end, and a test() in vain. */
enum step { STEP_IRECV, STEP_TEST_NOTHING, STEP_ISEND, STEP_TEST_SEND, STEP_TEST_RECV, STEPS };

static const char *const step_names[STEPS] = {
	[STEP_IRECV] = "irecv",
	[STEP_TEST_NOTHING] = "test in vain",
	[STEP_ISEND] = "isend",
	[STEP_TEST_SEND] = "test of a send, done",
	[STEP_TEST_RECV] = "test of a receive, done",
};

/* Shared by the process that counts and the one that is counted. @last: of the latest region. */
struct counted {
	uint64_t last;
	uint64_t least[STEPS];
};

#define ROUNDS 8

/* Counts the instructions of @expr in the traced process. */
#define COUNTED(shared, step, expr)                             \
	do {                                                    \
		raise(SIGUSR1);                                 \
		expr;                                           \
		raise(SIGUSR2);                                 \
		if ((shared)->last < (shared)->least[step])     \
			(shared)->least[step] = (shared)->last; \
	} while (0)

/* In the child. A test() that was not done, though it should be, is not counted as one that was. */
static void count_round(struct counted *s, struct pair *p)
{
	struct request *recv, *send;
	uint64_t sent, received;
	int done;

	COUNTED(s, STEP_IRECV, recv = post_recv(p));
	COUNTED(s, STEP_TEST_NOTHING, done = test_once(recv));
	must(!done);
	COUNTED(s, STEP_ISEND, send = post_send(p));
	sent = s->least[STEP_TEST_SEND];
	COUNTED(s, STEP_TEST_SEND, done = test_once(send));
	if (done)
		send = NULL;
	else
		s->least[STEP_TEST_SEND] = sent;
	received = s->least[STEP_TEST_RECV];
	COUNTED(s, STEP_TEST_RECV, done = test_once(recv));
	if (done)
		recv = NULL;
	else
		s->least[STEP_TEST_RECV] = received;
	finish(send, recv);
}

static void run_counted(struct counted *s, int others, bool waiting)
{
	struct crowd c;

	length = SHORT;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(UNIT_SKIP);
	memset(s->least, 0xff, sizeof(s->least));
	crowd_open(&c, others, waiting);
	/* Every request's place has been used once, every list has its room. */
	for (int i = 0; i < NET_MAX_REQUESTS; i++)
		one_message(&c.pairs[0], i);
	for (int i = 0; i < ROUNDS; i++)
		count_round(s, &c.pairs[0]);
	crowd_close(&c);
	_exit(0);
}

/* Steps the stopped child through one region, to its SIGUSR2. Returns wait()'s status. */
static int step_through(pid_t child, uint64_t *ret_steps)
{
	int status = 0, deliver = 0;
	uint64_t n = 0;

	for (;;) {
		if (ptrace(PTRACE_SINGLESTEP, child, NULL, deliver) < 0 ||
		    waitpid(child, &status, 0) < 0)
			return -1;
		if (!WIFSTOPPED(status) || WSTOPSIG(status) == SIGUSR2)
			break;
		deliver = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
		n++;
	}
	*ret_steps = n;
	return status;
}

/* Counts all regions of @child until it ends. Its wait() status. */
static int trace(pid_t child, struct counted *s)
{
	int status, deliver;

	if (waitpid(child, &status, 0) < 0)
		return -1;
	while (WIFSTOPPED(status)) {
		deliver = 0;
		if (WSTOPSIG(status) == SIGUSR1) {
			status = step_through(child, &s->last);
			if (!WIFSTOPPED(status))
				break;
		} else {
			deliver = WSTOPSIG(status);
		}
		if (ptrace(PTRACE_CONT, child, NULL, deliver) < 0 || waitpid(child, &status, 0) < 0)
			return -1;
	}
	return status;
}

/* In a process of its own, which has never seen the plugin. False where nobody may trace. */
static bool count_beside(int others, bool waiting, uint64_t *ret)
{
	struct counted *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child;
	int status;

	assert_true(s != MAP_FAILED);
	fflush(NULL);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		run_counted(s, others, waiting);
	status = trace(child, s);
	memcpy(ret, s->least, sizeof(s->least));
	munmap(s, sizeof(*s));
	if (WIFEXITED(status) && WEXITSTATUS(status) == UNIT_SKIP)
		return false;
	assert_int_equal(status, 0);
	return true;
}

static void instructions_are_flat(bool waiting)
{
	uint64_t few[STEPS] = { 0 }, many[STEPS] = { 0 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	print_message("a sanitizer's instructions are not the plugin's\n");
	skip();
#endif
	if (!count_beside(FEW, waiting, few) || !count_beside(MANY, waiting, many)) {
		print_message("nobody may trace a process here (ptrace)\n");
		skip();
	}
	for (int i = 0; i < STEPS; i++) {
		printf("%-24s beside %d: %llu instructions, beside %d: %llu\n", step_names[i], FEW,
		       (unsigned long long)few[i], MANY, (unsigned long long)many[i]);
		assert_true(few[i] > 0 && few[i] < UINT64_MAX);
		/* Less than an instruction for each of them. */
		assert_true(many[i] < few[i] + (MANY - FEW) / 2);
	}
}

static void test_instructions_beside_quiet(void **state)
{
	(void)state;
	instructions_are_flat(false);
}

static void test_instructions_beside_waiting(void **state)
{
	(void)state;
	instructions_are_flat(true);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_instructions_beside_quiet),
		cmocka_unit_test(test_instructions_beside_waiting),
		cmocka_unit_test(test_calls_beside_quiet),
		cmocka_unit_test(test_calls_beside_waiting),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s frames|records\n", argv[0]);
		return 1;
	}
	setenv("NCCL_DEVMEM_IFNAME", "=lo", 1);
	setenv("NCCL_DEVMEM_STATS_DIR", "off", 1);
	setenv("NCCL_DEVMEM_FRAMES", !strcmp(argv[1], "frames") ? "1" : "0", 1);
	unit_log_clear();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
