/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Version 6 of NCCL's net plugin table; the library exports it as ncclNetPlugin_v6.
 * no device offload: the comms carry no device handle, and getDeviceMr() and irecvConsumed() do
 * not exist.
 * What each call must do: net.h.
 */
#ifndef NCCL_NET_V6_H
#define NCCL_NET_V6_H

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
} ncclNetProperties_v6_t;

typedef struct {
	const char *name;
	ncclResult_t (*init)(ncclDebugLogger_t log);
	ncclResult_t (*devices)(int *ndev);
	ncclResult_t (*getProperties)(int dev, ncclNetProperties_v6_t *props);
	ncclResult_t (*listen)(int dev, void *handle, void **listen_comm);
	ncclResult_t (*connect)(int dev, void *handle, void **send_comm);
	ncclResult_t (*accept)(void *listen_comm, void **recv_comm);
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
} ncclNet_v6_t;

#endif
