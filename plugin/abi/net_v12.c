// SPDX-License-Identifier: BSD-3-Clause
/* Version 12: rail and plane of a NIC, which an Ethernet interface does not tell. */
#include "abi/edge.h"
#include "nccl/net_v12.h"

static ncclResult_t v12_init(void **ctx, uint64_t comm_id, ncclNetCommConfig_v12_t *config,
			     ncclDebugLogger_t log, ncclProfilerCallback_t profile)
{
	(void)comm_id;
	(void)config;
	return edge_init_comm(ctx, log, profile);
}

static ncclResult_t v12_get_properties(int dev, ncclNetProperties_v12_t *props)
{
	struct net_props p;
	ncclResult_t res = edge_props(dev, &p);

	if (res != ncclSuccess)
		return res;
	EDGE_FILL_V9(props, p, dev);
	/* A request is one message; NCCL must not bundle several. */
	props->maxMultiRequestSize = 1;
	props->railId = NCCL_NET_ID_UNDEF;
	props->planeId = NCCL_NET_ID_UNDEF;
	return ncclSuccess;
}

static ncclResult_t v12_listen(void *ctx, int dev, void *handle, void **listen_comm)
{
	(void)ctx;
	return edge_listen(dev, handle, listen_comm);
}

static ncclResult_t v12_connect(void *ctx, int dev, void *handle, void **send_comm,
				ncclNetDeviceHandle_v12_t **dev_handle)
{
	(void)ctx;
	return edge_connect(dev, handle, send_comm, dev_handle);
}

static ncclResult_t v12_set_net_attr(void *ctx, ncclNetAttr_v12_t *attr)
{
	(void)ctx;
	return attr ? edge_set_net_attr(attr->op, attr->algo, attr->proto) : ncclInvalidArgument;
}

EDGE_EXPORT const ncclNet_v12_t ncclNetPlugin_v12 = {
	EDGE_COMMON_CALLS,
	.init = v12_init,
	.getProperties = v12_get_properties,
	.listen = v12_listen,
	.connect = v12_connect,
	.isend = edge_isend_profiled,
	.irecv = edge_irecv_profiled,
	.makeVDevice = NULL,
	.finalize = edge_finalize,
	.setNetAttr = v12_set_net_attr,
};
