// SPDX-License-Identifier: BSD-3-Clause
#include "rank.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report.h"

double rank_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* NCCL takes processes with different NCCL_HOSTID for hosts, which talk through the net plugin alone. */
static void environment_set(const struct case_options *o)
{
	char id[32];

	snprintf(id, sizeof(id), "nccl-case-%d", o->rank);
	setenv("NCCL_HOSTID", id, 1);
	if (o->plugin)
		setenv("NCCL_NET_PLUGIN", o->plugin, 0);
	if (o->emulation)
		setenv("STANDIN_KERNELS", o->emulation, 0);
	setenv("NCCL_NET", "Devmem", 0);
	/* Not what is tested, and some machines have one. */
	setenv("NCCL_IB_DISABLE", "1", 0);
	setenv("NCCL_DEBUG", "WARN", 0);
}

int rank_open(const struct case_options *o, struct rank *rank)
{
	void *plugin;
	int err;

	memset(rank, 0, sizeof(*rank));
	rank->o = o;
	environment_set(o);
	err = rendezvous_open(o->rendezvous, o->rank, o->nranks, o->timeout_s, &rank->rendezvous);
	if (err)
		return err;
	err = gpu_lib_open(o->cuda, 0, &rank->gpu);
	if (err)
		return err;
	/* NCCL opens it by its name; loaded already, it is found. */
	if (o->nvml && !dlopen(o->nvml, RTLD_NOW | RTLD_GLOBAL)) {
		report_err("no NVML: %s", dlerror());
		return -ENOENT;
	}
	err = nccl_lib_open(o->nccl, &rank->nccl);
	if (err)
		return err;
	/*
	 * The plugin stays loaded between communicators: by this variable, or by its being open here (2.22). Neither NCCL
	 * can use one again that it has unloaded: from 2.27 on it forgets the name it was found by, 2.22 does
	 * not call its init() again (src/plugin/net.cc, src/net.cc).
	 */
	setenv("NCCL_NET_PLUGIN_REF_COUNT", "1", 0);
	if (o->plugin) {
		/* The same library as NCCL will open, so the same counters. */
		plugin = dlopen(o->plugin, RTLD_NOW | RTLD_LOCAL);
		if (plugin)
			*(void **)&rank->counters_get = dlsym(plugin, "nccl_devmem_counters_get");
		if (!rank->counters_get) {
			report_err("%s: %s", o->plugin, dlerror());
			return -ENOENT;
		}
	}
	return gpu_lib_check(&rank->gpu,
			     rank->gpu.stream_create(&rank->stream, GPU_STREAM_NON_BLOCKING),
			     "cuStreamCreate");
}

void rank_close(struct rank *rank)
{
	if (rank->stream)
		rank->gpu.stream_destroy(rank->stream);
	gpu_lib_close(&rank->gpu);
	rendezvous_close(rank->rendezvous);
}

int rank_comm_init(struct rank *rank, nccl_comm *ret)
{
	struct nccl_unique_id id = { 0 }, *all;
	int err = 0;

	all = calloc((size_t)rank->o->nranks, sizeof(*all));
	if (!all)
		return -ENOMEM;
	if (rank->o->rank == 0)
		err = nccl_lib_check(&rank->nccl, rank->nccl.get_unique_id(&id), "ncclGetUniqueId");
	if (!err)
		err = rendezvous_all_gather(rank->rendezvous, &id, sizeof(id), all);
	if (!err)
		err = nccl_lib_check(
			&rank->nccl,
			rank->nccl.comm_init(ret, rank->o->nranks, all[0], rank->o->rank),
			"ncclCommInitRank");
	free(all);
	return err;
}

int rank_buffer_alloc(struct rank *rank, nccl_comm comm, size_t size, struct rank_buffer *ret)
{
	struct rank_buffer b = { .size = size ? size : 1 };
	gpu_ptr at = 0;
	int err;

	if (rank->o->buffers == BUFFERS_NCCL) {
		err = nccl_lib_check(&rank->nccl, rank->nccl.mem_alloc(&b.at, b.size),
				     "ncclMemAlloc");
	} else {
		err = gpu_lib_check(&rank->gpu, rank->gpu.alloc(&at, b.size), "cuMemAlloc");
		b.at = (void *)(uintptr_t)at;
	}
	if (err)
		return err;
	err = gpu_lib_check(&rank->gpu, rank->gpu.fill((gpu_ptr)(uintptr_t)b.at, 0xa5, b.size),
			    "cuMemsetD8");
	if (!err && rank->o->buffers == BUFFERS_REGISTERED)
		err = nccl_lib_check(&rank->nccl,
				     rank->nccl.comm_register(comm, b.at, b.size, &b.registration),
				     "ncclCommRegister");
	if (err) {
		rank_buffer_free(rank, comm, &b);
		return err;
	}
	*ret = b;
	return 0;
}

void rank_buffer_free(struct rank *rank, nccl_comm comm, struct rank_buffer *b)
{
	if (b->registration)
		nccl_lib_check(&rank->nccl, rank->nccl.comm_deregister(comm, b->registration),
			       "ncclCommDeregister");
	if (b->at && rank->o->buffers == BUFFERS_NCCL)
		nccl_lib_check(&rank->nccl, rank->nccl.mem_free(b->at), "ncclMemFree");
	else if (b->at)
		gpu_lib_check(&rank->gpu, rank->gpu.free((gpu_ptr)(uintptr_t)b->at), "cuMemFree");
	memset(b, 0, sizeof(*b));
}

int rank_wait(struct rank *rank, nccl_comm comm, int *ret_async)
{
	const struct timespec pause = { .tv_nsec = 100000 };
	double end = rank_now() + rank->o->timeout_s;
	int result, async = 0;

	for (;;) {
		result = rank->gpu.stream_query(rank->stream);
		if (result != GPU_NOT_READY)
			return gpu_lib_check(&rank->gpu, result, "cuStreamQuery");
		result = rank->nccl.comm_async_error(comm, &async);
		if (result || (async && async != NCCL_IN_PROGRESS)) {
			if (ret_async)
				*ret_async = async;
			else
				nccl_lib_check(&rank->nccl, result ? result : async,
					       "asynchronous error");
			return -EIO;
		}
		if (rank_now() > end) {
			if (!ret_async)
				report_err("nothing came of an operation for %d s",
					   rank->o->timeout_s);
			return -ETIMEDOUT;
		}
		nanosleep(&pause, NULL);
	}
}

int rank_traffic_sum(struct rank *rank, struct rank_traffic *ret)
{
	struct nccl_devmem_counters c = { 0 };
	struct rank_traffic mine, *all;
	int err;

	memset(ret, 0, sizeof(*ret));
	if (!rank->counters_get)
		return 0;
	all = calloc((size_t)rank->o->nranks, sizeof(*all));
	if (!all)
		return -ENOMEM;
	rank->counters_get(&c, sizeof(c));
	mine.sent = c.sent_inline + c.sent_copy + c.sent_zerocopy + c.sent_devmem + c.sent_staged;
	mine.received = c.recv_inline + c.recv_copy + c.recv_devmem + c.recv_linear + c.recv_staged;
	mine.messages = c.msgs_sent;
	mine.placed_gpu = c.placed_gpu;
	mine.placed_unpack = c.placed_unpack;
	err = rendezvous_all_gather(rank->rendezvous, &mine, sizeof(mine), all);
	for (int r = 0; !err && r < rank->o->nranks; r++) {
		ret->sent += all[r].sent;
		ret->received += all[r].received;
		ret->messages += all[r].messages;
		ret->placed_gpu += all[r].placed_gpu;
		ret->placed_unpack += all[r].placed_unpack;
	}
	free(all);
	return err;
}
