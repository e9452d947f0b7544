/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the bytes of a finished receive are seen: they are in the posted buffer, or NCCL's kernel has to take them out of the
 * plugin's bounce buffer (device unpack).
 */
#ifndef CONFORMANCE_RX_VIEW_H
#define CONFORMANCE_RX_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "nccl/net.h"

/*
 * @open:  for a comm that accept() gave with this handle. 0 or negative errno with @why, of 96 bytes.
 * @fetch: a receive has finished; in the order in which they were posted. Makes its @size bytes be at @data.
 * @abandon: everything posted has been consumed; a kernel that is aborted now goes through the rest of its slices without waiting for any
 *         of them. 0, or negative errno with @why: it would not end. NULL where kernels have no part in it.
 * @close: the comm is about to be closed; not @alive: it is gone already, and what it had with it.
 */
struct rx_view {
	const char *name;
	int (*open)(const ncclNetDeviceHandle_v7_t *handle, void **ret_state, char *why);
	int (*fetch)(void *state, void *data, size_t size, char *why);
	int (*abandon)(void *state, char *why);
	void (*close)(void *state, bool alive);
};

/* That of a device type; NULL for one that the harness cannot see. */
const struct rx_view *rx_view_for(ncclNetDeviceType type);

extern const struct rx_view rx_view_direct;
extern const struct rx_view rx_view_unpack;

#endif
