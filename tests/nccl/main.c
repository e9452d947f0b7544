// SPDX-License-Identifier: BSD-3-Clause
/* nccl-case: see case_options.c for what it does. */
#include "rank.h"
#include "report.h"

static int (*const tests[TESTS])(struct rank *rank) = {
	[TEST_COLLECTIVES] = test_collectives,
	[TEST_SPLIT] = test_split,
	[TEST_ABORT] = test_abort,
	[TEST_PEER_DEATH] = test_peer_death,
	[TEST_REINIT] = test_reinit,
};

static int run_rank(const struct case_options *o)
{
	struct rank rank;
	int err;

	err = rank_open(o, &rank);
	if (!err)
		err = tests[o->test](&rank);
	rank_close(&rank);
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct case_options o;
	struct launch launch;
	int err;

	report_init("nccl-case", -1);
	err = case_options_parse(argc, argv, &o);
	if (err)
		return err < 0 ? 2 : 0;
	if (o.rank >= 0) {
		report_init("nccl-case", o.rank);
		return run_rank(&o);
	}
	launch = (struct launch){
		.argv = argv, .nranks = o.nranks, .netns = o.netns, .limit_s = o.limit_s
	};
	return launcher_run(&launch);
}
