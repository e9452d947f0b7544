// SPDX-License-Identifier: BSD-3-Clause
#include "compare_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "progress.h"
#include "report.h"
#include "run_apart.h"

static bool applicable(const struct competitor *c, const struct compare_cell *cell)
{
	return !c->streams || cell->kind != CELL_RING;
}

/* The competitor's environment. */
static void set_environment(void *arg)
{
	const struct rank_run *run = arg;
	const struct competitor *c = run->competitor;
	char ifname[64];

	if (run->options->ifname) {
		snprintf(ifname, sizeof(ifname), "=%s", run->options->ifname);
		setenv("NCCL_SOCKET_IFNAME", ifname, 1);
	}
	for (size_t i = 0; i < c->nenv; i++)
		putenv((char *)c->env[i]);
}

void compare_run_execute(const struct compare_options *o, const struct competitor *c,
			 const struct compare_cell *cell, struct compare_run *ret)
{
	struct rank_run run = { .options = o, .competitor = c, .cell = cell };
	char title[128];
	const struct run_apart apart = {
		.launch = {
			.rank_main = compare_rank_main,
			.arg = &run,
			.nranks = cell->nranks,
			.netns = o->netns,
			.limit_s = o->limit_s,
		},
		.prepare = set_environment,
		.arg = &run,
		.title = title,
	};

	memset(ret, 0, sizeof(*ret));
	if (!applicable(c, cell)) {
		ret->status = RUN_NOT_APPLICABLE;
		return;
	}
	ret->status = RUN_FAILED;
	snprintf(title, sizeof(title), "%s, %s", c->label, cell->spec);
	run.figures = mmap(NULL, sizeof(*run.figures), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (run.figures == MAP_FAILED) {
		snprintf(ret->error, sizeof(ret->error), "starting the run: %s", strerror(errno));
		progress_clear();
		report_err("%s: %s", title, ret->error);
		return;
	}
	if (run_apart_execute(&apart, ret->error, sizeof(ret->error)) == 0) {
		ret->status = RUN_OK;
		ret->figures = *run.figures;
	}
	munmap(run.figures, sizeof(*run.figures));
}
