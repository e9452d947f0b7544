// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <string.h>
#include <time.h>

#include "show.h"

#define BOLD	"\033[1m"
#define REVERSE "\033[7m"
#define PLAIN	"\033[0m"

/* Lines are cut at @width, and counted. */
struct page {
	FILE *out;
	const struct show *how;
	unsigned int lines;
};

static void page_line(struct page *p, const char *style, const char *text)
{
	int width = p->how->columns ? (int)p->how->columns : 1000;

	if (p->how->rows && p->lines >= p->how->rows)
		return;
	fprintf(p->out, "%s%.*s%s%s\n", p->how->color ? style : "", width, text,
		p->how->color && *style ? PLAIN : "", p->how->rows ? "\033[K" : "");
	p->lines++;
}

/* "1.23G": three digits and a unit. */
static const char *short_number(double v, char buf[16])
{
	static const char units[] = " KMGTP";
	int u = 0;

	while (v >= 999.5 && units[u + 1]) {
		v /= 1000;
		u++;
	}
	if (!u)
		snprintf(buf, 16, "%.0f", v);
	else
		snprintf(buf, 16, "%.*f%c", v < 9.995 ? 2 : v < 99.95 ? 1 : 0, v, units[u]);
	return buf;
}

static const char *short_time(double us, char buf[16])
{
	if (us <= 0)
		snprintf(buf, 16, "-");
	else if (us < 999.5)
		snprintf(buf, 16, "%.0fu", us);
	else if (us < 999500)
		snprintf(buf, 16, "%.*fm", us < 9995 ? 1 : 0, us / 1000);
	else
		snprintf(buf, 16, "%.1fs", us / 1e6);
	return buf;
}

struct totals {
	uint64_t sent[4];
	uint64_t received[4];
	double tx, rx, retrans;
	uint64_t tokens, steps, conns, left_out, copied;
	uint64_t pool, pool_limit, pool_free, pool_least;
};

/* The counters by path: copy (with what travels in the control stream), zerocopy, devmem, staged. */
static void add_proc(struct totals *t, const struct proc *p, const struct proc *was, double seconds)
{
	static const struct proc none;
	const struct nccl_devmem_counters *c = &p->counters, *w;
	size_t i;

	w = was ? &was->counters : &none.counters;
	t->sent[0] += c->sent_copy + c->sent_inline - w->sent_copy - w->sent_inline;
	t->sent[1] += c->sent_zerocopy - w->sent_zerocopy;
	t->sent[2] += c->sent_devmem - w->sent_devmem;
	t->sent[3] += c->sent_staged - w->sent_staged;
	t->received[0] += c->recv_copy + c->recv_inline + c->recv_linear - w->recv_copy -
			  w->recv_inline - w->recv_linear;
	t->received[2] += c->recv_devmem - w->recv_devmem;
	t->received[3] += c->recv_staged - w->recv_staged;
	t->tx += (double)(proc_bytes(p, true) - proc_bytes(was ? was : &none, true)) / seconds;
	t->rx += (double)(proc_bytes(p, false) - proc_bytes(was ? was : &none, false)) / seconds;
	t->tokens += c->tokens_out > c->tokens_in ? c->tokens_out - c->tokens_in : 0;
	t->copied += c->zc_copied - w->zc_copied;
	t->steps += p->n_steps;
	t->conns += p->n_conns;
	t->left_out += p->head.conns_left_out;
	for (i = 0; i < p->n_pools; i++) {
		const struct nccl_devmem_stats_pool *pool = &p->pools[i];

		t->pool += pool->size;
		t->pool_limit += pool->limit;
		t->pool_free += pool->limit > pool->reserved ? pool->limit - pool->reserved : 0;
		t->pool_least += pool->free_least;
	}
}

static const char *mix(const uint64_t by_path[4], char *buf, size_t size)
{
	static const char *const names[] = { "copy", "zerocopy", "devmem", "staged" };
	uint64_t sum = by_path[0] + by_path[1] + by_path[2] + by_path[3];
	size_t n = 0;
	int i;

	buf[0] = '\0';
	for (i = 3; i >= 0 && sum; i--)
		if (by_path[i] && n < size)
			n += (size_t)snprintf(buf + n, size - n, "%s%s %.0f%%", n ? ", " : "",
					      names[i], 100.0 * (double)by_path[i] / (double)sum);
	return buf;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void print_totals(struct page *page, const struct reading *now, const struct reading *before)
{
	struct totals t = { 0 };
	char line[256], a[16], b[64];
	size_t i;
	int n;

	for (i = 0; now->procs && i < now->n_procs; i++) {
		const struct proc *p = &now->procs[i];
		const struct proc *was = reading_find(before, p);
		double seconds = was ? (double)(now->ns - before->ns) / 1e9 : 1;

		/* A process that has only just come would show all it has ever moved as of this moment. */
		add_proc(&t, p, was ? was : p, seconds);
	}
	snprintf(line, sizeof(line), "sent     %6sB/s  %s", short_number(t.tx, a),
		 mix(t.sent, b, sizeof(b)));
	page_line(page, "", line);
	snprintf(line, sizeof(line), "received %6sB/s  %s", short_number(t.rx, a),
		 mix(t.received, b, sizeof(b)));
	page_line(page, "", line);
	n = snprintf(line, sizeof(line), "steps down %llu   tokens %llu",
		     (unsigned long long)t.steps, (unsigned long long)t.tokens);
	if (t.pool)
		n += snprintf(line + n, sizeof(line) - (size_t)n,
			      "   pool %lluM, free %.0f%%, least %.0f%%",
			      (unsigned long long)(t.pool >> 20),
			      percent(t.pool_free, t.pool_limit),
			      percent(t.pool_least, t.pool_limit));
	if (t.left_out)
		snprintf(line + n, sizeof(line) - (size_t)n, "   %llu connections not shown",
			 (unsigned long long)t.left_out);
	page_line(page, "", line);
}

static void print_head(struct page *page, const struct reading *now)
{
	char line[256], clock[16];
	unsigned long long conns = 0;
	time_t t = time(NULL);
	struct tm tm;
	size_t i;

	localtime_r(&t, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	for (i = 0; i < now->n_procs; i++)
		conns += now->procs[i].n_conns;
	snprintf(line, sizeof(line),
		 "devmem-top  %.24s  %s  %zu process%s, %llu connection%s, each %.3gs",
		 now->n_procs ? now->procs[0].head.host : "", clock, now->n_procs,
		 now->n_procs == 1 ? "" : "es", conns, conns == 1 ? "" : "s", page->how->interval);
	page_line(page, BOLD, line);
}

static void print_slow(struct page *page, const struct reading *now, const struct reading *before)
{
	struct slow s;
	char line[320], who[24];

	slow_find(&s, now, before);
	if (!s.conn) {
		page_line(page, "", "slowest  nobody waits noticeably");
		return;
	}
	if (s.proc->rank >= 0)
		snprintf(who, sizeof(who), "rank %d", s.proc->rank);
	else
		snprintf(who, sizeof(who), "pid %d", (int)s.proc->id.pid);
	snprintf(line, sizeof(line), "slowest  %s %s, %.0f%% %s:", who, s.who, 100 * s.part,
		 stage_names[s.stage]);
	page_line(page, BOLD, line);
	snprintf(line, sizeof(line), "         %s", s.why);
	page_line(page, "", line);
}

/* The end of an address tells more than its beginning. */
static const char *tail(const char *text, size_t width)
{
	size_t n = strlen(text);

	return n > width ? text + n - width : text;
}

static void print_row(struct page *page, const struct row *r)
{
	static const char *const paths[] = { "copy", "zero", "dev" };
	char line[256], who[24], peer[80], rate[16], p99[16], rtt[16], wait[24], re[16];
	double part;
	enum nccl_devmem_stats_stage stage = row_stage(r, &part);

	if (r->proc && r->proc->rank >= 0)
		snprintf(who, sizeof(who), "%d", r->proc->rank);
	else if (r->proc)
		snprintf(who, sizeof(who), "p%d%s", (int)r->proc->id.pid,
			 r->proc->unsure ? "?" : "");
	else
		snprintf(who, sizeof(who), "%s", page->how->group == GROUP_JOB ? r->job : "*");
	if (page->how->group == GROUP_CONN || !*r->peer)
		snprintf(peer, sizeof(peer), "%s", *r->peer ? r->peer : "*");
	else
		peer_host(r->peer, peer, sizeof(peer));
	if (part > 0)
		snprintf(wait, sizeof(wait), "%s %.0f%%", stage_names[stage], 100 * part);
	else
		snprintf(wait, sizeof(wait), "-");
	snprintf(line, sizeof(line), "%-8.8s %-7.7s %s %-19s %5s %-4s %5s %5s %4s %s", who,
		 *r->nic ? r->nic : "*", r->sends ? "tx" : "rx", tail(peer, 19),
		 short_number(r->rate, rate), paths[r->path],
		 short_time(row_latency_us(r, 0.99), p99), short_time(r->rtt_us, rtt),
		 short_number(r->retrans, re), wait);
	page_line(page, "", line);
}

static int print_table(struct page *page, const struct reading *now, const struct reading *before)
{
	struct table t;
	char line[128];
	size_t i, shown;
	int err = table_make(&t, now, before, page->how->group, page->how->sort);

	if (err)
		return err;
	snprintf(line, sizeof(line), "%-8s %-7s    %-19s %5s %-4s %5s %5s %4s %-10s",
		 page->how->group == GROUP_JOB ? "JOB" : "RANK", "NIC", "PEER", "B/S", "PATH",
		 "P99", "RTT", "RE/S", "WAITS FOR");
	page_line(page, REVERSE, line);
	/* The last line is for what did not fit. */
	shown = t.n;
	if (page->how->rows && page->lines + t.n > page->how->rows)
		shown = page->how->rows > page->lines + 1 ? page->how->rows - page->lines - 1 : 0;
	for (i = 0; i < shown; i++)
		print_row(page, &t.rows[i]);
	if (shown < t.n) {
		snprintf(line, sizeof(line), "... %zu more; g puts them together", t.n - shown);
		page_line(page, "", line);
	}
	table_drop(&t);
	return 0;
}

/* At blanks where there are any, each line a little to the right. */
static void page_wrapped(struct page *p, const char *text)
{
	size_t width = p->how->columns > 24 ? p->how->columns - 4 : 76;
	char line[512];

	while (*text) {
		size_t n = strlen(text), at = n;

		if (n > width)
			for (at = width; at && text[at] != ' '; at--)
				;
		if (!at)
			at = width;
		snprintf(line, sizeof(line), "    %.*s", (int)at, text);
		page_line(p, "", line);
		text += at;
		text += strspn(text, " ");
	}
}

static void print_steps(struct page *page, const struct reading *now)
{
	char line[512];
	size_t i, j;

	page_line(page, REVERSE, "steps down the ladder: rank, interface, direction, path, why");
	for (i = 0; i < now->n_procs; i++) {
		const struct proc *p = &now->procs[i];

		for (j = 0; j < p->n_steps; j++) {
			const struct nccl_devmem_stats_step *s = &p->steps[j];

			snprintf(line, sizeof(line), "%s%d %s %s %s instead of %s",
				 p->rank >= 0 ? "" : "p", p->rank >= 0 ? p->rank : (int)p->id.pid,
				 s->nic, s->sends ? "tx" : "rx",
				 s->to < 3 ? path_names[s->to] : "?",
				 s->from < 3 ? path_names[s->from] : "?");
			page_line(page, BOLD, line);
			snprintf(line, sizeof(line), "%s%s%s", s->reason,
				 s->remedy[0] ? "; remedy: " : "", s->remedy);
			page_wrapped(page, line);
		}
	}
}

int show_text(FILE *out, const struct show *how, const struct reading *now,
	      const struct reading *before)
{
	struct page page = { .out = out, .how = how };
	char line[256];
	int err = 0;

	print_head(&page, now);
	if (!now->n_procs) {
		snprintf(line, sizeof(line), "no process with the plugin shows anything in %s%s",
			 how->dir,
			 now->strange ? "" : " (is NCCL_DEVMEM_STATS_DIR another for the job?)");
		page_line(&page, "", line);
	} else {
		print_totals(&page, now, before);
		print_slow(&page, now, before);
		page_line(&page, "", "");
		if (how->steps)
			print_steps(&page, now);
		else
			err = print_table(&page, now, before);
	}
	if (now->strange) {
		snprintf(
			line, sizeof(line),
			"%u file%s in %s left out: damaged, of another version, or not its process's",
			now->strange, now->strange == 1 ? "" : "s", how->dir);
		page_line(&page, "", line);
	}
	return fflush(out) == EOF ? -errno : err;
}
