// SPDX-License-Identifier: BSD-3-Clause
/*
 * Runs a command and now and then stops a thread of it, or all of them at once, for some seconds, as a
 * hypervisor does that gives the processor to somebody else: a test that fails under it alone depends on
 * being in time.
 *
 * Threads are held with PTRACE_SEIZE, PTRACE_INTERRUPT and PTRACE_DETACH (ptrace(2)): no signal is sent,
 * no parent sees a stop, and a signal that comes meanwhile is delivered afterwards. Not as with a
 * hypervisor: calls that signal(7) lists under "Interruption of system calls ... by stop signals"
 * (epoll_wait() and sockets with a timeout among them) end with EINTR. A thread that has a tracer is left
 * alone. When this program ends, however it does, the kernel lets go of what it held.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS	 5000000L
#define MAX_HELD 4096
#define MAX_PIDS 32768
#define NSEC	 1000000000LL

/* What ptrace() wants of a number. */
#define ARG(x) ((void *)(uintptr_t)(x))

struct options {
	double every, min, max; /* seconds: between two stalls at most, length of a stall */
	unsigned int all;	/* percent of the stalls that are of everything */
	bool verbose;
};

struct thread {
	pid_t tid;
	bool stopped;
	int sig; /* what it was about to be given when it stopped, 0: nothing */
};

static struct thread held[MAX_HELD];
static size_t nheld;
static unsigned long stalls, stopped_threads;
static uint64_t random_state;
static volatile sig_atomic_t told;

static const char usage[] =
	"usage: stall [options] [--] COMMAND...\n"
	"Stops threads of COMMAND and of its descendants now and then. Ends as COMMAND does; 125: wrong usage,\n"
	"126, 127: COMMAND cannot be run.\n"
	"      --seed N      of the times and of the choice (1)\n"
	"      --every S     at most this long between two stalls (2)\n"
	"      --min S       the shortest stall (0.3)\n"
	"      --max S       the longest stall (4)\n"
	"      --all P       percent of stalls that stop every thread, not one (25)\n"
	"  -v, --verbose     tell of each stall\n"
	"  -h, --help        this text\n";

/* xorshift64*; the state is never 0. */
static uint64_t random_next(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545F4914F6CDD1DULL;
}

static int64_t random_ns(double from_s, double to_s)
{
	double part = (double)(random_next() >> 11) / (double)(1ULL << 53);

	return (int64_t)((from_s + part * (to_s - from_s)) * NSEC);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC + ts.tv_nsec;
}

static void on_signal(int sig)
{
	told = sig;
}

/* The parent of @pid from /proc/PID/stat (proc_pid_stat(5)), 0: it is gone or a zombie. */
static pid_t process_parent(pid_t pid)
{
	char path[64], text[512], state;
	const char *end;
	size_t n;
	FILE *f;
	int ppid;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	end = strrchr(text, ')'); /* the name may hold anything */
	if (!end || sscanf(end, ") %c %d", &state, &ppid) != 2 || state == 'Z')
		return 0;
	return ppid;
}

/* The numbers that @path has as names, at most @max; the count. */
static size_t directory_numbers(const char *path, pid_t *ret, size_t max)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	size_t n = 0;

	if (!dir)
		return 0;
	while (n < max && (e = readdir(dir))) {
		char *end;
		long v = strtol(e->d_name, &end, 10);

		if (!*end && v > 0 && v <= INT_MAX)
			ret[n++] = (pid_t)v;
	}
	closedir(dir);
	return n;
}

/* Each thread of @root and its descendants, as far as they have not been orphaned. */
static size_t threads_of(pid_t root, pid_t *ret, size_t max)
{
	static pid_t pids[MAX_PIDS], parents[MAX_PIDS];
	static bool in[MAX_PIDS];
	size_t npids = directory_numbers("/proc", pids, MAX_PIDS), n = 0;
	bool more = true;

	for (size_t i = 0; i < npids; i++) {
		parents[i] = process_parent(pids[i]);
		in[i] = pids[i] == root;
	}
	while (more) {
		more = false;
		for (size_t i = 0; i < npids; i++) {
			if (in[i] || !parents[i])
				continue;
			for (size_t k = 0; k < npids && !in[i]; k++)
				in[i] = in[k] && pids[k] == parents[i];
			more |= in[i];
		}
	}
	for (size_t i = 0; i < npids && n < max; i++) {
		char path[64];

		if (!in[i] || !parents[i])
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task", pids[i]);
		n += directory_numbers(path, ret + n, max - n);
	}
	return n;
}

/* Begins to hold a thread; it has stopped when waitpid() says so. One that is traced or gone is not. */
static void thread_hold(pid_t tid)
{
	if (nheld == MAX_HELD || ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0)
		return;
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0)
		return; /* it ended meanwhile: waitpid() tells */
	held[nheld++] = (struct thread){ .tid = tid };
}

static struct thread *thread_find(pid_t tid)
{
	for (size_t i = 0; i < nheld; i++) {
		if (held[i].tid == tid)
			return &held[i];
	}
	return NULL;
}

/*
 * Takes what waitpid() has. A stop of a thread that is not (or no longer) in the list is ended at once:
 * execve() in another thread than the first changes its number. True: @root ended, with *@ret_status.
 */
static bool threads_reap(pid_t root, int *ret_status)
{
	int status;
	pid_t tid;

	while ((tid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		struct thread *t = thread_find(tid);

		if (!WIFSTOPPED(status)) {
			if (t)
				*t = held[--nheld];
			if (tid == root) {
				*ret_status = status;
				return true;
			}
			continue;
		}
		if (t) {
			t->stopped = true;
			t->sig = status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);
			stopped_threads++;
		} else {
			ptrace(PTRACE_DETACH, tid, NULL,
			       ARG(status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status)));
		}
	}
	return false;
}

/* Lets go of those that stopped. One in vfork() or in a disk's hands stops later, and is let go then. */
static void threads_release(void)
{
	for (size_t i = nheld; i-- > 0;) {
		if (!held[i].stopped)
			continue;
		ptrace(PTRACE_DETACH, held[i].tid, NULL, ARG(held[i].sig));
		held[i] = held[--nheld];
	}
}

static void stall_begin(const struct options *o, pid_t root, int64_t length_ns)
{
	static pid_t tids[MAX_HELD];
	size_t n = threads_of(root, tids, MAX_HELD);
	bool all = random_next() % 100 < o->all;
	pid_t one = n ? tids[random_next() % n] : 0;

	if (!n)
		return;
	stalls++;
	if (o->verbose && all)
		fprintf(stderr, "stall: %.1f s, all %zu threads\n", (double)length_ns / NSEC, n);
	else if (o->verbose)
		fprintf(stderr, "stall: %.1f s, thread %d of %zu\n", (double)length_ns / NSEC, one,
			n);
	for (size_t i = 0; i < n; i++) {
		if (all || tids[i] == one)
			thread_hold(tids[i]);
	}
}

/* Until @root ends; its status. */
static int supervise(const struct options *o, pid_t root)
{
	int64_t next = now_ns() + random_ns(0, o->every), until = 0;
	int status;

	for (;;) {
		const struct timespec tick = { .tv_nsec = TICK_NS };
		int sig = told;

		if (sig) {
			told = 0;
			kill(root, sig);
		}
		if (threads_reap(root, &status))
			return status;
		if (now_ns() >= until)
			threads_release();
		if (now_ns() >= next && !nheld) {
			int64_t length = random_ns(o->min, o->max);

			stall_begin(o, root, length);
			until = now_ns() + length;
			next = until + random_ns(0, o->every);
		}
		nanosleep(&tick, NULL);
	}
}

static double option_seconds(const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (*end || end == text || !(v >= 0 && v <= 3600)) {
		fprintf(stderr, "stall: '%s': want 0 to 3600 seconds\n", text);
		exit(125);
	}
	return v;
}

static unsigned long option_number(const char *text, unsigned long max)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || *end || end == text || v > max) {
		fprintf(stderr, "stall: '%s': want a number up to %lu\n", text, max);
		exit(125);
	}
	return v;
}

static void options_parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' }, { "every", required_argument, NULL, 'e' },
		{ "min", required_argument, NULL, 'm' },  { "max", required_argument, NULL, 'x' },
		{ "all", required_argument, NULL, 'a' },  { "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },	  {},
	};
	int c;

	random_state = 1;
	while ((c = getopt_long(argc, argv, "+vh", options, NULL)) >= 0) {
		switch (c) {
		case 's':
			random_state = option_number(optarg, UINT_MAX);
			break;
		case 'e':
			o->every = option_seconds(optarg);
			break;
		case 'm':
			o->min = option_seconds(optarg);
			break;
		case 'x':
			o->max = option_seconds(optarg);
			break;
		case 'a':
			o->all = (unsigned int)option_number(optarg, 100);
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(125);
		}
	}
	if (optind == argc || o->min > o->max) {
		fputs(optind == argc ? usage : "stall: --min is above --max\n", stderr);
		exit(125);
	}
	/* Neighbouring seeds shall not begin alike. */
	random_state = random_state * 0x9E3779B97F4A7C15ULL + 1;
	for (int i = 0; i < 8; i++)
		random_next();
}

/* Ends as the command did, by the same signal if it was one, but without a core of its own. */
static int end_as(int status)
{
	const struct rlimit none = {};

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	setrlimit(RLIMIT_CORE, &none);
	signal(WTERMSIG(status), SIG_DFL);
	raise(WTERMSIG(status));
	return 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	static const int forwarded[] = { SIGHUP, SIGINT, SIGTERM };
	struct options o = { .every = 2, .min = 0.3, .max = 4, .all = 25 };
	const struct sigaction act = { .sa_handler = on_signal };
	int64_t started = now_ns();
	pid_t root;
	int status;

	options_parse(argc, argv, &o);
	root = fork();
	if (root < 0) {
		perror("stall: fork");
		return 125;
	}
	if (root == 0) {
		execvp(argv[optind], argv + optind);
		fprintf(stderr, "stall: %s: %s\n", argv[optind], strerror(errno));
		_exit(errno == ENOENT ? 127 : 126);
	}
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(*forwarded); i++)
		sigaction(forwarded[i], &act, NULL);
	status = supervise(&o, root);
	if (stalls && !stopped_threads)
		fprintf(stderr,
			"stall: no thread could be stopped; may this process trace another (ptrace(2))?\n");
	if (o.verbose)
		fprintf(stderr, "stall: %lu stalls, %lu stopped threads in %.0f s\n", stalls,
			stopped_threads, (double)(now_ns() - started) / NSEC);
	return end_as(status);
}
