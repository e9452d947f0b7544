// SPDX-License-Identifier: BSD-3-Clause
#include "runner.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monotime.h"
#include "net_driver.h"

#define OUTPUT_MAX 65536
#define SECONDS	   60
/* Of a case in which a call took long: the plugin does that every time, a machine that stands still does not. */
#define TRIES	    3
#define VERSION_MIN NET_API_MIN
#define VERSION_MAX NET_API_MAX

enum verdict { PASSED, FAILED, SKIPPED, N_VERDICTS };

static const char *const verdict_names[N_VERDICTS] = { "ok", "FAILED", "skip" };

/* How a case ended. @output: what it wrote, its last OUTPUT_MAX bytes. */
struct result {
	enum verdict verdict;
	int64_t ms;
	char reason[200];
	size_t used;
	char output[OUTPUT_MAX];
};

void runner_pattern(struct runner_options *run, const char *pattern, bool skip)
{
	if (skip && run->n_skip < PATTERNS_MAX)
		run->skip[run->n_skip++] = pattern;
	if (!skip && run->n_only < PATTERNS_MAX)
		run->only[run->n_only++] = pattern;
}

static bool matches(const char *name, const char *const *patterns, int n)
{
	for (int i = 0; i < n; i++)
		if (!strncmp(name, patterns[i], strlen(patterns[i])))
			return true;
	return false;
}

static bool is_wanted(const struct runner_options *run, const struct conf_case *c)
{
	if (run->n_only && !matches(c->name, run->only, run->n_only))
		return false;
	if ((c->flags & CASE_OURS) && !conf.ours && !run->list)
		return false;
	if ((c->flags & CASE_SLOW) && run->no_slow)
		return false;
	return !matches(c->name, run->skip, run->n_skip);
}

int runner_list(const struct runner_options *run)
{
	for (int t = 0; conf_tables[t]; t++)
		for (const struct conf_case *c = conf_tables[t]; c->name; c++)
			if (is_wanted(run, c))
				printf("%-28s %s%s\n", c->name, c->why,
				       c->flags & CASE_OURS ? " (needs --ours: knows the wire)"
							    : "");
	return 0;
}

const struct conf_case *runner_find(const char *name)
{
	for (int t = 0; conf_tables[t]; t++)
		for (const struct conf_case *c = conf_tables[t]; c->name; c++)
			if (!strcmp(c->name, name))
				return c;
	fprintf(stderr, "no case called %s; --list shows them\n", name);
	exit(2);
}

static void result_append(struct result *r, const char *buf, size_t n)
{
	if (r->used + n >= OUTPUT_MAX) {
		size_t half = OUTPUT_MAX / 2;

		if (r->used > half) {
			memmove(r->output, r->output + r->used - half, half);
			r->used = half;
		}
	}
	memcpy(r->output + r->used, buf, n);
	r->used += n;
	r->output[r->used] = '\0';
}

/* The last line that is a reason; it leaves the output. */
static void result_reason(struct result *r)
{
	char *at = NULL, *p = r->output, *end;

	while ((p = strstr(p, REASON_PREFIX))) {
		at = p;
		p += strlen(REASON_PREFIX);
	}
	if (!at)
		return;
	end = strchr(at, '\n');
	snprintf(r->reason, sizeof(r->reason), "%.*s",
		 (int)((end ? (size_t)(end - at) : strlen(at)) - strlen(REASON_PREFIX)),
		 at + strlen(REASON_PREFIX));
}

static void case_exec(const struct conf_case *c, int version, char **argv, int out)
{
	char version_word[32], name_word[128];
	char **words;
	int argc = 0;

	setpgid(0, 0);
	while (argv[argc])
		argc++;
	words = calloc((size_t)argc + 3, sizeof(*words));
	if (!words)
		_exit(127);
	memcpy(words, argv, (size_t)argc * sizeof(*words));
	snprintf(name_word, sizeof(name_word), "--one=%s", c->name);
	snprintf(version_word, sizeof(version_word), "--one-version=%d", version);
	words[argc++] = name_word;
	words[argc++] = version_word;
	/* What is used after free() is not what it was (mallopt(3), M_PERTURB). */
	setenv("MALLOC_PERTURB_", "165", 0);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execv("/proc/self/exe", words);
	_exit(127);
}

/* Reads what the case writes until it has ended, or its time is over. @ret_status: of wait(). True: it was late. */
static bool case_follow(pid_t pid, int fd, int64_t end, struct result *r, int *ret_status)
{
	bool late = false, ended = false;
	char buf[4096];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n = 0;

		if (poll(&p, 1, 5) > 0)
			n = read(fd, buf, sizeof(buf));
		if (n > 0) {
			result_append(r, buf, (size_t)n);
			continue;
		}
		/* Its children may hold the pipe open still: what counts is that the case has ended and said all. */
		if (ended)
			return late;
		ended = waitpid(pid, ret_status, WNOHANG) == pid;
		if (!ended && !late && monotime_ns() > end) {
			late = true;
			kill(-pid, SIGKILL);
		}
	}
}

static void case_judge(struct result *r, int status, bool late, int64_t seconds)
{
	r->verdict = FAILED;
	result_reason(r);
	if (late) {
		snprintf(r->reason, sizeof(r->reason), "hung: killed after %lld s",
			 (long long)seconds);
	} else if (WIFSIGNALED(status)) {
		snprintf(r->reason, sizeof(r->reason), "died of signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	} else if (WEXITSTATUS(status) == 0) {
		r->verdict = PASSED;
	} else if (WEXITSTATUS(status) == CASE_SKIP) {
		r->verdict = SKIPPED;
	} else if (!r->reason[0]) {
		snprintf(r->reason, sizeof(r->reason), "exit status %d: a sanitizer's report?",
			 WEXITSTATUS(status));
	}
}

#define LEAK_MAX 16384

/* Before the first case. */
static char pristine[LEAK_MAX];

static void leak_output(char *buf, size_t size)
{
	FILE *f = popen(conf.leak_command, "r");
	size_t n = 0;

	if (f) {
		n = fread(buf, 1, size - 1, f);
		pclose(f);
	}
	buf[n] = '\0';
}

static void case_run(const struct conf_case *c, int version, char **argv, struct result *r)
{
	int64_t seconds = (int64_t)(c->seconds ? c->seconds : SECONDS) * conf.limit_factor;
	int64_t start = monotime_ns();
	static char after[LEAK_MAX];
	int status = 0, fds[2];
	bool late;
	pid_t pid;

	r->used = 0;
	r->output[0] = '\0';
	r->reason[0] = '\0';
	r->verdict = FAILED;
	r->ms = 0;
	fflush(NULL);
	if (pipe2(fds, O_CLOEXEC) < 0) {
		snprintf(r->reason, sizeof(r->reason), "pipe: %s", strerror(errno));
		return;
	}
	pid = fork();
	if (pid == 0)
		case_exec(c, version, argv, fds[1]);
	close(fds[1]);
	if (pid < 0) {
		snprintf(r->reason, sizeof(r->reason), "fork: %s", strerror(errno));
		close(fds[0]);
		return;
	}
	setpgid(pid, pid);
	late = case_follow(pid, fds[0], start + seconds * NSEC_PER_SEC, r, &status);
	/* Whatever it started and did not wait for. */
	kill(-pid, SIGKILL);
	close(fds[0]);
	r->ms = (monotime_ns() - start) / NSEC_PER_MSEC;
	case_judge(r, status, late, seconds);
	if (!conf.leak_command || r->verdict != PASSED || (c->flags & CASE_DIRTY))
		return;
	leak_output(after, sizeof(after));
	if (strcmp(pristine, after) != 0) {
		r->verdict = FAILED;
		snprintf(r->reason, sizeof(r->reason),
			 "left behind: the leak command's output changed");
		result_append(r, pristine, strlen(pristine));
		result_append(r, after, strlen(after));
	}
}

/* What the library has; a process of its own must not be needed, so it is loaded and let go. 0 when it cannot be. */
static unsigned int plugin_versions(void)
{
	void *library = dlopen(conf.plugin, RTLD_NOW | RTLD_LOCAL);
	unsigned int versions = 0;
	char symbol[32];

	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return 0;
	}
	for (int v = VERSION_MIN; v <= VERSION_MAX; v++) {
		snprintf(symbol, sizeof(symbol), "ncclNetPlugin_v%d", v);
		if (dlsym(library, symbol))
			versions |= 1U << v;
	}
	dlclose(library);
	if (!versions)
		fprintf(stderr, "%s: no ncclNetPlugin_v%d to v%d in it: not a net plugin?\n",
			conf.plugin, VERSION_MIN, VERSION_MAX);
	return versions;
}

static void json_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		if ((unsigned char)*s >= ' ')
			putchar(*s);
	}
	putchar('"');
}

static void result_print(const struct runner_options *run, const struct conf_case *c, int version,
			 const struct result *r, bool first)
{
	if (!run->json) {
		printf("%-28s v%-3d %-7s %6lld ms  %s\n", c->name, version,
		       verdict_names[r->verdict], (long long)r->ms, r->reason);
		if (r->verdict == FAILED || conf.verbose)
			printf("%s", r->output);
		fflush(stdout);
		return;
	}
	printf("%s  {\"case\": \"%s\", \"version\": %d, \"verdict\": \"%s\", \"ms\": %lld, \"reason\": ",
	       first ? "" : ",\n", c->name, version, verdict_names[r->verdict], (long long)r->ms);
	json_string(r->reason);
	printf("}");
	fflush(stdout);
}

static void run_version(const struct runner_options *run, int version, char **argv, int counts[])
{
	static struct result r;

	for (int t = 0; conf_tables[t]; t++) {
		for (const struct conf_case *c = conf_tables[t]; c->name; c++) {
			if (!is_wanted(run, c) || (run->fail_fast && counts[FAILED]))
				continue;
			for (int i = 0; i < TRIES; i++) {
				case_run(c, version, argv, &r);
				if (r.verdict != FAILED || !strstr(r.reason, BLOCKED_PREFIX))
					break;
				fprintf(stderr, "%s v%d: %s\n", c->name, version, r.reason);
			}
			result_print(run, c, version, &r,
				     !(counts[PASSED] + counts[FAILED] + counts[SKIPPED]));
			counts[r.verdict]++;
		}
	}
}

int runner_main(const struct runner_options *run, char **argv)
{
	unsigned int versions = plugin_versions();
	int counts[N_VERDICTS] = { 0 };

	if (!versions)
		return 1;
	if (run->versions & ~versions)
		fprintf(stderr, "%s does not have every version that was asked for\n", conf.plugin);
	if (run->versions)
		versions &= run->versions;
	if (conf.leak_command)
		leak_output(pristine, sizeof(pristine));
	if (run->json)
		printf("[\n");
	for (int v = VERSION_MAX; v >= VERSION_MIN; v--)
		if (versions & (1U << v))
			run_version(run, v, argv, counts);
	if (run->json)
		printf("\n]\n");
	else
		printf("%d passed, %d failed, %d skipped\n", counts[PASSED], counts[FAILED],
		       counts[SKIPPED]);
	if (counts[FAILED])
		return 1;
	return counts[PASSED] ? 0 : CASE_SKIP;
}
