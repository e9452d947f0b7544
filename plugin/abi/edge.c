// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "abi/edge.h"
#include "abi/profile.h"
#include "base/log.h"
#include "base/mutant.h"
#include "base/param.h"
#include "nccl/tuner.h"
#include "path/unpack_layout.h"

_Static_assert(NET_HANDLE_SIZE == NCCL_NET_HANDLE_MAXSIZE, "handle");
_Static_assert(NET_MAX_REQUESTS == NCCL_NET_MAX_REQUESTS, "requests");
_Static_assert(NET_MAX_MESSAGE == NCCL_MAX_NET_SIZE_BYTES, "message size");
_Static_assert(NET_PTR_HOST == NCCL_PTR_HOST && NET_PTR_CUDA == NCCL_PTR_CUDA &&
		       NET_PTR_DMABUF == NCCL_PTR_DMABUF,
	       "kinds of memory");

/*
 * @process_pid: whose init() of version <= 10 holds a reference on the plugin; 0 when none does.
 * @open_comms: send and receive comms that NCCL holds and has not closed; atomic.
 * @exiting: the process is at exit(), as opposed to dlclose(); see edge_unload().
 */
static pthread_mutex_t edge_lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t process_pid;
static int open_comms;
static bool exiting;
static ncclDebugLogger_t nccl_log;
/* NCCL takes a context by its address alone; there is nothing to keep per communicator. */
static char edge_ctx;

ncclResult_t edge_result(int err)
{
	switch (-err) {
	case 0:
		return ncclSuccess;
	case EMSGSIZE: /* a send larger than its receive: a mismatched collective */
		return ncclInvalidUsage;
	case EINVAL:
		return ncclInvalidArgument;
	case ECONNRESET:
		return DEVMEM_MUTANT(remote_is_system) ? ncclSystemError : ncclRemoteError;
	case ECONNABORTED:
	case ECONNREFUSED:
	case EPIPE:
	case ENOTCONN:
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
	case ENETRESET:
	case EPROTO:
		return ncclRemoteError;
	case EBADE: /* the plugin caught itself in an impossible state */
	case EBADF:
	case EFAULT:
	case ENOTRECOVERABLE:
		return ncclInternalError;
	default: /* a positive "errno" is such a state, too */
		return err < 0 ? ncclSystemError : ncclInternalError;
	}
}

static void edge_log_line(enum log_level lvl, const char *file, int line, const char *text)
{
	ncclDebugLogger_t log = __atomic_load_n(&nccl_log, __ATOMIC_ACQUIRE);
	ncclDebugLogLevel level = NCCL_LOG_WARN;

	if (lvl == LOG_LVL_INFO)
		level = NCCL_LOG_INFO;
	else if (lvl == LOG_LVL_DEBUG)
		level = NCCL_LOG_TRACE;
	log(level, NCCL_INIT | NCCL_NET, file, line, "NET/" EDGE_NAME ": %s", text);
}

void edge_log_install(ncclDebugLogger_t log)
{
	if (!log)
		return;
	__atomic_store_n(&nccl_log, log, __ATOMIC_RELEASE);
	log_sink_set(edge_log_line);
}

/* The C++ ABI's names for what follows: crtbegin's mark of this library, and libc's list (Itanium C++ ABI, 3.3.6.3). */
extern void *__dso_handle
	__attribute__((visibility("hidden"))); /* NOLINT(bugprone-reserved-identifier) */
int __cxa_atexit(void (*fn)(void *), void *arg,
		 void *dso); /* NOLINT(bugprone-reserved-identifier) */

static void edge_exit(void *unused)
{
	(void)unused;
	exiting = true;
}

ncclResult_t edge_init_process(ncclDebugLogger_t log)
{
	int err = 0;

	edge_log_install(log);
	pthread_mutex_lock(&edge_lock);
	/* NCCL calls once; a second call must not take a reference that nobody drops. */
	if (!process_pid) {
		err = net_init();
		if (!err)
			process_pid = getpid();
		if (!err && __cxa_atexit(edge_exit, NULL, &__dso_handle))
			exiting = true; /* cannot tell: the careful way */
	}
	pthread_mutex_unlock(&edge_lock);
	return edge_result(err);
}

/*
 * Unloading the library ends what init() of version <= 10 began, and closes what NCCL left open after an abort. The same
 * function runs at exit() of a process that did not shut NCCL down: then NCCL's threads may still be inside comms, and
 * everything is left to the kernel and to the next start's clean-up. Nor does a forked child touch what its parent uses.
 *
 * What tells the two apart: exit() runs atexit() functions before any library's destructors. dlclose() runs the library's own
 * after its destructors: the fini array goes from its end, and begins with crtbegin's call of __cxa_finalize(). That drops
 * edge_exit() from the list, but only if the list knows whose it is: so __cxa_atexit() with this library's handle. Plain
 * atexit() is linked into each library to pass that on, yet a program or preloaded library that has an atexit() of its own
 * (ThreadSanitizer's does) gets the call instead, loses the handle, and exit() would jump into what is no longer mapped.
 */
__attribute__((destructor)) static void edge_unload(void)
{
	bool in_use = exiting && __atomic_load_n(&open_comms, __ATOMIC_ACQUIRE);

	if (process_pid == getpid() && !in_use)
		net_finalize();
}

ncclResult_t edge_init_comm(void **ctx, ncclDebugLogger_t log, ncclProfilerCallback_t profile)
{
	int err;

	if (!ctx)
		return ncclInvalidArgument;
	edge_log_install(log);
	err = net_init();
	if (err)
		return edge_result(err);
	profile_install(profile);
	*ctx = &edge_ctx;
	return ncclSuccess;
}

ncclResult_t edge_finalize(void *ctx)
{
	if (ctx != &edge_ctx)
		return ncclInvalidArgument;
	return edge_result(net_finalize());
}

ncclResult_t edge_devices(int *ndev)
{
	if (!ndev)
		return ncclInvalidArgument;
	return edge_result(net_devices(ndev));
}

ncclResult_t edge_props(int dev, struct net_props *ret)
{
	return edge_result(net_props_get(dev, ret));
}

bool edge_unpacks(void)
{
	struct net_props p;

	return net_props_get(0, &p) == 0 && p.unpack;
}

ncclResult_t edge_listen(int dev, void *handle, void **listen_comm)
{
	struct listen_comm *lc = NULL;
	int err;

	if (!handle || !listen_comm)
		return ncclInvalidArgument;
	err = net_listen(dev, handle, &lc);
	if (!err)
		*listen_comm = lc;
	return edge_result(err);
}

/* A comm that came up is NCCL's until it closes it. */
static ncclResult_t edge_hand_over(int err, struct comm *comm, void **ret)
{
	if (err)
		return edge_result(err);
	if (comm)
		__atomic_fetch_add(&open_comms, 1, __ATOMIC_RELAXED);
	*ret = comm;
	return ncclSuccess;
}

ncclResult_t edge_connect(int dev, void *handle, void **send_comm,
			  ncclNetDeviceHandle_v7_t **dev_handle)
{
	struct comm *comm = NULL;
	int err;

	if (DEVMEM_MUTANT(connect_device) && dev_handle)
		*dev_handle = handle;
	if (!handle || !send_comm)
		return ncclInvalidArgument;
	*send_comm = NULL;
	err = net_connect(dev, handle, &comm);
	return edge_hand_over(err, comm, send_comm);
}

/*
 * Tells NCCL's kernels how to receive from @comm. They look at each connection's handle by itself (src/device/prims_simple.h,
 * loadRecvConn()), so one without unpack may stand beside others: it has the type HOST.
 */
static int edge_fill_device(struct comm *comm, ncclNetDeviceHandle_v7_t *h)
{
	void *device = net_device_handle(comm);

	if (!h && device) {
		log_err("device unpack is on, but NCCL brought no device handle to accept()");
		return -EBADE;
	}
	if (!h)
		return 0;
	*h = (ncclNetDeviceHandle_v7_t){
		.netDeviceType = device ? NCCL_NET_DEVICE_UNPACK : NCCL_NET_DEVICE_HOST,
		.netDeviceVersion =
			device ? NCCL_NET_DEVICE_UNPACK_VERSION : NCCL_NET_DEVICE_INVALID_VERSION,
		.handle = device,
		.size = device ? sizeof(struct unpack_handle) : 0,
		.needsProxyProgress = 1, /* test() is where bytes are received */
	};
	return 0;
}

ncclResult_t edge_accept(void *listen_comm, void **recv_comm, ncclNetDeviceHandle_v7_t **dev_handle)
{
	struct comm *comm = NULL;
	int err;

	if (!listen_comm || !recv_comm)
		return ncclInvalidArgument;
	*recv_comm = NULL;
	err = net_accept(listen_comm, &comm);
	if (!err && comm) {
		err = edge_fill_device(comm, dev_handle ? *dev_handle : NULL);
		/* NCCL closes nothing when accept() fails. */
		if (err)
			net_close(comm);
	}
	return edge_hand_over(err, comm, recv_comm);
}

ncclResult_t edge_reg_mr(void *comm, void *data, size_t size, int type, void **mhandle)
{
	struct mr *mr = NULL;
	int err;

	if (!comm || !mhandle)
		return ncclInvalidArgument;
	err = net_reg_mr(comm, data, size, type, &mr);
	if (!err)
		*mhandle = DEVMEM_MUTANT(mhandle_null) ? NULL : mr;
	return edge_result(err);
}

ncclResult_t edge_reg_mr_dmabuf(void *comm, void *data, size_t size, int type, uint64_t offset,
				int fd, void **mhandle)
{
	struct mr *mr = NULL;
	int err;

	if (!comm || !mhandle)
		return ncclInvalidArgument;
	err = net_reg_mr_dmabuf(comm, data, size, type, offset, fd, &mr);
	if (!err)
		*mhandle = mr;
	return edge_result(err);
}

ncclResult_t edge_dereg_mr(void *comm, void *mhandle)
{
	if (!comm)
		return ncclInvalidArgument;
	return mhandle ? edge_result(net_dereg_mr(comm, mhandle)) : ncclSuccess;
}

ncclResult_t edge_isend(void *comm, void *data, size_t size, int tag, void *mhandle, void **request)
{
	struct request *req = NULL;
	int err;

	if (!comm || !request)
		return ncclInvalidArgument;
	err = net_isend(comm, data, size, tag, mhandle, &req);
	*request = req;
	return edge_result(err);
}

/*
 * NCCL presets *request where it could do without the completion. It always gets one: over TCP it costs nothing extra. That
 * the preset tells the protocol is worth more.
 */
ncclResult_t edge_irecv(void *comm, int n, void **data, size_t size, int *tags, void **mhandles,
			void **request)
{
	struct request *req = NULL;
	bool ll;
	int err;

	if (!comm || !data || !request)
		return ncclInvalidArgument;
	ll = (uintptr_t)*request == NCCL_NET_OPTIONAL_RECV_COMPLETION;
	if (n != 1 && !DEVMEM_MUTANT(group_taken)) {
		log_err("irecv of %d buffers at once; getProperties says maxRecvs 1", n);
		return ncclInvalidUsage;
	}
	err = net_irecv(comm, data[0], size, tags ? tags[0] : 0, mhandles ? mhandles[0] : NULL, ll,
			&req);
	*request = DEVMEM_MUTANT(optional_kept) && ll ? NULL : req;
	return edge_result(err);
}

ncclResult_t edge_isend_profiled(void *comm, void *data, size_t size, int tag, void *mhandle,
				 void *phandle, void **request)
{
	ncclResult_t res = edge_isend(comm, data, size, tag, mhandle, request);

	if (res == ncclSuccess)
		profile_start(*request, phandle, ncclProfilerNetSockSend, size);
	return res;
}

ncclResult_t edge_irecv_profiled(void *comm, int n, void **data, size_t *sizes, int *tags,
				 void **mhandles, void **phandles, void **request)
{
	ncclResult_t res;

	if (!sizes)
		return ncclInvalidArgument;
	res = edge_irecv(comm, n, data, sizes[0], tags, mhandles, request);
	if (res == ncclSuccess)
		profile_start(*request, phandles ? phandles[0] : NULL, ncclProfilerNetSockRecv,
			      sizes[0]);
	return res;
}

ncclResult_t edge_iflush(void *comm, int n, void **data, int *sizes, void **mhandles,
			 void **request)
{
	struct request *req = NULL;
	int err;

	(void)n;
	(void)data;
	(void)sizes;
	(void)mhandles;
	if (!comm || !request)
		return ncclInvalidArgument;
	err = net_iflush(comm, &req);
	*request = req;
	return edge_result(err);
}

ncclResult_t edge_test(void *request, int *done, int *sizes)
{
	size_t size = 0;
	int finished = 0;
	void *event;
	int err;

	if (!request || !done)
		return ncclInvalidArgument;
	*done = 0;
	event = profile_event(request);
	err = net_test(request, &finished, &size);
	if (event && (err || finished))
		profile_stop(request, event);
	if (err)
		return edge_result(err);
	*done = finished;
	/* NCCL counts in int here, also in the versions whose irecv() takes size_t. */
	if (finished && (sizes || DEVMEM_MUTANT(sizes_deref)))
		sizes[0] = size > INT_MAX ? INT_MAX : (int)size;
	return ncclSuccess;
}

ncclResult_t edge_irecv_consumed(void *comm, int n, void *request)
{
	(void)n; /* the number of buffers in the request: 1 */
	if (!comm || !request)
		return ncclInvalidArgument;
	return edge_result(net_consumed(comm, request));
}

ncclResult_t edge_set_net_attr(uint32_t op, uint32_t algo, uint32_t proto)
{
	static bool warned;

	log_debug("traffic to come: operations %#x, algorithms %#x, protocols %#x", op, algo,
		  proto);
	if (proto == (uint32_t)NCCL_NET_ATTR_UNDEF ||
	    !(proto & (1U << NCCL_PROTO_LL | 1U << NCCL_PROTO_LL128)) || !edge_unpacks() ||
	    __atomic_exchange_n(&warned, true, __ATOMIC_RELAXED))
		return ncclSuccess;
	log_warn(
		"NCCL is about to use protocol %s, whose kernels cannot unpack: set NCCL_PROTO=Simple on every rank, or "
		"%s=gather",
		proto & (1U << NCCL_PROTO_LL) ? "LL" : "LL128", param_env_name(PARAM_PLACE));
	return ncclSuccess;
}

ncclResult_t edge_close(void *comm)
{
	int err;

	if (!comm)
		return ncclSuccess;
	err = net_close(comm);
	__atomic_fetch_sub(&open_comms, 1, __ATOMIC_RELEASE);
	return edge_result(err);
}

ncclResult_t edge_close_listen(void *listen_comm)
{
	return listen_comm ? edge_result(net_close_listen(listen_comm)) : ncclSuccess;
}
