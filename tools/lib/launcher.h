/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs the ranks of a job as processes on this host, each perhaps in a network namespace of its
 * own: the same program again, with "--rank R --rendezvous fd:..." before its arguments, or a
 * function of it.
 */
#ifndef PERF_LAUNCHER_H
#define PERF_LAUNCHER_H

#include <stddef.h>

#define LAUNCHER_MAX_RANKS    64
#define LAUNCHER_MAX_SETTINGS 64

/* NAME=VALUE in the environment of rank @rank. */
struct rank_setting {
	int rank;
	const char *assignment;
};

/*
 * @argv: of this program, NULL-terminated. @rank_main: instead of that, what each rank runs, in a
 * child that shares nothing with this process; gets rank, rendezvous and @arg, returns the rank's
 * exit status. NULL runs the program again. @netns: comma list of names under /run/netns, dealt out
 * to the ranks in turn, or NULL. @limit_s: the whole run's limit in seconds, 0 for none.
 */
struct launch {
	char **argv;
	int (*rank_main)(int rank, const char *rendezvous, void *arg);
	void *arg;
	int nranks;
	const char *netns;
	int limit_s;
	const struct rank_setting *settings;
	size_t nsettings;
};

/*
 * Returns when all ranks have ended: the exit status for the program, 0 if every rank ended with
 * 0. When one fails, the others get a moment to say what they saw and are then killed; so they are
 * at the limit (status 124), at SIGINT and SIGTERM (128 + signal), and when this process dies. One
 * call at a time; changes the signal mask for its duration.
 */
int launcher_run(const struct launch *launch);

#endif
