// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdlib.h>

#include "collective.h"
#include "device_memory.h"
#include "digits.h"
#include "job.h"
#include "launcher.h"
#include "report.h"
#include "train_options.h"
#include "train_report.h"
#include "trainer.h"
#include "via_nccl.h"

#define STATUS_FAILED 1
#define STATUS_USAGE  2

/* @arg of the hooks. @via: NULL where the program itself drives the plugin. */
struct rank {
	struct job *job;
	struct via_nccl *via;
	struct train_report *report;
};

static int sum_over_ranks(void *arg, int64_t *sums, size_t count)
{
	const struct rank *rank = arg;
	const struct collective coll = {
		.kind = COLL_ALL_REDUCE,
		.type = DATA_INT64,
		.count = count,
		.src = sums,
		.dst = sums,
	};

	if (rank->via)
		return via_nccl_sum(rank->via, sums, count);
	return collective_run(rank->job->ring, &coll);
}

static void show_progress(void *arg, int epoch, size_t step, size_t steps)
{
	const struct rank *rank = arg;

	train_report_progress(rank->report, epoch, step, steps);
}

static void show_epoch(void *arg, int epoch, const struct epoch_result *e)
{
	const struct rank *rank = arg;

	train_report_epoch(rank->report, epoch, e);
}

/* Do all ranks have the weights that rank 0 has? */
static int compare_ranks(struct job *job, uint64_t hash, bool *ret_agree)
{
	uint64_t *all;
	int err;

	all = calloc((size_t)job->nranks, sizeof(*all));
	if (!all)
		return -ENOMEM;
	err = rendezvous_all_gather(job->rendezvous, &hash, sizeof(hash), all);
	if (!err) {
		*ret_agree = true;
		for (int r = 0; r < job->nranks; r++)
			*ret_agree = *ret_agree && all[r] == all[0];
	}
	free(all);
	return err;
}

static int train_rank(struct rank *rank, const struct train_options *o)
{
	struct train_hooks hooks = { .arg = rank, .sum = sum_over_ranks };
	struct device_memory gradients = DEVICE_MEMORY_NONE;
	struct train_report *report = rank->report;
	struct digits data;
	int err;

	err = digits_load(o->data, rank->job->rank, rank->job->nranks, &data);
	if (err)
		return err;
	report->train_total = data.train_total;
	report->test_total = data.test_total;
	if (rank->job->rank == 0) {
		hooks.progress = show_progress;
		hooks.epoch = show_epoch;
		train_report_head(report);
	}
	/* With NCCL the device's memory is the GPU's, to and from which they are copied. */
	err = device_memory_alloc(rank->via ? DEVICE_MEMORY_HOST : o->job.memory,
				  trainer_sums(&o->settings) * sizeof(int64_t), &gradients);
	if (!err)
		err = trainer_run(&o->settings, &data, gradients.addr, &hooks, &report->result);
	if (!err)
		err = compare_ranks(rank->job, report->result.hash, &report->ranks_agree);
	device_memory_free(&gradients);
	digits_free(&data);
	return err;
}

/* All of the data, plain memory, no network. */
static int train_single(const struct train_options *o, struct train_report *report)
{
	const struct train_hooks hooks = { 0 };
	struct digits data;
	int64_t *sums;
	int err;

	err = digits_load(o->data, 0, 1, &data);
	if (err)
		return err;
	sums = calloc(trainer_sums(&o->settings), sizeof(*sums));
	err = sums ? trainer_run(&o->settings, &data, sums, &hooks, &report->single) : -ENOMEM;
	if (!err) {
		report->single_done = true;
		report->identical = report->single.hash == report->result.hash;
		for (int i = 0; i < report->result.nepochs; i++)
			report->identical =
				report->identical && report->single.epochs[i].accuracy ==
							     report->result.epochs[i].accuracy;
	}
	free(sums);
	digits_free(&data);
	return err;
}

static int run_rank(const struct train_options *o)
{
	struct train_report report = { 0 };
	struct rank rank = { .report = &report };
	struct job job;
	int err;

	if (o->via_nccl)
		err = via_nccl_open(&o->job, o->nccl, trainer_sums(&o->settings), &job, &rank.via);
	else
		err = job_open(&o->job, &job);
	if (err)
		return STATUS_FAILED;
	rank.job = &job;
	report.options = o;
	report.job = &job;
	err = train_rank(&rank, o);
	if (!err)
		err = rank.via ? via_nccl_finish(rank.via, &report.summary)
			       : job_finish(&job, &report.summary);
	/* The other ranks are done; this one has time. */
	if (!err && job.rank == 0 && o->verify_single)
		err = train_single(o, &report);
	if (!err && job.rank == 0) {
		train_report_tail(&report);
		if (o->json_file)
			err = train_report_json(&report);
	} else if (!err && job_options_by_hand(&o->job)) {
		train_report_rank(&report);
	}
	via_nccl_close(rank.via);
	job_close(&job);
	if (err || !report.ranks_agree || (report.single_done && !report.identical))
		return STATUS_FAILED;
	return 0;
}

int main(int argc, char **argv)
{
	struct train_options o;
	struct launch launch;
	struct digits data;
	int err;

	report_init("devmem-train", -1);
	err = train_options_parse(argc, argv, &o);
	if (err)
		return err < 0 ? STATUS_USAGE : 0;
	if (!job_options_launching(&o.job)) {
		report_init("devmem-train", o.job.rank);
		return run_rank(&o);
	}
	/* One message about the data, before there are ranks that would all have it. */
	if (digits_load(o.data, 0, 1, &data))
		return STATUS_FAILED;
	digits_free(&data);
	launch = job_options_launch(&o.job, argv);
	return launcher_run(&launch);
}
