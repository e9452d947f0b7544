// SPDX-License-Identifier: BSD-3-Clause
#include "scale_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "job_options.h"
#include "launcher.h"
#include "option_values.h"
#include "report.h"
#include "send_lane.h"

#define MAX_SIZE    ((size_t)16 << 20)
#define MAX_SOCKETS 16 /* of NCCL_DEVMEM_SOCKETS */

static const char usage[] =
	"Usage: devmem-perf scale [options]\n"
	"Measures what a message, and a connection, costs a net plugin as connections become more: a ring "
	"of\n"
	"ranks, one thread each, which goes round its connections as NCCL's proxy does.\n"
	"\n"
	"      --ranks LIST         processes (2,4,8,16,32)\n"
	"      --connections LIST   connections from each rank to the next (1,4,16,64)\n"
	"      --sockets LIST       data sockets a connection, for NCCL_DEVMEM_SOCKETS (1,4,16)\n"
	"      --loads LIST         busy: all connections carry messages; waiting: one does, on the "
	"others a\n"
	"                           receive is posted and tested; quiet: one does, the others stand "
	"(all)\n"
	"      --size SIZE          bytes of a message (8K)\n"
	"      --slots N            messages in flight on a connection, up to 32 (8)\n"
	"      --seconds S          measured part of each load (0.1)\n"
	"      --limit S            seconds until a run is ended and counts as failed (60)\n"
	"      --storm N            at the end, N connections between two ranks at once (1000); 0 for "
	"none\n"
	"      --plugin PATH        the net plugin (libnccl-net-devmem.so)\n"
	"      --ifname NAME        interface, for NCCL_SOCKET_IFNAME (lo; with --netns the "
	"plugin's choice)\n"
	"      --netns A,B,...      run the ranks in network namespaces of /run/netns, in turn\n"
	"      --json[=FILE]        results as JSON, to FILE or in place of the table\n"
	"  -h, --help\n"
	"\n"
	"Bytes are checked. Of memory, what the plugin has in a process counts; the kernel's socket "
	"buffers\n"
	"do not. Exit status: 0, 1 when a run failed, was not possible or left something behind, 2 for "
	"wrong\n"
	"arguments.\n";

enum {
	OPT_RANKS = 1,
	OPT_CONNECTIONS,
	OPT_SOCKETS,
	OPT_LOADS,
	OPT_SIZE,
	OPT_SLOTS,
	OPT_SECONDS,
	OPT_LIMIT,
	OPT_STORM,
	OPT_PLUGIN,
	OPT_IFNAME,
	OPT_NETNS,
	OPT_JSON,
};

static const struct option options[] = {
	{ "ranks", required_argument, NULL, OPT_RANKS },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "sockets", required_argument, NULL, OPT_SOCKETS },
	{ "loads", required_argument, NULL, OPT_LOADS },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "slots", required_argument, NULL, OPT_SLOTS },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "limit", required_argument, NULL, OPT_LIMIT },
	{ "storm", required_argument, NULL, OPT_STORM },
	{ "plugin", required_argument, NULL, OPT_PLUGIN },
	{ "ifname", required_argument, NULL, OPT_IFNAME },
	{ "netns", required_argument, NULL, OPT_NETNS },
	{ "json", optional_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const char *const load_names[SCALE_LOADS] = {
	[SCALE_BUSY] = "busy",
	[SCALE_WAITING] = "waiting",
	[SCALE_QUIET] = "quiet",
};

const char *scale_load_name(enum scale_load load)
{
	return load_names[load];
}

static int wrong(const char *name, const char *arg, const char *wanted)
{
	report_err("%s %s: %s is wanted", name, arg, wanted);
	return -EINVAL;
}

/* The next word of a comma list, cut to @size. */
static const char *take_word(const char *list, char *word, size_t size)
{
	size_t len = strcspn(list, ",");

	snprintf(word, size, "%.*s", (int)len, list);
	return list[len] ? list + len + 1 : NULL;
}

static int take_list(struct scale_list *ret, const char *name, const char *arg, int min, int max)
{
	struct scale_list list = { .n = 0 };
	const char *rest = arg;
	char word[16];

	while (rest) {
		rest = take_word(rest, word, sizeof(word));
		if (list.n == SCALE_MAX_VALUES || parse_int(word, min, max, &list.values[list.n])) {
			report_err("%s %s: a list of up to %d numbers from %d to %d is wanted",
				   name, arg, SCALE_MAX_VALUES, min, max);
			return -EINVAL;
		}
		list.n++;
	}
	*ret = list;
	return 0;
}

static int take_loads(struct scale_options *o, const char *arg)
{
	const char *rest = arg;
	char word[16];
	size_t i;

	memset(o->loads, 0, sizeof(o->loads));
	while (rest) {
		rest = take_word(rest, word, sizeof(word));
		for (i = 0; i < SCALE_LOADS; i++)
			if (!strcmp(word, load_names[i]))
				break;
		if (i == SCALE_LOADS)
			return wrong("--loads", arg, "a list of busy, waiting and quiet");
		o->loads[i] = true;
	}
	return 0;
}

static int take_slots(struct scale_options *o, const char *arg)
{
	int n;

	if (parse_int(arg, 1, LANE_MAX_SLOTS, &n))
		return wrong("--slots", arg, "1 to 32");
	o->nslots = (unsigned int)n;
	return 0;
}

static int take_option(struct scale_options *o, int opt, const char *arg)
{
	switch (opt) {
	case OPT_RANKS:
		return take_list(&o->ranks, "--ranks", arg, 2, LAUNCHER_MAX_RANKS);
	case OPT_CONNECTIONS:
		return take_list(&o->connections, "--connections", arg, 1, SCALE_MAX_CONNECTIONS);
	case OPT_SOCKETS:
		return take_list(&o->sockets, "--sockets", arg, 1, MAX_SOCKETS);
	case OPT_LOADS:
		return take_loads(o, arg);
	case OPT_SIZE:
		return parse_size(arg, 1, MAX_SIZE, &o->size) ? wrong("--size", arg, "1 to 16M")
							      : 0;
	case OPT_SLOTS:
		return take_slots(o, arg);
	case OPT_SECONDS:
		return option_seconds(arg, &o->seconds) ? wrong("--seconds", arg, "0.001 to 3600")
							: 0;
	case OPT_LIMIT:
		return parse_int(arg, 1, 86400, &o->limit_s)
			       ? wrong("--limit", arg, "1 to 86400 seconds")
			       : 0;
	case OPT_STORM:
		return parse_int(arg, 0, SCALE_MAX_STORM, &o->storm) || o->storm % 2
			       ? wrong("--storm", arg, "an even number from 0 to 16384")
			       : 0;
	case OPT_PLUGIN:
		o->plugin = arg;
		return 0;
	case OPT_IFNAME:
		o->ifname = arg;
		return 0;
	case OPT_NETNS:
		o->netns = arg;
		return 0;
	case OPT_JSON:
		o->json = true;
		o->json_file = arg;
		return 0;
	default:
		/* getopt_long() has said what is wrong. */
		return -EINVAL;
	}
}

int scale_options_parse(int argc, char **argv, struct scale_options *ret)
{
	struct scale_options o = {
		.ranks = { .values = { 2, 4, 8, 16, 32 }, .n = 5 },
		.connections = { .values = { 1, 4, 16, 64 }, .n = 4 },
		.sockets = { .values = { 1, 4, 16 }, .n = 3 },
		.loads = { true, true, true },
		.size = 8192,
		.nslots = 8,
		.seconds = 0.1,
		.limit_s = 60,
		.storm = 1000,
	};
	int opt, err = 0;

	while (!err && (opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h') {
			printf("%s", usage);
			return 1;
		}
		err = take_option(&o, opt, optarg);
	}
	if (!err && optind < argc)
		err = wrong("scale", argv[optind], "nothing but options");
	if (!err)
		err = option_check_writable("--json", o.json_file);
	if (err)
		return err;
	if (!o.ifname && !o.netns)
		o.ifname = "lo";
	*ret = o;
	return 0;
}
