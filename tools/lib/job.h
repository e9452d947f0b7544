/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One rank of a job: rendezvous, plugin, ring; and at the end the plugin's figures.
 */
#ifndef PERF_JOB_H
#define PERF_JOB_H

#include <stdbool.h>

#include "device_memory.h"
#include "job_options.h"
#include "job_summary.h"
#include "net_driver.h"
#include "rendezvous.h"
#include "ring.h"

/* @memory is the user's; @slot_memory that of the lanes, host where the plugin takes no dmabuf. */
struct job {
	int rank, nranks;
	enum device_memory_kind memory, slot_memory;
	struct rendezvous *rendezvous;
	struct net_driver *driver;
	struct ring *ring;
	/* Copies, good after the plugin is unloaded. */
	char plugin_name[64], device_name[64];
	int api, speed_mbps;
};

/* Sets everything up as one rank of @o. Reports; negative errno, *job is untouched then. */
int job_open(const struct job_options *o, struct job *job);

/*
 * Waits for all ranks, closes connections and plugin, and only then, when all completions are in,
 * reads the counters and sums them over the ranks. Every rank gets the sums. Negative errno.
 */
int job_finish(struct job *job, struct job_summary *ret);

/*
 * What ran where: ranks, memory, plugin, device, as members of @o. For the programs' JSON.
 */
void job_describe_json(const struct job *job, json_t *o);

/* The same in one line for people, without a newline. */
void job_describe(const struct job *job, char *ret, size_t size);

/* Closes whatever is still open; also after an error, with traffic under way. */
void job_close(struct job *job);

#endif
