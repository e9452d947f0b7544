/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tables of all API versions share. A function here either has the signature that NCCL wants in
 * every version, and goes into the tables as it is, or is the common part of one that differs.
 * It checks pointers, calls comm/net.h and maps the result.
 *
 * Entries left NULL in every table, which NCCL allows (NCCL src/plugin/net.cc): makeVDevice, NICs are not merged; getDeviceMr,
 * since the kernels that unpack need no registration of their own: NCCL then leaves its zeroed handle as it is
 * (src/transport/net.cc, recvProxyConnect()).
 */
#ifndef DEVMEM_EDGE_H
#define DEVMEM_EDGE_H

#include <stdbool.h>

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
ncclResult_t edge_init_comm(void **ctx, ncclDebugLogger_t log, ncclProfilerCallback_t profile);
/* Lines go to @log from now on; NULL changes nothing. */
void edge_log_install(ncclDebugLogger_t log);
ncclResult_t edge_finalize(void *ctx);

ncclResult_t edge_devices(int *ndev);
ncclResult_t edge_props(int dev, struct net_props *ret);
ncclResult_t edge_listen(int dev, void *handle, void **listen_comm);
/* Is device unpack on? The same answer for all devices, valid after init. */
bool edge_unpacks(void);
/* *dev_handle is left alone: NCCL would follow a pointer put there (src/transport/net.cc). */
ncclResult_t edge_connect(int dev, void *handle, void **send_comm,
			  ncclNetDeviceHandle_v7_t **dev_handle);
/* *dev_handle is NCCL's where the device type is not HOST, else NULL. Filled by the call that returns a comm, never before. */
ncclResult_t edge_accept(void *listen_comm, void **recv_comm,
			 ncclNetDeviceHandle_v7_t **dev_handle);
ncclResult_t edge_reg_mr(void *comm, void *data, size_t size, int type, void **mhandle);
ncclResult_t edge_reg_mr_dmabuf(void *comm, void *data, size_t size, int type, uint64_t offset,
				int fd, void **mhandle);
ncclResult_t edge_dereg_mr(void *comm, void *mhandle);
ncclResult_t edge_isend(void *comm, void *data, size_t size, int tag, void *mhandle,
			void **request);
/*
 * One buffer; more (@n > 1) is invalid usage, as maxRecvs says. *request comes in as NCCL_NET_OPTIONAL_RECV_COMPLETION where the
 * protocol is LL or LL128 (src/transport/net.cc, recvProxyProgress()), and is anything else otherwise.
 */
ncclResult_t edge_irecv(void *comm, int n, void **data, size_t size, int *tags, void **mhandles,
			void **request);
/* The two as versions 11 and 12 have them: told to the profiler (profile.h). */
ncclResult_t edge_isend_profiled(void *comm, void *data, size_t size, int tag, void *mhandle,
				 void *phandle, void **request);
ncclResult_t edge_irecv_profiled(void *comm, int n, void **data, size_t *sizes, int *tags,
				 void **mhandles, void **phandles, void **request);
ncclResult_t edge_iflush(void *comm, int n, void **data, int *sizes, void **mhandles,
			 void **request);
ncclResult_t edge_test(void *request, int *done, int *sizes);
ncclResult_t edge_irecv_consumed(void *comm, int n, void *request);
/* Masks of what the traffic will be. Logged, and a protocol that unpacking kernels do not have is warned of, once. */
ncclResult_t edge_set_net_attr(uint32_t op, uint32_t algo, uint32_t proto);
ncclResult_t edge_close(void *comm);
ncclResult_t edge_close_listen(void *listen_comm);

/*
 * Properties: the versions' structs differ in layout, not in their members' names.
 * regIsGlobal 0: a registration is bound to one comm's NIC and is not valid on another's.
 * forceFlush 0: what NCCL would have flushed has been placed by the CPU or by the GPU itself.
 * maxRecvs 1: a connection carries one stream of messages.
 */
/* One expression: the macros below are nested deep enough. */
#define EDGE_FILL_V6(props, dev_props)                                                           \
	((props)->name = (char *)(dev_props).name,                                               \
	 (props)->pciPath = (char *)(dev_props).pci_path, (props)->guid = (dev_props).guid,      \
	 (props)->ptrSupport = (dev_props).ptr_support, (props)->speed = (dev_props).speed_mbps, \
	 (props)->port = 1, (props)->latency = (dev_props).latency_us,                           \
	 (props)->maxComms = (dev_props).max_comms, (props)->maxRecvs = 1)

#define EDGE_FILL_V7(props, dev_props)                                                            \
	do {                                                                                      \
		EDGE_FILL_V6(props, dev_props);                                                   \
		(props)->netDeviceType =                                                          \
			(dev_props).unpack ? NCCL_NET_DEVICE_UNPACK : NCCL_NET_DEVICE_HOST;       \
		(props)->netDeviceVersion = (dev_props).unpack ? NCCL_NET_DEVICE_UNPACK_VERSION   \
							       : NCCL_NET_DEVICE_INVALID_VERSION; \
	} while (0)

#define EDGE_FILL_V8(props, dev_props)          \
	do {                                    \
		EDGE_FILL_V7(props, dev_props); \
		(props)->regIsGlobal = 0;       \
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

/* Table entries that are the same in all versions. */
#define EDGE_CALLS                                                                     \
	.name = EDGE_NAME, .devices = edge_devices, .regMrDmaBuf = edge_reg_mr_dmabuf, \
	.deregMr = edge_dereg_mr, .iflush = edge_iflush, .test = edge_test,            \
	.closeSend = edge_close, .closeRecv = edge_close, .closeListen = edge_close_listen

/* The same from version 7 on. */
#define EDGE_DEVICE_CALLS \
	.accept = edge_accept, .getDeviceMr = NULL, .irecvConsumed = edge_irecv_consumed

/* The same from version 8 on. */
#define EDGE_COMMON_CALLS EDGE_CALLS, EDGE_DEVICE_CALLS, .regMr = edge_reg_mr

#endif
