/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Parameters: the only reader of the environment. See param_table.h for the table.
 */
#ifndef DEVMEM_PARAM_H
#define DEVMEM_PARAM_H

#include <stdbool.h>
#include <stdint.h>

enum param_id {
#define PARAM_INT(id, ...)    PARAM_##id,
#define PARAM_SIZE(id, ...)   PARAM_##id,
#define PARAM_BOOL(id, ...)   PARAM_##id,
#define PARAM_CHOICE(id, ...) PARAM_##id,
#define PARAM_STR(id, ...)    PARAM_##id,
#include "base/param_table.h"
#undef PARAM_INT
#undef PARAM_SIZE
#undef PARAM_BOOL
#undef PARAM_CHOICE
#undef PARAM_STR
	PARAM_COUNT
};

/*
 * Reads every variable of the table from the environment. A malformed value is warned about (variable,
 * value, what is accepted) and the default is kept; so is an NCCL_DEVMEM_* variable that no row knows.
 * Called once per plugin initialisation, before other threads run; later reads need no lock.
 */
void param_load(void);

/* Typed reads of the loaded values; before param_load() they give the defaults. */
int64_t param_int(enum param_id id);	      /* INT and SIZE rows */
bool param_bool(enum param_id id);	      /* BOOL rows */
int param_choice(enum param_id id);	      /* CHOICE rows: index into the '|' list */
const char *param_str(enum param_id id);      /* STR rows: never NULL, owned by the table */
const char *param_text(enum param_id id);     /* CHOICE rows: the chosen word */
bool param_is_set(enum param_id id);	      /* given in the environment, and valid */
const char *param_env_name(enum param_id id); /* "NCCL_DEVMEM_IFNAME" */

/* Values of the CHOICE rows, in the order of the table. */
enum { REQUIRE_NONE, REQUIRE_ZEROCOPY, REQUIRE_DEVMEM };
enum { SEND_AUTO, SEND_COPY, SEND_ZEROCOPY, SEND_DEVMEM };
enum { RECV_AUTO, RECV_COPY, RECV_DEVMEM, RECV_STAGED };
enum { PLACE_AUTO, PLACE_GATHER, PLACE_UNPACK };
enum { GATHER_AUTO, GATHER_BY_KERNEL, GATHER_BY_COPY };
enum {
	POOL_MEMORY_AUTO,
	POOL_MEMORY_UDMABUF,
	POOL_MEMORY_DMAHEAP,
	POOL_MEMORY_DRM,
	POOL_MEMORY_CUDA
};
enum { FAMILY_AUTO, FAMILY_INET, FAMILY_INET6 };

#endif
