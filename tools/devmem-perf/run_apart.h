/* SPDX-License-Identifier: BSD-3-Clause */
/* A launch in a process of its own, whose output is kept back: one run of many, that may fail. */
#ifndef PERF_RUN_APART_H
#define PERF_RUN_APART_H

#include <stddef.h>

#include "launcher.h"

/*
 * @prepare: what the process does before it launches (its environment); may be NULL. @title: what
 * runs, for people.
 */
struct run_apart {
	struct launch launch;
	void (*prepare)(void *arg);
	void *arg;
	const char *title;
};

/*
 * Returns when all its processes have ended, a few seconds after the launch's limit at the latest.
 * When the run fails, the first error that a rank reported is reported, and the end of what it
 * printed goes to stderr. 0, or -EIO and that error in @ret_error, which has @size bytes.
 */
int run_apart_execute(const struct run_apart *run, char *ret_error, size_t size);

#endif
