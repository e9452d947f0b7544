// SPDX-License-Identifier: BSD-3-Clause
#include "job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

/* NCCL's rule: a plugin without dmabuf support is given host memory, and the GPU copies. */
static enum device_memory_kind choose_slot_memory(const struct job *job)
{
	const struct net_driver *drv = job->driver;

	if (job->memory == DEVICE_MEMORY_HOST)
		return DEVICE_MEMORY_HOST;
	if ((drv->device.ptr_support & NCCL_PTR_DMABUF) && drv->calls.reg_mr_dmabuf)
		return job->memory;
	if (job->rank == 0)
		report_note("%s does not take dmabufs on %s: its buffers are host memory, and the "
			    "data is copied between them and %s memory",
			    drv->name, drv->device.name, device_memory_name(job->memory));
	return DEVICE_MEMORY_HOST;
}

int job_open(const struct job_options *o, struct job *job)
{
	struct job j = {
		.rank = o->rank,
		.nranks = o->nranks,
		.memory = o->memory,
	};
	struct lane_shape shape;
	int err;

	err = rendezvous_open(o->rendezvous, j.rank, j.nranks, o->timeout_s, &j.rendezvous);
	if (err)
		return err;
	err = net_driver_open(o->plugin, o->api, o->device, &j.driver);
	if (err)
		goto close_job;
	snprintf(j.plugin_name, sizeof(j.plugin_name), "%s", j.driver->name);
	snprintf(j.device_name, sizeof(j.device_name), "%s", j.driver->device.name);
	j.api = j.driver->api;
	j.speed_mbps = j.driver->device.speed_mbps;
	j.slot_memory = choose_slot_memory(&j);
	shape.memory = j.slot_memory;
	shape.nslots = o->nslots;
	shape.slot_size = o->slot_size;
	err = ring_open(j.driver, j.rendezvous, j.rank, j.nranks, o->nchannels, &shape,
			o->timeout_s, &j.ring);
	if (err)
		goto close_job;
	*job = j;
	return 0;

close_job:
	job_close(&j);
	return err;
}

static int job_sum_counters(struct job *job, struct job_summary *ret)
{
	struct job_summary mine, *all;
	int err;

	all = calloc((size_t)job->nranks, sizeof(*all));
	if (!all)
		return -ENOMEM;
	mine.available = net_driver_counters(job->driver, &mine.counters);
	err = rendezvous_all_gather(job->rendezvous, &mine, sizeof(mine), all);
	if (!err) {
		memset(ret, 0, sizeof(*ret));
		ret->available = true;
		for (int r = 0; r < job->nranks; r++)
			job_summary_add(ret, &all[r]);
	}
	free(all);
	return err;
}

int job_finish(struct job *job, struct job_summary *ret)
{
	int err;

	/* Nobody closes a connection that its peer still uses. */
	err = rendezvous_barrier(job->rendezvous);
	if (err)
		return err;
	ring_close(job->ring);
	job->ring = NULL;
	net_driver_finalize(job->driver);
	err = job_sum_counters(job, ret);
	net_driver_close(job->driver);
	job->driver = NULL;
	return err;
}

void job_describe_json(const struct job *job, json_t *o)
{
	json_object_set_new(o, "ranks", json_integer(job->nranks));
	json_object_set_new(o, "memory", json_string(device_memory_name(job->memory)));
	json_object_set_new(o, "slot_memory", json_string(device_memory_name(job->slot_memory)));
	json_object_set_new(o, "plugin", json_string(job->plugin_name));
	json_object_set_new(o, "api", json_integer(job->api));
	json_object_set_new(o, "device", json_string(job->device_name));
	json_object_set_new(o, "speed_mbps", json_integer(job->speed_mbps));
}

void job_describe(const struct job *job, char *ret, size_t size)
{
	snprintf(ret, size, "%d ranks, plugin %s (v%d) on %s, %d Mbit/s, %s memory%s", job->nranks,
		 job->plugin_name, job->api, job->device_name, job->speed_mbps,
		 device_memory_name(job->memory),
		 job->slot_memory == job->memory ? "" : " behind host buffers");
}

void job_close(struct job *job)
{
	ring_close(job->ring);
	if (job->driver)
		net_driver_finalize(job->driver);
	net_driver_close(job->driver);
	rendezvous_close(job->rendezvous);
	memset(job, 0, sizeof(*job));
}
