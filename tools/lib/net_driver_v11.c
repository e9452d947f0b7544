// SPDX-License-Identifier: BSD-3-Clause
#include "net_driver.h"

#include <stdio.h>

#include "nccl/net_v11.h"

static ncclResult_t v11_init(const void *table, void **ctx, uint64_t comm_id, ncclDebugLogger_t log)
{
	ncclNetCommConfig_v11_t config = { .trafficClass = NCCL_NET_TRAFFIC_CLASS_UNDEF };
	const ncclNet_v11_t *net = table;

	return net->init(ctx, comm_id, &config, log, NULL);
}

static ncclResult_t v11_get_properties(const void *table, int dev, struct net_device *ret)
{
	ncclNetProperties_v11_t props = { 0 };
	const ncclNet_v11_t *net = table;
	ncclResult_t res;

	res = net->getProperties(dev, &props);
	if (res != ncclSuccess)
		return res;
	snprintf(ret->name, sizeof(ret->name), "%s", props.name ? props.name : "");
	ret->speed_mbps = props.speed;
	ret->ptr_support = props.ptrSupport;
	ret->force_flush = props.forceFlush;
	ret->device_type = props.netDeviceType;
	return ncclSuccess;
}

static ncclResult_t v11_listen(const void *table, void *ctx, int dev, void *handle,
			       void **listen_comm)
{
	const ncclNet_v11_t *net = table;

	return net->listen(ctx, dev, handle, listen_comm);
}

static ncclResult_t v11_connect(const void *table, void *ctx, int dev, void *handle,
				void **send_comm, ncclNetDeviceHandle_v7_t **dev_handle)
{
	const ncclNet_v11_t *net = table;

	return net->connect(ctx, dev, handle, send_comm, dev_handle);
}

static ncclResult_t v11_isend(const void *table, void *send_comm, void *data, size_t size, int tag,
			      void *mhandle, void **request)
{
	const ncclNet_v11_t *net = table;

	return net->isend(send_comm, data, size, tag, mhandle, NULL, request);
}

static ncclResult_t v11_irecv(const void *table, void *recv_comm, void *data, size_t size, int tag,
			      void *mhandle, void **request)
{
	const ncclNet_v11_t *net = table;
	void *phandle = NULL;

	return net->irecv(recv_comm, 1, &data, &size, &tag, &mhandle, &phandle, request);
}

const char *net_calls_fill_v11(const void *table, struct net_calls *calls)
{
	const ncclNet_v11_t *net = table;

	*calls = (struct net_calls){
		.devices = net->devices,
		.accept = net->accept,
		.reg_mr = net->regMr,
		.reg_mr_dmabuf = net->regMrDmaBuf,
		.dereg_mr = net->deregMr,
		.iflush = net->iflush,
		.test = net->test,
		.close_send = net->closeSend,
		.close_recv = net->closeRecv,
		.close_listen = net->closeListen,
		.irecv_consumed = net->irecvConsumed,
		.finalize = net->finalize,
		.init = v11_init,
		.get_properties = v11_get_properties,
		.listen = v11_listen,
		.connect = v11_connect,
		.isend = v11_isend,
		.irecv = v11_irecv,
	};
	return net->name;
}
