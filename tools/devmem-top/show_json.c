// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <jansson.h>

#include "show.h"

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static json_t *json_counters(const struct nccl_devmem_counters *c)
{
	json_t *o = json_object();

#define C(field, text) json_object_set_new(o, #field, number(c->field));
	NCCL_DEVMEM_COUNTERS(C)
#undef C
	return o;
}

static json_t *json_pool(const struct nccl_devmem_stats_pool *p)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "nic", p->nic, "memory",
			 p->memory, "queues", p->queues, "gpu", p->gpu, "size", number(p->size),
			 "limit", number(p->limit), "reserved", number(p->reserved), "free_least",
			 number(p->free_least));
}

static json_t *json_step(const struct nccl_devmem_stats_step *s)
{
	return json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:s}", "id", number(s->id), "nic", s->nic,
			 "direction", s->sends ? "send" : "receive", "from",
			 s->from < 3 ? path_names[s->from] : "", "to",
			 s->to < 3 ? path_names[s->to] : "", "reason", s->reason, "remedy",
			 s->remedy);
}

static json_t *json_conn(const struct nccl_devmem_stats_conn *c)
{
	json_t *latency = json_array(), *polls = json_object();
	int i;

	for (i = 0; i < NCCL_DEVMEM_STATS_BUCKETS; i++)
		json_array_append_new(latency, number(c->latency[i]));
	for (i = 0; i < NCCL_DEVMEM_STAGE_COUNT; i++)
		json_object_set_new(polls, stage_names[i], number(c->polls[i]));
	return json_pack("{s:o, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o,"
			 " s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "id", number(c->id), "direction", c->sends ? "send" : "receive", "nic",
			 c->nic, "peer", c->peer, "path", c->path < 3 ? path_names[c->path] : "",
			 "sockets", number(c->n_socks), "posted", number(c->posted), "messages",
			 number(c->msgs), "bytes", number(c->bytes), "latency_ns",
			 number(c->latency_ns), "latency_us_below_power_of_2", latency, "polls",
			 polls, "bytes_acked", number(c->bytes_acked), "bytes_received",
			 number(c->bytes_received), "retransmits", number(c->retransmits),
			 "busy_us", number(c->busy_us), "window_limited_us", number(c->rwnd_us),
			 "sndbuf_limited_us", number(c->sndbuf_us), "rtt_us", number(c->rtt_us),
			 "rtt_least_us", number(c->rtt_least_us), "tokens", number(c->lent));
}

static json_t *json_nic(const struct nccl_devmem_stats_nic *n)
{
	return json_pack("{s:s, s:o, s:o, s:s}", "name", n->name, "ifindex", number(n->ifindex),
			 "speed_mbps", number(n->speed_mbps), "pci", n->pci);
}

static json_t *json_proc(const struct proc *p)
{
	json_t *nics = json_array(), *pools = json_array(), *steps = json_array();
	json_t *conns = json_array();
	size_t i;

	for (i = 0; i < p->n_nics; i++)
		json_array_append_new(nics, json_nic(&p->nics[i]));
	for (i = 0; i < p->n_pools; i++)
		json_array_append_new(pools, json_pool(&p->pools[i]));
	for (i = 0; i < p->n_steps; i++)
		json_array_append_new(steps, json_step(&p->steps[i]));
	for (i = 0; i < p->n_conns; i++)
		json_array_append_new(conns, json_conn(&p->conns[i]));
	return json_pack("{s:i, s:o, s:b, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "pid", (int)p->id.pid, "rank",
			 p->rank >= 0 ? json_integer(p->rank) : json_null(), "unsure",
			 (int)p->unsure, "job", p->job, "host", p->head.host, "program",
			 p->head.program, "plugin", p->head.plugin, "opened_ns",
			 number(p->head.opened_ns), "counters", json_counters(&p->counters), "nics",
			 nics, "pools", pools, "steps_down", steps, "connections", conns,
			 "connections_left_out", number(p->head.conns_left_out));
}

static json_t *json_row(const struct row *r)
{
	double part;
	enum nccl_devmem_stats_stage stage = row_stage(r, &part);

	return json_pack(
		"{s:s, s:o, s:s, s:s, s:s, s:s, s:i, s:f, s:f, s:f, s:f, s:f, s:i, s:o, s:f}",
		"job", r->job, "pid", r->proc ? json_integer(r->proc->id.pid) : json_null(), "nic",
		r->nic, "peer", r->peer, "direction", r->sends ? "send" : "receive", "path",
		path_names[r->path], "connections", (int)r->conns, "bytes_per_s", r->rate,
		"messages_per_s", r->msgs, "retransmits_per_s", r->retrans, "p50_us",
		row_latency_us(r, 0.5), "p99_us", row_latency_us(r, 0.99), "rtt_us", (int)r->rtt_us,
		"waits_for", part > 0 ? json_string(stage_names[stage]) : json_null(), "waits_part",
		part);
}

static json_t *json_slow(const struct reading *now, const struct reading *before)
{
	char host[80];
	struct slow s;

	slow_find(&s, now, before);
	if (!s.conn)
		return json_null();
	peer_host(s.conn->peer, host, sizeof(host));
	return json_pack("{s:i, s:o, s:s, s:s, s:s, s:s, s:f, s:s, s:s}", "pid",
			 (int)s.proc->id.pid, "rank",
			 s.proc->rank >= 0 ? json_integer(s.proc->rank) : json_null(), "direction",
			 s.conn->sends ? "send" : "receive", "peer", host, "nic", s.conn->nic,
			 "stage", stage_names[s.stage], "part", s.part, "who", s.who, "why", s.why);
}

int show_json(FILE *out, const struct show *how, const struct reading *now,
	      const struct reading *before)
{
	json_t *procs = json_array(), *rows = json_array(), *root;
	struct table t;
	size_t i;
	int err;

	err = table_make(&t, now, before, how->group, how->sort);
	if (err) {
		json_decref(procs);
		json_decref(rows);
		return err;
	}
	for (i = 0; i < now->n_procs; i++)
		json_array_append_new(procs, json_proc(&now->procs[i]));
	for (i = 0; i < t.n; i++)
		json_array_append_new(rows, json_row(&t.rows[i]));
	root = json_pack("{s:s, s:i, s:f, s:o, s:o, s:o, s:i}", "version", DEVMEM_VERSION, "layout",
			 NCCL_DEVMEM_STATS_VERSION, "seconds",
			 before ? (double)(now->ns - before->ns) / 1e9 : 0.0, "processes", procs,
			 "rows", rows, "slowest", json_slow(now, before), "files_left_out",
			 (int)now->strange);
	table_drop(&t);
	if (!root)
		return -ENOMEM;
	/* One line each: what follows others is told apart. */
	err = json_dumpf(root, out, JSON_COMPACT) || fputc('\n', out) == EOF || fflush(out) == EOF
		      ? -EIO
		      : 0;
	json_decref(root);
	return err;
}
