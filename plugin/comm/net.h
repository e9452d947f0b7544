/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin as plugin/abi sees it: NCCL's verbs with negative errno instead of ncclResult_t, and one shape
 * for all API versions.
 *
 * Threads (NCCL src/proxy.cc, src/plugin/net.cc): init, devices, properties, finalize from application threads;
 * listen, connect, accept, register, close from a service thread; isend, irecv, test, flush, consumed from a progress
 * thread. Of one comm, data calls come from one thread at a time; registration may run beside them.
 */
#ifndef DEVMEM_NET_H
#define DEVMEM_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NCCL_NET_HANDLE_MAXSIZE; the handle may be unaligned. */
#define NET_HANDLE_SIZE 128
/* NCCL_NET_MAX_REQUESTS; isend and irecv answer "try again" beyond it. */
#define NET_MAX_REQUESTS 32
#define NET_MAX_MESSAGE	 (1ULL << 40)

#define NET_PTR_HOST   0x1
#define NET_PTR_CUDA   0x2
#define NET_PTR_DMABUF 0x4

struct listen_comm;
struct comm; /* base of send and receive comms */
struct request;
struct mr;

/*
 * @name, @pci_path: valid until net_finalize() of the last context. @pci_path is NULL for virtual devices.
 * @ptr_support: NET_PTR_*; NET_PTR_DMABUF when the plugin can send from or receive into dmabufs at all, NET_PTR_CUDA when it is better to
 *               give it GPU memory than to let NCCL go through host memory.
 * @unpack: NCCL's kernels put the received bytes in order (NCCL_NET_DEVICE_UNPACK); the same for all devices.
 */
struct net_props {
	const char *name;
	const char *pci_path;
	uint64_t guid;
	int ptr_support;
	bool unpack;
	int speed_mbps;
	int max_comms;
	float latency_us;
};

/*
 * First call loads parameters, restores what dead processes left on NICs and lists the devices; later calls only take a
 * reference. net_finalize() drops one; the last one closes what NCCL left half open (it does not close after an
 * abort), logs the summary, and leaves no thread, descriptor or mapping behind: the library may be unloaded next.
 */
int net_init(void);
int net_finalize(void);
int net_devices(int *ret_n);
int net_props_get(int dev, struct net_props *ret);

/* Fills @handle with what net_connect() on the other side needs. */
int net_listen(int dev, void *handle, struct listen_comm **ret);
/* Both return 0 with *ret NULL until the connection stands, never block, and keep their state in @handle or the listen comm. */
int net_connect(int dev, void *handle, struct comm **ret);
int net_accept(struct listen_comm *listen, struct comm **ret);
/* Receive comms with device unpack: the device pointer that NCCL's kernels want; NULL for all others. */
void *net_device_handle(struct comm *comm);
int net_close_listen(struct listen_comm *listen);
/* Send or receive comm, also with requests in flight: they are cancelled, memory is not touched afterwards. */
int net_close(struct comm *comm);

/*
 * Host memory: @type NET_PTR_HOST. -ENOTSUP for NET_PTR_CUDA without a dmabuf. 0 with *ret NULL: with device unpack only NCCL's own buffers
 * are registered (reg_gate.h); NCCL then uses those (src/transport/net.cc, netRegisterBuffer()). An error would say the same,
 * but NCCL forgets to close the dmabuf's descriptor on it (recvProxyRegBuffer()).
 */
int net_reg_mr(struct comm *comm, void *data, size_t size, int type, struct mr **ret);
int net_reg_mr_dmabuf(struct comm *comm, void *data, size_t size, int type, uint64_t offset, int fd,
		      struct mr **ret);
int net_dereg_mr(struct comm *comm, struct mr *mr);

/*
 * 0 with *ret NULL means try again. A request lives until net_test() says done. Errors: -EMSGSIZE oversize message (mismatched
 * collective), -ECONNRESET/-EPIPE/-ETIMEDOUT dead peer, -EPROTO peer speaks another version or nonsense,
 * -EINVAL memory outside its registration. After an error every later call on the comm returns the same error.
 */
int net_isend(struct comm *comm, const void *data, size_t size, int tag, struct mr *mr,
	      struct request **ret);
/* @ll: NCCL watches the buffer for flags (protocols LL and LL128), so its lines must appear whole and in order. */
int net_irecv(struct comm *comm, void *data, size_t size, int tag, struct mr *mr, bool ll,
	      struct request **ret);
/* A descriptor of the connection that carries @req, as a name for it. */
int net_request_fd(const struct request *req);
/* A word for the caller's use, whose value stays until the slot is used by another request. */
void **net_request_cookie(struct request *req);
/* The bytes of a receive that net_test() reported done have been used (irecvConsumed). Of no effect where nothing was lent for it. */
int net_consumed(struct comm *comm, struct request *req);
/* *ret_size (may be NULL) is the size of the message, valid once *ret_done is 1. */
int net_test(struct request *req, int *ret_done, size_t *ret_size);
/* Must NCCL keep away from LL and LL128 (device unpack, or a GPU that only its copy engine serves)? Valid after net_init(). */
bool net_needs_simple(void);
/* Nothing to flush when the CPU placed the bytes: *ret stays NULL. */
int net_iflush(struct comm *comm, struct request **ret);

#endif
