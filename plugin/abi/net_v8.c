// SPDX-License-Identifier: BSD-3-Clause
/* Version 8: message sizes are int. */
#include "abi/edge.h"
#include "nccl/net_v8.h"

static ncclResult_t v8_get_properties(int dev, ncclNetProperties_v8_t *props)
{
	struct net_props p;
	ncclResult_t res = edge_props(dev, &p);

	if (res == ncclSuccess)
		EDGE_FILL_V8(props, p);
	return res;
}

static ncclResult_t v8_isend(void *comm, void *data, int size, int tag, void *mhandle,
			     void **request)
{
	if (size < 0)
		return ncclInvalidArgument;
	return edge_isend(comm, data, (size_t)size, tag, mhandle, request);
}

static ncclResult_t v8_irecv(void *comm, int n, void **data, int *sizes, int *tags, void **mhandles,
			     void **request)
{
	if (!sizes || sizes[0] < 0)
		return ncclInvalidArgument;
	return edge_irecv(comm, n, data, (size_t)sizes[0], tags, mhandles, request);
}

EDGE_EXPORT const ncclNet_v8_t ncclNetPlugin_v8 = {
	EDGE_COMMON_CALLS,     .init = edge_init_process, .getProperties = v8_get_properties,
	.listen = edge_listen, .connect = edge_connect,	  .isend = v8_isend,
	.irecv = v8_irecv,
};
