// SPDX-License-Identifier: BSD-3-Clause
/* What the harness wants of a rank's process: memory, its state, its log, children. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "monotime.h"

#define LOG_SIZE 65536

/* Descriptors of the harness' own buffers, of all ranks in the process. */
static int buffer_fds;

void agent_free_buffers(struct agent *a)
{
	while (a->n_buffers) {
		struct memory *m = &a->buffers[--a->n_buffers];

		__atomic_fetch_sub(&buffer_fds, memory_fds(m), __ATOMIC_RELAXED);
		memory_free(m);
	}
}

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[LOG_SIZE];
static size_t log_used;
int agent_log_live;

void agent_log(ncclDebugLogLevel level, unsigned long flags, const char *file, int line,
	       const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	size_t n;

	(void)flags;
	(void)file;
	(void)line;
	if (level > NCCL_LOG_INFO)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	strcat(text, "\n");
	n = strlen(text);
	if (agent_log_live)
		dprintf(STDOUT_FILENO, "rank %d: %s", agent_log_live, text);
	pthread_mutex_lock(&log_lock);
	/* The oldest goes. */
	if (log_used + n >= LOG_SIZE) {
		memmove(log_text, log_text + LOG_SIZE / 2, log_used - LOG_SIZE / 2);
		log_used -= LOG_SIZE / 2;
	}
	memcpy(log_text + log_used, text, n + 1);
	log_used += n;
	pthread_mutex_unlock(&log_lock);
}

int agent_log_count(const char *text)
{
	const char *p;
	int n = 0;

	pthread_mutex_lock(&log_lock);
	log_text[log_used] = '\0';
	for (p = log_text; (p = strcasestr(p, text)); p = strchr(p, '\n'))
		n++;
	pthread_mutex_unlock(&log_lock);
	return n;
}

void agent_log_tail(char *buf, size_t size)
{
	size_t n;

	pthread_mutex_lock(&log_lock);
	n = log_used < size - 1 ? log_used : size - 1;
	memcpy(buf, log_text + log_used - n, n);
	buf[n] = '\0';
	pthread_mutex_unlock(&log_lock);
}

static int count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	if (!d)
		return -1;
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* Sockets and dmabufs; a GPU's driver opens other things when it likes. */
static int count_plugin_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	char target[64];
	int n = 0;

	if (!d)
		return -1;
	while ((e = readdir(d))) {
		ssize_t len = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);

		target[len > 0 ? len : 0] = '\0';
		n += strncmp(target, "socket:", 7) == 0 || strncmp(target, "/dmabuf:", 8) == 0;
	}
	closedir(d);
	return n;
}

/* Descriptors that are not the harness' own. */
static int count_fds(void)
{
	int own = __atomic_load_n(&buffer_fds, __ATOMIC_RELAXED);

	if (!memory_is_host())
		return count_plugin_fds() - own;
	return count_entries("/proc/self/fd") - 1 - own; /* and opendir()'s */
}

static int count_mappings(const char *path)
{
	const char *base = strrchr(path, '/');
	FILE *f = fopen("/proc/self/maps", "re");
	char line[4400];
	int n = 0;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		n += strstr(line, base ? base : path) != NULL;
	fclose(f);
	return n;
}

static void state(const struct agent *a, struct process_state *ret)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long total, resident = 0;

	if (f) {
		if (fscanf(f, "%ld %ld", &total, &resident) != 2)
			resident = 0;
		fclose(f);
	}
	*ret = (struct process_state){
		.fds = count_fds(),
		/* A GPU's driver has threads of its own, and does not tell. */
		.threads = memory_is_host() ? count_entries("/proc/self/task") : 0,
		.rss_kb = resident * (sysconf(_SC_PAGESIZE) / 1024),
		.heap = (int64_t)mallinfo2().uordblks + (int64_t)mallinfo2().hblkhd,
		.mapped = count_mappings(a->path),
	};
}

static int alloc(struct agent *a, struct call *c)
{
	struct memory *m;
	int err;

	if (a->n_buffers == AGENT_BUFFERS)
		return -ENOSPC;
	m = &a->buffers[a->n_buffers];
	err = memory_alloc(a->memory, c->a[0] + c->a[1], m);
	if (err)
		return err;
	a->n_buffers++;
	__atomic_fetch_add(&buffer_fds, memory_fds(m), __ATOMIC_RELAXED);
	c->a[0] = (uintptr_t)m->dm.addr + c->a[1];
	c->a[1] = (uint64_t)m->dm.dmabuf_fd;
	return 0;
}

static int dup_dmabuf(struct agent *a, struct call *c)
{
	for (int i = 0; i < a->n_buffers; i++) {
		const struct device_memory *m = &a->buffers[i].dm;
		uintptr_t at = (uintptr_t)m->addr;

		if (m->dmabuf_fd < 0 || c->a[0] < at || c->a[0] >= at + m->size)
			continue;
		c->a[0] = (uint64_t)fcntl(m->dmabuf_fd, F_DUPFD_CLOEXEC, 0);
		return (int)c->a[0] < 0 ? -errno : 0;
	}
	return -ENOENT;
}

/* A program started from here inherits standard input, output and error alone. */
static void exec_child(void)
{
	static char *const envp[] = { NULL };

	execle("/bin/true", "true", NULL, envp);
	_exit(126);
}

/* For a child that has next to nothing to do. */
#define FORK_S 60

static void child_main(struct agent *a, const struct call *c)
{
	switch ((enum fork_kind)c->a[0]) {
	case FORK_EXEC:
		exec_child();
		break;
	case FORK_CLOSE: {
		/* As a framework does that tears down what it has inherited. Any answer will do. */
		int done;

		a->calls.isend(a->table, (void *)c->a[1], (void *)c->a[2], 16, 0, (void *)c->a[3],
			       &(void *){ NULL });
		if (c->a[4])
			a->calls.test((void *)c->a[4], &done, NULL);
		a->calls.close_send((void *)c->a[1]);
		_exit(0);
	}
	case FORK_INHERITS: {
		int n = 0;

		/* Would it survive execve()? */
		for (int fd = 3; fd < 4096; fd++) {
			int flags = fcntl(fd, F_GETFD);

			n += flags >= 0 && !(flags & FD_CLOEXEC);
		}
		_exit(n > 100 ? 100 : n);
	}
	case FORK_EXIT:
#if defined(__SANITIZE_ADDRESS__)
		_exit(0); /* the leak checker would report the parent's objects */
#endif
		exit(0);
	}
	_exit(125);
}

/* -> a0 the child's exit status. */
static int fork_call(struct agent *a, struct call *c)
{
	int64_t end = monotime_ns() + FORK_S * NSEC_PER_SEC;
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		/* A child that deadlocks must not outlive the case. */
		alarm(FORK_S);
		child_main(a, c);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (monotime_ns() > end) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return -ETIMEDOUT;
		}
		usleep(1000);
	}
	if (!WIFEXITED(status))
		return -ECHILD;
	c->a[0] = (uint64_t)WEXITSTATUS(status);
	return 0;
}

void agent_run_host(struct agent *a, struct call *c)
{
	struct process_state st;

	c->res = 0;
	switch ((enum call_op)c->op) {
	case OP_FORK:
		c->res = fork_call(a, c);
		break;
	case OP_ALLOC:
		c->res = alloc(a, c);
		break;
	case OP_DUP_DMABUF:
		c->res = dup_dmabuf(a, c);
		break;
	case OP_FILL:
		buffer_fill((void *)c->a[0], c->a[1], c->a[2]);
		break;
	case OP_CHECK:
		c->a[0] = buffer_check((void *)c->a[0], c->a[1], c->a[2]);
		break;
	case OP_STATE:
		state(a, &st);
		memcpy(c->data, &st, sizeof(st));
		c->len = sizeof(st);
		break;
	case OP_LOG:
		c->a[0] = (uint64_t)agent_log_count((const char *)c->data);
		break;
	case OP_ENV:
		c->res = putenv(strdup((const char *)c->data)) ? -ENOMEM : 0;
		break;
	case OP_EXIT:
		exit(0);
	case OP_LOG_TEXT:
		agent_log_tail((char *)c->data, 6000);
		c->len = (uint32_t)strlen((char *)c->data) + 1;
		break;
	default:
		c->res = -ENOSYS;
	}
}
