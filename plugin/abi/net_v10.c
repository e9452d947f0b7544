// SPDX-License-Identifier: BSD-3-Clause
/*
 * Version 10: the profiler's callback and handles, a configuration for connect(). The callback is left alone: in NCCL 2.26 it follows a
 * pointer in the handle that is set only where the profiler asked for proxy steps (src/misc/profiler.cc,
 * ncclProfilerStartSendProxyStepEvent()).
 */
#include "abi/edge.h"
#include "nccl/net_v10.h"

static ncclResult_t v10_init(ncclDebugLogger_t log, ncclProfilerCallback_t profile)
{
	(void)profile;
	return edge_init_process(log);
}

static ncclResult_t v10_get_properties(int dev, ncclNetProperties_v10_t *props)
{
	struct net_props p;
	ncclResult_t res = edge_props(dev, &p);

	if (res == ncclSuccess)
		EDGE_FILL_V9(props, p, dev);
	return res;
}

static ncclResult_t v10_connect(int dev, ncclNetCommConfig_v10_t *config, void *handle,
				void **send_comm, ncclNetDeviceHandle_v10_t **dev_handle)
{
	(void)config;
	return edge_connect(dev, handle, send_comm, dev_handle);
}

static ncclResult_t v10_isend(void *comm, void *data, size_t size, int tag, void *mhandle,
			      void *phandle, void **request)
{
	(void)phandle;
	return edge_isend(comm, data, size, tag, mhandle, request);
}

static ncclResult_t v10_irecv(void *comm, int n, void **data, size_t *sizes, int *tags,
			      void **mhandles, void **phandles, void **request)
{
	(void)phandles;
	if (!sizes)
		return ncclInvalidArgument;
	return edge_irecv(comm, n, data, sizes[0], tags, mhandles, request);
}

EDGE_EXPORT const ncclNet_v10_t ncclNetPlugin_v10 = {
	EDGE_COMMON_CALLS,     .init = v10_init,       .getProperties = v10_get_properties,
	.listen = edge_listen, .connect = v10_connect, .isend = v10_isend,
	.irecv = v10_irecv,    .makeVDevice = NULL,
};
