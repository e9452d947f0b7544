// SPDX-License-Identifier: BSD-3-Clause
/* The tables of plain_tcp.c: version 8 as the oldest, 10 for its profiler arguments, 12 as the newest. */
#include "nccl/net_v10.h"
#include "nccl/net_v12.h"
#include "nccl/net_v8.h"
#include "plain_tcp.h"

#define EXPORT __attribute__((visibility("default")))

#define PROPS_V8(props)                                                      \
	do {                                                                 \
		struct plain_props p_;                                       \
                                                                             \
		plain_props(&p_);                                            \
		(props)->name = p_.name;                                     \
		(props)->pciPath = NULL;                                     \
		(props)->guid = 1;                                           \
		(props)->ptrSupport = NCCL_PTR_HOST;                         \
		(props)->regIsGlobal = 0;                                    \
		(props)->speed = p_.speed;                                   \
		(props)->port = 1;                                           \
		(props)->latency = 0;                                        \
		(props)->maxComms = p_.max_comms;                            \
		(props)->maxRecvs = 1;                                       \
		(props)->netDeviceType = NCCL_NET_DEVICE_HOST;               \
		(props)->netDeviceVersion = NCCL_NET_DEVICE_INVALID_VERSION; \
	} while (0)

#define PROPS_V9(props)                                          \
	do {                                                     \
		PROPS_V8(props);                                 \
		(props)->forceFlush = 0;                         \
		(props)->vProps.ndevs = 1;                       \
		(props)->vProps.devs[0] = 0;                     \
		(props)->maxP2pBytes = NCCL_MAX_NET_SIZE_BYTES;  \
		(props)->maxCollBytes = NCCL_MAX_NET_SIZE_BYTES; \
	} while (0)

static ncclResult_t connect_v7(int dev, void *handle, void **comm, ncclNetDeviceHandle_v7_t **dh)
{
	(void)dh;
	return plain_connect(dev, handle, comm);
}

static ncclResult_t accept_v7(void *listen, void **comm, ncclNetDeviceHandle_v7_t **dh)
{
	(void)dh;
	return plain_accept(listen, comm);
}

static ncclResult_t init_v8(ncclDebugLogger_t log)
{
	return plain_init(NULL, log);
}

static ncclResult_t props_v8(int dev, ncclNetProperties_v8_t *props)
{
	if (dev)
		return ncclInvalidArgument;
	PROPS_V8(props);
	return ncclSuccess;
}

static ncclResult_t isend_v8(void *comm, void *data, int size, int tag, void *mh, void **request)
{
	(void)mh;
	return plain_isend(comm, data, (size_t)size, tag, request);
}

static ncclResult_t irecv_v8(void *comm, int n, void **data, int *sizes, int *tags, void **mhs,
			     void **request)
{
	(void)mhs;
	return plain_irecv(comm, n, data, (size_t)sizes[0], tags[0], request);
}

#define COMMON                                                                                 \
	.name = "PlainTcp", .devices = plain_devices, .accept = accept_v7, .regMr = plain_reg, \
	.deregMr = plain_dereg, .iflush = plain_iflush, .test = plain_test,                    \
	.closeSend = plain_close, .closeRecv = plain_close, .closeListen = plain_close

EXPORT const ncclNet_v8_t ncclNetPlugin_v8 = {
	COMMON,
	.init = init_v8,
	.getProperties = props_v8,
	.listen = plain_listen,
	.connect = connect_v7,
	.isend = isend_v8,
	.irecv = irecv_v8,
};

static ncclResult_t init_v10(ncclDebugLogger_t log, ncclProfilerCallback_t profile)
{
	(void)profile;
	return plain_init(NULL, log);
}

static ncclResult_t props_v10(int dev, ncclNetProperties_v10_t *props)
{
	if (dev)
		return ncclInvalidArgument;
	PROPS_V9(props);
	return ncclSuccess;
}

static ncclResult_t connect_v10(int dev, ncclNetCommConfig_v10_t *config, void *handle, void **comm,
				ncclNetDeviceHandle_v10_t **dh)
{
	(void)config;
	(void)dh;
	return plain_connect(dev, handle, comm);
}

static ncclResult_t isend_v10(void *comm, void *data, size_t size, int tag, void *mh, void *ph,
			      void **request)
{
	(void)mh;
	(void)ph;
	return plain_isend(comm, data, size, tag, request);
}

static ncclResult_t irecv_v10(void *comm, int n, void **data, size_t *sizes, int *tags, void **mhs,
			      void **phs, void **request)
{
	(void)mhs;
	(void)phs;
	return plain_irecv(comm, n, data, sizes[0], tags[0], request);
}

EXPORT const ncclNet_v10_t ncclNetPlugin_v10 = {
	COMMON,
	.init = init_v10,
	.getProperties = props_v10,
	.listen = plain_listen,
	.connect = connect_v10,
	.isend = isend_v10,
	.irecv = irecv_v10,
};

static ncclResult_t init_v12(void **ctx, uint64_t comm_id, ncclNetCommConfig_v12_t *config,
			     ncclDebugLogger_t log, ncclProfilerCallback_t profile)
{
	(void)comm_id;
	(void)config;
	(void)profile;
	return plain_init(ctx, log);
}

static ncclResult_t props_v12(int dev, ncclNetProperties_v12_t *props)
{
	if (dev)
		return ncclInvalidArgument;
	PROPS_V9(props);
	props->maxMultiRequestSize = 1;
	props->railId = NCCL_NET_ID_UNDEF;
	props->planeId = NCCL_NET_ID_UNDEF;
	return ncclSuccess;
}

static ncclResult_t listen_v12(void *ctx, int dev, void *handle, void **comm)
{
	(void)ctx;
	return plain_listen(dev, handle, comm);
}

static ncclResult_t connect_v12(void *ctx, int dev, void *handle, void **comm,
				ncclNetDeviceHandle_v12_t **dh)
{
	(void)ctx;
	(void)dh;
	return plain_connect(dev, handle, comm);
}

static ncclResult_t set_net_attr_v12(void *ctx, ncclNetAttr_v12_t *attr)
{
	(void)ctx;
	(void)attr;
	return ncclSuccess;
}

EXPORT const ncclNet_v12_t ncclNetPlugin_v12 = {
	COMMON,
	.init = init_v12,
	.getProperties = props_v12,
	.listen = listen_v12,
	.connect = connect_v12,
	.isend = isend_v10,
	.irecv = irecv_v10,
	.finalize = plain_finalize,
	.setNetAttr = set_net_attr_v12,
};
