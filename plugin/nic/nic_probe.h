/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The checks behind nic_probe(), shared with the functions that bind.
 */
#ifndef DEVMEM_NIC_PROBE_H
#define DEVMEM_NIC_PROBE_H

#include "base/verdict.h"
#include "nic/nic.h"

/*
 * Can devmem receive / send be set up on @nic by this process? Changes nothing. Returns @why->err.
 */
int nic_probe_rx(const struct nic *nic, struct verdict *why);
int nic_probe_tx(const struct nic *nic, struct verdict *why);

/*
 * Is @dmabuf_fd something that can be bound: a descriptor whose size is a multiple of the page
 * size (which the kernel says only after the NIC was changed)? -EBADF, -EINVAL.
 */
int nic_probe_dmabuf(const struct nic *nic, int dmabuf_fd, struct verdict *why);

#endif
