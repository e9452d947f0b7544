// SPDX-License-Identifier: BSD-3-Clause
/*
 * unit-libs: perfcoll
 *
 * The launcher. It runs this program again as each rank; what a rank then does is the scenario, the
 * last argument.
 */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job_options.h"
#include "launcher.h"
#include "monotime.h"
#include "rendezvous.h"
#include "report.h"

#define SECRET "LAUNCHER_TEST_SECRET"
/* The descriptor on which a rank says that it runs. */
#define STARTED_FD "LAUNCHER_TEST_STARTED_FD"
/* For what has to come; ten times as long for what is to be killed meanwhile. */
#define PATIENCE_S 60

static const char *program;

/* What rank @rank of @nranks does; its exit status. */
static int rank_main(int rank, int nranks, const char *spec, const char *scenario)
{
	const char *secret = getenv(SECRET), *started;
	struct rendezvous *rv;
	int all[LAUNCHER_MAX_RANKS];
	int err;

	if (!strcmp(scenario, "meet")) {
		err = rendezvous_open(spec, rank, nranks, PATIENCE_S, &rv);
		if (err)
			return 10;
		err = rendezvous_all_gather(rv, &rank, sizeof(rank), all);
		for (int r = 0; r < nranks && !err; r++)
			err = all[r] != r;
		rendezvous_close(rv);
		return err ? 11 : 0;
	}
	if (!strcmp(scenario, "one leaves")) {
		err = rendezvous_open(spec, rank, nranks, PATIENCE_S, &rv);
		if (err)
			return err;
		if (rank != 1)
			err = rendezvous_barrier(rv);
		rendezvous_close(rv);
		if (rank == 1)
			return 0;
		return err == -ECONNRESET ? 0 : 12;
	}
	if (!strcmp(scenario, "environment"))
		return rank == 1 ? !secret || strcmp(secret, "a:b=c") : secret != NULL;
	if (!strcmp(scenario, "one fails")) {
		if (rank == 1)
			return 42;
		sleep(10 * PATIENCE_S); /* to be killed long before */
		return 0;
	}
	if (!strcmp(scenario, "one crashes") && rank == 0)
		raise(SIGKILL);
	if (!strcmp(scenario, "hang")) {
		started = getenv(STARTED_FD);
		if (started && write(atoi(started), "s", 1) != 1)
			return 13;
		sleep(10 * PATIENCE_S);
	}
	return 0;
}

static int launch(const char *scenario, struct launch l, int64_t *ret_ms)
{
	char ranks[16];
	char *argv[] = { (char *)program, ranks, (char *)scenario, NULL };
	int64_t start = monotime_ns();
	int status;

	snprintf(ranks, sizeof(ranks), "%d", l.nranks);
	l.argv = argv;
	status = launcher_run(&l);
	*ret_ms = (monotime_ns() - start) / NSEC_PER_MSEC;
	return status;
}

/* No rank may be left, not even as a zombie. */
static void check_childless(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void test_ranks_meet(void **state)
{
	int64_t ms;

	(void)state;
	for (int n = 1; n <= 5; n++)
		assert_int_equal(launch("meet", (struct launch){ .nranks = n }, &ms), 0);
	check_childless();
}

static void test_environment_of_a_rank(void **state)
{
	const struct rank_setting settings[] = { { 1, SECRET "=a:b=c" } };
	const struct launch l = { .nranks = 3, .settings = settings, .nsettings = 1 };
	int64_t ms;

	(void)state;
	assert_int_equal(launch("environment", l, &ms), 0);
	assert_null(getenv(SECRET));
}

static void test_failure_ends_the_others(void **state)
{
	int64_t ms;

	(void)state;
	assert_int_equal(launch("one fails", (struct launch){ .nranks = 3 }, &ms), 42);
	assert_true(ms < 5 * PATIENCE_S * 1000);
	check_childless();
}

/* Which needs that no other process keeps the socket open. */
static void test_ranks_see_the_end_of_a_peer(void **state)
{
	int64_t ms;

	(void)state;
	assert_int_equal(launch("one leaves", (struct launch){ .nranks = 3 }, &ms), 0);
	assert_true(ms < PATIENCE_S * 1000);
	check_childless();
}

static void test_crash_is_a_failure(void **state)
{
	int64_t ms;

	(void)state;
	assert_int_equal(launch("one crashes", (struct launch){ .nranks = 2 }, &ms), 1);
	check_childless();
}

static void test_limit(void **state)
{
	int64_t ms;

	(void)state;
	assert_int_equal(launch("hang", (struct launch){ .nranks = 2, .limit_s = 1 }, &ms), 124);
	assert_true(ms >= 1000 && ms < 5 * PATIENCE_S * 1000);
	check_childless();
}

/* A launcher of two ranks that hang, in a process of its own, when both of them run. */
static pid_t launch_hanging(void)
{
	char text[16], started[2];
	int fds[2];
	int64_t ms;
	pid_t pid;

	assert_ok(pipe(fds));
	snprintf(text, sizeof(text), "%d", fds[1]);
	assert_ok(setenv(STARTED_FD, text, 1));
	pid = fork();
	if (pid == 0)
		_exit(launch("hang", (struct launch){ .nranks = 2 }, &ms));
	assert_ok(unsetenv(STARTED_FD));
	close(fds[1]);
	for (int i = 0; i < 2; i++)
		assert_int_equal(read(fds[0], &started[i], 1), 1);
	close(fds[0]);
	return pid;
}

static void test_terminated(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = launch_hanging();
	assert_ok(kill(pid, SIGTERM));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 128 + SIGTERM);
}

/* Killed outright it can do nothing: the kernel must end the ranks, which become our children. */
static void test_killed(void **state)
{
	int status, ranks = 0;
	int64_t deadline;
	pid_t pid, child;

	(void)state;
	assert_ok(prctl(PR_SET_CHILD_SUBREAPER, 1));
	pid = launch_hanging();
	assert_ok(kill(pid, SIGKILL));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	deadline = monotime_ns() + PATIENCE_S * NSEC_PER_SEC;
	while (ranks < 2 && monotime_ns() < deadline) {
		child = waitpid(-1, &status, WNOHANG);
		if (child <= 0) {
			usleep(10000);
			continue;
		}
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		ranks++;
	}
	assert_int_equal(ranks, 2);
	assert_ok(prctl(PR_SET_CHILD_SUBREAPER, 0));
}

static void test_no_such_namespace(void **state)
{
	const struct launch l = { .nranks = 2, .netns = "no-such-namespace-a,b" };
	int64_t ms;

	(void)state;
	assert_int_equal(launch("meet", l, &ms), 1);
	assert_int_equal(launch("meet", (struct launch){ .nranks = 0 }, &ms), 1);
	assert_int_equal(launch("meet", (struct launch){ .nranks = 65 }, &ms), 1);
	check_childless();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranks_meet),
		cmocka_unit_test(test_environment_of_a_rank),
		cmocka_unit_test(test_failure_ends_the_others),
		cmocka_unit_test(test_crash_is_a_failure),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_ranks_see_the_end_of_a_peer),
		cmocka_unit_test(test_terminated),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_no_such_namespace),
	};
	int rank, nranks;

	/* As a rank: PROGRAM --rank R --rendezvous SPEC NRANKS SCENARIO */
	if (argc == 7 && !strcmp(argv[1], "--rank")) {
		if (parse_int(argv[2], 0, 64, &rank) || parse_int(argv[5], 1, 64, &nranks))
			return 2;
		report_init("test_launcher", rank);
		return rank_main(rank, nranks, argv[4], argv[6]);
	}
	program = argv[0];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
