/* SPDX-License-Identifier: BSD-3-Clause */
/* The results of a comparison for programs: every run, and the medians. */
#ifndef PERF_COMPARE_JSON_H
#define PERF_COMPARE_JSON_H

#include "compare_results.h"
#include "host_facts.h"

/* Writes it to the place the options name. Reports; negative errno. */
int compare_json_write(const struct compare_results *r, const struct host_facts *host);

#endif
