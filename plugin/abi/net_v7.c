// SPDX-License-Identifier: BSD-3-Clause
/* Version 7: sizes are int, also those of registrations. */
#include "abi/edge.h"
#include "nccl/net_v7.h"

static ncclResult_t v7_get_properties(int dev, ncclNetProperties_v7_t *props)
{
	struct net_props p;
	ncclResult_t res = edge_props(dev, &p);

	if (res == ncclSuccess)
		EDGE_FILL_V7(props, p);
	return res;
}

static ncclResult_t v7_reg_mr(void *comm, void *data, int size, int type, void **mhandle)
{
	if (size < 0)
		return ncclInvalidArgument;
	return edge_reg_mr(comm, data, (size_t)size, type, mhandle);
}

static ncclResult_t v7_isend(void *comm, void *data, int size, int tag, void *mhandle,
			     void **request)
{
	if (size < 0)
		return ncclInvalidArgument;
	return edge_isend(comm, data, (size_t)size, tag, mhandle, request);
}

static ncclResult_t v7_irecv(void *comm, int n, void **data, int *sizes, int *tags, void **mhandles,
			     void **request)
{
	if (!sizes || sizes[0] < 0)
		return ncclInvalidArgument;
	return edge_irecv(comm, n, data, (size_t)sizes[0], tags, mhandles, request);
}

EDGE_EXPORT const ncclNet_v7_t ncclNetPlugin_v7 = {
	EDGE_CALLS,
	EDGE_DEVICE_CALLS,
	.init = edge_init_process,
	.getProperties = v7_get_properties,
	.listen = edge_listen,
	.connect = edge_connect,
	.regMr = v7_reg_mr,
	.isend = v7_isend,
	.irecv = v7_irecv,
};
