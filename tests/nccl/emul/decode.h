/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One NCCL version's way of telling a kernel what to do. The file decode.c is compiled for a version: EMUL_NCCL is
 * its number as in NCCL_VERSION_CODE.
 */
#ifndef EMUL_DECODE_H
#define EMUL_DECODE_H

#include "emul.h"

#if EMUL_NCCL >= 22200 && EMUL_NCCL < 22300
#include "abi/v2_22.h"
#elif EMUL_NCCL >= 22900 && EMUL_NCCL < 23100
#include "abi/v2_29.h"
#else
_Static_assert(
	0,
	"EMUL_NCCL: no layout for this version of NCCL. Compare its src/include/device.h with abi/.");
#endif

/* Fills what @block holds of the communicator and the channel that block @index runs. */
void decode_block(struct emul_block *block, const void *args, size_t args_size, unsigned int index);

/* Batch @index of the launch. @batch is zeroed memory, or was used for one before: its arrays are used again. */
void decode_batch(struct emul_block *block, int index, struct emul_batch *batch);

void decode_batch_release(struct emul_batch *batch);

/* What the host and its profiler are told, before and after the works of a batch, and once at the end. */
void decode_batch_started(struct emul_block *block, const struct emul_batch *batch);
void decode_batch_done(struct emul_block *block, const struct emul_batch *batch);
void decode_block_done(struct emul_block *block);

#endif
