/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which process is it, and does it still run? A PID alone does not tell: it is used again.
 */
#ifndef DEVMEM_PROCESS_H
#define DEVMEM_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

/* @start: field 22 of /proc/PID/stat (proc(5)), 0 if that could not be read. @pidns: inode of the PID namespace, 0 if unknown. */
struct process_id {
	pid_t pid;
	uint64_t start;
	uint64_t pidns;
};

enum process_life { PROCESS_DEAD, PROCESS_ALIVE, PROCESS_UNKNOWN };

struct process_id process_self(void);

/* PROCESS_UNKNOWN: it is of another PID namespace and cannot be asked about. A zombie is dead. Any thread. */
enum process_life process_life(const struct process_id *id);

#endif
