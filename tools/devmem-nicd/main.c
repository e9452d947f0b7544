// SPDX-License-Identifier: BSD-3-Clause
/*
 * devmem-nicd: what NICs need for devmem TCP, done by root for jobs that are not.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/param.h"
#include "broker.h"
#include "conf.h"
#include "setup.h"

#define STATUS_USAGE 2

static const char usage[] =
	"Usage: devmem-nicd broker [options]\n"
	"       devmem-nicd setup [options]\n"
	"Binds RX queues and sets flow rules for jobs without CAP_NET_ADMIN, and takes them back when they\n"
	"end. It is started by systemd when a job connects to devmem-broker.socket.\n"
	"\n"
	"      --conf FILE    who is served, what interfaces are to be like (" CONF_PATH ")\n"
	"      --listen PATH  make the socket, in place of taking systemd's\n"
	"      --idle S       end after so many seconds without clients (never)\n"
	"\n"
	"setup makes interfaces what the file's [interface NAME] sections say, all of them or none, and puts\n"
	"back what it made before and the file does not ask for any more.\n"
	"\n"
	"      --dry-run      tell what would be done\n"
	"      --restore      put everything back\n"
	"\n"
	"  -h, --help\n"
	"  -V, --version\n"
	"\n"
	"Jobs find the socket by NCCL_DEVMEM_BROKER. Exit status: 0, 1 when it failed, 2 for wrong arguments.\n";

enum { OPT_CONF = 1, OPT_LISTEN, OPT_IDLE, OPT_DRY_RUN, OPT_RESTORE };

struct request {
	struct broker_options broker;
	struct setup_options setup;
	bool is_setup;
};

static const struct option options[] = {
	{ "conf", required_argument, NULL, OPT_CONF },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "idle", required_argument, NULL, OPT_IDLE },
	{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
	{ "restore", no_argument, NULL, OPT_RESTORE },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static int take_idle(const char *text, unsigned int *ret)
{
	unsigned long v;
	char *end;

	v = strtoul(text, &end, 10);
	if (end == text || *end || *text == '-' || v > 86400) {
		fprintf(stderr, "devmem-nicd: --idle %s: 0 to 86400 seconds are wanted\n", text);
		return -1;
	}
	*ret = (unsigned int)v;
	return 0;
}

/* 0 to go on; else the process ends with *ret_status. */
static int take_options(int argc, char **argv, struct request *r, int *ret_status)
{
	int opt;

	*ret_status = EXIT_SUCCESS;
	while ((opt = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
		switch (opt) {
		case OPT_CONF:
			r->broker.conf_path = optarg;
			r->setup.conf_path = optarg;
			break;
		case OPT_LISTEN:
			r->broker.listen_path = optarg;
			break;
		case OPT_IDLE:
			if (!take_idle(optarg, &r->broker.idle_s))
				break;
			*ret_status = STATUS_USAGE;
			return 1;
		case OPT_DRY_RUN:
			r->setup.dry_run = true;
			break;
		case OPT_RESTORE:
			r->setup.restore = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 1;
		case 'V':
			puts("devmem-nicd " DEVMEM_VERSION);
			return 1;
		default:
			*ret_status = STATUS_USAGE;
			fputs("devmem-nicd --help tells the options\n", stderr);
			return 1;
		}
	}
	if (optind == argc - 1) {
		r->is_setup = !strcmp(argv[optind], "setup");
		if ((r->is_setup && !r->broker.listen_path && !r->broker.idle_s) ||
		    (!strcmp(argv[optind], "broker") && !r->setup.dry_run && !r->setup.restore))
			return 0;
	}
	*ret_status = STATUS_USAGE;
	fputs("devmem-nicd: broker or setup is wanted, with its own options; --help tells more\n",
	      stderr);
	return 1;
}

int main(int argc, char **argv)
{
	struct request r = { .broker.conf_path = CONF_PATH, .setup.conf_path = CONF_PATH };
	int status;

	if (take_options(argc, argv, &r, &status))
		return status;
	param_load();
	if (r.is_setup)
		return setup_run(&r.setup) ? EXIT_FAILURE : EXIT_SUCCESS;
	return broker_run(&r.broker) ? EXIT_FAILURE : EXIT_SUCCESS;
}
