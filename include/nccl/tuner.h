/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NCCL's tuner plugin interface: what all versions share. One table per version is in tuner_v2.h to
 * tuner_v6.h.
 *
 * Declared anew, as net.h is. Names, values and layout are NCCL's ABI on LP64 (src/include/plugin/nccl_tuner.h and
 * src/include/plugin/tuner/, NCCL 2.30.7; for version 2 src/include/nccl_tuner.h, 2.21.5).
 *
 * NCCL looks for a tuner in the library of NCCL_TUNER_PLUGIN, else in libnccl-tuner.so, else in the
 * library of its net plugin (src/plugin/tuner.cc; from 2.21 on). It takes the newest table it knows:
 * 2.21 version 2; 2.22 and 2.23 version 3; 2.24 to 2.27 version 4; 2.28 and 2.29 version 5; 2.30 version 6.
 *
 * - init: once per communicator, on the thread that makes it, after its topology is known. An error fails the communicator.
 * - getCollInfo: for each collective, or each group of like ones, on the thread that launches it. An error fails
 *   the launch. All ranks must decide alike, or they wait for each other for ever.
 * - destroy (finalize from version 5 on): when the communicator ends, before the net plugin's finalize.
 */
#ifndef NCCL_TUNER_H
#define NCCL_TUNER_H

#include "nccl/net.h"

/* A kind of collective. Those after Recv came later; a tuner is asked about the first five. */
typedef enum {
	ncclFuncBroadcast = 0,
	ncclFuncReduce = 1,
	ncclFuncAllGather = 2,
	ncclFuncReduceScatter = 3,
	ncclFuncAllReduce = 4,
	ncclFuncSendRecv = 5,
	ncclFuncSend = 6,
	ncclFuncRecv = 7,
} ncclFunc_t;

#define NCCL_ALGO_UNDEF		 (-1)
#define NCCL_ALGO_TREE		 0
#define NCCL_ALGO_RING		 1
#define NCCL_ALGO_COLLNET_DIRECT 2
#define NCCL_ALGO_COLLNET_CHAIN	 3
#define NCCL_ALGO_NVLS		 4
#define NCCL_ALGO_NVLS_TREE	 5
#define NCCL_ALGO_PAT		 6 /* from 2.23 on */

#define NCCL_PROTO_UNDEF  (-1)
#define NCCL_PROTO_LL	  0
#define NCCL_PROTO_LL128  1
#define NCCL_PROTO_SIMPLE 2

/* In a cost table: not to be chosen. Other costs are microseconds. */
#define NCCL_ALGO_PROTO_IGNORE (-1.0f)

#endif
