// SPDX-License-Identifier: BSD-3-Clause
/*
 * Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/. All samples of a metric stand together, so each
 * metric goes over all processes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "show.h"

/* A label's value: backslash, quote and newline are escaped; make_printable() has left nothing else of that kind. */
static void put_label(FILE *out, const char *name, const char *value)
{
	fprintf(out, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			fputc('\\', out);
		fputc(*value, out);
	}
	fputc('"', out);
}

/* The labels that every sample of a process has; the caller closes the brace. */
static void put_proc(FILE *out, const char *metric, const struct proc *p)
{
	fprintf(out, "%s{pid=\"%d\",", metric, (int)p->id.pid);
	if (p->rank >= 0)
		fprintf(out, "rank=\"%d\",", p->rank);
	put_label(out, "job_id", p->job);
}

static void put_text(FILE *out, const char *name, const char *value)
{
	fputc(',', out);
	put_label(out, name, value);
}

static void put_value(FILE *out, uint64_t v)
{
	fprintf(out, "} %llu\n", (unsigned long long)v);
}

static void put_head(FILE *out, const char *metric, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", metric, help, metric, type);
}

static void put_direction(FILE *out, bool sends)
{
	put_text(out, "direction", sends ? "send" : "receive");
}

static void print_info(FILE *out, const struct reading *r)
{
	size_t i;

	put_head(out, "nccl_devmem_info", "gauge", "A process with the plugin.");
	for (i = 0; i < r->n_procs; i++) {
		put_proc(out, "nccl_devmem_info", &r->procs[i]);
		put_text(out, "host", r->procs[i].head.host);
		put_text(out, "program", r->procs[i].head.program);
		put_text(out, "version", r->procs[i].head.plugin);
		put_value(out, 1);
	}
}

static void print_bytes(FILE *out, const struct reading *r)
{
	static const char m[] = "nccl_devmem_payload_bytes_total";
	size_t i;

	put_head(out, m, "counter", "Payload bytes moved, by direction and path.");
	for (i = 0; i < r->n_procs; i++) {
		const struct proc *p = &r->procs[i];

#define PATH(field, sends, path)     \
	put_proc(out, m, p);         \
	put_direction(out, sends);   \
	put_text(out, "path", path); \
	put_value(out, p->counters.field)
		PATH(sent_inline, true, "inline");
		PATH(sent_copy, true, "copy");
		PATH(sent_zerocopy, true, "zerocopy");
		PATH(sent_devmem, true, "devmem");
		PATH(sent_staged, true, "staged");
		PATH(recv_inline, false, "inline");
		PATH(recv_copy, false, "copy");
		PATH(recv_linear, false, "linear");
		PATH(recv_devmem, false, "devmem");
		PATH(recv_staged, false, "staged");
#undef PATH
	}
}

static const struct {
	const char *name, *help;
	size_t offset;
} counter_rows[] = {
#define C(field, text) { #field, text, offsetof(struct nccl_devmem_counters, field) },
	NCCL_DEVMEM_COUNTERS(C)
#undef C
};

/* The counters that are not bytes by path, each a metric by its own name. */
static void print_counters(FILE *out, const struct reading *r)
{
	char metric[64];
	size_t i, k;

	for (k = 0; k < sizeof(counter_rows) / sizeof(counter_rows[0]); k++) {
		const char *name = counter_rows[k].name;

		if (!strncmp(name, "sent_", 5) || !strncmp(name, "recv_", 5))
			continue;
		snprintf(metric, sizeof(metric), "nccl_devmem_%s_total", name);
		put_head(out, metric, "counter", counter_rows[k].help);
		for (i = 0; i < r->n_procs; i++) {
			uint64_t value;

			memcpy(&value, (const char *)&r->procs[i].counters + counter_rows[k].offset,
			       sizeof(value));
			put_proc(out, metric, &r->procs[i]);
			put_value(out, value);
		}
	}
	put_head(out, "nccl_devmem_tokens_in_flight", "gauge", "Tokens issued and not given back.");
	for (i = 0; i < r->n_procs; i++) {
		const struct nccl_devmem_counters *c = &r->procs[i].counters;

		put_proc(out, "nccl_devmem_tokens_in_flight", &r->procs[i]);
		put_value(out, c->tokens_out > c->tokens_in ? c->tokens_out - c->tokens_in : 0);
	}
}

static void print_pools(FILE *out, const struct reading *r)
{
	static const struct {
		const char *metric, *help;
		size_t offset;
	} values[] = {
		{ "nccl_devmem_pool_bytes", "Size of a receive pool.",
		  offsetof(struct nccl_devmem_stats_pool, size) },
		{ "nccl_devmem_pool_limit_bytes", "What of a pool can be promised to sockets.",
		  offsetof(struct nccl_devmem_stats_pool, limit) },
		{ "nccl_devmem_pool_reserved_bytes", "What is promised to sockets.",
		  offsetof(struct nccl_devmem_stats_pool, reserved) },
		{ "nccl_devmem_pool_free_least_bytes",
		  "The least that was not promised since the pool was made.",
		  offsetof(struct nccl_devmem_stats_pool, free_least) },
	};
	size_t v, i, j;

	for (v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
		put_head(out, values[v].metric, "gauge", values[v].help);
		for (i = 0; i < r->n_procs; i++) {
			for (j = 0; j < r->procs[i].n_pools; j++) {
				const struct nccl_devmem_stats_pool *pool = &r->procs[i].pools[j];
				uint64_t value;

				memcpy(&value, (const char *)pool + values[v].offset,
				       sizeof(value));
				put_proc(out, values[v].metric, &r->procs[i]);
				put_text(out, "nic", pool->nic);
				put_text(out, "memory", pool->memory);
				put_text(out, "queues", pool->queues);
				put_value(out, value);
			}
		}
	}
}

static void print_steps(FILE *out, const struct reading *r)
{
	static const char m[] = "nccl_devmem_step_down_info";
	size_t i, j;

	put_head(out, m, "gauge", "A step down the ladder of paths, and why.");
	for (i = 0; i < r->n_procs; i++) {
		for (j = 0; j < r->procs[i].n_steps; j++) {
			const struct nccl_devmem_stats_step *s = &r->procs[i].steps[j];

			put_proc(out, m, &r->procs[i]);
			fprintf(out, ",id=\"%08x\"", s->id);
			put_text(out, "nic", s->nic);
			put_direction(out, s->sends);
			put_text(out, "from", s->from < 3 ? path_names[s->from] : "");
			put_text(out, "to", s->to < 3 ? path_names[s->to] : "");
			put_text(out, "reason", s->reason);
			put_value(out, 1);
		}
	}
}

static void put_conn(FILE *out, const char *metric, const struct proc *p,
		     const struct nccl_devmem_stats_conn *c)
{
	put_proc(out, metric, p);
	fprintf(out, ",conn=\"%llu\"", (unsigned long long)c->id);
	put_text(out, "nic", c->nic);
	put_text(out, "peer", c->peer);
	put_direction(out, c->sends);
}

static void print_conn_numbers(FILE *out, const struct reading *r)
{
	static const struct {
		const char *metric, *type, *help;
		size_t offset;
	} values[] = {
		{ "nccl_devmem_connection_payload_bytes_total", "counter",
		  "Payload of finished messages of a connection.",
		  offsetof(struct nccl_devmem_stats_conn, bytes) },
		{ "nccl_devmem_connection_messages_total", "counter",
		  "Finished messages of a connection.",
		  offsetof(struct nccl_devmem_stats_conn, msgs) },
		{ "nccl_devmem_connection_retransmits_total", "counter",
		  "Segments sent again on a connection's sockets.",
		  offsetof(struct nccl_devmem_stats_conn, retransmits) },
		{ "nccl_devmem_connection_busy_microseconds_total", "counter",
		  "Time with data to send, summed over a connection's sockets.",
		  offsetof(struct nccl_devmem_stats_conn, busy_us) },
		{ "nccl_devmem_connection_window_limited_microseconds_total", "counter",
		  "Of that, time that the peer's receive window was closed.",
		  offsetof(struct nccl_devmem_stats_conn, rwnd_us) },
	};
	size_t v, i, j;

	for (v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
		put_head(out, values[v].metric, values[v].type, values[v].help);
		for (i = 0; i < r->n_procs; i++) {
			for (j = 0; j < r->procs[i].n_conns; j++) {
				const struct nccl_devmem_stats_conn *c = &r->procs[i].conns[j];
				uint64_t value;

				memcpy(&value, (const char *)c + values[v].offset, sizeof(value));
				put_conn(out, values[v].metric, &r->procs[i], c);
				put_value(out, value);
			}
		}
	}
	put_head(out, "nccl_devmem_connection_rtt_seconds", "gauge",
		 "Largest smoothed round trip time of a connection's sockets.");
	for (i = 0; i < r->n_procs; i++) {
		for (j = 0; j < r->procs[i].n_conns; j++) {
			put_conn(out, "nccl_devmem_connection_rtt_seconds", &r->procs[i],
				 &r->procs[i].conns[j]);
			fprintf(out, "} %.6f\n", r->procs[i].conns[j].rtt_us / 1e6);
		}
	}
}

static void print_polls(FILE *out, const struct reading *r)
{
	static const char m[] = "nccl_devmem_connection_polls_total";
	size_t i, j;
	int k;

	put_head(out, m, "counter", "Tests that were not done, by what the request waited for.");
	for (i = 0; i < r->n_procs; i++) {
		for (j = 0; j < r->procs[i].n_conns; j++) {
			for (k = 0; k < NCCL_DEVMEM_STAGE_COUNT; k++) {
				put_conn(out, m, &r->procs[i], &r->procs[i].conns[j]);
				put_text(out, "stage", stage_names[k]);
				put_value(out, r->procs[i].conns[j].polls[k]);
			}
		}
	}
}

/* One histogram for each process and direction: of its live connections. */
static void print_latency(FILE *out, const struct reading *r)
{
	static const char m[] = "nccl_devmem_request_seconds";
	size_t i, j;
	int sends, k;

	put_head(out, m, "histogram",
		 "From posting to completion, of one request in 32 on connections that live.");
	for (i = 0; i < r->n_procs; i++) {
		const struct proc *p = &r->procs[i];

		for (sends = 0; sends < 2; sends++) {
			uint64_t sum[NCCL_DEVMEM_STATS_BUCKETS] = { 0 }, ns = 0, at = 0;

			for (j = 0; j < p->n_conns; j++) {
				if (!p->conns[j].sends != !sends)
					continue;
				ns += p->conns[j].latency_ns;
				for (k = 0; k < NCCL_DEVMEM_STATS_BUCKETS; k++)
					sum[k] += p->conns[j].latency[k];
			}
			for (k = 0; k < NCCL_DEVMEM_STATS_BUCKETS - 1; k++) {
				at += sum[k];
				put_proc(out, "nccl_devmem_request_seconds_bucket", p);
				put_direction(out, sends);
				fprintf(out, ",le=\"%.6f\"", (double)(1ULL << k) / 1e6);
				put_value(out, at);
			}
			at += sum[k];
			put_proc(out, "nccl_devmem_request_seconds_bucket", p);
			put_direction(out, sends);
			fputs(",le=\"+Inf\"", out);
			put_value(out, at);
			put_proc(out, "nccl_devmem_request_seconds_sum", p);
			put_direction(out, sends);
			fprintf(out, "} %.9f\n", (double)ns / 1e9);
			put_proc(out, "nccl_devmem_request_seconds_count", p);
			put_direction(out, sends);
			put_value(out, at);
		}
	}
}

int show_prometheus(FILE *out, const struct reading *now)
{
	print_info(out, now);
	print_bytes(out, now);
	print_counters(out, now);
	print_pools(out, now);
	print_steps(out, now);
	print_conn_numbers(out, now);
	print_polls(out, now);
	print_latency(out, now);
	put_head(out, "nccl_devmem_files_left_out", "gauge",
		 "Files that are damaged, of another version, or not of their process's user.");
	fprintf(out, "nccl_devmem_files_left_out %u\n", now->strange);
	return fflush(out) == EOF || ferror(out) ? -EIO : 0;
}

int write_prometheus(const char *path, const struct reading *now)
{
	char *temporary = NULL;
	FILE *out = NULL;
	int fd, err = 0;

	/* Beside it, for rename(); the textfile collector reads *.prom alone. */
	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		goto out;
	}
	out = fdopen(fd, "w");
	if (!out) {
		err = -errno;
		close(fd);
	} else {
		err = show_prometheus(out, now);
		/* mkostemp() makes it the user's alone; the collector is another user. */
		if (!err && fchmod(fd, 0644))
			err = -errno;
		if (fclose(out) && !err)
			err = -errno;
	}
	if (!err && rename(temporary, path))
		err = -errno;
	if (err)
		unlink(temporary);
out:
	if (err)
		fprintf(stderr, "devmem-top: writing %s: %s\n", path, strerror(-err));
	free(temporary);
	return err;
}
