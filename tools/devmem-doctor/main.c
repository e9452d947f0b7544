// SPDX-License-Identifier: BSD-3-Clause
/*
 * devmem-doctor: why a job is, or is not, on the fast path of this machine, in one screen.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/param.h"
#include "report.h"

#define STATUS_WARN   1
#define STATUS_FAIL   2
#define STATUS_USAGE  3
#define STATUS_DOCTOR 4

static const char usage[] =
	"Usage: devmem-doctor [options]\n"
	"Looks at everything that decides which path NCCL's traffic takes with NCCL_NET_PLUGIN=devmem on\n"
	"this machine: kernel, limits, interfaces, GPUs, NCCL and its environment. Changes nothing unless\n"
	"told to, and needs no privilege; without it some things cannot be seen, and that is said.\n"
	"\n"
	"      --fix          run the fixes marked with *, then look again; wants root\n"
	"      --json         for programs: findings with check, subject, state, text, fix, safe; and paths\n"
	"  -q, --problems     only what is not as it should be\n"
	"      --split IFACE  turn an interface's header split on, which ethtool does from 6.14 on\n"
	"      --since-boot   what jobs have changed on the interfaces, and will put back\n"
	"  -h, --help\n"
	"  -V, --version\n"
	"\n"
	"Run it in the environment of the job: variables (NCCL_*, NCCL_DEVMEM_*), user, namespaces, limits.\n"
	"Exit status: 0 all well (perhaps with notes), 1 slower than it could be, 2 something is broken,\n"
	"3 wrong arguments, 4 the examination itself failed. With --fix, of what is left.\n";

enum { OPT_FIX = 1, OPT_JSON, OPT_SINCE_BOOT, OPT_SPLIT };

static const struct option options[] = {
	{ "fix", no_argument, NULL, OPT_FIX },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "problems", no_argument, NULL, 'q' },
	{ "since-boot", no_argument, NULL, OPT_SINCE_BOOT },
	{ "split", required_argument, NULL, OPT_SPLIT },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

struct request {
	bool fix;
	bool json;
	bool problems;
	bool since_boot;
	const char *split;
};

/* 0 to go on; else the process ends with *ret_status. */
static int take_options(int argc, char **argv, struct request *r, int *ret_status)
{
	int opt;

	*ret_status = EXIT_SUCCESS;
	while ((opt = getopt_long(argc, argv, "qhV", options, NULL)) != -1) {
		switch (opt) {
		case OPT_FIX:
			r->fix = true;
			break;
		case OPT_JSON:
			r->json = true;
			break;
		case OPT_SINCE_BOOT:
			r->since_boot = true;
			break;
		case OPT_SPLIT:
			r->split = optarg;
			break;
		case 'q':
			r->problems = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 1;
		case 'V':
			puts("devmem-doctor " DEVMEM_VERSION);
			return 1;
		default:
			*ret_status = STATUS_USAGE;
			fputs("devmem-doctor --help tells the options\n", stderr);
			return 1;
		}
	}
	if (optind == argc &&
	    r->since_boot + (r->split != NULL) + (r->fix || r->json || r->problems) <= 1)
		return 0;
	*ret_status = STATUS_USAGE;
	if (optind < argc)
		fprintf(stderr, "devmem-doctor: %s: no arguments but options are wanted\n",
			argv[optind]);
	else
		fputs("devmem-doctor: --since-boot and --split stand alone\n", stderr);
	return 1;
}

static unsigned int terminal_width(void)
{
	struct winsize w;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) || w.ws_col < 60 ? 100 : w.ws_col;
}

static int status_of(const struct exam *x)
{
	switch (findings_worst(&x->findings)) {
	case FINDING_FAIL:
		return STATUS_FAIL;
	case FINDING_WARN:
		return STATUS_WARN;
	default:
		return EXIT_SUCCESS;
	}
}

static int report(const struct exam *x, const struct request *r)
{
	bool terminal = isatty(STDOUT_FILENO);
	struct utsname u;

	if (r->json)
		return report_json(x) ? STATUS_DOCTOR : status_of(x);
	uname(&u);
	printf("devmem-doctor %s on %s, Linux %s, user %u\n\n", DEVMEM_VERSION, u.nodename,
	       u.release, geteuid());
	report_text(x, terminal_width(), terminal && !getenv("NO_COLOR"), !r->problems);
	return fflush(stdout) == EOF ? STATUS_DOCTOR : status_of(x);
}

static int examine(struct exam *x)
{
	memset(x, 0, sizeof(*x));
	if (!exam_run(x))
		return 0;
	fprintf(stderr, "devmem-doctor: %s\n", strerror(ENOMEM));
	exam_drop(x);
	return STATUS_DOCTOR;
}

int main(int argc, char **argv)
{
	static struct exam x;
	struct request r = { 0 };
	int status;

	if (take_options(argc, argv, &r, &status))
		return status;
	if (r.split)
		return split_set(r.split) ? STATUS_DOCTOR : EXIT_SUCCESS;
	if (r.since_boot) {
		param_load();
		return since_boot_print() ? STATUS_DOCTOR : EXIT_SUCCESS;
	}
	status = examine(&x);
	if (!status && r.fix) {
		fixes_apply(&x, r.json);
		exam_drop(&x);
		status = examine(&x);
	}
	if (status)
		return status;
	status = report(&x, &r);
	exam_drop(&x);
	return status;
}
