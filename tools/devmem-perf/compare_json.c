// SPDX-License-Identifier: BSD-3-Clause
#include "compare_json.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "json_file.h"

static const char *const metric_names[COMPARE_METRICS] = {
	[METRIC_RATE] = "gbs",
	[METRIC_CPU] = "cpu_s_per_gib",
	[METRIC_P50] = "p50_us",
	[METRIC_P99] = "p99_us",
};

static json_t *spread_json(const struct compare_spread *s)
{
	json_t *o;

	if (!s->n)
		return json_null();
	o = json_object();
	json_object_set_new(o, "median", json_real(s->median));
	json_object_set_new(o, "min", json_real(s->min));
	json_object_set_new(o, "max", json_real(s->max));
	json_object_set_new(o, "n", json_integer(s->n));
	return o;
}

static json_t *method_json(const struct compare_options *o)
{
	json_t *m = json_object();

	json_object_set_new(m, "groups", json_integer(o->groups));
	json_object_set_new(m, "seconds", json_real(o->seconds));
	json_object_set_new(m, "limit_s", json_integer(o->limit_s));
	json_object_set_new(m, "slots", json_integer(o->nslots));
	json_object_set_new(m, "ifname", o->ifname ? json_file_text(o->ifname) : json_null());
	json_object_set_new(m, "netns", o->netns ? json_file_text(o->netns) : json_null());
	return m;
}

static json_t *competitor_json(const struct competitor *c)
{
	json_t *o = json_object(), *env = json_array();

	json_object_set_new(o, "label", json_file_text(c->label));
	json_object_set_new(o, "kind", json_string(c->streams ? "raw" : "plugin"));
	if (c->streams) {
		json_object_set_new(o, "streams", json_integer(c->streams));
		json_object_set_new(o, "congestion",
				    c->congestion ? json_file_text(c->congestion) : json_null());
	} else {
		json_object_set_new(o, "path",
				    json_file_text(c->path ? c->path : "libnccl-net-devmem.so"));
	}
	for (size_t e = 0; e < c->nenv; e++)
		json_array_append_new(env, json_file_text(c->env[e]));
	json_object_set_new(o, "environment", env);
	return o;
}

static json_t *run_json(const struct compare_run *run, const struct compare_cell *cell)
{
	static const char *const statuses[] = {
		[RUN_NONE] = "not tried",
		[RUN_OK] = "ok",
		[RUN_FAILED] = "failed",
		[RUN_NOT_APPLICABLE] = "not applicable",
	};
	const struct rank_figures *f = &run->figures;
	json_t *o = json_object();

	json_object_set_new(o, "status", json_string(statuses[run->status]));
	if (run->status == RUN_FAILED)
		json_object_set_new(o, "error", json_file_text(run->error));
	if (run->status != RUN_OK)
		return o;
	if (cell->kind == CELL_LATENCY) {
		json_object_set_new(o, "p50_us", json_real(f->p50_us));
		json_object_set_new(o, "p99_us", json_real(f->p99_us));
	} else {
		json_object_set_new(o, "gbs", json_real(f->gbs));
		json_object_set_new(o, "cpu_s_per_gib", json_real(f->cpu_s_per_gib));
	}
	json_object_set_new(o, "units", json_integer((json_int_t)f->units));
	json_object_set_new(o, "seconds", json_real(f->seconds));
	json_object_set_new(o, "name", json_file_text(f->name));
	json_object_set_new(o, "connections", json_integer(f->sockets.connections));
	json_object_set_new(o, "congestion", json_file_text(f->sockets.congestion));
	return o;
}

/* "ok": all runs were; "failed": one or more were not. */
static const char *status_of(const struct compare_results *r, size_t cell, size_t i)
{
	const struct compare_run *run;

	if (compare_results_count(r, cell, i, RUN_NOT_APPLICABLE, &run))
		return "not applicable";
	return compare_results_count(r, cell, i, RUN_FAILED, &run) ? "failed" : "ok";
}

static json_t *result_json(const struct compare_results *r, size_t cell, size_t i)
{
	const struct compare_options *o = r->options;
	json_t *result = json_object(), *runs = json_array();
	const struct compare_run *run;
	struct compare_spread s;
	char name[32];

	json_object_set_new(result, "competitor", json_file_text(o->competitors[i].label));
	json_object_set_new(result, "status", json_string(status_of(r, cell, i)));
	if (compare_results_count(r, cell, i, RUN_FAILED, &run))
		json_object_set_new(result, "error", json_file_text(run->error));
	for (int m = 0; m < COMPARE_METRICS; m++) {
		if (!compare_metric_of(&o->cells[cell], (enum compare_metric)m))
			continue;
		s = compare_results_spread(r, cell, i, (enum compare_metric)m, BASE_NONE);
		json_object_set_new(result, metric_names[m], spread_json(&s));
		s = compare_results_spread(r, cell, i, (enum compare_metric)m, BASE_REFERENCE);
		snprintf(name, sizeof(name), "%s_ratio", metric_names[m]);
		json_object_set_new(result, name, spread_json(&s));
		if (!compare_results_have_limit(o))
			continue;
		s = compare_results_spread(r, cell, i, (enum compare_metric)m, BASE_LIMIT);
		snprintf(name, sizeof(name), "%s_of_limit", metric_names[m]);
		json_object_set_new(result, name, spread_json(&s));
	}
	for (int g = 0; g < o->groups; g++)
		json_array_append_new(runs,
				      run_json(compare_results_at(r, cell, i, g), &o->cells[cell]));
	json_object_set_new(result, "runs", runs);
	return result;
}

static json_t *cell_json(const struct compare_results *r, size_t cell)
{
	const struct compare_cell *c = &r->options->cells[cell];
	json_t *o = json_object(), *results = json_array();

	json_object_set_new(o, "cell", json_string(c->spec));
	json_object_set_new(o, "kind", json_string(compare_cell_kind(c)));
	json_object_set_new(o, "size", json_integer((json_int_t)c->size));
	json_object_set_new(o, "ranks", json_integer(c->nranks));
	for (size_t i = 0; i < r->options->ncompetitors; i++)
		json_array_append_new(results, result_json(r, cell, i));
	json_object_set_new(o, "results", results);
	return o;
}

int compare_json_write(const struct compare_results *r, const struct host_facts *host)
{
	const struct compare_options *o = r->options;
	json_t *root = json_object(), *competitors = json_array(), *cells = json_array();

	json_file_head(root, "devmem-perf compare", host);
	json_object_set_new(root, "method", method_json(o));
	json_object_set_new(root, "reference", json_file_text(o->competitors[o->reference].label));
	for (size_t i = 0; i < o->ncompetitors; i++)
		json_array_append_new(competitors, competitor_json(&o->competitors[i]));
	json_object_set_new(root, "competitors", competitors);
	for (size_t cell = 0; cell < o->ncells; cell++)
		json_array_append_new(cells, cell_json(r, cell));
	json_object_set_new(root, "cells", cells);

	return json_file_write(root, o->json_file);
}
