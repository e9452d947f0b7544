/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin's counters, summed over all ranks: how the bytes went, and whether everything that was
 * taken has been given back.
 */
#ifndef PERF_JOB_SUMMARY_H
#define PERF_JOB_SUMMARY_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "nccl_devmem.h"

/* @available: every rank's plugin has counters. A plain value that can be sent to other ranks. */
struct job_summary {
	bool available;
	struct nccl_devmem_counters counters;
};

/* Adds @one rank's figures. */
void job_summary_add(struct job_summary *sum, const struct job_summary *one);

/* For people. Lines start with @prefix. */
void job_summary_print(const struct job_summary *s, FILE *out, const char *prefix);

/*
 * The same as an object: every counter by its name, and what follows from them ("bytes_sent",
 * "bytes_received", "completions", "syscalls", "data_syscalls" (all but those on control sockets),
 * and both per MiB sent). JSON null where the plugin has
 * no counters; NULL when out of memory. The caller's reference.
 */
json_t *job_summary_json(const struct job_summary *s);

#endif
