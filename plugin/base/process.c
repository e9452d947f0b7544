// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/process.h"

struct proc_stat {
	char state;
	long threads;
	uint64_t start;
};

/* Fields of proc(5)'s table for /proc/PID/stat; the ones after the process's name. */
enum { STAT_STATE = 3, STAT_THREADS = 20, STAT_START = 22 };

static int proc_stat_parse(char *text, struct proc_stat *ret)
{
	struct proc_stat ps = { 0 };
	char *save = NULL, *word;
	int field = STAT_STATE;

	/* The name in field 2 may hold anything, so count from its last ')'. */
	text = strrchr(text, ')');
	if (!text)
		return -EBADMSG;
	for (word = strtok_r(text + 1, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		if (field == STAT_STATE)
			ps.state = *word;
		if (field == STAT_THREADS)
			ps.threads = strtol(word, NULL, 10);
		if (field == STAT_START) {
			ps.start = strtoull(word, NULL, 10);
			*ret = ps;
			return 0;
		}
		field++;
	}
	return -EBADMSG;
}

/* In a container /proc may be that of another PID namespace, whose numbers mean other processes. */
static bool proc_is_ours(void)
{
	char text[16], self[16];
	ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);

	if (n < 0)
		return false;
	text[n] = '\0';
	snprintf(self, sizeof(self), "%d", (int)getpid());
	return !strcmp(text, self);
}

static int proc_stat_read(pid_t pid, struct proc_stat *ret)
{
	char path[64], buf[1024];
	size_t n;
	FILE *f;

	if (!proc_is_ours())
		return -EXDEV;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	buf[n] = '\0';
	return proc_stat_parse(buf, ret);
}

static uint64_t pidns_get(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) ? 0 : st.st_ino;
}

struct process_id process_self(void)
{
	struct proc_stat ps = { 0 };

	proc_stat_read(getpid(), &ps);
	return (struct process_id){ .pid = getpid(), .start = ps.start, .pidns = pidns_get() };
}

enum process_life process_life(const struct process_id *id)
{
	struct proc_stat ps = { 0 };

	if (id->pidns != pidns_get())
		return PROCESS_UNKNOWN;
	if (kill(id->pid, 0) < 0 && errno == ESRCH)
		return PROCESS_DEAD;
	/* There is such a process, but /proc does not tell more (hidepid): better too careful. */
	if (!id->start || proc_stat_read(id->pid, &ps))
		return PROCESS_ALIVE;
	if (ps.start != id->start)
		return PROCESS_DEAD;
	/* A zombie has closed its sockets, unless only its first thread has ended. */
	if (ps.state == 'X' || (ps.state == 'Z' && ps.threads <= 1))
		return PROCESS_DEAD;
	return PROCESS_ALIVE;
}
