// SPDX-License-Identifier: BSD-3-Clause
/* Version 6: sizes are int, and GPU code has no part in receiving. */
#include "abi/edge.h"
#include "base/log.h"
#include "base/param.h"
#include "nccl/net_v6.h"

/* An NCCL that knows no newer version would take receives for done that its kernels have yet to unpack. */
static ncclResult_t v6_init(ncclDebugLogger_t log)
{
	ncclResult_t res = edge_init_process(log);

	if (res != ncclSuccess || !edge_unpacks())
		return res;
	log_err("%s=unpack needs NCCL 2.19 or newer, which this is not (plugin version 6): set it to gather",
		param_env_name(PARAM_PLACE));
	return ncclInvalidUsage;
}

static ncclResult_t v6_get_properties(int dev, ncclNetProperties_v6_t *props)
{
	struct net_props p;
	ncclResult_t res = edge_props(dev, &p);

	if (res == ncclSuccess)
		EDGE_FILL_V6(props, p);
	return res;
}

static ncclResult_t v6_connect(int dev, void *handle, void **send_comm)
{
	return edge_connect(dev, handle, send_comm, NULL);
}

static ncclResult_t v6_accept(void *listen_comm, void **recv_comm)
{
	return edge_accept(listen_comm, recv_comm, NULL);
}

static ncclResult_t v6_reg_mr(void *comm, void *data, int size, int type, void **mhandle)
{
	if (size < 0)
		return ncclInvalidArgument;
	return edge_reg_mr(comm, data, (size_t)size, type, mhandle);
}

static ncclResult_t v6_isend(void *comm, void *data, int size, int tag, void *mhandle,
			     void **request)
{
	if (size < 0)
		return ncclInvalidArgument;
	return edge_isend(comm, data, (size_t)size, tag, mhandle, request);
}

static ncclResult_t v6_irecv(void *comm, int n, void **data, int *sizes, int *tags, void **mhandles,
			     void **request)
{
	if (!sizes || sizes[0] < 0)
		return ncclInvalidArgument;
	return edge_irecv(comm, n, data, (size_t)sizes[0], tags, mhandles, request);
}

EDGE_EXPORT const ncclNet_v6_t ncclNetPlugin_v6 = {
	EDGE_CALLS,
	.init = v6_init,
	.getProperties = v6_get_properties,
	.listen = edge_listen,
	.connect = v6_connect,
	.accept = v6_accept,
	.regMr = v6_reg_mr,
	.isend = v6_isend,
	.irecv = v6_irecv,
};
