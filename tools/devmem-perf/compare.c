// SPDX-License-Identifier: BSD-3-Clause
#include "compare.h"

#include <stdio.h>

#include "compare_chart.h"
#include "compare_json.h"
#include "compare_table.h"
#include "progress.h"
#include "report.h"

#define STATUS_FAILED 1
#define STATUS_USAGE  2

/* A competitor that has never got through a cell is not made to time out again and again. */
static bool worth_trying(const struct compare_results *r, size_t cell, size_t i)
{
	const struct compare_run *run;

	return !compare_results_count(r, cell, i, RUN_FAILED, &run) ||
	       compare_results_count(r, cell, i, RUN_OK, &run);
}

static void run_group(const struct compare_results *r, int group)
{
	const struct compare_options *o = r->options;
	size_t i;

	for (size_t cell = 0; cell < o->ncells; cell++) {
		for (size_t turn = 0; turn < o->ncompetitors; turn++) {
			i = (turn + (size_t)group) % o->ncompetitors;
			if (!worth_trying(r, cell, i))
				continue;
			progress_show("run %d of %d: %s, %s", group + 1, o->groups,
				      o->cells[cell].spec, o->competitors[i].label);
			compare_run_execute(o, &o->competitors[i], &o->cells[cell],
					    compare_results_at(r, cell, i, group));
		}
	}
}

static bool any_failed(const struct compare_results *r)
{
	const struct compare_options *o = r->options;
	const struct compare_run *run;

	for (size_t cell = 0; cell < o->ncells; cell++)
		for (size_t i = 0; i < o->ncompetitors; i++)
			if (compare_results_count(r, cell, i, RUN_FAILED, &run))
				return true;
	return false;
}

int compare_main(int argc, char **argv)
{
	static struct compare_options o;
	struct compare_results results;
	struct host_facts host;
	bool failed, table;
	int err;

	err = compare_options_parse(argc, argv, &o);
	if (err)
		return err < 0 ? STATUS_USAGE : 0;
	if (compare_results_alloc(&o, &results)) {
		report_err("no memory for %d groups of runs", o.groups);
		return STATUS_FAILED;
	}
	host_facts_take(&host);
	table = !o.json || o.json_file;
	if (table)
		compare_table_head(&o, &host);
	for (int g = 0; g < o.groups; g++)
		run_group(&results, g);
	progress_clear();
	if (table)
		compare_table_print(&results);
	failed = any_failed(&results);
	if (o.json && compare_json_write(&results, &host))
		failed = true;
	if (o.svg_file && compare_chart_write(&results, &host, o.svg_file))
		failed = true;
	compare_results_free(&results);
	return failed ? STATUS_FAILED : 0;
}
