/* SPDX-License-Identifier: BSD-3-Clause */
/* What rank 0 shows, what it writes for programs, and the last line of the others. */
#ifndef TRAIN_REPORT_H
#define TRAIN_REPORT_H

#include "digits.h"
#include "job.h"
#include "train_options.h"

/*
 * The end of a run. @ranks_agree: all ranks' weights have the same hash. @single: the run in one process,
 * if @single_done; @identical: it ended with the same weights and accuracy.
 */
struct train_report {
	const struct train_options *options;
	const struct job *job;
	size_t train_total, test_total;
	bool ranks_agree, single_done, identical;
	struct train_result result, single;
	struct job_summary summary;
};

void train_report_head(const struct train_report *r);

/* One changing line on a terminal; nothing elsewhere. */
void train_report_progress(const struct train_report *r, int epoch, size_t step, size_t steps);

void train_report_epoch(const struct train_report *r, int epoch, const struct epoch_result *e);

/* Summary, and the verdict about the weights. */
void train_report_tail(const struct train_report *r);

/* One line of a rank that is not 0, where each has an output of its own. */
void train_report_rank(const struct train_report *r);

/* Reports; negative errno. */
int train_report_json(const struct train_report *r);

#endif
