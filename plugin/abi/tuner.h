/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tuner guard: what keeps NCCL from protocols and algorithms that this plugin's mode does not go with. With device unpack
 * that is LL, LL128 (their kernels do not unpack) and PAT (neither does its own); where a GPU has only its copy engine to
 * put bytes in place, LL and LL128 (whose kernels watch for lines that appear at once). Every other decision stays NCCL's own.
 *
 * It only helps when all ranks have it, and have the same mode: ranks that choose differently wait for each other for ever.
 */
#ifndef DEVMEM_TUNER_H
#define DEVMEM_TUNER_H

#include "abi/edge.h"
#include "nccl/tuner.h"

/* Says once per process what the guard does. Never fails: that would fail the communicator. *ctx is not to be used. */
ncclResult_t tuner_init(ncclDebugLogger_t log, void **ctx);
ncclResult_t tuner_end(void *ctx);

/* Must LL and LL128 not be used? */
bool tuner_is_on(void);

/* @costs as in tuner_v3.h. What must not be chosen gets NCCL_ALGO_PROTO_IGNORE. */
ncclResult_t tuner_guard_costs(float **costs, int n_algo, int n_proto);

#endif
