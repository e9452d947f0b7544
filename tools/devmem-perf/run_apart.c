// SPDX-License-Identifier: BSD-3-Clause
#include "run_apart.h"

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

#include "progress.h"
#include "report.h"

#define OUTPUT_SHOWN 4000

static const char error_mark[] = "error: ";

/* In the child: no output but to @output. Does not return. */
static void launch_here(const struct run_apart *run, pid_t parent, int output)
{
	/* The launcher ends the ranks at SIGTERM. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || dup2(output, STDOUT_FILENO) < 0 ||
	    dup2(output, STDERR_FILENO) < 0)
		_exit(1);
	if (run->prepare)
		run->prepare(run->arg);
	exit(launcher_run(&run->launch));
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

static void explain_failure(const struct run_apart *run, int output, int status, char *ret_error,
			    size_t size)
{
	off_t end = lseek(output, 0, SEEK_END);
	char *text = read_output(output, 0, 1 << 20);

	if (WIFSIGNALED(status))
		snprintf(ret_error, size, "ended by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(ret_error, size, "exit status %d", WEXITSTATUS(status));
	if (text)
		first_error(text, ret_error, size);
	free(text);
	progress_clear();
	report_err("%s: %s", run->title, ret_error);
	text = read_output(output, end > OUTPUT_SHOWN ? end - OUTPUT_SHOWN : 0, OUTPUT_SHOWN);
	if (text)
		fprintf(stderr, "%s", text);
	free(text);
}

static int run_watched(const struct run_apart *run, int output, int *ret_status)
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		launch_here(run, parent, output);
	while (waitpid(pid, ret_status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int run_apart_execute(const struct run_apart *run, char *ret_error, size_t size)
{
	int output = memfd_create("devmem-perf output", MFD_CLOEXEC);
	int status = 0, err;

	err = output < 0 ? -errno : run_watched(run, output, &status);
	if (err) {
		snprintf(ret_error, size, "starting the run: %s", strerror(-err));
		progress_clear();
		report_err("%s: %s", run->title, ret_error);
	} else if (status) {
		explain_failure(run, output, status, ret_error, size);
		err = -EIO;
	}
	if (output >= 0)
		close(output);
	return err ? -EIO : 0;
}
