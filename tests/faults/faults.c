// SPDX-License-Identifier: BSD-3-Clause
/*
 * Runner of the fault tests.
 *
 *   faults <plugin.so> [-l] [pattern...]
 *
 * FAULTS_VERBOSE in the environment shows what the plugin logged. -l lists the cases. A pattern is a prefix of a case's name; without one all cases run. Exit status: 0, 1 if a case
 * failed, 77 if all were skipped.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "faults.h"
#include "plug.h"

#define ENV_MAX 32

static const char *env_names[ENV_MAX];
static int n_env;
static char state_dir[64];

void case_fail(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "  %s:%d: %s\n", base ? base + 1 : file, line, text);
	if (plug_log_text()[0])
		fprintf(stderr, "  log of the plugin (pid %d):\n%s", getpid(), plug_log_text());
	fflush(NULL);
	_exit(1);
}

void case_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "  skipped: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	fflush(NULL);
	_exit(FAULT_SKIP);
}

void env_set(const char *name, const char *value)
{
	CHECK(n_env < ENV_MAX);
	env_names[n_env++] = name;
	setenv(name, value, 1);
}

static void env_base(void)
{
	setenv("NCCL_DEVMEM_IFNAME", "lo", 1);
	setenv("NCCL_DEVMEM_STATE_DIR", state_dir, 1);
	/* Twice ERROR_MS. */
	setenv("NCCL_DEVMEM_CONNECT_TIMEOUT", "120000", 1);
	setenv("NCCL_DEVMEM_PEER_TIMEOUT", "120000", 1);
}

void env_undo(void)
{
	while (n_env)
		unsetenv(env_names[--n_env]);
	env_base();
}

int64_t ms_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void ms_sleep(int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&ts, NULL);
}

static int count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	CHECK(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

int count_fds(void)
{
	return count_entries("/proc/self/fd") - 1; /* opendir()'s own */
}

int count_threads(void)
{
	return count_entries("/proc/self/task");
}

long rss_kb(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long size = 0, resident = 0;

	CHECK(f && fscanf(f, "%ld %ld", &size, &resident) == 2);
	fclose(f);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

struct peer peer_start(void (*fn)(int fd))
{
	struct peer p;
	int sv[2];

	CHECK(!plug.net);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0);
	fflush(NULL);
	p.pid = fork();
	CHECK(p.pid >= 0);
	if (p.pid == 0) {
		close(sv[0]);
		fn(sv[1]);
		if (getenv("FAULTS_VERBOSE"))
			fprintf(stderr, "  other process:\n%s", plug_log_text());
		close(sv[1]);
		exit(0);
	}
	close(sv[1]);
	p.fd = sv[0];
	return p;
}

void peer_wait(struct peer *p)
{
	int64_t end = ms_now() + ERROR_MS;
	int status = -1;

	while (waitpid(p->pid, &status, WNOHANG) == 0) {
		if (ms_now() > end) {
			kill(p->pid, SIGKILL);
			waitpid(p->pid, &status, 0);
			FAIL("the other process did not end within %d ms", ERROR_MS);
		}
		ms_sleep(2);
	}
	close(p->fd);
	if (WIFEXITED(status) && WEXITSTATUS(status) == FAULT_SKIP)
		case_skip("the other process could not run");
	if (status)
		FAIL("the other process ended with wait status 0x%x", (unsigned int)status);
}

void peer_kill(struct peer *p)
{
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	close(p->fd);
}

void peer_put(int fd, const void *buf, size_t len)
{
	CHECK(send(fd, buf, len, MSG_NOSIGNAL) == (ssize_t)len);
}

void peer_get(int fd, void *buf, size_t len)
{
	size_t pos = 0;

	while (pos < len) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, ERROR_MS) != 1)
			FAIL("nothing from the other process within %d ms", ERROR_MS);
		n = recv(fd, (char *)buf + pos, len - pos, 0);
		if (n <= 0)
			FAIL("the other process is gone");
		pos += (size_t)n;
	}
}

void shell(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		FAIL("command failed: %s", cmd);
}

void ns_enter(void)
{
	if (access("/sbin/ip", X_OK) < 0 && access("/usr/sbin/ip", X_OK) < 0 &&
	    access("/bin/ip", X_OK) < 0)
		case_skip("ip (Debian: iproute2) is not installed");
	if (unshare(CLONE_NEWNET) < 0)
		case_skip("no network namespace: %s (run as root)", strerror(errno));
	shell("ip link set lo up");
}

void ns_veth(pid_t peer)
{
	if (system("ip link add ve0 type veth peer name ve1 2>/dev/null") != 0)
		case_skip("this kernel has no veth");
	shell("ip link set ve1 netns %d", (int)peer);
	shell("ip addr add 10.77.0.1/24 dev ve0 && ip link set ve0 up");
	shell("nsenter -t %d -n sh -c 'ip addr add 10.77.0.2/24 dev ve1 && ip link set ve1 up'",
	      (int)peer);
	/* The interface counts as running once the kernel has seen the carrier, which it does when it has time. */
	shell("for t in $(seq 600); do ip -br link show dev ve0 | grep -q ' UP ' && exit; sleep 0.1; done; exit 1");
	shell("nsenter -t %d -n sh -c 'for t in $(seq 600); do ip -br link show dev ve1 | grep -q \" UP \" && "
	      "exit; sleep 0.1; done; exit 1'",
	      (int)peer);
}

/* pthread_join() returns a moment before the thread is out of /proc; ThreadSanitizer adds one of its own when it likes. */
static void threads_gone(int before)
{
#if !defined(__SANITIZE_THREAD__)
	int64_t end = ms_now() + ERROR_MS;

	while (count_threads() > before && ms_now() < end)
		ms_sleep(1);
	CHECK_EQ(count_threads(), before);
#else
	(void)before;
#endif
}

/* What a restoring start would find: records of changed NICs, but not the lock file. */
int count_records(void)
{
	DIR *d = opendir(state_dir);
	struct dirent *e;
	int n = 0;

	if (!d)
		return 0;
	while ((e = readdir(d)))
		n += e->d_name[0] != '.' && strcmp(e->d_name, "lock") != 0;
	closedir(d);
	return n;
}

/* The life of a case's process. */
static void case_main(const struct fault_case *c)
{
	int fds, threads;

	setpgid(0, 0);
	env_base();
	fds = count_fds();
	threads = count_threads();
	c->run();
	if (getenv("FAULTS_VERBOSE"))
		fprintf(stderr, "%s", plug_log_text());
	CHECK(!plug.net);
	if (count_fds() != fds) {
		shell("ls -l /proc/%d/fd >&2", getpid());
		FAIL("%d descriptors before, %d after", fds, count_fds());
	}
	threads_gone(threads);
	if (!(c->flags & CASE_NO_FRESH)) {
		env_undo();
		plug_log_clear();
		plug_fresh_run();
		CHECK_EQ(count_fds(), fds);
	}
	CHECK_EQ(count_records(), 0);
	exit(0); /* with the leak check, where there is one */
}

/* Returns 0 passed, 77 skipped, 1 failed. */
static int case_run(const struct fault_case *c)
{
	int64_t start = ms_now(), end = start + 1000LL * (c->seconds ? c->seconds : 300);
	const char *how = "FAILED";
	int status = 0, late = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		perror("fork");
		return 1;
	}
	if (pid == 0)
		case_main(c);
	setpgid(pid, pid);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (ms_now() > end && !late) {
			late = 1;
			kill(-pid, SIGKILL);
		}
		ms_sleep(2);
	}
	/* Whatever it forked and did not wait for. */
	kill(-pid, SIGKILL);
	if (late)
		fprintf(stderr, "  hung: killed after %lld s\n", (long long)(end - start) / 1000);
	else if (WIFSIGNALED(status))
		fprintf(stderr, "  died of signal %d (%s)\n", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	if (!late && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		how = "ok";
	else if (!late && WIFEXITED(status) && WEXITSTATUS(status) == FAULT_SKIP)
		how = "skip";
	printf("%-6s %-36s %6lld ms\n", how, c->name, (long long)(ms_now() - start));
	fflush(stdout);
	return how[0] == 'o' ? 0 : how[0] == 's' ? FAULT_SKIP : 1;
}

static bool wanted(const char *name, char **patterns, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (!strncmp(name, patterns[i], strlen(patterns[i])))
			return true;
	return n == 0;
}

int main(int argc, char **argv)
{
	int passed = 0, failed = 0, skipped = 0, first = 2;
	bool list = false;
	size_t t;

	if (argc < 2) {
		fprintf(stderr, "usage: %s <libnccl-net-devmem.so> [-l] [prefix of a case]...\n",
			argv[0]);
		return 2;
	}
	if (argc > 2 && !strcmp(argv[2], "-l")) {
		list = true;
		first = 3;
	}
	plug_path = argv[1];
	signal(SIGPIPE, SIG_DFL); /* a plugin that raises it kills its program: that must show */
	snprintf(state_dir, sizeof(state_dir), "/tmp/devmem-faults.XXXXXX");
	if (!mkdtemp(state_dir)) {
		perror(state_dir);
		return 1;
	}
	for (t = 0; fault_tables[t]; t++) {
		const struct fault_case *c;

		for (c = fault_tables[t]; c->name; c++) {
			int r;

			if (!wanted(c->name, argv + first, argc - first))
				continue;
			if (list) {
				puts(c->name);
				continue;
			}
			r = case_run(c);
			passed += r == 0;
			failed += r == 1;
			skipped += r == FAULT_SKIP;
		}
	}
	shell("rm -rf %s", state_dir);
	if (list)
		return 0;
	printf("%d cases: %d passed, %d failed, %d skipped\n", passed + failed + skipped, passed,
	       failed, skipped);
	if (failed || passed + skipped == 0)
		return 1;
	return passed ? 0 : FAULT_SKIP;
}
