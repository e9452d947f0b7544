// SPDX-License-Identifier: BSD-3-Clause
#include "net_driver.h"

#include "nccl/net_v11.h"
#include "net_driver_props.h"

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
	*ret = (struct net_device){ NET_DEVICE_V11(props) };
	net_device_names(ret, props.name, props.pciPath);
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

static ncclResult_t v11_accept(const void *table, void *listen_comm, void **recv_comm,
			       ncclNetDeviceHandle_v7_t **dev_handle)
{
	const ncclNet_v11_t *net = table;

	return net->accept(listen_comm, recv_comm, dev_handle);
}

static ncclResult_t v11_reg_mr(const void *table, void *comm, void *data, size_t size, int type,
			       void **mhandle)
{
	const ncclNet_v11_t *net = table;

	return net->regMr(comm, data, size, type, mhandle);
}

static ncclResult_t v11_isend(const void *table, void *send_comm, void *data, size_t size, int tag,
			      void *mhandle, void **request)
{
	const ncclNet_v11_t *net = table;

	return net->isend(send_comm, data, size, tag, mhandle, NULL, request);
}

static ncclResult_t v11_irecv(const void *table, void *recv_comm, int n, void **data,
			      const size_t *sizes, int *tags, void **mhandles, void **request)
{
	const ncclNet_v11_t *net = table;
	void *phandles[NET_MAX_RECVS] = { NULL };
	size_t copy[NET_MAX_RECVS];

	if (n < 1 || n > NET_MAX_RECVS)
		return ncclInvalidArgument;
	for (int i = 0; i < n; i++)
		copy[i] = sizes[i];
	return net->irecv(recv_comm, n, data, copy, tags, mhandles, phandles, request);
}

static ncclResult_t v11_set_net_attr(const void *table, void *ctx)
{
	const ncclNetCommAttr_v11_t unknown = { NCCL_NET_ATTR_UNDEF, NCCL_NET_ATTR_UNDEF,
						NCCL_NET_ATTR_UNDEF, NCCL_NET_ATTR_UNDEF };
	ncclNetAttr_v11_t attr = {
		.sendCommAttr = unknown,
		.recvCommAttr = unknown,
		.op = (uint32_t)NCCL_NET_ATTR_UNDEF,
		.algo = (uint32_t)NCCL_NET_ATTR_UNDEF,
		.proto = (uint32_t)NCCL_NET_ATTR_UNDEF,
	};
	const ncclNet_v11_t *net = table;

	return net->setNetAttr(ctx, &attr);
}

const char *net_calls_fill_v11(const void *table, struct net_calls *calls)
{
	const ncclNet_v11_t *net = table;

	*calls = (struct net_calls){
		.devices = net->devices,
		.reg_mr_dmabuf = net->regMrDmaBuf,
		.dereg_mr = net->deregMr,
		.iflush = net->iflush,
		.test = net->test,
		.close_send = net->closeSend,
		.close_recv = net->closeRecv,
		.close_listen = net->closeListen,
		.get_device_mr = net->getDeviceMr,
		.irecv_consumed = net->irecvConsumed,
		.finalize = net->finalize,
		.init = v11_init,
		.get_properties = v11_get_properties,
		.listen = v11_listen,
		.connect = v11_connect,
		.accept = v11_accept,
		.reg_mr = v11_reg_mr,
		.isend = v11_isend,
		.irecv = v11_irecv,
		.set_net_attr = net->setNetAttr ? v11_set_net_attr : NULL,
	};
	return net->name;
}
