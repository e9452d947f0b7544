/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NCCL's net plugin interface: what all versions share. One table per version is in net_v6.h to
 * net_v12.h.
 *
 * Declared anew, so that neither NCCL nor CUDA is needed to build. Names, values and layout are
 * NCCL's ABI on LP64; tests/unit/nccl-net-abi.tsv has the layout, and the build checks it.
 * Behaviour was read off NCCL 2.30.7 (src/plugin/net.cc, src/transport/net.cc).
 *
 * The calls, in the order of their life. All return ncclResult_t, and none may block.
 *
 * - init: once per process up to version 10, once per communicator from version 11 on. The logger
 *   is valid until the library is unloaded, and so is the profiler callback, which may be NULL.
 *   *ctx is the plugin's own.
 * - devices: asked after the first init only. With 0 devices or an error NCCL goes on to its next
 *   plugin.
 * - getProperties: fills *props. Strings stay the plugin's. Many threads at once.
 * - listen: fills @handle, NCCL_NET_HANDLE_MAXSIZE bytes and perhaps unaligned, which NCCL carries
 *   to the peer. Success comes with a comm, always.
 * - connect, accept: polled. Success with a NULL comm means "again". connect keeps its state in
 *   @handle. accept finds an object in *dev_handle where the device type is not HOST.
 * - regMr, regMrDmaBuf: the memory stays the caller's. NCCL closes @fd after the call. @offset is
 *   where @data lies in the dmabuf. An mhandle belongs to one comm unless regIsGlobal.
 * - isend: success with a NULL *request means "no room now, again". @data is the plugin's to read
 *   until the request is done.
 * - irecv: the same with @n buffers; each is at least as large as the message with its tag.
 *   *request comes in as NCCL_NET_OPTIONAL_RECV_COMPLETION where NCCL does not need the size.
 * - iflush: after a receive into device memory, makes it visible there. A NULL *request with
 *   success means that nothing needs to be waited for.
 * - test: sets *done; when 1, and if @sizes is not NULL, one size per buffer. The request is gone
 *   then, except for irecvConsumed.
 * - irecvConsumed, where not NULL: the data of this finished receive has been used. Comes for every
 *   receive, an empty one too, except after an abort.
 * - deregMr, closeSend, closeRecv, closeListen: may come with requests in flight.
 * - finalize: ends what init began, from version 11 on.
 *
 * init, devices, getProperties and finalize run on application threads; isend, irecv, test, iflush
 * and irecvConsumed on one progress thread; the rest on one service thread.
 */
#ifndef NCCL_NET_H
#define NCCL_NET_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
	ncclSuccess = 0,
	ncclUnhandledCudaError = 1,
	ncclSystemError = 2,   /* a system call failed */
	ncclInternalError = 3, /* a bug in the plugin */
	ncclInvalidArgument = 4,
	ncclInvalidUsage = 5, /* for instance a message larger than its receive */
	ncclRemoteError = 6,  /* the peer is gone */
	ncclInProgress = 7,
	ncclNumResults = 8,
} ncclResult_t;

typedef enum {
	NCCL_LOG_NONE = 0,
	NCCL_LOG_VERSION = 1,
	NCCL_LOG_WARN = 2,
	NCCL_LOG_INFO = 3,
	NCCL_LOG_ABORT = 4,
	NCCL_LOG_TRACE = 5,
} ncclDebugLogLevel;

/* Bits of the logger's @flags, one per part of NCCL; NCCL_DEBUG_SUBSYS selects among them. */
typedef enum {
	NCCL_INIT = 0x1,
	NCCL_COLL = 0x2,
	NCCL_P2P = 0x4,
	NCCL_SHM = 0x8,
	NCCL_NET = 0x10,
	NCCL_GRAPH = 0x20,
	NCCL_TUNING = 0x40,
	NCCL_ENV = 0x80,
	NCCL_ALLOC = 0x100,
	NCCL_CALL = 0x200,
	NCCL_PROXY = 0x400,
	NCCL_NVLS = 0x800,
	NCCL_BOOTSTRAP = 0x1000,
	NCCL_REG = 0x2000,
	NCCL_PROFILE = 0x4000,
	NCCL_RAS = 0x8000,
	NCCL_ALL = ~0,
} ncclDebugLogSubSys;

/* @fmt comes without a newline. Any thread. */
typedef void (*ncclDebugLogger_t)(ncclDebugLogLevel level, unsigned long flags, const char *file,
				  int line, const char *fmt, ...);

enum {
	ncclProfilerNetEventStart = 0,
	ncclProfilerNetEventStop = 1,
	ncclProfilerNetEventUpdate = 2,
	ncclProfilerNetEventUpdateAndStop = 3,
};

/* @phandle as it came with the request; @plugin_id a NCCL_PROFILER_NET_TYPE_* and a version. */
typedef ncclResult_t (*ncclProfilerCallback_t)(void **event, int type, void *phandle,
					       int64_t plugin_id, void *ext_data);

#define NCCL_PROFILER_NET_TYPE_SOCK  (2 << 16)
#define NCCL_PROFILER_NET_SOCKET_VER 1

enum { ncclProfileSocket = 1 };

/* Of a task in NCCL's socket transport (src/include/socket.h, NCCL_SOCKET_SEND and NCCL_SOCKET_RECV). */
enum ncclProfilerNetSockOp { ncclProfilerNetSockSend = 0, ncclProfilerNetSockRecv = 1 };

/* @ext_data of a start for the two above (src/include/plugin/profiler/net_socket_v1.h). Read during the call. */
typedef struct {
	uint8_t type;
	union {
		struct {
			int fd;
			int op;
			size_t length;
		} sock;
	};
} ncclProfilerNetSockDescr_v1_t;

#define NCCL_NET_HANDLE_MAXSIZE 128
#define NCCL_NET_MAX_REQUESTS	32 /* in flight per comm, times maxRecvs on the sender */
#define NCCL_MAX_NET_SIZE_BYTES (1LL << 40)
#define NCCL_NET_MAX_PLUGINS	16

/* What *request holds when irecv is called; to be read before it is overwritten. */
#define NCCL_NET_OPTIONAL_RECV_COMPLETION 0x1
#define NCCL_NET_MULTI_REQUEST		  0x2

/* Kinds of memory: bits in ptrSupport, one of them as regMr's @type. */
#define NCCL_PTR_HOST	0x1
#define NCCL_PTR_CUDA	0x2
#define NCCL_PTR_DMABUF 0x4

#define NCCL_NET_TRAFFIC_CLASS_UNDEF (-1)
#define NCCL_NET_ATTR_UNDEF	     (-1)
#define NCCL_NET_ID_UNDEF	     (-1)

/* Which GPU code takes part in a receive. */
typedef enum {
	NCCL_NET_DEVICE_HOST = 0,
	NCCL_NET_DEVICE_UNPACK = 1,
	NCCL_NET_DEVICE_GIN_PROXY = 2,
	NCCL_NET_DEVICE_GIN_GDAKI = 3,
} ncclNetDeviceType;

#define NCCL_NET_DEVICE_INVALID_VERSION	       0x0
#define NCCL_NET_DEVICE_UNPACK_VERSION	       0x7
#define NCCL_NET_DEVICE_UNPACK_MAX_QUEUE_DEPTH 16

/*
 * Allocated by NCCL, zeroed; filled by the accept() that returns the comm. @handle points to @size
 * bytes of device memory, owned by the plugin. With needsProxyProgress 1 the proxy goes on calling
 * test(). The same in every version from 7 on.
 */
typedef struct {
	ncclNetDeviceType netDeviceType;
	int netDeviceVersion;
	void *handle;
	size_t size;
	int needsProxyProgress;
} ncclNetDeviceHandle_v7_t;

#endif
