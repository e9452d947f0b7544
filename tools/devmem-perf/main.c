// SPDX-License-Identifier: BSD-3-Clause
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "compare.h"
#include "device_memory.h"
#include "job.h"
#include "launcher.h"
#include "perf_options.h"
#include "report.h"
#include "result_table.h"
#include "scale.h"

#define STATUS_FAILED 1
#define STATUS_USAGE  2

/* Whether rank 0 prints the table: unless JSON takes its place. */
static bool table_wanted(const struct job *job, const struct perf_options *o)
{
	return job->rank == 0 && !(o->json && !o->json_file);
}

static int run_sizes(struct job *job, const struct perf_options *o, struct bench_result *results)
{
	struct device_memory src = DEVICE_MEMORY_NONE, dst = DEVICE_MEMORY_NONE;
	bool table = table_wanted(job, o);
	int err;

	err = device_memory_alloc(o->job.memory, bench_buffer_size(o), &src);
	if (!err)
		err = device_memory_alloc(o->job.memory, bench_buffer_size(o), &dst);
	if (!err && table)
		result_table_head(job, o);
	for (size_t i = 0; i < o->nsizes && !err; i++) {
		err = bench_run(job, o, i, src.addr, dst.addr, &results[i]);
		if (!err && table)
			result_table_row(o, &results[i]);
	}
	device_memory_free(&dst);
	device_memory_free(&src);
	return err;
}

static int run_rank(const struct perf_options *o)
{
	static struct bench_result results[PERF_MAX_SIZES];
	struct job_summary summary;
	struct job job;
	int err;

	err = job_open(&o->job, &job);
	if (err)
		return STATUS_FAILED;
	err = run_sizes(&job, o, results);
	if (!err)
		err = job_finish(&job, &summary);
	if (!err && table_wanted(&job, o))
		result_table_tail(results, o->nsizes, o, &summary);
	if (!err && job.rank == 0 && o->json)
		err = result_json_write(&job, o, results, o->nsizes, &summary);
	job_close(&job);
	if (err)
		return STATUS_FAILED;
	for (size_t i = 0; i < o->nsizes; i++)
		if (results[i].wrong)
			return STATUS_FAILED;
	return 0;
}

int main(int argc, char **argv)
{
	struct perf_options o;
	struct launch launch;
	int err;

	report_init("devmem-perf", -1);
	if (argc > 1 && !strcmp(argv[1], "compare"))
		return compare_main(argc - 1, argv + 1);
	if (argc > 1 && !strcmp(argv[1], "scale"))
		return scale_main(argc - 1, argv + 1);
	err = perf_options_parse(argc, argv, &o);
	if (err)
		return err < 0 ? STATUS_USAGE : 0;
	if (!job_options_launching(&o.job)) {
		report_init("devmem-perf", o.job.rank);
		return run_rank(&o);
	}
	launch = job_options_launch(&o.job, argv);
	return launcher_run(&launch);
}
