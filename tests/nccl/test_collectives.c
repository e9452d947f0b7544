// SPDX-License-Identifier: BSD-3-Clause
/* Every operation, type, reduction and size on one communicator; results and traffic checked one by one. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rank.h"
#include "report.h"

/* What one run is made of. */
struct run {
	struct rank *rank;
	struct rank_buffer src, dst;
	void *host;
	unsigned int cases, wrong;
};

static int send_recv(struct rank *rank, nccl_comm comm, const struct ref_case *c, const void *src,
		     void *dst, int me)
{
	const struct nccl_lib *nccl = &rank->nccl;
	size_t bytes = c->count * ref_type_size(c->type);
	int result = nccl->group_start(), end, peer;

	if (c->op == REF_SENDRECV) {
		if (!result)
			result = nccl->send(src, c->count, c->type, (me + 1) % c->nranks, comm,
					    rank->stream);
		if (!result)
			result = nccl->recv(dst, c->count, c->type,
					    (me + c->nranks - 1) % c->nranks, comm, rank->stream);
	}
	for (peer = 0; c->op == REF_ALL_TO_ALL && peer < c->nranks && !result; peer++) {
		result = nccl->send((const char *)src + (size_t)peer * bytes, c->count, c->type,
				    peer, comm, rank->stream);
		if (!result)
			result = nccl->recv((char *)dst + (size_t)peer * bytes, c->count, c->type,
					    peer, comm, rank->stream);
	}
	end = nccl->group_end();
	return result ? result : end;
}

int collective_start(struct rank *rank, nccl_comm comm, const struct ref_case *c, const void *src,
		     void *dst, int me)
{
	const struct nccl_lib *nccl = &rank->nccl;
	void *stream = rank->stream;
	int result;

	switch (c->op) {
	case REF_ALL_REDUCE:
		result = nccl->all_reduce(src, dst, c->count, c->type, c->redop, comm, stream);
		break;
	case REF_ALL_GATHER:
		result = nccl->all_gather(src, dst, c->count, c->type, comm, stream);
		break;
	case REF_REDUCE_SCATTER:
		result = nccl->reduce_scatter(src, dst, c->count, c->type, c->redop, comm, stream);
		break;
	case REF_BROADCAST:
		result = nccl->broadcast(src, dst, c->count, c->type, c->root, comm, stream);
		break;
	case REF_REDUCE:
		result = nccl->reduce(src, dst, c->count, c->type, c->redop, c->root, comm, stream);
		break;
	default:
		result = send_recv(rank, comm, c, src, dst, me);
	}
	return nccl_lib_check(nccl, result, ref_op_name(c->op));
}

/* Where the input has to be for an operation in place; NULL if there is no such thing. */
static char *in_place_src(const struct ref_case *c, char *dst, int me)
{
	size_t bytes = c->count * ref_type_size(c->type);

	switch (c->op) {
	case REF_ALL_REDUCE:
	case REF_BROADCAST:
	case REF_REDUCE:
		return dst;
	case REF_ALL_GATHER:
		return dst + (size_t)me * bytes;
	default:
		return NULL;
	}
}

/*
 * A send is counted when NCCL's proxy hears that it is done, which may be after the result is there: waits for that,
 * but not for ever (a minute). All ranks see the same sums, so they go round equally often.
 */
static int traffic_settle(struct rank *rank, struct rank_traffic *ret)
{
	const struct timespec pause = { .tv_nsec = 500000 };
	int err = rank_traffic_sum(rank, ret);

	for (int i = 0; i < 120000 && !err && ret->sent != ret->received; i++) {
		nanosleep(&pause, NULL);
		err = rank_traffic_sum(rank, ret);
	}
	return err;
}

static int traffic_check(const struct run *run, const struct ref_case *c,
			 const struct rank_traffic *before, const struct rank_traffic *after)
{
	uint64_t sent = after->sent - before->sent, received = after->received - before->received;
	bool p2p = c->op == REF_SENDRECV || c->op == REF_ALL_TO_ALL;
	uint64_t least = ref_traffic(c), most = least;

	if (!run->rank->o->traffic || !run->rank->counters_get)
		return 0;
	if (run->rank->o->traffic == 2) {
		/*
		 * Each 8 bytes with two flags; the last line of a message is filled up. NCCL_PROTO does not bind sends
		 * and receives: NCCL takes Simple for them where it likes to.
		 */
		if (!p2p)
			least *= 2;
		most = 2 * ref_traffic(c) + 16 * (after->messages - before->messages);
	}
	if (sent == received && sent >= least && sent <= most)
		return 0;
	report_err("%s %s %zu: %" PRIu64 " bytes sent, %" PRIu64 " received, should be %" PRIu64
		   " to %" PRIu64,
		   ref_op_name(c->op), ref_type_name(c->type), c->count, sent, received, least,
		   most);
	return 1;
}

static int case_run(struct run *run, const struct ref_case *c)
{
	struct rank *rank = run->rank;
	int me = rank->o->rank, err;
	size_t src_bytes = ref_src_count(c) * ref_type_size(c->type);
	size_t dst_bytes = ref_dst_count(c) * ref_type_size(c->type), wrong, first = 0;
	char *dst = run->dst.at, *src = rank->o->in_place ? in_place_src(c, dst, me) : NULL;
	struct rank_traffic before, after;
	double start;

	if (!src)
		src = run->src.at;
	err = rank_traffic_sum(rank, &before);
	ref_fill(c, me, run->host);
	if (!err && dst_bytes)
		err = gpu_lib_check(&rank->gpu,
				    rank->gpu.fill((gpu_ptr)(uintptr_t)dst, 0xa5, dst_bytes),
				    "cuMemsetD8");
	if (!err && src_bytes)
		err = gpu_lib_check(
			&rank->gpu,
			rank->gpu.copy_in((gpu_ptr)(uintptr_t)src, run->host, src_bytes),
			"cuMemcpyHtoD");
	start = rank_now();
	if (!err)
		err = collective_start(rank, rank->comm, c, src, dst, me);
	if (!err)
		err = rank_wait(rank, rank->comm, NULL);
	start = rank_now() - start;
	if (!err && dst_bytes)
		err = gpu_lib_check(
			&rank->gpu,
			rank->gpu.copy_out(run->host, (gpu_ptr)(uintptr_t)dst, dst_bytes),
			"cuMemcpyDtoH");
	if (!err)
		err = traffic_settle(rank, &after);
	if (err)
		return err;
	run->cases++;
	wrong = ref_wrong(c, me, run->host, &first);
	if (wrong)
		report_err("%s %s %s %zu root %d: %zu of %zu elements are wrong, the first is %zu",
			   ref_op_name(c->op), ref_type_name(c->type), ref_redop_name(c->redop),
			   c->count, c->root, wrong, ref_dst_count(c), first);
	if (wrong || (me == 0 && traffic_check(run, c, &before, &after)))
		run->wrong++;
	if (rank->o->verbose && me == 0)
		report_note("%s %s %s %zu: %.1f ms", ref_op_name(c->op), ref_type_name(c->type),
			    ref_redop_name(c->redop), c->count, start * 1e3);
	return 0;
}

static int sizes_run(struct run *run, struct ref_case *c)
{
	const struct case_options *o = run->rank->o;
	int err = 0;

	for (size_t i = 0; i < o->ncounts && !err; i++) {
		c->count = o->counts[i];
		c->seed = o->seed + 1000003u * run->cases;
		c->root = (int)(run->cases % (unsigned int)o->nranks);
		err = case_run(run, c);
	}
	return err;
}

static int cases_run(struct run *run)
{
	const struct case_options *o = run->rank->o;
	struct ref_case c = { .nranks = o->nranks };
	int err = 0;

	for (int op = 0; op < REF_OPS && !err; op++)
		for (c.type = 0; c.type < NCCL_TYPES && !err; c.type++)
			for (c.redop = 0; c.redop < NCCL_REDOPS && !err; c.redop++) {
				c.op = (enum ref_op)op;
				if (!o->ops[op] || !o->types[c.type])
					continue;
				/* Without a reduction there is one case, not five. */
				if (ref_op_reduces(c.op) ? !o->redops[c.redop] : c.redop > 0)
					continue;
				err = sizes_run(run, &c);
			}
	return err;
}

/* Once for all: bytes may be counted as placed a little later than as received. */
static int placed_check(struct run *run)
{
	struct rank_traffic sum;
	uint64_t placed;
	int err = traffic_settle(run->rank, &sum);

	if (err || !run->rank->o->placed)
		return err;
	placed = run->rank->o->placed == 1 ? sum.placed_gpu : sum.placed_unpack;
	if (run->rank->o->rank == 0)
		report_note("%" PRIu64 " bytes received, placed by the GPU %" PRIu64
			    ", by NCCL's unpack %" PRIu64,
			    sum.received, sum.placed_gpu, sum.placed_unpack);
	if (placed != sum.received || !placed) {
		report_err("not all bytes were put in place in the way that is asked for");
		run->wrong++;
	}
	return 0;
}

static size_t largest(const struct case_options *o)
{
	size_t most = 1;

	for (size_t i = 0; i < o->ncounts; i++)
		if (o->counts[i] > most)
			most = o->counts[i];
	return most * 8 * (size_t)o->nranks;
}

int test_collectives(struct rank *rank)
{
	struct run run = { .rank = rank };
	size_t size = largest(rank->o);
	double start = rank_now(), ready;
	int err;

	err = rank_comm_init(rank, &rank->comm);
	if (err)
		return err;
	ready = rank_now();
	run.host = malloc(size);
	err = run.host ? rank_buffer_alloc(rank, rank->comm, size, &run.src) : -ENOMEM;
	if (!err)
		err = rank_buffer_alloc(rank, rank->comm, size, &run.dst);
	if (!err)
		err = cases_run(&run);
	if (!err)
		err = placed_check(&run);
	if (!err)
		err = rendezvous_barrier(rank->rendezvous);
	if (err) {
		/* Others may wait for what will never come. */
		rank->nccl.comm_abort(rank->comm);
	} else {
		rank_buffer_free(rank, rank->comm, &run.src);
		rank_buffer_free(rank, rank->comm, &run.dst);
		err = nccl_lib_check(&rank->nccl, rank->nccl.comm_destroy(rank->comm),
				     "ncclCommDestroy");
	}
	free(run.host);
	if (rank->o->rank == 0 && !err)
		report_note("%u cases, %u wrong; NCCL %d, init %.2f s, cases %.2f s, %.1f ms each",
			    run.cases, run.wrong, rank->nccl.version, ready - start,
			    rank_now() - ready,
			    (rank_now() - ready) * 1e3 / (run.cases ? run.cases : 1));
	if (!err && (run.wrong || !run.cases))
		err = -EBADMSG;
	return err;
}
