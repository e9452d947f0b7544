// SPDX-License-Identifier: BSD-3-Clause
/* Version 9: message sizes are size_t. */
#include "abi/edge.h"
#include "nccl/net_v9.h"

static ncclResult_t v9_get_properties(int dev, ncclNetProperties_v9_t *props)
{
	struct net_props p;
	ncclResult_t res = edge_props(dev, &p);

	if (res == ncclSuccess)
		EDGE_FILL_V9(props, p, dev);
	return res;
}

static ncclResult_t v9_irecv(void *comm, int n, void **data, size_t *sizes, int *tags,
			     void **mhandles, void **request)
{
	if (!sizes)
		return ncclInvalidArgument;
	return edge_irecv(comm, n, data, sizes[0], tags, mhandles, request);
}

EDGE_EXPORT const ncclNet_v9_t ncclNetPlugin_v9 = {
	EDGE_COMMON_CALLS,     .init = edge_init_process, .getProperties = v9_get_properties,
	.listen = edge_listen, .connect = edge_connect,	  .isend = edge_isend,
	.irecv = v9_irecv,     .makeVDevice = NULL,
};
