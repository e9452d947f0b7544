// SPDX-License-Identifier: BSD-3-Clause
#include "compare_chart.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compare_table.h"
#include "report.h"

/* Pixels. */
#define WIDTH	      960
#define LEFT	      64
#define RIGHT	      24
#define PLOT	      (WIDTH - LEFT - RIGHT)
#define HEAD	      96
#define PANEL	      220 /* the axis of a panel */
#define PANEL_TOP     44
#define PANEL_STEP    (PANEL_TOP + PANEL + 44)
#define BAR_ROW	      18
#define LATENCY_LABEL 150
#define LATENCY_PLOT  (PLOT - LATENCY_LABEL - 130.0)

#define INK    "#1d2733"
#define FAINT  "#5a6875"
#define GRID   "#e4e8ec"
#define FAILED "#c0392b"

/* Told apart by people who see few colours too: they differ in lightness. */
static const char *const colours[COMPARE_MAX_COMPETITORS] = {
	"#7f8c99", "#2f9e6e", "#4c7bd9", "#e0a030", "#8e5bb5", "#d05a6e", "#2aa5b8", "#6b5b3e",
};

/* A panel of ratios: @low and @high are powers of two, @top the y of @high. */
struct panel {
	FILE *out;
	const struct compare_results *results;
	enum compare_metric metric;
	int low, high;
	double top;
	size_t cells[COMPARE_MAX_CELLS], ncells;
};

static void put_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		default:
			/* Bytes that XML does not have, or that may not be UTF-8. */
			fputc(*text < ' ' || *text > '~' ? '?' : *text, out);
		}
	}
}

static void put_text(FILE *out, double x, double y, const char *attributes, const char *text)
{
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attributes);
	put_escaped(out, text);
	fputs("</text>\n", out);
}

static void put_rect(FILE *out, double x, double y, double width, double height, const char *fill)
{
	fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n",
		x, y, width, height, fill);
}

static void put_line(FILE *out, double x1, double y1, double x2, double y2, const char *stroke)
{
	fprintf(out, "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"%s\" fill=\"none\"/>\n", x1, y1, x2,
		y2, stroke);
}

static double panel_y(const struct panel *p, double ratio)
{
	double at = log2(ratio);

	if (at < p->low)
		at = p->low;
	return p->top + PANEL * (p->high - at) / (p->high - p->low);
}

static struct compare_spread panel_spread(const struct panel *p, size_t cell, size_t i)
{
	return compare_results_spread(p->results, p->cells[cell], i, p->metric, BASE_REFERENCE);
}

/* The powers of two that hold all bars and whiskers, and a half and twice at least. */
static void panel_scale(struct panel *p)
{
	const struct compare_options *o = p->results->options;
	struct compare_spread s;

	p->low = -1;
	p->high = 1;
	for (size_t cell = 0; cell < p->ncells; cell++) {
		for (size_t i = 0; i < o->ncompetitors; i++) {
			s = panel_spread(p, cell, i);
			/* A ratio of 0 is possible where CPU time is; it has no place here. */
			if (s.n && s.max > 0 && log2(s.max) > p->high)
				p->high = (int)ceil(log2(s.max));
			if (s.n && s.min > 0 && log2(s.min) < p->low)
				p->low = (int)floor(log2(s.min));
		}
	}
	/* So that one collapse does not squeeze everything else: 1/64 is nothing. */
	if (p->low < -6)
		p->low = -6;
}

static void panel_axis(const struct panel *p, const char *title)
{
	char label[16];
	double y;

	put_text(p->out, LEFT, p->top - 26, "fill=\"" INK "\" font-weight=\"bold\"", title);
	for (int step = p->low; step <= p->high; step++) {
		y = panel_y(p, exp2(step));
		put_line(p->out, LEFT, y, WIDTH - RIGHT, y, step ? GRID : INK);
		if (step < 0)
			snprintf(label, sizeof(label), "1/%.0f", exp2(-step));
		else
			snprintf(label, sizeof(label), "%.0f", exp2(step));
		put_text(p->out, LEFT - 8, y + 4, "fill=\"" FAINT "\" text-anchor=\"end\"", label);
	}
}

static void panel_bar(const struct panel *p, size_t cell, size_t i, double x, double width)
{
	struct compare_spread s = panel_spread(p, cell, i);
	double y, one = panel_y(p, 1), middle = x + width / 2;
	const struct compare_run *run;
	char attributes[160], label[16];

	if (compare_results_count(p->results, p->cells[cell], i, RUN_FAILED, &run) && !s.n) {
		snprintf(attributes, sizeof(attributes),
			 "fill=\"" FAILED "\" font-size=\"11\" transform=\"rotate(-90 %.1f %.1f)\"",
			 middle + 4, one - 4);
		put_text(p->out, middle + 4, one - 4, attributes, "failed");
		return;
	}
	if (!s.n || s.median <= 0)
		return;
	y = panel_y(p, s.median);
	put_rect(p->out, x, y < one ? y : one, width - 2, fabs(one - y), colours[i]);
	put_line(p->out, middle - 1, panel_y(p, s.min), middle - 1, panel_y(p, s.max), INK);
	snprintf(label, sizeof(label), "%.2f", s.median);
	/* Beyond the whisker, upright where there is no room to lie. */
	y = s.median >= 1 ? panel_y(p, s.max) - 4 : panel_y(p, s.min) + 11;
	if (width < 20) {
		y += s.median >= 1 ? 0 : -7;
		snprintf(attributes, sizeof(attributes),
			 "fill=\"" INK "\" font-size=\"9\" text-anchor=\"%s\" "
			 "transform=\"rotate(-90 %.1f %.1f)\"",
			 s.median >= 1 ? "start" : "end", middle + 2, y);
		put_text(p->out, middle + 2, y, attributes, label);
	} else {
		put_text(p->out, middle - 1, y,
			 "fill=\"" INK "\" font-size=\"10\" text-anchor=\"middle\"", label);
	}
}

/* Ratios of one metric. */
static void put_panel(FILE *out, const struct compare_results *r, enum compare_metric metric,
		      double top, const char *title)
{
	const struct compare_options *o = r->options;
	struct panel p = { .out = out, .results = r, .metric = metric, .top = top + PANEL_TOP };
	double x, group, bar;
	size_t column;
	char name[32];

	for (size_t cell = 0; cell < o->ncells; cell++)
		if (compare_metric_of(&o->cells[cell], metric))
			p.cells[p.ncells++] = cell;
	panel_scale(&p);
	panel_axis(&p, title);
	group = (double)PLOT / (double)p.ncells;
	bar = group * 0.86 / (double)(o->ncompetitors > 1 ? o->ncompetitors - 1 : 1);
	if (bar > 40)
		bar = 40;
	for (size_t cell = 0; cell < p.ncells; cell++) {
		const struct compare_cell *c = &o->cells[p.cells[cell]];

		x = LEFT + group * ((double)cell + 0.5);
		snprintf(name, sizeof(name), "%s %s", compare_cell_kind(c), compare_cell_size(c));
		put_text(out, x, p.top + PANEL + 18,
			 "fill=\"" INK "\" font-size=\"11\" text-anchor=\"middle\"", name);
		x -= bar * (double)(o->ncompetitors - 1) / 2;
		column = 0;
		for (size_t i = 0; i < o->ncompetitors; i++)
			if (i != o->reference)
				panel_bar(&p, cell, i, x + bar * (double)column++, bar);
	}
}

/* The median as a bar, p99 as a line that goes on; each with its number. */
static void put_latency_row(FILE *out, const struct compare_results *r, size_t cell, size_t i,
			    double y, double scale)
{
	struct compare_spread p50 = compare_results_spread(r, cell, i, METRIC_P50, BASE_NONE);
	struct compare_spread p99 = compare_results_spread(r, cell, i, METRIC_P99, BASE_NONE);
	double x = LEFT + LATENCY_LABEL, end;
	char label[64];

	put_text(out, x - 8, y + 11, "fill=\"" INK "\" font-size=\"11\" text-anchor=\"end\"",
		 r->options->competitors[i].label);
	if (!p50.n) {
		put_text(out, x, y + 11, "fill=\"" FAILED "\" font-size=\"11\"", "failed");
		return;
	}
	put_rect(out, x, y, p50.median * scale, BAR_ROW - 4, colours[i]);
	/* A p99 of milliseconds would leave the medians no room: its line ends at the plot's. */
	end = p99.median * scale;
	if (end > LATENCY_PLOT)
		end = LATENCY_PLOT;
	put_line(out, x, y + (BAR_ROW - 4) / 2.0, x + end, y + (BAR_ROW - 4) / 2.0, INK);
	snprintf(label, sizeof(label), "%.1f (p99 %.1f)", p50.median, p99.median);
	put_text(out, x + end + 6, y + 11, "fill=\"" INK "\" font-size=\"11\"", label);
}

/* So that three times the longest median fits. */
static double latency_scale(const struct compare_results *r, size_t cell)
{
	struct compare_spread s;
	double most = 1;

	for (size_t i = 0; i < r->options->ncompetitors; i++) {
		s = compare_results_spread(r, cell, i, METRIC_P50, BASE_NONE);
		if (s.median > most)
			most = s.median;
	}
	return LATENCY_PLOT / (3 * most);
}

/* Returns how many pixels it took; with @out NULL it only says so. */
static double put_latencies(FILE *out, const struct compare_results *r, double top)
{
	const struct compare_options *o = r->options;
	double y = top;
	char title[128];

	for (size_t cell = 0; cell < o->ncells; cell++) {
		if (o->cells[cell].kind != CELL_LATENCY)
			continue;
		snprintf(title, sizeof(title),
			 "Half a round trip of %s bytes, us: p50 as a bar, p99 as a line (less is "
			 "better)",
			 compare_cell_size(&o->cells[cell]));
		if (out)
			put_text(out, LEFT, y + 14, "fill=\"" INK "\" font-weight=\"bold\"", title);
		y += 26;
		for (size_t i = 0; out && i < o->ncompetitors; i++)
			put_latency_row(out, r, cell, i, y + BAR_ROW * (double)i,
					latency_scale(r, cell));
		y += BAR_ROW * (double)o->ncompetitors + 20;
	}
	return y - top;
}

static void put_head(FILE *out, const struct compare_results *r, const struct host_facts *host)
{
	const struct compare_options *o = r->options;
	char method[256], line[512];
	double x = LEFT;

	put_text(out, LEFT, 28, "fill=\"" INK "\" font-size=\"17\" font-weight=\"bold\"",
		 "devmem-perf compare");
	compare_table_method(o, method, sizeof(method));
	snprintf(line, sizeof(line),
		 "Linux %s, %d CPUs %s, %s by default; %s; whiskers: min to max", host->kernel,
		 host->cpus, host->cpu, host->congestion, method);
	put_text(out, LEFT, 48, "fill=\"" FAINT "\" font-size=\"11\"", line);
	for (size_t i = 0; i < o->ncompetitors; i++) {
		const char *label = o->competitors[i].label;

		put_rect(out, x, 64, 12, 12, colours[i]);
		snprintf(line, sizeof(line), "%s%s", label, i == o->reference ? " (= 1)" : "");
		put_text(out, x + 17, 74, "fill=\"" INK "\" font-size=\"12\"", line);
		x += 36 + 7.5 * (double)strlen(line);
	}
}

static bool has_metric(const struct compare_options *o, enum compare_metric metric)
{
	for (size_t cell = 0; cell < o->ncells; cell++)
		if (compare_metric_of(&o->cells[cell], metric))
			return true;
	return false;
}

static void put_chart(FILE *out, const struct compare_results *r, const struct host_facts *host)
{
	bool panels = has_metric(r->options, METRIC_RATE) && r->options->ncompetitors > 1;
	double y = HEAD, height = y + put_latencies(NULL, r, 0) + (panels ? 2 * PANEL_STEP : 0);

	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" "
		"font-family=\"DejaVu Sans, sans-serif\" font-size=\"13\">\n",
		WIDTH, height);
	put_rect(out, 0, 0, WIDTH, height, "#ffffff");
	put_head(out, r, host);
	if (panels) {
		put_panel(out, r, METRIC_RATE, y,
			  "Throughput against the reference (more is better)");
		y += PANEL_STEP;
		put_panel(out, r, METRIC_CPU, y,
			  "CPU time per GiB against the reference (less is better)");
		y += PANEL_STEP;
	}
	put_latencies(out, r, y);
	fputs("</svg>\n", out);
}

int compare_chart_write(const struct compare_results *r, const struct host_facts *host,
			const char *path)
{
	bool failed;
	FILE *out;

	errno = 0;
	out = fopen(path, "we");
	if (out) {
		put_chart(out, r, host);
		failed = ferror(out);
		if (fclose(out) == 0 && !failed)
			return 0;
	}
	report_err("writing %s: %s", path, strerror(errno ? errno : EIO));
	return errno ? -errno : -EIO;
}
