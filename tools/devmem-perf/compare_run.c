// SPDX-License-Identifier: BSD-3-Clause
#include "compare_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher.h"
#include "progress.h"
#include "report.h"

#define OUTPUT_SHOWN 4000

static const char error_mark[] = "error: ";

static bool applicable(const struct competitor *c, const struct compare_cell *cell)
{
	return !c->streams || cell->kind != CELL_RING;
}

/* In the child: the competitor's environment, and no output but to @output. Does not return. */
static void run_launch(struct rank_run *run, pid_t parent, int output)
{
	const struct compare_options *o = run->options;
	const struct competitor *c = run->competitor;
	struct launch launch = {
		.rank_main = compare_rank_main,
		.arg = run,
		.nranks = run->cell->nranks,
		.netns = o->netns,
		.limit_s = o->limit_s,
	};
	char ifname[64];

	/* The launcher ends the ranks at SIGTERM. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || dup2(output, STDOUT_FILENO) < 0 ||
	    dup2(output, STDERR_FILENO) < 0)
		_exit(1);
	if (o->ifname) {
		snprintf(ifname, sizeof(ifname), "=%s", o->ifname);
		setenv("NCCL_SOCKET_IFNAME", ifname, 1);
	}
	for (size_t i = 0; i < c->nenv; i++)
		putenv((char *)c->env[i]);
	exit(launcher_run(&launch));
}

/* The rest of the line after the first "error: ". */
static void first_error(const char *text, char *ret, size_t size)
{
	const char *at = strstr(text, error_mark);

	if (!at)
		return;
	at += sizeof(error_mark) - 1;
	snprintf(ret, size, "%.*s", (int)strcspn(at, "\n"), at);
}

/* What @output holds at its ends, as text; the caller's to free. */
static char *read_output(int output, off_t from, size_t most)
{
	char *text = calloc(1, most + 1);
	ssize_t n;

	if (!text)
		return NULL;
	n = pread(output, text, most, from);
	text[n > 0 ? n : 0] = '\0';
	/* A rank may print anything; what comes after a NUL would be lost. */
	for (ssize_t i = 0; i < n; i++)
		if (!text[i])
			text[i] = ' ';
	return text;
}

static void explain_failure(const struct rank_run *run, int output, int status,
			    struct compare_run *ret)
{
	off_t size = lseek(output, 0, SEEK_END);
	char *text = read_output(output, 0, 1 << 20);

	if (WIFSIGNALED(status))
		snprintf(ret->error, sizeof(ret->error), "ended by signal %d (%s)",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(ret->error, sizeof(ret->error), "exit status %d", WEXITSTATUS(status));
	if (text)
		first_error(text, ret->error, sizeof(ret->error));
	free(text);
	progress_clear();
	report_err("%s, %s: %s", run->competitor->label, run->cell->spec, ret->error);
	text = read_output(output, size > OUTPUT_SHOWN ? size - OUTPUT_SHOWN : 0, OUTPUT_SHOWN);
	if (text)
		fprintf(stderr, "%s", text);
	free(text);
}

static int run_watched(struct rank_run *run, int output, int *ret_status)
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		run_launch(run, parent, output);
	while (waitpid(pid, ret_status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

void compare_run_execute(const struct compare_options *o, const struct competitor *c,
			 const struct compare_cell *cell, struct compare_run *ret)
{
	struct rank_run run = { .options = o, .competitor = c, .cell = cell };
	int output, status = 0, err = 0;

	memset(ret, 0, sizeof(*ret));
	if (!applicable(c, cell)) {
		ret->status = RUN_NOT_APPLICABLE;
		return;
	}
	ret->status = RUN_FAILED;
	run.figures = mmap(NULL, sizeof(*run.figures), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	output = memfd_create("devmem-perf output", MFD_CLOEXEC);
	if (run.figures == MAP_FAILED || output < 0)
		err = -errno;
	if (!err)
		err = run_watched(&run, output, &status);
	if (err) {
		snprintf(ret->error, sizeof(ret->error), "starting the run: %s", strerror(-err));
		progress_clear();
		report_err("%s, %s: %s", c->label, cell->spec, ret->error);
	} else if (status) {
		explain_failure(&run, output, status, ret);
	} else {
		ret->status = RUN_OK;
		ret->figures = *run.figures;
	}
	if (output >= 0)
		close(output);
	if (run.figures != MAP_FAILED)
		munmap(run.figures, sizeof(*run.figures));
}
