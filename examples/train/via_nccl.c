// SPDX-License-Identifier: BSD-3-Clause
#include "via_nccl.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gpu_lib.h"
#include "nccl_lib.h"
#include "report.h"

struct via_nccl {
	struct job *job; /* the caller's */
	struct gpu_lib gpu;
	struct nccl_lib nccl;
	nccl_comm comm;
	void *stream;
	gpu_ptr sums;
	int timeout_s;
	size_t (*counters_get)(struct nccl_devmem_counters *out, size_t size);
};

/* Before NCCL is loaded. */
static int environment_set(const struct job_options *o, struct via_nccl *via)
{
	char id[48];
	void *plugin;

	if (o->rendezvous && !strncmp(o->rendezvous, "fd:", 3)) {
		snprintf(id, sizeof(id), "devmem-train-%d", o->rank);
		setenv("NCCL_HOSTID", id, 0);
	}
	if (!o->plugin)
		return 0;
	setenv("NCCL_NET_PLUGIN", o->plugin, 0);
	/* The library that NCCL will open, too, so its counters. Another plugin has none. */
	plugin = dlopen(o->plugin, RTLD_NOW | RTLD_LOCAL);
	if (!plugin) {
		report_err("cannot load the plugin: %s", dlerror());
		return -ENOENT;
	}
	*(void **)&via->counters_get = dlsym(plugin, "nccl_devmem_counters_get");
	return 0;
}

static int comm_init(struct via_nccl *via)
{
	struct nccl_unique_id id = { 0 }, *all;
	const struct job *job = via->job;
	int err = 0;

	all = calloc((size_t)job->nranks, sizeof(*all));
	if (!all)
		return -ENOMEM;
	if (job->rank == 0)
		err = nccl_lib_check(&via->nccl, via->nccl.get_unique_id(&id), "ncclGetUniqueId");
	if (!err)
		err = rendezvous_all_gather(job->rendezvous, &id, sizeof(id), all);
	if (!err)
		err = nccl_lib_check(
			&via->nccl, via->nccl.comm_init(&via->comm, job->nranks, all[0], job->rank),
			"ncclCommInitRank");
	free(all);
	return err;
}

static void job_name(struct job *job, const struct via_nccl *via)
{
	int v = via->nccl.version;

	snprintf(job->plugin_name, sizeof(job->plugin_name), "of NCCL %d.%d.%d", v / 10000,
		 v / 100 % 100, v % 100);
	snprintf(job->device_name, sizeof(job->device_name), "%s", via->gpu.name);
}

int via_nccl_open(const struct job_options *o, const char *nccl, size_t count, struct job *ret_job,
		  struct via_nccl **ret)
{
	struct via_nccl *via = calloc(1, sizeof(*via));
	struct job job = { .rank = o->rank, .nranks = o->nranks };
	int err;

	if (!via)
		return -ENOMEM;
	via->job = &job;
	via->timeout_s = o->timeout_s;
	err = rendezvous_open(o->rendezvous, o->rank, o->nranks, o->timeout_s, &job.rendezvous);
	if (!err)
		err = environment_set(o, via);
	if (!err)
		err = gpu_lib_open(NULL, 0, &via->gpu);
	if (!err)
		err = nccl_lib_open(nccl, &via->nccl);
	if (!err)
		err = comm_init(via);
	if (!err)
		err = gpu_lib_check(&via->gpu,
				    via->gpu.stream_create(&via->stream, GPU_STREAM_NON_BLOCKING),
				    "cuStreamCreate");
	if (!err)
		err = gpu_lib_check(&via->gpu, via->gpu.alloc(&via->sums, count * sizeof(int64_t)),
				    "cuMemAlloc");
	if (err) {
		via_nccl_close(via);
		rendezvous_close(job.rendezvous);
		return err;
	}
	job_name(&job, via);
	*ret_job = job;
	via->job = ret_job;
	*ret = via;
	return 0;
}

/* For the sums, not for ever. */
static int sums_wait(struct via_nccl *via)
{
	const struct timespec pause = { .tv_nsec = 50000 };
	time_t end = time(NULL) + via->timeout_s;
	int result, async = 0;

	for (;;) {
		result = via->gpu.stream_query(via->stream);
		if (result != GPU_NOT_READY)
			return gpu_lib_check(&via->gpu, result, "cuStreamQuery");
		if (nccl_lib_check(&via->nccl, via->nccl.comm_async_error(via->comm, &async),
				   "ncclCommGetAsyncError"))
			return -EIO;
		if (async && async != NCCL_IN_PROGRESS)
			return nccl_lib_check(&via->nccl, async, "all_reduce");
		if (time(NULL) > end) {
			report_err("all_reduce: nothing came of it for %d s", via->timeout_s);
			return -ETIMEDOUT;
		}
		nanosleep(&pause, NULL);
	}
}

int via_nccl_sum(struct via_nccl *via, int64_t *sums, size_t count)
{
	void *on_gpu = (void *)(uintptr_t)via->sums;
	size_t size = count * sizeof(*sums);
	int err;

	err = gpu_lib_check(&via->gpu, via->gpu.copy_in(via->sums, sums, size), "cuMemcpyHtoD");
	if (!err)
		err = nccl_lib_check(&via->nccl,
				     via->nccl.all_reduce(on_gpu, on_gpu, count, NCCL_INT64,
							  NCCL_SUM, via->comm, via->stream),
				     "ncclAllReduce");
	if (!err)
		err = sums_wait(via);
	if (!err)
		err = gpu_lib_check(&via->gpu, via->gpu.copy_out(sums, via->sums, size),
				    "cuMemcpyDtoH");
	return err;
}

int via_nccl_finish(struct via_nccl *via, struct job_summary *ret)
{
	struct job *job = via->job;
	struct job_summary mine = { 0 }, *all;
	int err;

	/* Nobody closes a connection that its peer still uses. */
	err = rendezvous_barrier(job->rendezvous);
	if (!err)
		err = nccl_lib_check(&via->nccl, via->nccl.comm_destroy(via->comm),
				     "ncclCommDestroy");
	if (err)
		return err;
	via->comm = NULL;
	all = calloc((size_t)job->nranks, sizeof(*all));
	if (!all)
		return -ENOMEM;
	mine.available = via->counters_get != NULL;
	if (via->counters_get)
		via->counters_get(&mine.counters, sizeof(mine.counters));
	err = rendezvous_all_gather(job->rendezvous, &mine, sizeof(mine), all);
	if (!err) {
		memset(ret, 0, sizeof(*ret));
		ret->available = true;
		for (int r = 0; r < job->nranks; r++)
			job_summary_add(ret, &all[r]);
	}
	free(all);
	return err;
}

void via_nccl_close(struct via_nccl *via)
{
	if (!via)
		return;
	if (via->comm)
		via->nccl.comm_abort(via->comm);
	if (via->sums)
		via->gpu.free(via->sums);
	if (via->stream)
		via->gpu.stream_destroy(via->stream);
	gpu_lib_close(&via->gpu);
	free(via);
}
