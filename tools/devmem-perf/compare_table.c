// SPDX-License-Identifier: BSD-3-Clause
#include "compare_table.h"

#include <stdio.h>
#include <string.h>

#define MATRIX_COLUMNS 12

/* Room for a number in any of the forms below. */
struct cell_text {
	char text[24];
};

static const struct {
	const char *value, *goal;
} metrics[COMPARE_METRICS] = {
	[METRIC_RATE] = { "GB/s", "more is better" },
	[METRIC_CPU] = { "CPU s/GiB", "less is better" },
	[METRIC_P50] = { "p50 us", "less is better" },
	[METRIC_P99] = { "p99 us", "less is better" },
};

static struct cell_text text_value(const struct compare_spread *s)
{
	struct cell_text t = { "-" };
	int digits = s->median < 10 ? 3 : s->median < 100 ? 2 : 1;

	if (s->n)
		snprintf(t.text, sizeof(t.text), "%.*f", digits, s->median);
	return t;
}

static struct cell_text text_ratio(const struct compare_spread *s)
{
	struct cell_text t = { "-" };

	if (s->n)
		snprintf(t.text, sizeof(t.text), "%.*f", s->median < 99.95 ? 2 : 0, s->median);
	return t;
}

static struct cell_text text_range(const struct compare_spread *s)
{
	struct cell_text t = { "-" };
	int digits = s->max < 99.95 ? 2 : 0;

	if (s->n)
		snprintf(t.text, sizeof(t.text), "%.*f..%.*f", digits, s->min, digits, s->max);
	return t;
}

void compare_table_method(const struct compare_options *o, char *ret, size_t size)
{
	snprintf(ret, size, "%d runs of %.3g s, %u messages in flight, %s%s", o->groups, o->seconds,
		 o->nslots, o->netns ? "network namespaces " : "interface ",
		 o->netns ? o->netns : o->ifname);
}

void compare_table_head(const struct compare_options *o, const struct host_facts *host)
{
	char method[256];

	compare_table_method(o, method, sizeof(method));
	printf("# devmem-perf compare: %.70s\n", method);
	printf("# Linux %.30s %s, congestion control %s by default\n", host->kernel, host->machine,
	       host->congestion);
	printf("# %d CPUs%s%.80s\n", host->cpus, host->cpu[0] ? ": " : "", host->cpu);
	fflush(stdout);
}

/* What ran under the label, as the first successful run showed it. */
static void print_competitor(const struct compare_results *r, size_t i)
{
	const struct compare_options *o = r->options;
	const struct competitor *c = &o->competitors[i];
	const char *file = c->path ? strrchr(c->path, '/') : NULL;
	const struct compare_run *run = NULL;

	for (size_t cell = 0; cell < o->ncells && !run; cell++)
		compare_results_count(r, cell, i, RUN_OK, &run);
	printf("# %-20s ", c->label);
	if (c->streams)
		printf("plain TCP, %d stream%s, blocking", c->streams, c->streams > 1 ? "s" : "");
	else
		printf("%.28s", file ? file + 1 : c->path ? c->path : "libnccl-net-devmem.so");
	if (run && !c->streams)
		printf(" (%.20s)", run->figures.name);
	if (run)
		printf(", %.10s", run->figures.sockets.congestion);
	printf("%s\n", i == o->reference ? " <- reference" : "");
	for (size_t e = 0; e < c->nenv; e++)
		printf("#   %.90s\n", c->env[e]);
}

static void print_failures(const struct compare_results *r, size_t cell, size_t i)
{
	const struct compare_run *run;

	if (compare_results_count(r, cell, i, RUN_FAILED, &run))
		printf("%12s failed: %.78s\n", "", run->error);
}

static void print_row(const struct compare_results *r, size_t cell, size_t i)
{
	const struct compare_options *o = r->options;
	bool latency = o->cells[cell].kind == CELL_LATENCY;
	enum compare_metric left = latency ? METRIC_P50 : METRIC_RATE;
	enum compare_metric right = latency ? METRIC_P99 : METRIC_CPU;
	struct compare_spread v = compare_results_spread(r, cell, i, left, BASE_NONE);
	struct compare_spread vr = compare_results_spread(r, cell, i, left, BASE_REFERENCE);
	struct compare_spread w = compare_results_spread(r, cell, i, right, BASE_NONE);
	struct compare_spread wr = compare_results_spread(r, cell, i, right, BASE_REFERENCE);
	bool reference = i == o->reference;
	const struct compare_run *run;
	char spec[24], runs[16];

	if (compare_results_count(r, cell, i, RUN_NOT_APPLICABLE, &run))
		return;
	snprintf(spec, sizeof(spec), "%s %s", compare_cell_kind(&o->cells[cell]),
		 compare_cell_size(&o->cells[cell]));
	snprintf(runs, sizeof(runs), "%d/%d", v.n, o->groups);
	printf("%-12s %-20s %8s %5s %11s %9s %5s %11s %7s\n", spec, o->competitors[i].label,
	       text_value(&v).text, reference && v.n ? "1" : text_ratio(&vr).text,
	       reference ? "" : text_range(&vr).text, text_value(&w).text,
	       reference && v.n ? "1" : text_ratio(&wr).text, reference ? "" : text_range(&wr).text,
	       runs);
	print_failures(r, cell, i);
}

static void print_heading(enum compare_metric left, enum compare_metric right)
{
	printf("\n%-12s %-20s %8s %5s %11s %9s %5s %11s %7s\n", "cell", "competitor",
	       metrics[left].value, "ratio", "min..max", metrics[right].value, "ratio", "min..max",
	       "runs ok");
}

static void print_cells(const struct compare_results *r, bool latency)
{
	const struct compare_options *o = r->options;
	bool first = true;

	for (size_t cell = 0; cell < o->ncells; cell++) {
		if ((o->cells[cell].kind == CELL_LATENCY) != latency)
			continue;
		if (first && latency)
			print_heading(METRIC_P50, METRIC_P99);
		else if (first)
			print_heading(METRIC_RATE, METRIC_CPU);
		else
			printf("\n");
		first = false;
		for (size_t i = 0; i < o->ncompetitors; i++)
			print_row(r, cell, i);
	}
}

/* A block of up to MATRIX_COLUMNS cells side by side. */
static void print_block(const struct compare_results *r, enum compare_metric metric,
			enum compare_base base, const size_t *cells, size_t n)
{
	const struct compare_options *o = r->options;
	const char *kind, *last = "";
	struct compare_spread s;

	printf("\n%-20s", metrics[metric].value);
	for (size_t i = 0; i < n; i++) {
		kind = compare_cell_kind(&o->cells[cells[i]]);
		printf(" %5s", strcmp(kind, last) != 0 ? kind : "");
		last = kind;
	}
	printf("\n%-20s", base == BASE_LIMIT ? "against the best raw" : "against the reference");
	for (size_t i = 0; i < n; i++)
		printf("%*s", i ? 6 : 5, compare_cell_size(&o->cells[cells[i]]));
	printf("\n");
	for (size_t c = 0; c < o->ncompetitors; c++) {
		printf("%-20s", o->competitors[c].label);
		for (size_t i = 0; i < n; i++) {
			s = compare_results_spread(r, cells[i], c, metric, base);
			printf(" %5s", text_ratio(&s).text);
		}
		printf("\n");
	}
}

static void print_matrix(const struct compare_results *r, enum compare_metric metric,
			 enum compare_base base)
{
	const struct compare_options *o = r->options;
	size_t cells[MATRIX_COLUMNS], n = 0;

	for (size_t cell = 0; cell < o->ncells; cell++) {
		if (!compare_metric_of(&o->cells[cell], metric) ||
		    (base == BASE_LIMIT && o->cells[cell].kind == CELL_RING))
			continue;
		cells[n++] = cell;
		if (n == MATRIX_COLUMNS) {
			print_block(r, metric, base, cells, n);
			n = 0;
		}
	}
	if (n)
		print_block(r, metric, base, cells, n);
}

void compare_table_print(const struct compare_results *r)
{
	const struct compare_options *o = r->options;

	for (size_t i = 0; i < o->ncompetitors; i++)
		print_competitor(r, i);
	printf("# Medians over the runs. Ratio: to %s in the same group of runs, with the least and "
	       "the most.\n",
	       o->competitors[o->reference].label);
	print_cells(r, false);
	print_cells(r, true);
	if (o->ncompetitors > 1) {
		print_matrix(r, METRIC_RATE, BASE_REFERENCE);
		print_matrix(r, METRIC_CPU, BASE_REFERENCE);
		if (compare_results_have_limit(o))
			print_matrix(r, METRIC_RATE, BASE_LIMIT);
	}
	fflush(stdout);
}
