// SPDX-License-Identifier: BSD-3-Clause
/* Communicators' lives: split, abort, a peer that dies, and one after the other. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "rank.h"
#include "report.h"

#define COUNT 50000

/* One all_reduce of int32 on @comm, whose rank @me of @nranks this is; checked. */
static int all_reduce_check(struct rank *rank, nccl_comm comm, int me, int nranks, uint64_t seed)
{
	const struct ref_case c = { .op = REF_ALL_REDUCE,
				    .type = NCCL_INT32,
				    .redop = NCCL_SUM,
				    .count = COUNT,
				    .nranks = nranks,
				    .seed = seed };
	struct rank_buffer src, dst = { 0 };
	size_t bytes = COUNT * ref_type_size(c.type), first, wrong;
	void *host = malloc(bytes);
	int err;

	if (!host)
		return -ENOMEM;
	err = rank_buffer_alloc(rank, comm, bytes, &src);
	if (err)
		goto free_host;
	err = rank_buffer_alloc(rank, comm, bytes, &dst);
	if (err)
		goto free_src;
	ref_fill(&c, me, host);
	err = gpu_lib_check(&rank->gpu, rank->gpu.copy_in((gpu_ptr)(uintptr_t)src.at, host, bytes),
			    "cuMemcpyHtoD");
	if (!err)
		err = collective_start(rank, comm, &c, src.at, dst.at, me);
	if (!err)
		err = rank_wait(rank, comm, NULL);
	if (!err)
		err = gpu_lib_check(&rank->gpu,
				    rank->gpu.copy_out(host, (gpu_ptr)(uintptr_t)dst.at, bytes),
				    "cuMemcpyDtoH");
	if (!err) {
		wrong = ref_wrong(&c, me, host, &first);
		if (wrong) {
			report_err("%zu of %d elements are wrong, the first is %zu", wrong, COUNT,
				   first);
			err = -EBADMSG;
		}
	}
	rank_buffer_free(rank, comm, &dst);
free_src:
	rank_buffer_free(rank, comm, &src);
free_host:
	free(host);
	return err;
}

/* Even and odd ranks apart, in reverse order; parent and children work in turn; the parent goes first. */
int test_split(struct rank *rank)
{
	int me = rank->o->rank, n = rank->o->nranks, color = n > 3 ? me % 2 : 0;
	int size = n > 3 ? (n - color + 1) / 2 : n, index = n > 3 ? me / 2 : me;
	nccl_comm child = NULL;
	int err;

	err = rank_comm_init(rank, &rank->comm);
	if (!err)
		err = all_reduce_check(rank, rank->comm, me, n, 11);
	if (!err)
		err = nccl_lib_check(&rank->nccl,
				     rank->nccl.comm_split(rank->comm, color, n - me, &child, NULL),
				     "ncclCommSplit");
	for (uint64_t i = 0; i < 3 && !err; i++) {
		err = all_reduce_check(rank, child, size - 1 - index, size, 21 + i);
		if (!err)
			err = all_reduce_check(rank, rank->comm, me, n, 31 + i);
	}
	if (!err)
		err = rendezvous_barrier(rank->rendezvous);
	if (!err)
		err = nccl_lib_check(&rank->nccl, rank->nccl.comm_destroy(rank->comm),
				     "ncclCommDestroy of the parent");
	if (!err)
		err = all_reduce_check(rank, child, size - 1 - index, size, 41);
	if (!err)
		err = rendezvous_barrier(rank->rendezvous);
	if (!err)
		err = nccl_lib_check(&rank->nccl, rank->nccl.comm_destroy(child),
				     "ncclCommDestroy of the child");
	if (!err && me == 0)
		report_note("split into groups of %d: right", size);
	return err;
}

/* Communicators one after the other in one process: NCCL unloads the plugin between them and loads it again. */
int test_reinit(struct rank *rank)
{
	int err = 0;

	for (uint64_t i = 0; i < 3 && !err; i++) {
		err = rank_comm_init(rank, &rank->comm);
		if (!err)
			err = all_reduce_check(rank, rank->comm, rank->o->rank, rank->o->nranks, i);
		if (!err)
			err = rendezvous_barrier(rank->rendezvous);
		if (!err)
			err = nccl_lib_check(&rank->nccl, rank->nccl.comm_destroy(rank->comm),
					     "ncclCommDestroy");
	}
	if (!err && rank->o->rank == 0)
		report_note("3 communicators in a row: right");
	return err;
}

/* An all_reduce that one rank does not take part in. *@ret_async: what the communicator says of it. */
static int all_reduce_hang(struct rank *rank, struct rank_buffer *buffer, int *ret_async)
{
	const struct ref_case c = { .op = REF_ALL_REDUCE,
				    .type = NCCL_INT32,
				    .redop = NCCL_SUM,
				    .count = COUNT * 20,
				    .nranks = rank->o->nranks };
	int err;

	err = collective_start(rank, rank->comm, &c, buffer->at, buffer->at, rank->o->rank);
	return err ? err : rank_wait(rank, rank->comm, ret_async);
}

static int abort_timed(struct rank *rank, const char *after)
{
	double start = rank_now();
	int err;

	err = nccl_lib_check(&rank->nccl, rank->nccl.comm_abort(rank->comm), "ncclCommAbort");
	start = rank_now() - start;
	if (!err && start > 60) {
		report_err("ncclCommAbort took %.1f s", start);
		err = -ETIMEDOUT;
	}
	if (!err && rank->o->rank == 0)
		report_note("%s: ncclCommAbort took %.0f ms", after, start * 1e3);
	return err;
}

/* The last rank never calls; the others wait in vain, abort, and make a new communicator that works. */
int test_abort(struct rank *rank)
{
	struct rank_buffer buffer = { 0 };
	struct rank waiting = *rank;
	struct case_options o = *rank->o;
	int async = 0, err;

	err = rank_comm_init(rank, &rank->comm);
	if (!err)
		err = all_reduce_check(rank, rank->comm, rank->o->rank, rank->o->nranks, 1);
	if (!err)
		err = rank_buffer_alloc(rank, rank->comm, COUNT * 20 * 4, &buffer);
	if (err)
		return err;
	o.timeout_s = 2;
	waiting.o = &o;
	waiting.comm = rank->comm;
	if (rank->o->rank != rank->o->nranks - 1) {
		err = all_reduce_hang(&waiting, &buffer, &async);
		if (err != -ETIMEDOUT) {
			report_err(
				"an all_reduce that a rank does not take part in ended with %d, async %d",
				err, async);
			return -EBADMSG;
		}
	}
	err = rendezvous_barrier(rank->rendezvous);
	if (!err)
		err = abort_timed(rank, "a rank that never called");
	if (!err)
		err = gpu_lib_check(&rank->gpu, rank->gpu.stream_wait(rank->stream),
				    "cuStreamSynchronize");
	if (err)
		return err;
	rank_buffer_free(rank, rank->comm, &buffer);
	err = rank_comm_init(rank, &rank->comm);
	if (!err)
		err = all_reduce_check(rank, rank->comm, rank->o->rank, rank->o->nranks, 2);
	if (!err)
		err = rendezvous_barrier(rank->rendezvous);
	if (!err)
		err = nccl_lib_check(&rank->nccl, rank->nccl.comm_destroy(rank->comm),
				     "ncclCommDestroy");
	return err;
}

/* The last rank is killed in the middle; every neighbour hears of it by an asynchronous error, and aborts. */
int test_peer_death(struct rank *rank)
{
	struct rank_buffer buffer = { 0 };
	int async = 0, err;
	double start;

	err = rank_comm_init(rank, &rank->comm);
	if (!err)
		err = all_reduce_check(rank, rank->comm, rank->o->rank, rank->o->nranks, 1);
	if (!err)
		err = rank_buffer_alloc(rank, rank->comm, COUNT * 20 * 4, &buffer);
	if (!err)
		err = rendezvous_barrier(rank->rendezvous);
	if (err)
		return err;
	if (rank->o->rank == rank->o->nranks - 1) {
		const struct timespec pause = { .tv_nsec = 200000000 };

		nanosleep(&pause, NULL);
		/* Not a crash, which would be a failed rank: an end without a word. */
		_exit(0);
	}
	start = rank_now();
	err = all_reduce_hang(rank, &buffer, &async);
	if (err != -EIO) {
		report_err("a peer's death was not told within %d s", rank->o->timeout_s);
		return -EBADMSG;
	}
	report_note("a peer died: %s (%d) after %.1f s", rank->nccl.error_string(async), async,
		    rank_now() - start);
	if (async != NCCL_REMOTE_ERROR && async != NCCL_SYSTEM_ERROR) {
		report_err("a peer's death is told as %d", async);
		return -EBADMSG;
	}
	return abort_timed(rank, "a dead peer");
}
