// SPDX-License-Identifier: BSD-3-Clause
/* nccl-bench: see bench_options.c for what it does. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "report.h"

/* The share of the time left that one case may take for itself before the others have had theirs; as collectives.py. */
#define CASE_SHARE 3

struct job {
	struct bench b;
	struct pattern_case *cases;
	size_t ncases;
	json_t *results, *skipped;
	size_t wrong;
};

static int size_compare(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return (x > y) - (x < y);
}

static int skip(struct job *job, const struct pattern_case *c, const char *reason)
{
	json_t *s = json_pack("{s:s, s:s, s:I, s:s}", "op", pattern_op_names[c->op], "dtype",
			      pattern_type_names[c->type], "bytes", (json_int_t)c->size, "reason",
			      reason);

	return s && !json_array_append_new(job->skipped, s) ? 0 : -ENOMEM;
}

static int case_add(struct job *job, const struct bench_options *o, const struct pattern_case *c)
{
	char reason[128] = "";

	if (!pattern_fits(c))
		snprintf(reason, sizeof(reason),
			 "%zu bytes are no whole number of elements for each of %d ranks", c->size,
			 c->world);
	else if (o->max_bytes && c->size > o->max_bytes)
		snprintf(reason, sizeof(reason),
			 "more than the %zu bytes that free GPU memory allows", o->max_bytes);
	if (reason[0])
		return skip(job, c, reason);
	job->cases[job->ncases++] = *c;
	return 0;
}

/* Small before large: what the small ones leave of the time goes to the large ones. */
static int plan(struct job *job, struct bench_options *o)
{
	struct pattern_case c = { .world = o->world, .rank = o->rank };
	int err = 0;

	job->cases = calloc(o->nsizes * PATTERN_TYPES * PATTERN_OPS, sizeof(*job->cases));
	job->results = json_array();
	job->skipped = json_array();
	if (!job->cases || !job->results || !job->skipped)
		return -ENOMEM;
	qsort(o->sizes, o->nsizes, sizeof(o->sizes[0]), size_compare);
	for (size_t s = 0; s < o->nsizes; s++)
		for (int t = 0; t < PATTERN_TYPES; t++)
			for (int op = 0; op < PATTERN_OPS && !err; op++) {
				if (!o->types[t] || !o->ops[op])
					continue;
				c.size = o->sizes[s];
				c.type = (enum pattern_type)t;
				c.op = (enum pattern_op)op;
				err = case_add(job, o, &c);
			}
	return err;
}

static int cases_run(struct job *job)
{
	double deadline = bench_now() + job->b.o->seconds, left;
	json_t *result = NULL;
	size_t wrong;
	int err = 0;

	for (size_t i = 0; i < job->ncases && !err; i++) {
		/* The rank with most time left speaks for all. */
		left = deadline - bench_now();
		err = bench_slowest(&job->b, &left);
		if (err)
			break;
		if (left <= 0) {
			for (; i < job->ncases && !err; i++)
				err = skip(job, &job->cases[i], "out of time");
			break;
		}
		err = bench_case_run(&job->b, job->cases[i],
				     left / (double)(job->ncases - i) / CASE_SHARE, &result,
				     &wrong);
		if (!err) {
			job->wrong += wrong;
			err = json_array_append_new(job->results, result) ? -ENOMEM : 0;
		}
	}
	return err ? err : rendezvous_barrier(job->b.rendezvous);
}

static json_t *versions(const struct bench *b)
{
	char text[32];
	int v = b->nccl.version;

	snprintf(text, sizeof(text), "%d.%d.%d", v / 10000, v / 100 % 100, v % 100);
	return json_pack("{s:s, s:s}", "nccl", text, "gpu", b->gpu.name);
}

/* Whole or not at all: a reader never finds half a file. */
static int file_write(const char *path, json_t *json)
{
	char temporary[4096];

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", path) >= sizeof(temporary))
		return -ENAMETOOLONG;
	if (json_dump_file(json, temporary, JSON_INDENT(1)) || rename(temporary, path)) {
		report_err("%s cannot be written: %s", path, strerror(errno));
		return -EIO;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct bench_options o;
	struct job job = { 0 };
	json_t *json, *counters = NULL, *version = NULL;
	uint64_t must_receive;
	int err, closed;

	report_init("nccl-bench", -1);
	err = bench_options_parse(argc, argv, &o);
	if (err)
		return err < 0 ? 2 : 0;
	report_init("nccl-bench", o.rank);
	err = plan(&job, &o);
	if (!err)
		err = bench_open(&o, &job.b);
	if (!err)
		err = cases_run(&job);
	must_receive = job.b.must_receive;
	if (job.b.comm) {
		/* Now, since NCCL unloads the plugin with its last communicator. */
		counters = bench_counters(&job.b);
		version = versions(&job.b);
	}
	closed = bench_close(&job.b, err != 0);
	if (!err)
		err = closed;
	json = json_pack("{s:s, s:i, s:i, s:s?, s:O?, s:O?, s:O?, s:O?, s:I}", "program",
			 "collectives", "rank", o.rank, "world", o.world, "error",
			 err ? strerror(-err) : NULL, "versions", version, "counters", counters,
			 "results", job.results, "skipped", job.skipped, "must_receive",
			 (json_int_t)must_receive);
	if (!json || file_write(o.out, json))
		err = -EIO;
	json_decref(json);
	json_decref(version);
	json_decref(counters);
	json_decref(job.results);
	json_decref(job.skipped);
	free(job.cases);
	if (err)
		return 2;
	return job.wrong ? 1 : 0;
}
