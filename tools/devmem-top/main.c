// SPDX-License-Identifier: BSD-3-Clause
/*
 * devmem-top: what the jobs of this machine move, by which path, and what they wait for.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/param.h"
#include "show.h"

#define STATUS_FAIL  1
#define STATUS_USAGE 2

static const char usage[] =
	"Usage: devmem-top [options]\n"
	"Shows what processes with NCCL's plugin for devmem TCP do on this machine: rates by job, rank, NIC\n"
	"and peer, the path that bytes take, what connections wait for, and the slowest of them.\n"
	"\n"
	"  -b, --batch            text without a terminal, as often as -n says\n"
	"      --json             the same as JSON, one line each time: all counters, and the rows\n"
	"      --prometheus FILE  metrics for node_exporter's textfile collector, renamed into place\n"
	"      --listen ADDR:PORT metrics at http://ADDR:PORT/metrics, until it is ended\n"
	"  -d, --delay SECONDS    between two readings (1)\n"
	"  -n, --count N          how often, with -b, --json, --prometheus; 0 without end (1)\n"
	"  -s, --sort KEY         rate, wait, latency, rtt, retrans or name (rate)\n"
	"  -g, --group WHAT       a row for each conn, peer, nic, rank or job (conn)\n"
	"      --steps            the steps down the ladder, with reason and remedy, in place of rows\n"
	"      --dir DIR          where the processes show them (NCCL_DEVMEM_STATS_DIR, or /dev/shm)\n"
	"  -h, --help\n"
	"  -V, --version\n"
	"\n"
	"Processes of all users are seen; rank and job of others' only as root.\n"
	"Exit status: 0, 1 when something failed (the directory, the file, the port), 2 wrong arguments.\n";

enum { OPT_JSON = 1, OPT_PROMETHEUS, OPT_LISTEN, OPT_STEPS, OPT_DIR };

static const struct option options[] = {
	{ "batch", no_argument, NULL, 'b' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "prometheus", required_argument, NULL, OPT_PROMETHEUS },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "delay", required_argument, NULL, 'd' },
	{ "count", required_argument, NULL, 'n' },
	{ "sort", required_argument, NULL, 's' },
	{ "group", required_argument, NULL, 'g' },
	{ "steps", no_argument, NULL, OPT_STEPS },
	{ "dir", required_argument, NULL, OPT_DIR },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

struct wish {
	bool batch;
	bool json;
	const char *file;
	const char *address;
	unsigned long count;
	struct show show;
};

static volatile int stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static int word_find(const char *const *words, int n, const char *word)
{
	int i;

	for (i = 0; i < n; i++)
		if (!strcmp(words[i], word))
			return i;
	return -1;
}

static int complain(const char *option, const char *value, const char *wanted)
{
	fprintf(stderr, "devmem-top: %s %s: %s\n", option, value, wanted);
	return -EINVAL;
}

static int take_delay(struct wish *w, const char *text)
{
	char *end;

	w->show.interval = strtod(text, &end);
	return end != text && !*end && w->show.interval >= 0.05 && w->show.interval <= 86400
		       ? 0
		       : complain("--delay", text, "0.05 to 86400 seconds");
}

static int take_count(struct wish *w, const char *text)
{
	char *end;

	errno = 0;
	w->count = strtoul(text, &end, 10);
	return end != text && !*end && !errno && *text != '-'
		       ? 0
		       : complain("--count", text, "a number, 0 for no end");
}

static int take_sort(struct wish *w, const char *text)
{
	int i = word_find(sort_names, SORT_COUNT, text);

	if (i < 0)
		return complain("--sort", text, "rate, wait, latency, rtt, retrans or name");
	w->show.sort = (enum table_sort)i;
	return 0;
}

static int take_group(struct wish *w, const char *text)
{
	int i = word_find(group_names, GROUP_COUNT, text);

	if (i < 0)
		return complain("--group", text, "conn, peer, nic, rank or job");
	w->show.group = (enum table_group)i;
	return 0;
}

static int take_option(struct wish *w, int opt)
{
	switch (opt) {
	case 'b':
		w->batch = true;
		return 0;
	case OPT_JSON:
		w->json = true;
		return 0;
	case OPT_PROMETHEUS:
		w->file = optarg;
		return 0;
	case OPT_LISTEN:
		w->address = optarg;
		return 0;
	case OPT_STEPS:
		w->show.steps = true;
		return 0;
	case OPT_DIR:
		w->show.dir = optarg;
		return 0;
	case 'd':
		return take_delay(w, optarg);
	case 'n':
		return take_count(w, optarg);
	case 's':
		return take_sort(w, optarg);
	case 'g':
		return take_group(w, optarg);
	default:
		fputs("devmem-top --help tells the options\n", stderr);
		return -EINVAL;
	}
}

/* 0 to go on; else the process ends with *ret_status. */
static int take_options(int argc, char **argv, struct wish *w, int *ret_status)
{
	int opt;

	*ret_status = EXIT_SUCCESS;
	while ((opt = getopt_long(argc, argv, "bd:n:s:g:hV", options, NULL)) != -1) {
		if (opt == 'h' || opt == 'V') {
			fputs(opt == 'h' ? usage : "devmem-top " DEVMEM_VERSION "\n", stdout);
			return 1;
		}
		if (take_option(w, opt)) {
			*ret_status = STATUS_USAGE;
			return 1;
		}
	}
	if (optind == argc && w->batch + w->json + (w->file != NULL) + (w->address != NULL) <= 1)
		return 0;
	if (optind < argc)
		complain("argument", argv[optind], "options alone are wanted");
	else
		fputs("devmem-top: one of --batch, --json, --prometheus and --listen\n", stderr);
	*ret_status = STATUS_USAGE;
	return 1;
}

static void pause_for(double seconds)
{
	while (!stop && seconds > 0) {
		double part = seconds < 0.2 ? seconds : 0.2;
		struct timespec ts = { .tv_nsec = (long)(part * 1e9) };

		nanosleep(&ts, NULL);
		seconds -= part;
	}
}

static int show_once(const struct wish *w, const struct reading *now, const struct reading *before)
{
	int err;

	if (w->file)
		return write_prometheus(w->file, now);
	err = w->json ? show_json(stdout, &w->show, now, before)
		      : show_text(stdout, &w->show, now, before);
	if (err)
		fprintf(stderr, "devmem-top: standard output: %s\n", strerror(-err));
	return err;
}

static int take(const struct wish *w, struct reading *r)
{
	int err = reading_take(w->show.dir, r);

	if (err)
		fprintf(stderr, "devmem-top: reading %s: %s\n", w->show.dir, strerror(-err));
	return err;
}

static int run_batch(const struct wish *w)
{
	struct reading now = { 0 }, before = { 0 };
	unsigned long i;
	int err = 0;

	/* Rates want two readings; metrics are totals. */
	if (!w->file)
		err = take(w, &before);
	for (i = 0; !err && !stop && (!w->count || i < w->count); i++) {
		if (!w->file || i)
			pause_for(w->show.interval);
		if (stop)
			break;
		err = take(w, &now);
		if (!err)
			err = show_once(w, &now, w->file ? NULL : &before);
		reading_drop(&before);
		before = now;
		now = (struct reading){ 0 };
	}
	reading_drop(&before);
	return err;
}

/* 0 or -errno, said. */
static int run(struct wish *w)
{
	if (w->address)
		return serve(w->address, w->show.dir, &stop);
	if (w->batch || w->json || w->file)
		return run_batch(w);
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
		fputs("devmem-top: no terminal; -b writes without one\n", stderr);
		return -ENOTTY;
	}
	w->show.color = !getenv("NO_COLOR");
	return screen_run(&w->show, &stop);
}

int main(int argc, char **argv)
{
	struct wish w = { .count = 1, .show = { .interval = 1 } };
	struct sigaction sa = { .sa_handler = on_signal };
	int status;

	if (take_options(argc, argv, &w, &status))
		return status;
	if (!w.show.dir) {
		param_load();
		w.show.dir = param_str(PARAM_STATS_DIR);
		if (!strcmp(w.show.dir, "off")) {
			fprintf(stderr,
				"devmem-top: %s=off: nothing is shown; --dir DIR looks elsewhere\n",
				param_env_name(PARAM_STATS_DIR));
			return STATUS_FAIL;
		}
	}
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	return run(&w) ? STATUS_FAIL : EXIT_SUCCESS;
}
