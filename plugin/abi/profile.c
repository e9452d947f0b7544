// SPDX-License-Identifier: BSD-3-Clause
#include "abi/profile.h"

#include "base/param.h"
#include "comm/net.h"

/* Valid until the library is unloaded (include/nccl/net.h). */
static ncclProfilerCallback_t profiler;

static ncclProfilerCallback_t profile_callback(void)
{
	return __atomic_load_n(&profiler, __ATOMIC_ACQUIRE);
}

void profile_install(ncclProfilerCallback_t callback)
{
	if (callback && param_bool(PARAM_PROFILE))
		__atomic_store_n(&profiler, callback, __ATOMIC_RELEASE);
}

void profile_start(struct request *req, void *phandle, enum ncclProfilerNetSockOp op, size_t size)
{
	ncclProfilerCallback_t callback = profile_callback();
	ncclProfilerNetSockDescr_v1_t descr = { .type = ncclProfileSocket };
	void *event = NULL;

	if (!callback || !req)
		return;
	if (phandle) {
		descr.sock.fd = net_request_fd(req);
		descr.sock.op = op;
		descr.sock.length = size;
		/* The profiler copies the description. Whether it wants the event shows in @event alone; its failure is not ours. */
		(void)callback(&event, ncclProfilerNetEventStart, phandle,
			       NCCL_PROFILER_NET_TYPE_SOCK | NCCL_PROFILER_NET_SOCKET_VER, &descr);
	}
	*net_request_cookie(req) = event;
}

void *profile_event(struct request *req)
{
	return profile_callback() ? *net_request_cookie(req) : NULL;
}

void profile_stop(struct request *req, void *event)
{
	/* Once, also if NCCL tests a failed request again. */
	*net_request_cookie(req) = NULL;
	(void)profile_callback()(&event, ncclProfilerNetEventStop, NULL, 0, NULL);
}
