// SPDX-License-Identifier: BSD-3-Clause
#include "compare_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_options.h"
#include "option_values.h"
#include "report.h"
#include "send_lane.h"

static const char usage[] =
	"Usage: devmem-perf compare [options] [COMPETITOR...]\n"
	"Measures several net plugins in turn, again and again, and compares them run by run: what "
	"the\n"
	"machine does to one it does to the next. A competitor is one of\n"
	"\n"
	"  [LABEL=]PATH             a net plugin\n"
	"  [LABEL=]devmem           libnccl-net-devmem.so of this project\n"
	"  [LABEL=]raw              plain TCP: one stream, blocking, no framing; raw2: two streams\n"
	"\n"
	"Without any: devmem raw raw2.\n"
	"\n"
	"      --reference LABEL    what the others are compared with (the first)\n"
	"      --env [LABEL:]NAME=V set a variable for one competitor, or for all\n"
	"      --congestion [LABEL:]NAME\n"
	"                           congestion control of raw and raw2 (the system's default)\n"
	"      --cells LIST         KIND or KIND:SIZE, comma-separated, of uni, bidir, ring2, ring4, "
	"latency\n"
	"                           (all: uni 8K to 8M, bidir 128K to 8M, rings 16M and 128M, "
	"latency 8)\n"
	"      --groups N           runs of each competitor and cell (5)\n"
	"      --seconds S          measured part of a run (0.5)\n"
	"      --limit S            seconds until a run is ended and counts as failed (60)\n"
	"      --slots N            messages in flight, up to 32 (8)\n"
	"      --ifname NAME        interface, for NCCL_SOCKET_IFNAME (lo; with --netns the "
	"plugin's choice)\n"
	"      --netns A,B,...      run the ranks in network namespaces of /run/netns, in turn\n"
	"      --json[=FILE]        results as JSON, to FILE or in place of the table\n"
	"      --svg FILE           a chart; rsvg-convert makes a PNG of it\n"
	"  -h, --help\n"
	"\n"
	"Exit status: 0, 1 when a run failed or a result could not be written, 2 for wrong "
	"arguments.\n";

enum {
	OPT_REFERENCE = 1,
	OPT_ENV,
	OPT_CONGESTION,
	OPT_CELLS,
	OPT_GROUPS,
	OPT_SECONDS,
	OPT_LIMIT,
	OPT_SLOTS,
	OPT_IFNAME,
	OPT_NETNS,
	OPT_JSON,
	OPT_SVG,
};

static const struct option options[] = {
	{ "reference", required_argument, NULL, OPT_REFERENCE },
	{ "env", required_argument, NULL, OPT_ENV },
	{ "congestion", required_argument, NULL, OPT_CONGESTION },
	{ "cells", required_argument, NULL, OPT_CELLS },
	{ "groups", required_argument, NULL, OPT_GROUPS },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "limit", required_argument, NULL, OPT_LIMIT },
	{ "slots", required_argument, NULL, OPT_SLOTS },
	{ "ifname", required_argument, NULL, OPT_IFNAME },
	{ "netns", required_argument, NULL, OPT_NETNS },
	{ "json", optional_argument, NULL, OPT_JSON },
	{ "svg", required_argument, NULL, OPT_SVG },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* What can be made of the words only when all competitors are known. */
struct later {
	const char *reference;
	const char *env[COMPETITOR_MAX_ENV], *congestion[COMPETITOR_MAX_ENV];
	size_t nenv, ncongestion;
};

static int wrong(const char *name, const char *arg, const char *wanted)
{
	report_err("%s %s: %s is wanted", name, arg, wanted);
	return -EINVAL;
}

static int take_later(const char **list, size_t *n, const char *name, const char *arg)
{
	if (*n == COMPETITOR_MAX_ENV) {
		report_err("%s: more than %d", name, COMPETITOR_MAX_ENV);
		return -EINVAL;
	}
	list[(*n)++] = arg;
	return 0;
}

static int take_option(struct compare_options *o, struct later *l, int opt, const char *arg)
{
	int slots = 0, err;

	switch (opt) {
	case OPT_REFERENCE:
		l->reference = arg;
		return 0;
	case OPT_ENV:
		return take_later(l->env, &l->nenv, "--env", arg);
	case OPT_CONGESTION:
		return take_later(l->congestion, &l->ncongestion, "--congestion", arg);
	case OPT_CELLS:
		return compare_cells_parse(arg, o->cells, &o->ncells);
	case OPT_GROUPS:
		return parse_int(arg, 1, COMPARE_MAX_GROUPS, &o->groups)
			       ? wrong("--groups", arg, "1 to 1000")
			       : 0;
	case OPT_SECONDS:
		return option_seconds(arg, &o->seconds) ? wrong("--seconds", arg, "0.001 to 3600")
							: 0;
	case OPT_LIMIT:
		return parse_int(arg, 1, 86400, &o->limit_s)
			       ? wrong("--limit", arg, "1 to 86400 seconds")
			       : 0;
	case OPT_SLOTS:
		err = parse_int(arg, 1, LANE_MAX_SLOTS, &slots);
		o->nslots = (unsigned int)slots;
		return err ? wrong("--slots", arg, "1 to 32") : 0;
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
	case OPT_SVG:
		o->svg_file = arg;
		return 0;
	default:
		/* getopt_long() has said what is wrong. */
		return -EINVAL;
	}
}

static struct competitor *find(struct compare_options *o, const char *label, size_t len)
{
	for (size_t i = 0; i < o->ncompetitors; i++)
		if (strlen(o->competitors[i].label) == len &&
		    !strncmp(o->competitors[i].label, label, len))
			return &o->competitors[i];
	return NULL;
}

static int no_competitor(const char *name, const char *arg, size_t len)
{
	report_err("%s %s: no competitor has the label %.*s", name, arg, (int)len, arg);
	return -EINVAL;
}

static int add_competitors(struct compare_options *o, char **words)
{
	static char *usual[] = { "devmem", "raw", "raw2", NULL };
	struct competitor c;
	int err;

	for (words = *words ? words : usual; *words; words++) {
		if (o->ncompetitors == COMPARE_MAX_COMPETITORS) {
			report_err("more than %d competitors", COMPARE_MAX_COMPETITORS);
			return -EINVAL;
		}
		err = competitor_parse(*words, &c);
		if (err)
			return err;
		if (find(o, c.label, strlen(c.label))) {
			report_err("%s: there is a competitor called %s already; tell them apart "
				   "with labels, as in A=%s",
				   *words, c.label, *words);
			return -EINVAL;
		}
		o->competitors[o->ncompetitors++] = c;
	}
	return 0;
}

/* "LABEL:" before NAME=VALUE says for whom; a colon in the value says nothing. */
static int add_env(struct compare_options *o, const char *arg)
{
	const char *equals = strchr(arg, '='), *colon = strchr(arg, ':');
	const char *assignment = arg;
	struct competitor *only = NULL;

	if (colon && equals && colon < equals) {
		only = find(o, arg, (size_t)(colon - arg));
		if (!only)
			return no_competitor("--env", arg, (size_t)(colon - arg));
		assignment = colon + 1;
	}
	if (!equals || equals == assignment)
		return wrong("--env", arg, "[LABEL:]NAME=VALUE");
	for (size_t i = 0; i < o->ncompetitors; i++) {
		struct competitor *c = &o->competitors[i];

		if (only && c != only)
			continue;
		if (c->nenv == COMPETITOR_MAX_ENV) {
			report_err("--env: more than %d for %s", COMPETITOR_MAX_ENV, c->label);
			return -EINVAL;
		}
		c->env[c->nenv++] = assignment;
	}
	return 0;
}

static int add_congestion(struct compare_options *o, const char *arg)
{
	const char *colon = strchr(arg, ':');
	struct competitor *only = NULL;
	bool used = false;

	if (colon) {
		only = find(o, arg, (size_t)(colon - arg));
		if (!only)
			return no_competitor("--congestion", arg, (size_t)(colon - arg));
	}
	for (size_t i = 0; i < o->ncompetitors; i++) {
		struct competitor *c = &o->competitors[i];

		if ((only && c != only) || !c->streams)
			continue;
		c->congestion = colon ? colon + 1 : arg;
		used = true;
	}
	if (used)
		return 0;
	report_err(
		"--congestion %s: for raw and raw2 alone; a plugin has a variable for it or takes "
		"the system's (--env LABEL:NCCL_DEVMEM_CONGESTION=... for this project's)",
		arg);
	return -EINVAL;
}

static int apply_later(struct compare_options *o, const struct later *l)
{
	struct competitor *c;
	int err = 0;

	for (size_t i = 0; i < l->nenv && !err; i++)
		err = add_env(o, l->env[i]);
	for (size_t i = 0; i < l->ncongestion && !err; i++)
		err = add_congestion(o, l->congestion[i]);
	if (err || !l->reference)
		return err;
	c = find(o, l->reference, strlen(l->reference));
	if (!c)
		return no_competitor("--reference", l->reference, strlen(l->reference));
	o->reference = (size_t)(c - o->competitors);
	return 0;
}

int compare_options_parse(int argc, char **argv, struct compare_options *ret)
{
	struct compare_options o = { .groups = 5, .seconds = 0.5, .limit_s = 60, .nslots = 8 };
	struct later later = { 0 };
	int opt, err;

	err = compare_cells_parse("all", o.cells, &o.ncells);
	while (!err && (opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h') {
			printf("%s", usage);
			return 1;
		}
		err = take_option(&o, &later, opt, optarg);
	}
	if (!err)
		err = add_competitors(&o, argv + optind);
	if (!err)
		err = apply_later(&o, &later);
	for (size_t i = 0; i < o.ncompetitors && !err; i++)
		err = competitor_check(&o.competitors[i]);
	if (!err)
		err = option_check_writable("--json", o.json_file);
	if (!err)
		err = option_check_writable("--svg", o.svg_file);
	if (err)
		return err;
	if (!o.ifname && !o.netns)
		o.ifname = "lo";
	*ret = o;
	return 0;
}
