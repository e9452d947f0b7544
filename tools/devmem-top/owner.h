/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What /proc tells of a process that publishes.
 */
#ifndef OWNER_H
#define OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Does @pid run as user @uid? */
bool owner_is(pid_t pid, uid_t uid);

/* Its rank and job, see struct proc. @foreign: its number is not one of this PID namespace, so only that is told. */
void owner_describe(pid_t pid, bool foreign, int *ret_rank, char *job, size_t job_size);

#endif
