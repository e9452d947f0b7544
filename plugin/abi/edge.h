/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tables of all API versions share. A function here either has the signature that NCCL wants in
 * every version, and goes into the tables as it is, or is the common part of one that differs.
 * It checks pointers, calls comm/net.h and maps the result.
 *
 * Entries left NULL in every table, which NCCL allows (NCCL src/plugin/net.cc): getDeviceMr and irecvConsumed, since
 * receives are complete when test() says so; makeVDevice, NICs are not merged; setNetAttr, a hint.
 */
#ifndef DEVMEM_EDGE_H
#define DEVMEM_EDGE_H

#include "comm/net.h"
#include "nccl/net.h"

#define EDGE_EXPORT __attribute__((visibility("default")))
#define EDGE_NAME   "Devmem"

/* The one place where errno becomes ncclResult_t. @err: 0 or negative errno. */
ncclResult_t edge_result(int err);

/*
 * Up to version 10 NCCL calls init() once per process and has no finalize(); the library's destructor does that when it is
 * unloaded. From version 11 on both come for each communicator.
 */
ncclResult_t edge_init_process(ncclDebugLogger_t log);
ncclResult_t edge_init_comm(void **ctx, ncclDebugLogger_t log);
ncclResult_t edge_finalize(void *ctx);

ncclResult_t edge_devices(int *ndev);
ncclResult_t edge_props(int dev, struct net_props *ret);
ncclResult_t edge_listen(int dev, void *handle, void **listen_comm);
ncclResult_t edge_connect(int dev, void *handle, void **send_comm,
			  ncclNetDeviceHandle_v7_t **dev_handle);
ncclResult_t edge_accept(void *listen_comm, void **recv_comm,
			 ncclNetDeviceHandle_v7_t **dev_handle);
ncclResult_t edge_reg_mr(void *comm, void *data, size_t size, int type, void **mhandle);
ncclResult_t edge_reg_mr_dmabuf(void *comm, void *data, size_t size, int type, uint64_t offset,
				int fd, void **mhandle);
ncclResult_t edge_dereg_mr(void *comm, void *mhandle);
ncclResult_t edge_isend(void *comm, void *data, size_t size, int tag, void *mhandle,
			void **request);
/* One buffer; more (@n > 1) is invalid usage, as maxRecvs says. */
ncclResult_t edge_irecv(void *comm, int n, void **data, size_t size, int *tags, void **mhandles,
			void **request);
ncclResult_t edge_iflush(void *comm, int n, void **data, int *sizes, void **mhandles,
			 void **request);
ncclResult_t edge_test(void *request, int *done, int *sizes);
ncclResult_t edge_close(void *comm);
ncclResult_t edge_close_listen(void *listen_comm);

/*
 * Properties: the versions' structs differ in layout, not in their members' names.
 * regIsGlobal 0: a registration is bound to one comm's NIC and is not valid on another's.
 * forceFlush 0: the CPU, or NCCL's unpack code, places the bytes; no PCI write is left to flush.
 * maxRecvs 1: a connection carries one stream of messages.
 */
#define EDGE_FILL_V8(props, dev_props)                                       \
	do {                                                                 \
		(props)->name = (char *)(dev_props).name;                    \
		(props)->pciPath = (char *)(dev_props).pci_path;             \
		(props)->guid = (dev_props).guid;                            \
		(props)->ptrSupport = (dev_props).ptr_support;               \
		(props)->regIsGlobal = 0;                                    \
		(props)->speed = (dev_props).speed_mbps;                     \
		(props)->port = 1;                                           \
		(props)->latency = (dev_props).latency_us;                   \
		(props)->maxComms = (dev_props).max_comms;                   \
		(props)->maxRecvs = 1;                                       \
		(props)->netDeviceType = NCCL_NET_DEVICE_HOST;               \
		(props)->netDeviceVersion = NCCL_NET_DEVICE_INVALID_VERSION; \
	} while (0)

#define EDGE_FILL_V9(props, dev_props, dev)              \
	do {                                             \
		EDGE_FILL_V8(props, dev_props);          \
		(props)->forceFlush = 0;                 \
		(props)->vProps.ndevs = 1;               \
		(props)->vProps.devs[0] = (dev);         \
		(props)->maxP2pBytes = NET_MAX_MESSAGE;  \
		(props)->maxCollBytes = NET_MAX_MESSAGE; \
	} while (0)

/* Table entries that are the same from version 8 to 12. */
#define EDGE_COMMON_CALLS                                                                        \
	.name = EDGE_NAME, .devices = edge_devices, .accept = edge_accept, .regMr = edge_reg_mr, \
	.regMrDmaBuf = edge_reg_mr_dmabuf, .deregMr = edge_dereg_mr, .iflush = edge_iflush,      \
	.test = edge_test, .closeSend = edge_close, .closeRecv = edge_close,                     \
	.closeListen = edge_close_listen, .getDeviceMr = NULL, .irecvConsumed = NULL

#endif
