// SPDX-License-Identifier: BSD-3-Clause
/*
 * Which way a GPU moves pieces: the gather kernel, or its copy engine, one copy a piece. The kernel is compiled by the driver (JIT), tried on a
 * sample whose result is compared, and then both are timed on a mebibyte of 4 KiB pieces, from the first call to the last byte.
 *
 * It runs once for each GPU, before the first connection carries data. A GPU that is busy with other work for seconds is not waited for, and the
 * kernel is taken. The buffers of the sample stay allocated: freeing memory waits for all kernels of the GPU, and one of NCCL's may be waiting
 * for the connection that is being made.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/param.h"
#include "mem/gather_plan.h"
#include "mem/gather_ptx.h"
#include "mem/gpu_internal.h"

#define SAMPLE_BYTES  GPU_MOVE_BYTES
#define SAMPLE_PIECE  4096UL
#define SAMPLE_PIECES (SAMPLE_BYTES / SAMPLE_PIECE)
#define SAMPLE_ROUNDS 5
/* A GPU that is busy with the job's work is not waited for. */
#define SAMPLE_WAIT_NS 3000000000LL

/* Offsets in the device memory of the sample. */
#define AT_SOURCE  0UL
#define AT_DST	   (2 * SAMPLE_BYTES)
#define AT_TILES   (4 * SAMPLE_BYTES)
#define AT_SOURCES (AT_TILES + ((GATHER_PLAN_TILES * sizeof(struct gather_tile) + 4095) & ~4095UL))
#define AT_END	   (AT_SOURCES + GATHER_PLAN_SOURCES * sizeof(struct gather_source))

/*
 * @dev: see above. @host: as much ordinary memory. @moves: @n of them, @plan the same for the kernel.
 * @stream, @event: what the sample runs in.
 */
struct sample {
	struct gpu *gpu;
	cu_function kernel;
	uint64_t dev;
	uint8_t *host;
	cu_stream stream;
	cu_event event;
	struct gpu_move moves[GPU_MOVES];
	unsigned int n;
	struct gather_plan plan;
};

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static cu_result sample_wait(const struct sample *s)
{
	const struct cuda_api *cu = s->gpu->cu;
	int64_t end = now_ns() + SAMPLE_WAIT_NS;
	cu_result r = cu->cuEventRecord(s->event, s->stream);

	while (r == CU_OK) {
		r = cu->cuEventQuery(s->event);
		if (r != CU_E_NOT_READY || now_ns() > end)
			break;
		r = CU_OK;
	}
	return r;
}

static cu_result run_kernel(const struct sample *s)
{
	cu_deviceptr tiles = s->dev + AT_TILES, sources = s->dev + AT_SOURCES;
	void *params[] = { &tiles, &sources };
	cu_result r = s->gpu->cu->cuLaunchKernel(s->kernel, s->plan.n_tiles, 1, 1, GATHER_THREADS,
						 1, 1, 0, s->stream, params, NULL);

	return r == CU_OK ? sample_wait(s) : r;
}

static cu_result run_copies(const struct sample *s)
{
	cu_result r = CU_OK;
	unsigned int i;

	for (i = 0; i < s->n && r == CU_OK; i++)
		r = s->gpu->cu->cuMemcpyAsync(s->moves[i].dst, s->moves[i].src, s->moves[i].len,
					      s->stream);
	return r == CU_OK ? sample_wait(s) : r;
}

/* GB/s of the best of some rounds, after one that is not counted; 0 when it cannot be told. */
static double sample_speed(const struct sample *s, cu_result (*run)(const struct sample *s))
{
	int64_t best = INT64_MAX;
	int i;

	for (i = 0; i <= SAMPLE_ROUNDS; i++) {
		int64_t from = now_ns(), took;

		if (run(s) != CU_OK)
			return 0;
		took = now_ns() - from;
		if (i && took < best)
			best = took;
	}
	return best > 0 ? (double)SAMPLE_BYTES / (double)best : 0;
}

/* Copies between the sample's own memory, @host_at being its place in ->host. */
static cu_result sample_copy(const struct sample *s, uint64_t dst, uint64_t src, size_t len)
{
	cu_result r = s->gpu->cu->cuMemcpyAsync(dst, src, len, s->stream);

	return r == CU_OK ? sample_wait(s) : r;
}

static cu_result sample_upload_plan(const struct sample *s)
{
	cu_result r = sample_copy(s, s->dev + AT_TILES, (uintptr_t)s->plan.tiles,
				  s->plan.n_tiles * sizeof(struct gather_tile));

	if (r == CU_OK)
		r = sample_copy(s, s->dev + AT_SOURCES, (uintptr_t)s->plan.sources,
				s->plan.n_sources * sizeof(struct gather_source));
	return r;
}

static void sample_add(struct sample *s, uint64_t dst, uint64_t src, size_t len)
{
	struct gpu_move m = { .src = s->dev + AT_SOURCE + src,
			      .dst = s->dev + AT_DST + dst,
			      .len = len };

	s->moves[s->n++] = m;
	gather_plan_add(&s->plan, &m);
}

static void sample_clear(struct sample *s)
{
	s->n = 0;
	gather_plan_clear(&s->plan);
}

/* Packets' payloads, say: odd lengths from odd places, back to back. Every byte of the destination is compared, also those around. */
static cu_result sample_check(struct sample *s, bool *ret_right)
{
	uint8_t *from = s->host, *to = s->host + SAMPLE_BYTES, *is = s->host + 2 * SAMPLE_BYTES;
	size_t at = 5, len;
	unsigned int i;
	cu_result r;

	sample_clear(s);
	for (i = 0; i < SAMPLE_BYTES; i++) {
		from[i] = (uint8_t)(i * 2654435761U >> 13);
		to[i] = 0xa5;
	}
	memset(is, 0, SAMPLE_BYTES);
	r = sample_copy(s, s->dev + AT_SOURCE, (uintptr_t)from, SAMPLE_BYTES);
	if (r == CU_OK)
		r = sample_copy(s, s->dev + AT_DST, (uintptr_t)to, SAMPLE_BYTES);
	for (i = 0; i < SAMPLE_PIECES - 1; i++, at += len) {
		size_t src = i * 37UL % SAMPLE_PIECES * SAMPLE_PIECE + i % 48;

		len = i % 7 ? 1448 - i % 5 : 1 + i % 23;
		sample_add(s, at, src, len);
		memcpy(to + at, from + src, len);
	}
	if (r == CU_OK)
		r = sample_upload_plan(s);
	if (r == CU_OK)
		r = run_kernel(s);
	if (r == CU_OK)
		r = sample_copy(s, (uintptr_t)is, s->dev + AT_DST, SAMPLE_BYTES);
	*ret_right = r == CU_OK && !memcmp(is, to, SAMPLE_BYTES);
	return r;
}

static void sample_free(struct sample *s)
{
	const struct cuda_api *cu = s->gpu->cu;

	if (s->event)
		cu->cuEventDestroy(s->event);
	if (s->stream)
		cu->cuStreamDestroy(s->stream);
	free(s->host);
	free(s->plan.tiles);
	free(s->plan.sources);
	free(s);
}

static struct sample *sample_create(struct gpu *gpu)
{
	struct sample *s = calloc(1, sizeof(*s));
	struct verdict why;

	if (!s)
		return NULL;
	s->gpu = gpu;
	s->kernel = gpu->mover.kernel;
	s->host = malloc(3 * SAMPLE_BYTES);
	s->plan.tiles = calloc(GATHER_PLAN_TILES, sizeof(*s->plan.tiles));
	s->plan.sources = calloc(GATHER_PLAN_SOURCES, sizeof(*s->plan.sources));
	if (!s->host || !s->plan.tiles || !s->plan.sources ||
	    gpu->cu->cuStreamCreateWithPriority(&s->stream, CU_STREAM_NONBLOCKING, gpu->priority) ||
	    gpu->cu->cuEventCreate(&s->event, CU_EVENT_NO_TIMING) ||
	    gpu_alloc(gpu, AT_END, &s->dev, &why) < 0) {
		sample_free(s);
		return NULL;
	}
	return s;
}

static void set_text(struct gpu *gpu, const char *which, const char *why)
{
	snprintf(gpu->mover.text, sizeof(gpu->mover.text), "%s (%s)", which, why);
}

static void use_copy_engine(struct gpu *gpu, const char *why)
{
	/* The module stays until the context's end: unloading waits for the GPU. */
	gpu->mover.kernel = NULL;
	set_text(gpu, "copy engine", why);
}

/* Has the kernel been tried, with right results? Otherwise what is used instead has been chosen. */
static bool kernel_works(struct gpu *gpu, struct sample *s)
{
	char text[120];
	bool right;
	cu_result r = sample_check(s, &right);

	if (right)
		return true;
	if (r == CU_E_NOT_READY) {
		/* Not the copy engine: that would keep LL and LL128 from a GPU which was only busy. */
		set_text(gpu, "kernel",
			 "neither tried nor measured: the GPU was busy with other work");
		return false;
	}
	if (r != CU_OK)
		snprintf(text, sizeof(text), "trying the kernel: %.80s",
			 cuda_error_text(gpu->cu, r));
	else
		snprintf(text, sizeof(text), "the kernel gave a wrong result");
	use_copy_engine(gpu, text);
	return false;
}

static void measure(struct gpu *gpu, struct sample *s)
{
	double kernel, copy;
	char text[120];
	size_t i;

	sample_clear(s);
	for (i = 0; i < SAMPLE_PIECES; i++)
		sample_add(s, i * SAMPLE_PIECE, i * 37 % SAMPLE_PIECES * SAMPLE_PIECE,
			   SAMPLE_PIECE);
	kernel = sample_upload_plan(s) == CU_OK ? sample_speed(s, run_kernel) : 0;
	if (kernel == 0) {
		set_text(gpu, "kernel", "not measured: the GPU was busy with other work");
		return;
	}
	copy = sample_speed(s, run_copies);
	snprintf(text, sizeof(text),
		 "1 MiB in pieces of 4 KiB: kernel %.2f GB/s, copy engine %.2f GB/s", kernel, copy);
	/* With a margin, because LL and LL128 need the kernel. */
	if (copy > 2 * kernel)
		use_copy_engine(gpu, text);
	else
		set_text(gpu, "kernel", text);
}

static bool load_kernel(struct gpu *gpu)
{
	struct gpu_mover *m = &gpu->mover;
	char text[120];
	cu_result r = gpu->cu->cuModuleLoadData(&m->module, GATHER_PTX);

	if (r != CU_OK) {
		m->module = NULL;
	} else {
		/* Here and not at the first launch: loading may wait for kernels that run (CUDA's lazy loading). */
		r = gpu->cu->cuModuleGetFunction(&m->kernel, m->module, GATHER_ENTRY);
	}
	if (r == CU_OK)
		return true;
	snprintf(text, sizeof(text), "loading the gather kernel: %.80s",
		 cuda_error_text(gpu->cu, r));
	use_copy_engine(gpu, text);
	return false;
}

/* Choosing lock held; the context is current. */
static void choose(struct gpu *gpu)
{
	struct sample *s;

	if (param_choice(PARAM_GATHER) == GATHER_BY_COPY) {
		use_copy_engine(gpu, "as told by NCCL_DEVMEM_GATHER");
		return;
	}
	if (!load_kernel(gpu))
		return;
	s = sample_create(gpu);
	if (!s) {
		use_copy_engine(gpu, "no memory for trying the kernel");
		return;
	}
	if (kernel_works(gpu, s)) {
		if (param_choice(PARAM_GATHER) == GATHER_BY_KERNEL)
			set_text(gpu, "kernel", "as told by NCCL_DEVMEM_GATHER");
		else
			measure(gpu, s);
	}
	sample_free(s);
}

void gpu_mover_choose(struct gpu *gpu)
{
	static pthread_mutex_t choose_lock = PTHREAD_MUTEX_INITIALIZER;
	struct gpu_scope scope;

	pthread_mutex_lock(&choose_lock);
	if (!gpu->mover.chosen) {
		if (gpu_enter(gpu, &scope) == 0) {
			choose(gpu);
			gpu_leave(gpu, &scope);
		} else {
			use_copy_engine(gpu, "the CUDA context is gone");
		}
		gpu->mover.chosen = true;
		log_info("%s: gather: %s", gpu->name, gpu->mover.text);
	}
	pthread_mutex_unlock(&choose_lock);
}

void gpu_mover_free(struct gpu *gpu)
{
	if (gpu->mover.module)
		gpu->cu->cuModuleUnload(gpu->mover.module);
	gpu->mover = (struct gpu_mover){ 0 };
}

bool gpu_is_ordered(struct gpu *gpu)
{
	gpu_mover_choose(gpu);
	return gpu->mover.kernel != NULL;
}
