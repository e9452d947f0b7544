// SPDX-License-Identifier: BSD-3-Clause
#include "scale.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "progress.h"
#include "report.h"
#include "run_apart.h"
#include "scale_options.h"
#include "scale_results.h"

#define STATUS_FAILED 1
#define STATUS_USAGE  2

/* Descriptors of a process beside its connections: files, the rendezvous, interfaces looked at. */
#define FDS_BESIDE 160

/*
 * A list or table in the plugin may grow with the connections that there are at once and keep its
 * room; what a connection itself has is more than this for each of a hundred.
 */
#define HEAP_KEPT (64 << 10)

#define STORM_RANKS 2

bool scale_storm_left(const struct scale_storm *s)
{
	return s->left.fds > 0 || s->left.threads > 0 || s->left.heap > HEAP_KEPT;
}

/* As in the process that launches the ranks. */
static void set_interface(void *arg)
{
	const struct scale_options *o = ((const struct scale_run *)arg)->options;
	char ifname[64];

	if (!o->ifname)
		return;
	snprintf(ifname, sizeof(ifname), "=%s", o->ifname);
	setenv("NCCL_SOCKET_IFNAME", ifname, 1);
}

/* Whether a rank may have the descriptors of @conns connections to the next and as many from the one before. */
static bool is_possible(int conns, int socks, char *ret_error, size_t size)
{
	/* A connection's end has a control socket too; a third is the listener's, until it is up. */
	long wanted = (long)conns * (2 * (socks + 1) + 1) + FDS_BESIDE;
	int limit = process_usage_max_fds();

	if (wanted <= limit)
		return true;
	snprintf(ret_error, size, "%ld descriptors a rank, and ulimit -n allows %d", wanted, limit);
	return false;
}

/* Runs @rank_main on all ranks of @shape; what rank 0 says of it is in *@ret. */
static enum scale_status run(const struct scale_options *o, const struct scale_shape *shape,
			     int (*rank_main)(int rank, const char *rendezvous, void *arg),
			     const char *title, struct scale_shared *ret, char *ret_error,
			     size_t size)
{
	struct scale_run r = { .options = o, .shape = *shape };
	const struct run_apart apart = {
		.launch = {
			.rank_main = rank_main,
			.arg = &r,
			.nranks = shape->nranks,
			.netns = o->netns,
			.limit_s = o->limit_s,
		},
		.prepare = set_interface,
		.arg = &r,
		.title = title,
	};
	int err;

	r.shared = mmap(NULL, sizeof(*r.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (r.shared == MAP_FAILED) {
		snprintf(ret_error, size, "starting the run: %s", strerror(errno));
		progress_clear();
		report_err("%s: %s", title, ret_error);
		return SCALE_FAILED;
	}
	err = run_apart_execute(&apart, ret_error, size);
	*ret = *r.shared;
	munmap(r.shared, sizeof(*r.shared));
	return err ? SCALE_FAILED : SCALE_OK;
}

static void run_cell(const struct scale_options *o, struct scale_cell *cell)
{
	const struct scale_shape *s = &cell->shape;
	struct scale_shared shared;
	char title[80];

	if (!is_possible(s->conns, s->socks, cell->error, sizeof(cell->error))) {
		cell->status = SCALE_NOT_POSSIBLE;
		return;
	}
	snprintf(title, sizeof(title), "%d ranks, %d connections, %d sockets", s->nranks, s->conns,
		 s->socks);
	progress_show("%s", title);
	cell->status = run(o, s, scale_rank_main, title, &shared, cell->error, sizeof(cell->error));
	cell->figures = shared.figures;
	progress_clear();
}

static void run_storm(const struct scale_options *o, struct scale_storm_result *ret)
{
	const struct scale_shape shape = { .nranks = STORM_RANKS, .conns = o->storm };
	struct scale_shared shared;
	char title[80];

	memset(ret, 0, sizeof(*ret));
	ret->connections = o->storm;
	/* With as many sockets as a plugin takes by itself over loopback; over a NIC it may be more. */
	if (!is_possible(o->storm / STORM_RANKS, 1, ret->error, sizeof(ret->error))) {
		ret->status = SCALE_NOT_POSSIBLE;
		return;
	}
	snprintf(title, sizeof(title), "storm of %d connections", ret->connections);
	progress_show("%s", title);
	ret->status =
		run(o, &shape, scale_storm_main, title, &shared, ret->error, sizeof(ret->error));
	ret->storm = shared.storm;
	progress_clear();
}

static size_t fill_cells(const struct scale_options *o, struct scale_cell *cells)
{
	size_t n = 0;

	for (size_t r = 0; r < o->ranks.n; r++)
		for (size_t s = 0; s < o->sockets.n; s++)
			for (size_t c = 0; c < o->connections.n; c++)
				cells[n++].shape = (struct scale_shape){
					.nranks = o->ranks.values[r],
					.conns = o->connections.values[c],
					.socks = o->sockets.values[s],
				};
	return n;
}

static bool cells_run(const struct scale_options *o, struct scale_cell *cells, size_t n, bool table)
{
	bool good = true;

	for (size_t i = 0; i < n; i++) {
		run_cell(o, &cells[i]);
		if (table)
			scale_table_cell(o, &cells[i]);
		good &= cells[i].status == SCALE_OK;
	}
	return good;
}

int scale_main(int argc, char **argv)
{
	static struct scale_cell cells[SCALE_MAX_VALUES * SCALE_MAX_VALUES * SCALE_MAX_VALUES];
	struct scale_storm_result storm;
	static struct scale_options o;
	struct host_facts host;
	bool table, good;
	size_t n;
	int err;

	err = scale_options_parse(argc, argv, &o);
	if (err)
		return err < 0 ? STATUS_USAGE : 0;
	host_facts_take(&host);
	table = !o.json || o.json_file;
	if (table)
		scale_table_head(&o, &host);
	n = fill_cells(&o, cells);
	good = cells_run(&o, cells, n, table);
	if (o.storm) {
		run_storm(&o, &storm);
		if (table)
			scale_table_storm(&storm);
		good &= storm.status == SCALE_OK && !scale_storm_left(&storm.storm);
	}
	if (o.json && scale_json_write(&o, &host, cells, n, o.storm ? &storm : NULL))
		good = false;
	return good ? 0 : STATUS_FAILED;
}
