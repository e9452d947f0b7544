// SPDX-License-Identifier: BSD-3-Clause
#include <inttypes.h>
#include <stdio.h>

#include "scale_results.h"

#define KIB 1024.0

void scale_table_head(const struct scale_options *o, const struct host_facts *host)
{
	printf("# devmem-perf scale: messages of %zu bytes, %u in flight on a connection, %.3g s a load, %s%.60s\n",
	       o->size, o->nslots, o->seconds, o->netns ? "network namespaces " : "interface ",
	       o->netns ? o->netns : o->ifname);
	printf("# Linux %.30s %s; %d CPUs%s%.60s\n", host->kernel, host->machine, host->cpus,
	       host->cpu[0] ? ": " : "", host->cpu);
	printf("# us: of wall clock, of CPU time, for a message, all ranks together; calls: system calls for a\n"
	       "# message, none: those that brought nothing; KiB, fds: both ends of a connection\n");
	printf("%5s %5s %5s %-8s %10s %8s %8s %7s %7s %8s %8s %5s\n", "ranks", "conns", "socks",
	       "load", "messages", "us", "CPU us", "calls", "none", "KiB heap", "KiB RSS", "fds");
	fflush(stdout);
}

static void print_calls(double calls)
{
	if (calls < 0)
		printf(" %7s", "-");
	else
		printf(" %7.2f", calls);
}

void scale_table_cell(const struct scale_options *o, const struct scale_cell *cell)
{
	const struct scale_shape *s = &cell->shape;
	const struct scale_figures *f = &cell->figures;
	bool first = true;

	if (cell->status != SCALE_OK) {
		printf("%5d %5d %5d %s: %.78s\n", s->nranks, s->conns, s->socks,
		       cell->status == SCALE_FAILED ? "failed" : "not possible", cell->error);
		fflush(stdout);
		return;
	}
	for (int load = 0; load < SCALE_LOADS; load++) {
		const struct scale_cost *c = &f->loads[load];

		if (!o->loads[load])
			continue;
		printf("%5d %5d %5d %-8s %10" PRIu64 " %8.3f %8.3f", s->nranks, s->conns, s->socks,
		       scale_load_name((enum scale_load)load), c->messages, c->wall_us, c->cpu_us);
		print_calls(c->calls);
		print_calls(c->calls_none);
		if (first)
			printf(" %8.1f %8.1f %5.1f", f->heap / KIB, f->rss / KIB, f->fds);
		printf("\n");
		first = false;
	}
	fflush(stdout);
}

void scale_table_storm(const struct scale_storm_result *r)
{
	const struct scale_storm *s = &r->storm;

	printf("\n");
	if (r->status != SCALE_OK) {
		printf("storm of %d connections %s: %.60s\n", r->connections,
		       r->status == SCALE_FAILED ? "failed" : "not possible", r->error);
		return;
	}
	printf("storm of %d connections: up in %.3f s, closed in %.3f s; %d descriptors, %.1f KiB of heap each\n",
	       r->connections, s->connect_s, s->close_s, s->open.fds,
	       (double)s->open.heap / KIB / r->connections);
	printf("left of it: %d descriptors, %d threads, %.1f KiB of heap, %.1f KiB of RSS%s\n",
	       s->left.fds, s->left.threads, (double)s->left.heap / KIB, (double)s->left.rss / KIB,
	       scale_storm_left(s) ? ": a leak" : "");
}
