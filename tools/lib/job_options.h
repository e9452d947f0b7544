/* SPDX-License-Identifier: BSD-3-Clause */
/* Command line options that every program of ranks has. */
#ifndef PERF_JOB_OPTIONS_H
#define PERF_JOB_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>

#include "device_memory.h"
#include "launcher.h"

/* Strings belong to argv. @rank is -1 in the process that launches the ranks. */
struct job_options {
	int nranks, rank;
	const char *rendezvous, *plugin, *device, *netns;
	int api;
	enum device_memory_kind memory;
	unsigned int nchannels, nslots;
	size_t slot_size;
	int timeout_s, limit_s;
	struct rank_setting settings[LAUNCHER_MAX_SETTINGS];
	size_t nsettings;
};

enum job_option {
	JOB_OPT_RANK = 1000,
	JOB_OPT_RENDEZVOUS,
	JOB_OPT_PLUGIN,
	JOB_OPT_API,
	JOB_OPT_DEV,
	JOB_OPT_NETNS,
	JOB_OPT_RANK_ENV,
	JOB_OPT_MEMORY,
	JOB_OPT_CHANNELS,
	JOB_OPT_SLOTS,
	JOB_OPT_SLOT_SIZE,
	JOB_OPT_TIMEOUT,
	JOB_OPT_LIMIT,
};

/* For getopt_long(). The short option of --ranks is n. */
#define JOB_LONG_OPTIONS                                                       \
	{ "ranks", required_argument, NULL, 'n' },                             \
		{ "rank", required_argument, NULL, JOB_OPT_RANK },             \
		{ "rendezvous", required_argument, NULL, JOB_OPT_RENDEZVOUS }, \
		{ "plugin", required_argument, NULL, JOB_OPT_PLUGIN },         \
		{ "api", required_argument, NULL, JOB_OPT_API },               \
		{ "dev", required_argument, NULL, JOB_OPT_DEV },               \
		{ "netns", required_argument, NULL, JOB_OPT_NETNS },           \
		{ "rank-env", required_argument, NULL, JOB_OPT_RANK_ENV },     \
		{ "memory", required_argument, NULL, JOB_OPT_MEMORY },         \
		{ "channels", required_argument, NULL, JOB_OPT_CHANNELS },     \
		{ "slots", required_argument, NULL, JOB_OPT_SLOTS },           \
		{ "slot-size", required_argument, NULL, JOB_OPT_SLOT_SIZE },   \
		{ "timeout", required_argument, NULL, JOB_OPT_TIMEOUT },       \
	{                                                                      \
		"limit", required_argument, NULL, JOB_OPT_LIMIT                \
	}

/* Their help, to go into the program's own. */
extern const char job_options_help[];

/* The defaults: 2 ranks, host memory, 1 channel of 8 slots of 512 KiB, 60 s. */
void job_options_init(struct job_options *o);

/* 1 @opt is one of ours and was taken, 0 it is not, -EINVAL malformed, and reported. */
int job_options_take(struct job_options *o, int opt, const char *arg);

/* After the last option: do they go together? -EINVAL if not, and reported. */
int job_options_check(const struct job_options *o);

/* What the launcher needs of @o, which must outlive it. */
struct launch job_options_launch(const struct job_options *o, char **argv);

/* Whether this process is to launch the ranks rather than to be one. */
bool job_options_launching(const struct job_options *o);

/* Whether this process is a rank that was not started by the launcher: its output is its own. */
bool job_options_by_hand(const struct job_options *o);

/* "64", "4K", "2M", "1G" (powers of 1024) as a number in [@min, @max]. -EINVAL, not reported. */
int parse_size(const char *text, size_t min, size_t max, size_t *ret);

/* A decimal integer in [@min, @max]. -EINVAL, not reported. */
int parse_int(const char *text, int min, int max, int *ret);

#endif
