// SPDX-License-Identifier: BSD-3-Clause
#include "net_driver.h"

#include <limits.h>

#include "nccl/net_v6.h"
#include "net_driver_props.h"

static ncclResult_t v6_init(const void *table, void **ctx, uint64_t comm_id, ncclDebugLogger_t log)
{
	const ncclNet_v6_t *net = table;

	(void)comm_id;
	*ctx = NULL;
	return net->init(log);
}

static ncclResult_t v6_get_properties(const void *table, int dev, struct net_device *ret)
{
	ncclNetProperties_v6_t props = { 0 };
	const ncclNet_v6_t *net = table;
	ncclResult_t res;

	res = net->getProperties(dev, &props);
	if (res != ncclSuccess)
		return res;
	*ret = (struct net_device){ NET_DEVICE_V6(props) };
	net_device_names(ret, props.name, props.pciPath);
	return ncclSuccess;
}

static ncclResult_t v6_listen(const void *table, void *ctx, int dev, void *handle,
			      void **listen_comm)
{
	const ncclNet_v6_t *net = table;

	(void)ctx;
	return net->listen(dev, handle, listen_comm);
}

static ncclResult_t v6_connect(const void *table, void *ctx, int dev, void *handle,
			       void **send_comm, ncclNetDeviceHandle_v7_t **dev_handle)
{
	const ncclNet_v6_t *net = table;

	(void)ctx;
	(void)dev_handle;
	return net->connect(dev, handle, send_comm);
}

static ncclResult_t v6_accept(const void *table, void *listen_comm, void **recv_comm,
			      ncclNetDeviceHandle_v7_t **dev_handle)
{
	const ncclNet_v6_t *net = table;

	(void)dev_handle;
	return net->accept(listen_comm, recv_comm);
}

static ncclResult_t v6_reg_mr(const void *table, void *comm, void *data, size_t size, int type,
			      void **mhandle)
{
	const ncclNet_v6_t *net = table;

	if (size > INT_MAX)
		return ncclInvalidArgument;
	return net->regMr(comm, data, (int)size, type, mhandle);
}

static ncclResult_t v6_isend(const void *table, void *send_comm, void *data, size_t size, int tag,
			     void *mhandle, void **request)
{
	const ncclNet_v6_t *net = table;

	if (size > INT_MAX)
		return ncclInvalidArgument;
	return net->isend(send_comm, data, (int)size, tag, mhandle, request);
}

static ncclResult_t v6_irecv(const void *table, void *recv_comm, int n, void **data,
			     const size_t *sizes, int *tags, void **mhandles, void **request)
{
	const ncclNet_v6_t *net = table;
	int isizes[NET_MAX_RECVS];

	if (n < 1 || n > NET_MAX_RECVS)
		return ncclInvalidArgument;
	for (int i = 0; i < n; i++) {
		if (sizes[i] > INT_MAX)
			return ncclInvalidArgument;
		isizes[i] = (int)sizes[i];
	}
	return net->irecv(recv_comm, n, data, isizes, tags, mhandles, request);
}

const char *net_calls_fill_v6(const void *table, struct net_calls *calls)
{
	const ncclNet_v6_t *net = table;

	*calls = (struct net_calls){
		.devices = net->devices,
		.reg_mr_dmabuf = net->regMrDmaBuf,
		.dereg_mr = net->deregMr,
		.iflush = net->iflush,
		.test = net->test,
		.close_send = net->closeSend,
		.close_recv = net->closeRecv,
		.close_listen = net->closeListen,
		.init = v6_init,
		.get_properties = v6_get_properties,
		.listen = v6_listen,
		.connect = v6_connect,
		.accept = v6_accept,
		.reg_mr = v6_reg_mr,
		.isend = v6_isend,
		.irecv = v6_irecv,
	};
	return net->name;
}
