// SPDX-License-Identifier: BSD-3-Clause
#include "result_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "json_file.h"
#include "report.h"

static const char *redop_name(enum collective_kind kind)
{
	return kind == COLL_ALL_REDUCE || kind == COLL_REDUCE_SCATTER ? "sum" : "none";
}

static uint64_t wrong_total(const struct bench_result *results, size_t n)
{
	uint64_t wrong = 0;

	for (size_t i = 0; i < n; i++)
		wrong += results[i].wrong;
	return wrong;
}

void result_table_head(const struct job *job, const struct perf_options *o)
{
	char text[256];

	job_describe(job, text, sizeof(text));
	printf("# devmem-perf %s: %s, %u channel(s) of %u slots of %zu KiB, %d iterations after "
	       "%d\n",
	       collective_name(o->kind), text, o->job.nchannels, o->job.nslots,
	       o->job.slot_size >> 10, o->iters, o->warmup);
	printf("#\n# %11s %13s %8s %6s %10s %8s %8s %8s\n", "size", "count", "type", "redop",
	       "time", "algbw", "busbw", "#wrong");
	printf("# %11s %13s %8s %6s %10s %8s %8s\n", "(B)", "(elements)", "", "", "(us)", "(GB/s)",
	       "(GB/s)");
	fflush(stdout);
}

void result_table_row(const struct perf_options *o, const struct bench_result *r)
{
	printf("  %11zu %13zu %8s %6s %10.2f %8.3f %8.3f ", r->size, r->count,
	       data_type_name(o->type), redop_name(o->kind), r->time_us, r->algbw, r->busbw);
	if (o->check)
		printf("%8" PRIu64 "\n", r->wrong);
	else
		printf("%8s\n", "N/A");
	fflush(stdout);
}

void result_table_tail(const struct bench_result *results, size_t n, const struct perf_options *o,
		       const struct job_summary *summary)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += results[i].busbw;
	if (o->check)
		printf("# Wrong values         : %" PRIu64 "\n", wrong_total(results, n));
	else
		printf("# Wrong values         : not checked (--check)\n");
	printf("# Average bus bandwidth: %.4f GB/s\n#\n", sum / (double)n);
	job_summary_print(summary, stdout, "# ");
	fflush(stdout);
}

int result_json_write(const struct job *job, const struct perf_options *o,
		      const struct bench_result *results, size_t n,
		      const struct job_summary *summary)
{
	json_t *root = json_object(), *rows = json_array(), *row;

	json_object_set_new(root, "program", json_string("devmem-perf"));
	json_object_set_new(root, "version", json_string(DEVMEM_VERSION));
	json_object_set_new(root, "collective", json_string(collective_name(o->kind)));
	json_object_set_new(root, "type", json_string(data_type_name(o->type)));
	json_object_set_new(root, "redop", json_string(redop_name(o->kind)));
	job_describe_json(job, root);
	json_object_set_new(root, "channels", json_integer(o->job.nchannels));
	json_object_set_new(root, "slots", json_integer(o->job.nslots));
	json_object_set_new(root, "slot_size", json_integer((json_int_t)o->job.slot_size));
	json_object_set_new(root, "iters", json_integer(o->iters));
	json_object_set_new(root, "warmup", json_integer(o->warmup));
	json_object_set_new(root, "checked", json_boolean(o->check));
	for (size_t i = 0; i < n; i++) {
		const struct bench_result *r = &results[i];

		row = json_object();
		json_object_set_new(row, "size", json_integer((json_int_t)r->size));
		json_object_set_new(row, "count", json_integer((json_int_t)r->count));
		json_object_set_new(row, "time_us", json_real(r->time_us));
		json_object_set_new(row, "algbw_gbs", json_real(r->algbw));
		json_object_set_new(row, "busbw_gbs", json_real(r->busbw));
		json_object_set_new(row, "wrong",
				    o->check ? json_integer((json_int_t)r->wrong) : json_null());
		json_array_append_new(rows, row);
	}
	json_object_set_new(root, "results", rows);
	json_object_set_new(root, "wrong",
			    o->check ? json_integer((json_int_t)wrong_total(results, n))
				     : json_null());
	json_object_set_new(root, "summary", job_summary_json(summary));

	return json_file_write(root, o->json_file);
}
