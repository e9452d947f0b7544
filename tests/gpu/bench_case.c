// SPDX-License-Identifier: BSD-3-Clause
#include "bench.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "report.h"

/* Behind the output, where nothing may be written. */
#define GUARD  256
#define POISON 0xff

struct buffers {
	gpu_ptr in, out;
};

/* What was wrong with a case so far. */
struct finding {
	size_t wrong;
	char first[128];
	char digests[2][17];
	int ndigests;
};

static int copy_input(struct bench *b, const struct pattern_case *c, gpu_ptr to)
{
	size_t item = pattern_itemsize(c->type), count = pattern_count_in(c), n;
	int err = 0;

	for (size_t first = 0; first < count && !err; first += n) {
		n = count - first < PATTERN_CHUNK ? count - first : PATTERN_CHUNK;
		pattern_fill(c, first, n, b->host);
		err = gpu_lib_check(&b->gpu, b->gpu.copy_in(to + first * item, b->host, n * item),
				    "cuMemcpyHtoD");
	}
	return err;
}

static void note_first(struct finding *f, size_t at, double got, double want)
{
	if (!f->first[0])
		snprintf(f->first, sizeof(f->first), "element %zu is %g, not %.1f", at, got, want);
}

/* Compares all of the output; *@ret_digest is its digest. */
static int look_at_output(struct bench *b, const struct pattern_case *c, gpu_ptr out,
			  struct finding *f, uint64_t *ret_digest)
{
	size_t item = pattern_itemsize(c->type), count = pattern_count_out(c), n, wrong, at = 0;
	const uint8_t *guard = b->host;
	uint64_t digest = 0;
	double want = 0;
	int err;

	for (size_t first = 0; first < count; first += n) {
		n = count - first < PATTERN_CHUNK ? count - first : PATTERN_CHUNK;
		err = gpu_lib_check(&b->gpu, b->gpu.copy_out(b->host, out + first * item, n * item),
				    "cuMemcpyDtoH");
		if (err)
			return err;
		wrong = pattern_wrong(c, first, n, b->host, &at, &want);
		if (wrong)
			note_first(f, at, pattern_value(c->type, b->host, at - first), want);
		f->wrong += wrong;
		digest = pattern_digest(c->type, first, n, b->host, digest);
	}
	err = gpu_lib_check(&b->gpu, b->gpu.copy_out(b->host, out + count * item, GUARD),
			    "cuMemcpyDtoH");
	if (err)
		return err;
	for (size_t i = 0; i < GUARD; i++) {
		if (guard[i] == POISON)
			continue;
		f->wrong++;
		if (!f->first[0])
			snprintf(f->first, sizeof(f->first),
				 "bytes behind the end of the output were written");
		break;
	}
	*ret_digest = digest;
	return 0;
}

static int poison(struct bench *b, const struct pattern_case *c, gpu_ptr out)
{
	size_t bytes = pattern_count_out(c) * pattern_itemsize(c->type);
	int err;

	err = gpu_lib_check(&b->gpu, b->gpu.fill(out, POISON, bytes + GUARD), "cuMemsetD8");
	/* Filling is asynchronous to the host and not ordered with the stream. */
	return err ? err : gpu_lib_check(&b->gpu, b->gpu.stream_wait(NULL), "cuStreamSynchronize");
}

static int exchange_start(struct bench *b, const struct pattern_case *c, int type,
			  const struct buffers *buf)
{
	const struct nccl_lib *nccl = &b->nccl;
	size_t count = pattern_count_in(c), share = count / (size_t)c->world;
	size_t bytes = share * pattern_itemsize(c->type);
	int err = nccl->group_start(), end;

	if (c->op == PATTERN_SENDRECV) {
		if (!err)
			err = nccl->send((void *)(uintptr_t)buf->in, count, type,
					 (c->rank + 1) % c->world, b->comm, b->stream);
		if (!err)
			err = nccl->recv((void *)(uintptr_t)buf->out, count, type,
					 (c->rank + c->world - 1) % c->world, b->comm, b->stream);
	} else {
		for (int r = 0; r < c->world && !err; r++) {
			err = nccl->send((void *)(uintptr_t)(buf->in + (size_t)r * bytes), share,
					 type, r, b->comm, b->stream);
			if (!err)
				err = nccl->recv((void *)(uintptr_t)(buf->out + (size_t)r * bytes),
						 share, type, r, b->comm, b->stream);
		}
	}
	end = nccl->group_end();
	return err ? err : end;
}

static int start(struct bench *b, const struct pattern_case *c, int root, const struct buffers *buf)
{
	const struct nccl_lib *nccl = &b->nccl;
	int type = c->type == PATTERN_FP32 ? NCCL_FLOAT32 : NCCL_BFLOAT16, err;
	void *in = (void *)(uintptr_t)buf->in, *out = (void *)(uintptr_t)buf->out;
	size_t n_in = pattern_count_in(c), n_out = pattern_count_out(c);

	switch (c->op) {
	case PATTERN_ALL_REDUCE:
		err = nccl->all_reduce(in, out, n_in, type, NCCL_SUM, b->comm, b->stream);
		break;
	case PATTERN_ALL_GATHER:
		err = nccl->all_gather(in, out, n_in, type, b->comm, b->stream);
		break;
	case PATTERN_REDUCE_SCATTER:
		err = nccl->reduce_scatter(in, out, n_out, type, NCCL_SUM, b->comm, b->stream);
		break;
	case PATTERN_BROADCAST:
		err = nccl->broadcast(in, out, n_in, type, root, b->comm, b->stream);
		break;
	default:
		err = exchange_start(b, c, type, buf);
	}
	b->must_receive += pattern_must_receive(c, root);
	return nccl_lib_check(nccl, err, pattern_op_names[c->op]);
}

/* One call whose result is looked at, with values of @c->salt; its time goes to *@ret_seconds. */
static int check(struct bench *b, const struct pattern_case *c, const struct buffers *buf,
		 struct finding *f, double *ret_seconds)
{
	uint64_t digest;
	double began;
	int err;

	err = copy_input(b, c, buf->in);
	if (!err)
		err = poison(b, c, buf->out);
	if (!err)
		err = rendezvous_barrier(b->rendezvous);
	if (err)
		return err;
	began = bench_now();
	err = start(b, c, pattern_root(c), buf);
	if (!err)
		err = bench_wait(b);
	if (err)
		return err;
	*ret_seconds = bench_now() - began;
	err = look_at_output(b, c, buf->out, f, &digest);
	if (!err)
		snprintf(f->digests[f->ndigests++], sizeof(f->digests[0]), "%016" PRIx64, digest);
	return err;
}

/* @iterations calls with the values that are there; the last one is looked at, since all have the same output. */
static int time_calls(struct bench *b, const struct pattern_case *c, const struct buffers *buf,
		      int iterations, struct finding *f, double *ret_seconds)
{
	uint64_t digest;
	double began;
	int err = poison(b, c, buf->out);

	if (!err)
		err = rendezvous_barrier(b->rendezvous);
	began = bench_now();
	for (int i = 0; i < iterations && !err; i++)
		err = start(b, c, pattern_root(c), buf);
	if (!err)
		err = bench_wait(b);
	*ret_seconds = (bench_now() - began) / iterations;
	if (!err)
		err = bench_slowest(b, ret_seconds);
	return err ? err : look_at_output(b, c, buf->out, f, &digest);
}

static json_t *case_json(const struct pattern_case *c, const struct finding *f, int iterations,
			 double seconds)
{
	return json_pack("{s:s, s:s, s:I, s:I, s:s?, s:[s, s], s:i, s:f, s:f}", "op",
			 pattern_op_names[c->op], "dtype", pattern_type_names[c->type], "bytes",
			 (json_int_t)c->size, "wrong", (json_int_t)f->wrong, "first_wrong",
			 f->first[0] ? f->first : NULL, "digests", f->digests[0], f->digests[1],
			 "iterations", iterations, "seconds", seconds, "busbw",
			 (double)c->size * pattern_bus_factor(c->op, c->world) / seconds / 1e9);
}

int bench_case_run(struct bench *b, struct pattern_case c, double seconds, json_t **ret,
		   size_t *ret_wrong)
{
	size_t item = pattern_itemsize(c.type);
	struct buffers buf = { 0 };
	struct finding f = { 0 };
	double once = 0, took = 1, again;
	int iterations = 1, err;

	err = gpu_lib_check(&b->gpu, b->gpu.alloc(&buf.in, pattern_count_in(&c) * item),
			    "cuMemAlloc");
	if (err)
		return err;
	err = gpu_lib_check(&b->gpu, b->gpu.alloc(&buf.out, pattern_count_out(&c) * item + GUARD),
			    "cuMemAlloc");
	if (err)
		goto free_in;
	c.salt = 1;
	err = check(b, &c, &buf, &f, &once);
	if (!err)
		/* All ranks have the same number then, and so the same iterations. */
		err = bench_slowest(b, &once);
	if (err)
		goto free_out;
	if (seconds / once < b->o->iterations)
		iterations = seconds / once < 1 ? 1 : (int)(seconds / once);
	else
		iterations = b->o->iterations;
	err = time_calls(b, &c, &buf, iterations, &f, &took);
	c.salt = 2;
	if (!err)
		err = check(b, &c, &buf, &f, &again);
	if (!err) {
		*ret = case_json(&c, &f, iterations, took);
		*ret_wrong = f.wrong;
		err = *ret ? 0 : -ENOMEM;
	}
free_out:
	b->gpu.free(buf.out);
free_in:
	b->gpu.free(buf.in);
	return err;
}
