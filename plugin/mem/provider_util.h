/* SPDX-License-Identifier: BSD-3-Clause */
/* For the providers only. */
#ifndef DEVMEM_PROVIDER_UTIL_H
#define DEVMEM_PROVIDER_UTIL_H

#include "mem/provider.h"

/* A provider's free() when mapping and descriptor are all it has. */
void mem_block_unmap(struct mem_block *block);

/*
 * Why @node could not be opened (@err, negative errno). @missing is the remedy when it is not there, which
 * always comes back as -ENOENT. Returns the error.
 */
int device_open_verdict(const char *name, const char *node, const char *missing, int err,
			struct verdict *why);

#endif
