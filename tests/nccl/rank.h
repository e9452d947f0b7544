/* SPDX-License-Identifier: BSD-3-Clause */
/* One rank of a job: libraries, communicator, memory, and the plugin's counters. */
#ifndef NCCL_RANK_H
#define NCCL_RANK_H

#include <stdint.h>

#include "case_options.h"
#include "gpu_lib.h"
#include "nccl_devmem.h"
#include "nccl_lib.h"
#include "rendezvous.h"

/* Memory of the GPU that NCCL is given, by one of the ways of enum case_buffers. */
struct rank_buffer {
	void *at;
	size_t size;
	void *registration;
};

struct rank {
	const struct case_options *o;
	struct rendezvous *rendezvous;
	struct gpu_lib gpu;
	struct nccl_lib nccl;
	nccl_comm comm;
	void *stream;
	size_t (*counters_get)(struct nccl_devmem_counters *out, size_t size);
};

/* Everything but the communicator. Negative errno, reported; @rank is to be closed anyway. */
int rank_open(const struct case_options *o, struct rank *rank);
/* A communicator of all ranks. */
int rank_comm_init(struct rank *rank, nccl_comm *ret);
void rank_close(struct rank *rank);

/* For as long as @comm lives; on the device, filled with what no result is. */
int rank_buffer_alloc(struct rank *rank, nccl_comm comm, size_t size, struct rank_buffer *ret);
void rank_buffer_free(struct rank *rank, nccl_comm comm, struct rank_buffer *buffer);

/*
 * Waits for the stream, as an application does that wants to hear of errors: -EIO an asynchronous error of @comm, which is
 * *@ret_async then (may be NULL), -ETIMEDOUT after the timeout.
 */
int rank_wait(struct rank *rank, nccl_comm comm, int *ret_async);

/*
 * Bytes that all ranks' plugins have sent and received, and messages sent, since the process began; and of what was
 * received, what the plugin's use of the GPU put in place, and what was left to NCCL's unpack kernel.
 */
struct rank_traffic {
	uint64_t sent, received, messages, placed_gpu, placed_unpack;
};

int rank_traffic_sum(struct rank *rank, struct rank_traffic *ret);

double rank_now(void);

/* The tests; 0, or a negative errno, reported. */
int test_collectives(struct rank *rank);
int test_split(struct rank *rank);
int test_abort(struct rank *rank);
int test_peer_death(struct rank *rank);
int test_reinit(struct rank *rank);

/* Starts @c with NCCL on @comm: @src to @dst. In test_collectives.c. */
int collective_start(struct rank *rank, nccl_comm comm, const struct ref_case *c, const void *src,
		     void *dst, int me);

#endif
