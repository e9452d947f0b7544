// SPDX-License-Identifier: BSD-3-Clause
#include "job_summary.h"

#include <inttypes.h>
#include <stdint.h>

/* What follows from the counters. */
struct figures {
	uint64_t bytes_sent, bytes_received, completions, syscalls;
	uint64_t data_syscalls;
	/* Of payload sent; 0 when nothing was. */
	double syscalls_per_mib, data_syscalls_per_mib;
};

void job_summary_add(struct job_summary *sum, const struct job_summary *one)
{
	sum->available = sum->available && one->available;
#define ADD(field, text) sum->counters.field += one->counters.field;
	NCCL_DEVMEM_COUNTERS(ADD)
#undef ADD
}

static struct figures figures_of(const struct nccl_devmem_counters *c)
{
	struct figures f = {
		.bytes_sent = c->sent_inline + c->sent_copy + c->sent_zerocopy + c->sent_devmem,
		.bytes_received = c->recv_inline + c->recv_copy + c->recv_devmem + c->recv_linear,
		.completions = c->zc_done_errqueue + c->zc_done_inband,
		.data_syscalls =
			c->sys_send + c->sys_recv + c->sys_errqueue + c->sys_dontneed + c->sys_ask,
	};
	double mib = (double)f.bytes_sent / (1 << 20);

	f.syscalls = f.data_syscalls + c->sys_ctrl;
	if (f.bytes_sent) {
		f.syscalls_per_mib = (double)f.syscalls / mib;
		f.data_syscalls_per_mib = (double)f.data_syscalls / mib;
	}
	return f;
}

void job_summary_print(const struct job_summary *s, FILE *out, const char *prefix)
{
	const struct nccl_devmem_counters *c = &s->counters;
	struct figures f = figures_of(c);

	if (!s->available) {
		fprintf(out, "%sno summary: this plugin has no nccl_devmem_counters_get()\n",
			prefix);
		return;
	}
	fprintf(out, "%sall ranks together, from the plugin's counters:\n", prefix);
	fprintf(out,
		"%s  bytes sent      %" PRIu64 ": devmem %" PRIu64 ", zerocopy %" PRIu64
		", copy %" PRIu64 ", inline %" PRIu64 "\n",
		prefix, f.bytes_sent, c->sent_devmem, c->sent_zerocopy, c->sent_copy,
		c->sent_inline);
	fprintf(out,
		"%s  bytes received  %" PRIu64 ": devmem %" PRIu64 ", linear %" PRIu64
		", copy %" PRIu64 ", inline %" PRIu64 "\n",
		prefix, f.bytes_received, c->recv_devmem, c->recv_linear, c->recv_copy,
		c->recv_inline);
	fprintf(out,
		"%s  tokens          %" PRIu64 " issued, %" PRIu64 " recycled (%" PRIu64
		" in recvmsg; %" PRIu64 " fragments)\n",
		prefix, c->tokens_out, c->tokens_in, c->tokens_in_recv, c->frags);
	fprintf(out,
		"%s  zerocopy sends  %" PRIu64 ", completions %" PRIu64 ": in-band %" PRIu64
		", error queue %" PRIu64 "; copied after all %" PRIu64 "\n",
		prefix, c->zc_sends, f.completions, c->zc_done_inband, c->zc_done_errqueue,
		c->zc_copied);
	fprintf(out,
		"%s  system calls    %.1f per MiB sent on data sockets: send %" PRIu64
		", receive %" PRIu64 ", error queue %" PRIu64 ", dontneed %" PRIu64
		", asking for completions %" PRIu64 "\n",
		prefix, f.data_syscalls_per_mib, c->sys_send, c->sys_recv, c->sys_errqueue,
		c->sys_dontneed, c->sys_ask);
	fprintf(out,
		"%s                  %" PRIu64
		" on control sockets, where waiting for the peer is polling\n",
		prefix, c->sys_ctrl);
	fprintf(out,
		"%s  messages %" PRIu64 " sent, %" PRIu64 " received; connections %" PRIu64
		"; steps down the ladder %" PRIu64 "\n",
		prefix, c->msgs_sent, c->msgs_received, c->conns, c->steps_down);
}

json_t *job_summary_json(const struct job_summary *s)
{
	struct figures f = figures_of(&s->counters);
	json_t *o;

	if (!s->available)
		return json_null();
	o = json_object();
#define PUT(field, text) \
	json_object_set_new(o, #field, json_integer((json_int_t)s->counters.field));
	NCCL_DEVMEM_COUNTERS(PUT)
#undef PUT
	json_object_set_new(o, "bytes_sent", json_integer((json_int_t)f.bytes_sent));
	json_object_set_new(o, "bytes_received", json_integer((json_int_t)f.bytes_received));
	json_object_set_new(o, "completions", json_integer((json_int_t)f.completions));
	json_object_set_new(o, "syscalls", json_integer((json_int_t)f.syscalls));
	json_object_set_new(o, "syscalls_per_mib", json_real(f.syscalls_per_mib));
	json_object_set_new(o, "data_syscalls", json_integer((json_int_t)f.data_syscalls));
	json_object_set_new(o, "data_syscalls_per_mib", json_real(f.data_syscalls_per_mib));
	return o;
}
