/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Version 7 of NCCL's net plugin table; the library exports it as ncclNetPlugin_v7.
 * Against version 6: device offload: connect() and accept() carry a device handle, and
 * getDeviceMr() and irecvConsumed() come in.
 * What each call must do: net.h.
 */
#ifndef NCCL_NET_V7_H
#define NCCL_NET_V7_H

#include "nccl/net.h"

typedef struct {
	char *name;	/* interface name; owned by the plugin, lives until unload */
	char *pciPath;	/* sysfs path of the PCI device, or NULL; owned by the plugin */
	uint64_t guid;	/* same for all functions of one NIC */
	int ptrSupport; /* NCCL_PTR_* that regMr takes */
	int speed;	/* Mbit/s, > 0 */
	int port;	/* port number on the NIC */
	float latency;	/* microseconds, 0: unknown */
	int maxComms;	/* connections */
	int maxRecvs;	/* most buffers in one irecv */
	ncclNetDeviceType netDeviceType;
	int netDeviceVersion; /* of the device code */
} ncclNetProperties_v7_t;

typedef struct {
	const char *name;
	ncclResult_t (*init)(ncclDebugLogger_t log);
	ncclResult_t (*devices)(int *ndev);
	ncclResult_t (*getProperties)(int dev, ncclNetProperties_v7_t *props);
	ncclResult_t (*listen)(int dev, void *handle, void **listen_comm);
	ncclResult_t (*connect)(int dev, void *handle, void **send_comm,
				ncclNetDeviceHandle_v7_t **dev_handle);
	ncclResult_t (*accept)(void *listen_comm, void **recv_comm,
			       ncclNetDeviceHandle_v7_t **dev_handle);
	ncclResult_t (*regMr)(void *comm, void *data, int size, int type, void **mhandle);
	ncclResult_t (*regMrDmaBuf)(void *comm, void *data, size_t size, int type, uint64_t offset,
				    int fd, void **mhandle);
	ncclResult_t (*deregMr)(void *comm, void *mhandle);
	ncclResult_t (*isend)(void *send_comm, void *data, int size, int tag, void *mhandle,
			      void **request);
	ncclResult_t (*irecv)(void *recv_comm, int n, void **data, int *sizes, int *tags,
			      void **mhandles, void **request);
	ncclResult_t (*iflush)(void *recv_comm, int n, void **data, int *sizes, void **mhandles,
			       void **request);
	ncclResult_t (*test)(void *request, int *done, int *sizes);
	ncclResult_t (*closeSend)(void *send_comm);
	ncclResult_t (*closeRecv)(void *recv_comm);
	ncclResult_t (*closeListen)(void *listen_comm);
	ncclResult_t (*getDeviceMr)(void *comm, void *mhandle, void **dptr_mhandle);
	ncclResult_t (*irecvConsumed)(void *recv_comm, int n, void *request);
} ncclNet_v7_t;

#endif
