/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pinned memory through which GPU memory is sent where it cannot be sent from: two blocks for each data socket, one of which the copy engine
 * fills while the other is sent.
 */
#ifndef DEVMEM_SEND_STAGE_H
#define DEVMEM_SEND_STAGE_H

#include "mem/gpu.h"
#include "path/data_sock.h"

struct send_stage;

/* Of one comm, for its @n @socks, whose ->stage it sets; it must outlive their last send. Used by the comm's thread. */
int send_stage_create(struct gpu *gpu, struct data_sock *socks, int n, struct send_stage **ret,
		      struct verdict *why);
/* Waits for copies that are under way. NULL is fine. */
void send_stage_destroy(struct send_stage *s);

#endif
