// SPDX-License-Identifier: BSD-3-Clause
#include "bench.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nccl_devmem.h"
#include "report.h"

double bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int bench_wait(struct bench *b)
{
	const struct timespec pause = { .tv_nsec = 20000 };
	double end = bench_now() + b->o->timeout_s;
	int result, async = 0;

	for (;;) {
		result = b->gpu.stream_query(b->stream);
		if (result != GPU_NOT_READY)
			return gpu_lib_check(&b->gpu, result, "cuStreamQuery");
		result = b->nccl.comm_async_error(b->comm, &async);
		if (result || (async && async != NCCL_IN_PROGRESS))
			return nccl_lib_check(&b->nccl, result ? result : async,
					      "asynchronous error");
		if (bench_now() > end) {
			report_err("nothing came of an operation for %d s", b->o->timeout_s);
			return -ETIMEDOUT;
		}
		nanosleep(&pause, NULL);
	}
}

int bench_slowest(struct bench *b, double *value)
{
	double *all = calloc((size_t)b->o->world, sizeof(*all));
	int err;

	if (!all)
		return -ENOMEM;
	err = rendezvous_all_gather(b->rendezvous, value, sizeof(*value), all);
	for (int r = 0; r < b->o->world && !err; r++)
		if (all[r] > *value)
			*value = all[r];
	free(all);
	return err;
}

static int comm_open(struct bench *b)
{
	struct nccl_unique_id id = { 0 }, *all;
	int err = 0;

	all = calloc((size_t)b->o->world, sizeof(*all));
	if (!all)
		return -ENOMEM;
	if (b->o->rank == 0)
		err = nccl_lib_check(&b->nccl, b->nccl.get_unique_id(&id), "ncclGetUniqueId");
	if (!err)
		err = rendezvous_all_gather(b->rendezvous, &id, sizeof(id), all);
	if (!err)
		err = nccl_lib_check(&b->nccl,
				     b->nccl.comm_init(&b->comm, b->o->world, all[0], b->o->rank),
				     "ncclCommInitRank");
	free(all);
	return err;
}

int bench_open(const struct bench_options *o, struct bench *b)
{
	int err;

	memset(b, 0, sizeof(*b));
	b->o = o;
	b->host = malloc(PATTERN_CHUNK * pattern_itemsize(PATTERN_FP32));
	if (!b->host)
		return -ENOMEM;
	if (o->emulation)
		setenv("STANDIN_KERNELS", o->emulation, 1);
	err = rendezvous_open(o->rendezvous, o->rank, o->world, o->timeout_s, &b->rendezvous);
	if (!err)
		err = gpu_lib_open(o->cuda, o->device, &b->gpu);
	if (err)
		return err;
	/* NCCL opens it by its name; loaded already, it is found. */
	if (o->nvml && !dlopen(o->nvml, RTLD_NOW | RTLD_GLOBAL)) {
		report_err("no NVML: %s", dlerror());
		return -ENOENT;
	}
	err = nccl_lib_open(o->nccl, &b->nccl);
	if (!err)
		err = gpu_lib_check(&b->gpu,
				    b->gpu.stream_create(&b->stream, GPU_STREAM_NON_BLOCKING),
				    "cuStreamCreate");
	return err ? err : comm_open(b);
}

int bench_close(struct bench *b, bool aborting)
{
	int err = 0;

	if (b->comm && aborting)
		b->nccl.comm_abort(b->comm);
	else if (b->comm)
		err = nccl_lib_check(&b->nccl, b->nccl.comm_destroy(b->comm), "ncclCommDestroy");
	if (b->stream)
		b->gpu.stream_destroy(b->stream);
	gpu_lib_close(&b->gpu);
	rendezvous_close(b->rendezvous);
	free(b->host);
	memset(b, 0, sizeof(*b));
	return err;
}

json_t *bench_counters(const struct bench *b)
{
	size_t (*get)(struct nccl_devmem_counters * out, size_t size);
	struct nccl_devmem_counters c = { 0 };
	json_t *json = NULL;
	void *library;

	/* Only if NCCL has it: a library that this program loaded would prove nothing. */
	library = b->o->plugin ? dlopen(b->o->plugin, RTLD_NOW | RTLD_NOLOAD) : NULL;
	if (!library)
		return json_null();
	*(void **)&get = dlsym(library, "nccl_devmem_counters_get");
	if (get && get(&c, sizeof(c)) >= sizeof(c)) {
		json = json_object();
#define C(field, text) json_object_set_new(json, #field, json_integer((json_int_t)c.field));
		NCCL_DEVMEM_COUNTERS(C)
#undef C
	} else {
		report_err("%s has no counters, or fewer than this program knows", b->o->plugin);
	}
	dlclose(library);
	return json ? json : json_null();
}
