/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any NCCL net plugin, loaded and shown as one set of calls, whichever API version it has.
 */
#ifndef PERF_NET_DRIVER_H
#define PERF_NET_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nccl/net.h"
#include "nccl_devmem.h"

#define NET_API_MIN 6
#define NET_API_MAX 12

/*
 * A device's properties; what the plugin's version does not have is 0 or false. @name and @pci_path are copies, @has_name and
 * @has_pci_path tell whether there was one.
 */
struct net_device {
	char name[64];
	char pci_path[256];
	bool has_name;
	bool has_pci_path;
	uint64_t guid;
	int ptr_support; /* NCCL_PTR_* */
	int speed_mbps;
	int port;
	float latency_us;
	int max_comms;
	int max_recvs;
	/* From version 7 on. */
	ncclNetDeviceType device_type;
	int device_version;
	/* From version 8 on. */
	bool reg_is_global;
	/* From version 9 on. */
	bool force_flush;
	int n_vdevs;
	size_t max_p2p_bytes;
	size_t max_coll_bytes;
	/* From version 11 on. */
	int max_multi_request_size;
};

/*
 * The calls of a plugin. The first group has the same signature in all versions and is the
 * plugin's own; the second is filled with an adapter of the version. @table is the plugin's table.
 * @reg_mr_dmabuf, @get_device_mr, @irecv_consumed, @finalize and @set_net_attr may be NULL.
 */
struct net_calls {
	ncclResult_t (*devices)(int *ndev);
	ncclResult_t (*reg_mr_dmabuf)(void *comm, void *data, size_t size, int type,
				      uint64_t offset, int fd, void **mhandle);
	ncclResult_t (*dereg_mr)(void *comm, void *mhandle);
	ncclResult_t (*iflush)(void *recv_comm, int n, void **data, int *sizes, void **mhandles,
			       void **request);
	ncclResult_t (*test)(void *request, int *done, int *sizes);
	ncclResult_t (*close_send)(void *send_comm);
	ncclResult_t (*close_recv)(void *recv_comm);
	ncclResult_t (*close_listen)(void *listen_comm);
	ncclResult_t (*get_device_mr)(void *comm, void *mhandle, void **dptr_mhandle);
	ncclResult_t (*irecv_consumed)(void *recv_comm, int n, void *request);
	ncclResult_t (*finalize)(void *ctx);

	ncclResult_t (*init)(const void *table, void **ctx, uint64_t comm_id,
			     ncclDebugLogger_t log);
	ncclResult_t (*get_properties)(const void *table, int dev, struct net_device *ret);
	ncclResult_t (*listen)(const void *table, void *ctx, int dev, void *handle,
			       void **listen_comm);
	ncclResult_t (*connect)(const void *table, void *ctx, int dev, void *handle,
				void **send_comm, ncclNetDeviceHandle_v7_t **dev_handle);
	ncclResult_t (*accept)(const void *table, void *listen_comm, void **recv_comm,
			       ncclNetDeviceHandle_v7_t **dev_handle);
	ncclResult_t (*reg_mr)(const void *table, void *comm, void *data, size_t size, int type,
			       void **mhandle);
	ncclResult_t (*isend)(const void *table, void *send_comm, void *data, size_t size, int tag,
			      void *mhandle, void **request);
	/* @n buffers, up to NET_MAX_RECVS. */
	ncclResult_t (*irecv)(const void *table, void *recv_comm, int n, void **data,
			      const size_t *sizes, int *tags, void **mhandles, void **request);
	/* "Nothing known" for everything (NCCL_NET_ATTR_UNDEF). */
	ncclResult_t (*set_net_attr)(const void *table, void *ctx);
};

/* Most buffers in one irecv through net_calls; plugins that group receives offer 8 at most. */
#define NET_MAX_RECVS 8

/* One per version, net_driver_v6.c and so on: fills @calls from the table; returns its name. */
const char *net_calls_fill_v6(const void *table, struct net_calls *calls);
const char *net_calls_fill_v7(const void *table, struct net_calls *calls);
const char *net_calls_fill_v8(const void *table, struct net_calls *calls);
const char *net_calls_fill_v9(const void *table, struct net_calls *calls);
const char *net_calls_fill_v10(const void *table, struct net_calls *calls);
const char *net_calls_fill_v11(const void *table, struct net_calls *calls);
const char *net_calls_fill_v12(const void *table, struct net_calls *calls);

/* For them: copies what is not NULL. */
void net_device_names(struct net_device *ret, const char *name, const char *pci_path);

/* The same by number; NULL if @api is not a version that is known. */
const char *net_calls_fill(int api, const void *table, struct net_calls *calls);

/*
 * @library is NULL for a driver that lives in the program (tests). Calls on one driver follow
 * NCCL's thread rules (nccl/net.h); the tools make them all from one thread.
 */
struct net_driver {
	void *library;
	const void *table;
	const char *name; /* the plugin's */
	int api;
	void *ctx;
	struct net_calls calls;
	int dev;		  /* device in use */
	struct net_device device; /* its properties */
};

/*
 * Loads @path (NULL: this project's library, beside the program, installed, or on the linker's
 * path), takes table @api (0: the highest from v12 to v6), calls init and picks the device called
 * @device (NULL: the first). Reports what went wrong. Negative errno: -ENOENT no library or no
 * table, -ENODEV no such device, else net_driver_check()'s. *ret is to be closed.
 */
int net_driver_open(const char *path, int api, const char *device, struct net_driver **ret);

/* Calls finalize where the version has it. The library stays loaded, its counters readable. */
void net_driver_finalize(struct net_driver *drv);

/* Unloads. NULL is fine. */
void net_driver_close(struct net_driver *drv);

/* Reports @res with what was being done, and gives it as negative errno; 0 for ncclSuccess. */
int net_driver_check(const struct net_driver *drv, ncclResult_t res, const char *what, int peer);

/* "ncclSystemError" */
const char *net_result_name(ncclResult_t res);

/*
 * The plugin's public counters (nccl_devmem.h); false where it has none. Counters that the
 * plugin's version lacks are 0.
 */
bool net_driver_counters(const struct net_driver *drv, struct nccl_devmem_counters *ret);

#endif
