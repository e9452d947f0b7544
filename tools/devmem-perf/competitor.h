/* SPDX-License-Identifier: BSD-3-Clause */
/* Who takes part in "devmem-perf compare": net plugins, and plain TCP without any. */
#ifndef PERF_COMPETITOR_H
#define PERF_COMPETITOR_H

#include <stdbool.h>
#include <stddef.h>

#define COMPETITOR_MAX_ENV     32
#define COMPETITOR_LABEL_SIZE  21
#define COMPETITOR_MAX_STREAMS 2

/*
 * Strings belong to argv. @streams: 0 for a plugin, else so many TCP connections of our own.
 * @path: of a plugin; NULL is this project's. @congestion: for @streams; NULL the system's default.
 */
struct competitor {
	char label[COMPETITOR_LABEL_SIZE];
	int streams;
	const char *path;
	const char *congestion;
	const char *env[COMPETITOR_MAX_ENV]; /* NAME=VALUE */
	size_t nenv;
};

/*
 * "[LABEL=]PATH", "[LABEL=]devmem" (this project's library), "[LABEL=]raw" (plain TCP, one stream)
 * or "[LABEL=]raw2" (two). -EINVAL, and reported.
 */
int competitor_parse(const char *word, struct competitor *ret);

/*
 * Whether it can take part: the library loads and has a table of a net plugin; the kernel has the
 * congestion control. Done in a child, so that nothing of the plugin stays. Negative errno, and
 * reported.
 */
int competitor_check(const struct competitor *c);

#endif
