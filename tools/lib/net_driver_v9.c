// SPDX-License-Identifier: BSD-3-Clause
#include "net_driver.h"

#include <stdio.h>

#include "nccl/net_v9.h"

static ncclResult_t v9_init(const void *table, void **ctx, uint64_t comm_id, ncclDebugLogger_t log)
{
	const ncclNet_v9_t *net = table;

	(void)comm_id;
	*ctx = NULL;
	return net->init(log);
}

static ncclResult_t v9_get_properties(const void *table, int dev, struct net_device *ret)
{
	ncclNetProperties_v9_t props = { 0 };
	const ncclNet_v9_t *net = table;
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

static ncclResult_t v9_listen(const void *table, void *ctx, int dev, void *handle,
			      void **listen_comm)
{
	const ncclNet_v9_t *net = table;

	(void)ctx;
	return net->listen(dev, handle, listen_comm);
}

static ncclResult_t v9_connect(const void *table, void *ctx, int dev, void *handle,
			       void **send_comm, ncclNetDeviceHandle_v7_t **dev_handle)
{
	const ncclNet_v9_t *net = table;

	(void)ctx;
	return net->connect(dev, handle, send_comm, dev_handle);
}

static ncclResult_t v9_isend(const void *table, void *send_comm, void *data, size_t size, int tag,
			     void *mhandle, void **request)
{
	const ncclNet_v9_t *net = table;

	return net->isend(send_comm, data, size, tag, mhandle, request);
}

static ncclResult_t v9_irecv(const void *table, void *recv_comm, void *data, size_t size, int tag,
			     void *mhandle, void **request)
{
	const ncclNet_v9_t *net = table;

	return net->irecv(recv_comm, 1, &data, &size, &tag, &mhandle, request);
}

const char *net_calls_fill_v9(const void *table, struct net_calls *calls)
{
	const ncclNet_v9_t *net = table;

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
		.finalize = NULL,
		.init = v9_init,
		.get_properties = v9_get_properties,
		.listen = v9_listen,
		.connect = v9_connect,
		.isend = v9_isend,
		.irecv = v9_irecv,
	};
	return net->name;
}
