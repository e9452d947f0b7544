// SPDX-License-Identifier: BSD-3-Clause
#include <jansson.h>

#include "json_file.h"
#include "scale_results.h"

static const char *const statuses[] = {
	[SCALE_NOT_RUN] = "not run",
	[SCALE_OK] = "ok",
	[SCALE_FAILED] = "failed",
	[SCALE_NOT_POSSIBLE] = "not possible",
};

static json_t *method_json(const struct scale_options *o)
{
	json_t *m = json_object();

	json_object_set_new(m, "size", json_integer((json_int_t)o->size));
	json_object_set_new(m, "slots", json_integer(o->nslots));
	json_object_set_new(m, "seconds", json_real(o->seconds));
	json_object_set_new(m, "limit_s", json_integer(o->limit_s));
	json_object_set_new(m, "plugin",
			    json_file_text(o->plugin ? o->plugin : "libnccl-net-devmem.so"));
	json_object_set_new(m, "ifname", o->ifname ? json_file_text(o->ifname) : json_null());
	json_object_set_new(m, "netns", o->netns ? json_file_text(o->netns) : json_null());
	return m;
}

static json_t *calls_json(double calls)
{
	return calls < 0 ? json_null() : json_real(calls);
}

static json_t *cost_json(const struct scale_cost *c)
{
	json_t *o = json_object();

	json_object_set_new(o, "messages", json_integer((json_int_t)c->messages));
	json_object_set_new(o, "seconds", json_real(c->seconds));
	json_object_set_new(o, "wall_us", json_real(c->wall_us));
	json_object_set_new(o, "cpu_us", json_real(c->cpu_us));
	json_object_set_new(o, "calls", calls_json(c->calls));
	json_object_set_new(o, "calls_none", calls_json(c->calls_none));
	return o;
}

static void set_status(json_t *o, enum scale_status status, const char *error)
{
	json_object_set_new(o, "status", json_string(statuses[status]));
	if (status != SCALE_OK)
		json_object_set_new(o, "error", json_file_text(error));
}

static json_t *cell_json(const struct scale_options *options, const struct scale_cell *cell)
{
	const struct scale_figures *f = &cell->figures;
	json_t *o = json_object(), *loads;

	json_object_set_new(o, "ranks", json_integer(cell->shape.nranks));
	json_object_set_new(o, "connections", json_integer(cell->shape.conns));
	json_object_set_new(o, "sockets", json_integer(cell->shape.socks));
	set_status(o, cell->status, cell->error);
	if (cell->status != SCALE_OK)
		return o;
	json_object_set_new(o, "name", json_file_text(f->name));
	json_object_set_new(o, "connect_s", json_real(f->connect_s));
	json_object_set_new(o, "heap", json_real(f->heap));
	json_object_set_new(o, "rss", json_real(f->rss));
	json_object_set_new(o, "fds", json_real(f->fds));
	loads = json_object();
	for (int load = 0; load < SCALE_LOADS; load++)
		if (options->loads[load])
			json_object_set_new(loads, scale_load_name((enum scale_load)load),
					    cost_json(&f->loads[load]));
	json_object_set_new(o, "loads", loads);
	return o;
}

static json_t *usage_json(const struct process_usage *u)
{
	json_t *o = json_object();

	json_object_set_new(o, "heap", json_integer(u->heap));
	json_object_set_new(o, "rss", json_integer(u->rss));
	json_object_set_new(o, "fds", json_integer(u->fds));
	json_object_set_new(o, "threads", json_integer(u->threads));
	return o;
}

static json_t *storm_json(const struct scale_storm_result *r)
{
	json_t *o = json_object();

	json_object_set_new(o, "connections", json_integer(r->connections));
	set_status(o, r->status, r->error);
	if (r->status != SCALE_OK)
		return o;
	json_object_set_new(o, "connect_s", json_real(r->storm.connect_s));
	json_object_set_new(o, "close_s", json_real(r->storm.close_s));
	json_object_set_new(o, "open", usage_json(&r->storm.open));
	json_object_set_new(o, "left", usage_json(&r->storm.left));
	return o;
}

int scale_json_write(const struct scale_options *o, const struct host_facts *host,
		     const struct scale_cell *cells, size_t n,
		     const struct scale_storm_result *storm)
{
	json_t *root = json_object(), *list = json_array();

	json_file_head(root, "devmem-perf scale", host);
	json_object_set_new(root, "method", method_json(o));
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, cell_json(o, &cells[i]));
	json_object_set_new(root, "cells", list);
	json_object_set_new(root, "storm", storm ? storm_json(storm) : json_null());
	return json_file_write(root, o->json_file);
}
