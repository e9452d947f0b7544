/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Tells NCCL's own buffers from its users' among the registrations of a connection.
 *
 * With device unpack only NCCL's own may be registered: what arrives for a user's buffer passes by the kernels that
 * unpack (NCCL src/device/prims_simple.h, NetRegMode). NCCL itself means not to register users' buffers then, but reads that from a
 * variable that nothing sets any more (comm->netDeviceType, src/register/).
 *
 * NCCL registers its own as the connection comes up, before anything else (src/transport/net.cc, sendProxyConnect(), recvProxyConnect()):
 * - for rings and trees three, of LL, LL128 and Simple, cut from one allocation and so back to back; of a sender's, LL's lies in host
 *   memory and the other two are back to back;
 * - for send and receive one, that all connections share: 16 chunks for each channel; with NCCL_ALLOC_P2P_NET_LL_BUFFERS=1 LL's in
 *   host memory before it.
 * Nothing in the call tells a later registration, so this goes by number, kind and place.
 */
#ifndef DEVMEM_REG_GATE_H
#define DEVMEM_REG_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Zero is the state of a new connection. Used by the thread that registers.
 * @n: admitted so far. @first: size of the first. @end, @type: of the last.
 */
struct reg_gate {
	unsigned int n;
	int type;
	uintptr_t end;
	size_t first;
};

/* Is this registration NCCL's own buffer? @type: NET_PTR_*. */
bool reg_gate_admit(struct reg_gate *g, const void *base, size_t size, int type);

#endif
