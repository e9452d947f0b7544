/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Version 10 of NCCL's net plugin table; the library exports it as ncclNetPlugin_v10.
 * Against version 9: the profiler: a callback at init() and a handle with each request. connect()
 * is given the communicator's configuration.
 * What each call must do: net.h.
 */
#ifndef NCCL_NET_V10_H
#define NCCL_NET_V10_H

#include "nccl/net.h"

#define NCCL_NET_MAX_DEVS_PER_NIC_V10 4

typedef ncclNetDeviceHandle_v7_t ncclNetDeviceHandle_v10_t;

/* A merged NIC: @devs lists the indexes of its @ndevs physical devices. */
typedef struct {
	int ndevs;
	int devs[NCCL_NET_MAX_DEVS_PER_NIC_V10];
} ncclNetVDeviceProps_v10_t;

/* What the user asked of a communicator; NCCL_NET_TRAFFIC_CLASS_UNDEF when nothing. */
typedef struct {
	int trafficClass;
} ncclNetCommConfig_v10_t;

typedef struct {
	char *name;	 /* interface name; owned by the plugin, lives until unload */
	char *pciPath;	 /* sysfs path of the PCI device, or NULL; owned by the plugin */
	uint64_t guid;	 /* same for all functions of one NIC */
	int ptrSupport;	 /* NCCL_PTR_* that regMr takes */
	int regIsGlobal; /* a registration holds for every comm */
	int forceFlush;	 /* NCCL must iflush even where the GPU would not need it */
	int speed;	 /* Mbit/s, > 0 */
	int port;	 /* port number on the NIC */
	float latency;	 /* microseconds, 0: unknown */
	int maxComms;	 /* connections */
	int maxRecvs;	 /* most buffers in one irecv */
	ncclNetDeviceType netDeviceType;
	int netDeviceVersion;		  /* of the device code */
	ncclNetVDeviceProps_v10_t vProps; /* physical devices behind this one */
	size_t maxP2pBytes;		  /* 0 < n <= NCCL_MAX_NET_SIZE_BYTES */
	size_t maxCollBytes;		  /* 0 < n <= NCCL_MAX_NET_SIZE_BYTES */
} ncclNetProperties_v10_t;

typedef struct {
	const char *name;
	ncclResult_t (*init)(ncclDebugLogger_t log, ncclProfilerCallback_t profile);
	ncclResult_t (*devices)(int *ndev);
	ncclResult_t (*getProperties)(int dev, ncclNetProperties_v10_t *props);
	ncclResult_t (*listen)(int dev, void *handle, void **listen_comm);
	ncclResult_t (*connect)(int dev, ncclNetCommConfig_v10_t *config, void *handle,
				void **send_comm, ncclNetDeviceHandle_v10_t **dev_handle);
	ncclResult_t (*accept)(void *listen_comm, void **recv_comm,
			       ncclNetDeviceHandle_v10_t **dev_handle);
	ncclResult_t (*regMr)(void *comm, void *data, size_t size, int type, void **mhandle);
	ncclResult_t (*regMrDmaBuf)(void *comm, void *data, size_t size, int type, uint64_t offset,
				    int fd, void **mhandle);
	ncclResult_t (*deregMr)(void *comm, void *mhandle);
	ncclResult_t (*isend)(void *send_comm, void *data, size_t size, int tag, void *mhandle,
			      void *phandle, void **request);
	ncclResult_t (*irecv)(void *recv_comm, int n, void **data, size_t *sizes, int *tags,
			      void **mhandles, void **phandles, void **request);
	ncclResult_t (*iflush)(void *recv_comm, int n, void **data, int *sizes, void **mhandles,
			       void **request);
	ncclResult_t (*test)(void *request, int *done, int *sizes);
	ncclResult_t (*closeSend)(void *send_comm);
	ncclResult_t (*closeRecv)(void *recv_comm);
	ncclResult_t (*closeListen)(void *listen_comm);
	ncclResult_t (*getDeviceMr)(void *comm, void *mhandle, void **dptr_mhandle);
	ncclResult_t (*irecvConsumed)(void *recv_comm, int n, void *request);
	ncclResult_t (*makeVDevice)(int *dev, ncclNetVDeviceProps_v10_t *props);
} ncclNet_v10_t;

#endif
