/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names of the files that processes publish their counters in (nccl_devmem_stats.h), and what dead ones left.
 */
#ifndef DEVMEM_STATS_NAME_H
#define DEVMEM_STATS_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/process.h"

#define STATS_NAME_MAX 96

/* The name of @id's file; @copy is 0, or the number of another one where that is taken (two copies of the plugin in a process). */
void stats_name(const struct process_id *id, unsigned int copy, char name[STATS_NAME_MAX]);

/* Is @name such a file's, and whose? */
bool stats_name_parse(const char *name, struct process_id *ret);

/* Removes what dead processes of this PID namespace left in @dir_fd, as far as this user may. */
void stats_sweep(int dir_fd);

#endif
