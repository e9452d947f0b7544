// SPDX-License-Identifier: BSD-3-Clause
/*
 * devmem-conformance: drives a NCCL net plugin as NCCL does, and as NCCL rarely does, and says case by case how it behaves.
 * README.md beside this file.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rank.h"
#include "runner.h"

struct conf_options conf = { .processes = 1, .limit_factor = 1 };

static char **program_argv;
static char note[160];

static const char usage[] =
	"usage: devmem-conformance --plugin PATH [options]\n"
	"  --plugin PATH     the net plugin (NCCL's ncclNetPlugin_v6 to v12)\n"
	"  --version N       only this version of its table; more than once for several (default: all it has)\n"
	"  --case PATTERN    only cases that begin with it; more than once for several\n"
	"  --skip PATTERN    not those\n"
	"  --interface NAME  the plugin's device of this name (default: its first)\n"
	"  --memory KIND     buffers: host, udmabuf, dmaheap, drm, cuda; all but host are registered as dmabufs (host)\n"
	"  --processes N     1: both ranks of a case in one process, 2: in two (1, where the case leaves the choice)\n"
	"  --netns A,B       rank 0 in network namespace A, rank 1 in B (two processes)\n"
	"  --leak-command C  its output after each case has to be what it was at the start\n"
	"  --ours            the plugin speaks this project's wire format: cases that know it, too\n"
	"  --unpack          the plugin is set to leave unpacking to NCCL's kernels: all but version 6 have to say so\n"
	"  --no-slow         without the cases that take long\n"
	"  --fail-fast       stop at the first failure\n"
	"  --json            the table as JSON\n"
	"  --list            the cases, with what each wants\n"
	"  --verbose         what the plugin logged in cases that passed, too\n"
	"Exit status: 0 all passed, 1 something failed, 2 usage, 77 nothing could be run.\n";

void sleep_ms(int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&ts, NULL);
}

void conf_fail(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	static char log[6000];
	va_list ap;

	agent_log_tail(log, sizeof(log));
	printf("log of the plugin, rank 0:\n%s", log);
	printf(REASON_PREFIX);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(" (%s:%d)\n", base ? base + 1 : file, line);
	fflush(NULL);
	_exit(1);
}

void conf_skip(const char *fmt, ...)
{
	va_list ap;

	printf(REASON_PREFIX);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(NULL);
	_exit(CASE_SKIP);
}

void conf_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(note, sizeof(note), fmt, ap);
	va_end(ap);
}

static int enter_netns(int rank)
{
	char path[300];
	int fd, err = 0;

	if (!conf.netns[rank])
		return 0;
	snprintf(path, sizeof(path), "/run/netns/%s", conf.netns[rank]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		err = -1;
	}
	if (fd >= 0)
		close(fd);
	return err;
}

/* In the child of a fork(): becomes the process of rank @number, which serves @fd. */
void conf_exec_rank(int number, int fd)
{
	char rank_word[16], fd_word[16];
	char **argv;
	int argc = 0;

	while (program_argv[argc])
		argc++;
	argv = calloc((size_t)argc + 5, sizeof(*argv));
	if (!argv)
		return;
	memcpy(argv, program_argv, (size_t)argc * sizeof(*argv));
	snprintf(rank_word, sizeof(rank_word), "--rank=%d", number);
	snprintf(fd_word, sizeof(fd_word), "--serve=%d", fd);
	argv[argc++] = rank_word;
	argv[argc++] = fd_word;
	fcntl(fd, F_SETFD, 0);
	execv("/proc/self/exe", argv);
}

static int serve(int number, int fd)
{
	static struct agent agent;

	fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (enter_netns(number))
		return 1;
	if (memory_open(conf.memory))
		return 1;
	agent_log_live = number;
	agent_init(&agent, conf.plugin, conf.memory);
	if (worker_serve(&agent, fd))
		return 1;
	agent_free(&agent);
	return 0;
}

/* The process of one case. */
static int run_case(const struct conf_case *c)
{
	int processes = c->flags & CASE_PROCESSES ? 2 : conf.processes;

	if (enter_netns(0))
		return 1;
	if (memory_open(conf.memory))
		conf_skip("no memory of kind %s", memory_name(conf.memory));
	/* A plugin that raises it kills NCCL's program: that has to show. */
	signal(SIGPIPE, SIG_DFL);
	ranks_start(c->flags & CASE_ONE ? 1 : 2, processes);
	if (!(c->flags & CASE_BARE)) {
		for (int i = 0; i < n_ranks; i++) {
			rank_load(&ranks[i]);
			rank_init(&ranks[i]);
		}
	}
	c->run();
	ranks_end();
	if (conf.verbose) {
		static char log[6000];

		agent_log_tail(log, sizeof(log));
		printf("log of the plugin, rank 0:\n%s", log);
	}
	if (note[0])
		printf(REASON_PREFIX "%s\n", note);
	fflush(NULL);
	return 0;
}

enum {
	OPT_PLUGIN = 256,
	OPT_VERSION,
	OPT_CASE,
	OPT_SKIP,
	OPT_INTERFACE,
	OPT_MEMORY,
	OPT_PROCESSES,
	OPT_NETNS,
	OPT_LEAK,
	OPT_OURS,
	OPT_UNPACK,
	OPT_NO_SLOW,
	OPT_FAIL_FAST,
	OPT_JSON,
	OPT_LIST,
	OPT_VERBOSE,
	OPT_HELP,
	OPT_RANK,
	OPT_SERVE,
	OPT_ONE,
	OPT_ONE_VERSION
};

static const struct option long_options[] = {
	{ "plugin", required_argument, NULL, OPT_PLUGIN },
	{ "version", required_argument, NULL, OPT_VERSION },
	{ "case", required_argument, NULL, OPT_CASE },
	{ "skip", required_argument, NULL, OPT_SKIP },
	{ "interface", required_argument, NULL, OPT_INTERFACE },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "processes", required_argument, NULL, OPT_PROCESSES },
	{ "netns", required_argument, NULL, OPT_NETNS },
	{ "leak-command", required_argument, NULL, OPT_LEAK },
	{ "ours", no_argument, NULL, OPT_OURS },
	{ "unpack", no_argument, NULL, OPT_UNPACK },
	{ "no-slow", no_argument, NULL, OPT_NO_SLOW },
	{ "fail-fast", no_argument, NULL, OPT_FAIL_FAST },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "list", no_argument, NULL, OPT_LIST },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "help", no_argument, NULL, OPT_HELP },
	/* The program's own: a process for one rank, one for one case. */
	{ "rank", required_argument, NULL, OPT_RANK },
	{ "serve", required_argument, NULL, OPT_SERVE },
	{ "one", required_argument, NULL, OPT_ONE },
	{ "one-version", required_argument, NULL, OPT_ONE_VERSION },
	{ 0 },
};

static void parse_netns(char *arg)
{
	conf.netns[0] = strtok(arg, ",");
	conf.netns[1] = strtok(NULL, ",");
	if (!conf.netns[1]) {
		fprintf(stderr, "--netns wants two names, with a comma between\n");
		exit(2);
	}
	conf.processes = 2;
}

int main(int argc, char **argv)
{
	struct runner_options run = { 0 };
	int rank = 0, serve_fd = -1, opt;
	const char *one = NULL;

	program_argv = calloc((size_t)argc + 1, sizeof(*program_argv));
	if (!program_argv)
		return 2;
	for (int i = 0; i < argc; i++)
		program_argv[i] = strdup(argv[i]);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	conf.limit_factor = 4;
#endif
	/* A guest shares the machine's processors, and its system calls are many of the machine's. */
	if (getenv("CONFORMANCE_SLOW"))
		conf.limit_factor = 4;
	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
		switch (opt) {
		case OPT_PLUGIN:
			conf.plugin = optarg;
			break;
		case OPT_VERSION:
			run.versions |= 1U << (atoi(optarg) & 31);
			break;
		case OPT_CASE:
		case OPT_SKIP:
			runner_pattern(&run, optarg, opt == OPT_SKIP);
			break;
		case OPT_INTERFACE:
			conf.interface = optarg;
			break;
		case OPT_MEMORY:
			if (memory_parse(optarg, &conf.memory)) {
				fprintf(stderr,
					"--memory %s: host, udmabuf, dmaheap, drm or cuda\n",
					optarg);
				return 2;
			}
			break;
		case OPT_PROCESSES:
			conf.processes = atoi(optarg);
			break;
		case OPT_NETNS:
			parse_netns(optarg);
			break;
		case OPT_LEAK:
			conf.leak_command = optarg;
			break;
		case OPT_OURS:
			conf.ours = true;
			break;
		case OPT_UNPACK:
			conf.unpack = true;
			break;
		case OPT_NO_SLOW:
			run.no_slow = true;
			break;
		case OPT_FAIL_FAST:
			run.fail_fast = true;
			break;
		case OPT_JSON:
			run.json = true;
			break;
		case OPT_LIST:
			run.list = true;
			break;
		case OPT_VERBOSE:
			conf.verbose = true;
			break;
		case OPT_RANK:
			rank = atoi(optarg) & 1;
			break;
		case OPT_SERVE:
			serve_fd = atoi(optarg);
			break;
		case OPT_ONE:
			one = optarg;
			break;
		case OPT_ONE_VERSION:
			conf.version = atoi(optarg);
			break;
		case OPT_HELP:
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (run.list)
		return runner_list(&run);
	if (!conf.plugin || optind < argc) {
		fputs(usage, stderr);
		return 2;
	}
	if (serve_fd >= 0)
		return serve(rank, serve_fd);
	if (one)
		return run_case(runner_find(one));
	return runner_main(&run, program_argv);
}
