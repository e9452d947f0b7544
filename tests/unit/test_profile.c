// SPDX-License-Identifier: BSD-3-Clause
/*
 * Requests as a profiler's events, on a net_*() layer played by the test: one start and one stop each, where the profiler wants them.
 *
 * unit-libs: devmem_abi_objects devmem_base
 */
#include <errno.h>

#include "unit.h"
#include "played_net.h"
#include "nccl/net_v10.h"
#include "nccl/net_v11.h"
#include "nccl/net_v12.h"

extern const ncclNet_v10_t ncclNetPlugin_v10;
extern const ncclNet_v11_t ncclNetPlugin_v11;
extern const ncclNet_v12_t ncclNetPlugin_v12;

/* What NCCL's callback is told. */
static struct {
	int starts, stops;
	bool wants; /* the profiler makes an event */
	void *stopped;
	ncclProfilerNetSockDescr_v1_t descr;
	int64_t id;
} seen;

#define STEP  ((void *)0x57e9)
#define EVENT ((void *)0xe7)

static ncclResult_t callback(void **event, int type, void *phandle, int64_t plugin_id,
			     void *ext_data)
{
	if (type == ncclProfilerNetEventStart) {
		assert_ptr_equal(phandle, STEP);
		assert_null(*event);
		seen.starts++;
		seen.id = plugin_id;
		seen.descr = *(ncclProfilerNetSockDescr_v1_t *)ext_data;
		if (seen.wants)
			*event = EVENT;
	} else {
		assert_int_equal(type, ncclProfilerNetEventStop);
		seen.stops++;
		seen.stopped = *event;
	}
	/* Not the request's business. */
	return ncclInternalError;
}

static int profile_setup(void **state)
{
	void *ctx;

	(void)setup(state);
	memset(&seen, 0, sizeof(seen));
	seen.wants = true;
	assert_int_equal(ncclNetPlugin_v12.init(&ctx, 7, NULL, NULL, callback), ncclSuccess);
	return 0;
}

static void *send_v12(void *step)
{
	void *req = NULL;

	assert_int_equal(ncclNetPlugin_v12.isend(COMM, &net, 4097, 6, MR, step, &req), ncclSuccess);
	return req;
}

static void test_send(void **state)
{
	void *req = send_v12(STEP);
	int done;

	(void)state;
	assert_int_equal(seen.starts, 1);
	assert_int_equal(seen.id, NCCL_PROFILER_NET_TYPE_SOCK | NCCL_PROFILER_NET_SOCKET_VER);
	assert_int_equal(seen.descr.type, ncclProfileSocket);
	assert_int_equal(seen.descr.sock.fd, 9);
	assert_int_equal(seen.descr.sock.op, ncclProfilerNetSockSend);
	assert_int_equal(seen.descr.sock.length, 4097);
	assert_int_equal(ncclNetPlugin_v12.test(req, &done, NULL), ncclSuccess);
	assert_int_equal(seen.stops, 0);
	net.test_done = 1;
	assert_int_equal(ncclNetPlugin_v12.test(req, &done, NULL), ncclSuccess);
	assert_int_equal(seen.stops, 1);
	assert_ptr_equal(seen.stopped, EVENT);
}

static void test_receive(void **state)
{
	size_t sizes[1] = { 1 << 20 };
	void *data[1] = { &net }, *mrs[1] = { MR }, *steps[1] = { STEP }, *req = NULL;
	int tags[1] = { 0 }, done;

	(void)state;
	assert_int_equal(ncclNetPlugin_v11.irecv(COMM, 1, data, sizes, tags, mrs, steps, &req),
			 ncclSuccess);
	assert_int_equal(seen.starts, 1);
	assert_int_equal(seen.descr.sock.op, ncclProfilerNetSockRecv);
	assert_int_equal(seen.descr.sock.length, 1 << 20);
	net.test_done = 1;
	assert_int_equal(ncclNetPlugin_v11.test(req, &done, NULL), ncclSuccess);
	assert_int_equal(seen.stops, 1);
}

/* A failed request may be tested again; its event has ended. */
static void test_failure(void **state)
{
	void *req = send_v12(STEP);
	int done;

	(void)state;
	net.err = -ECONNRESET;
	assert_int_equal(ncclNetPlugin_v12.test(req, &done, NULL), ncclRemoteError);
	assert_int_equal(ncclNetPlugin_v12.test(req, &done, NULL), ncclRemoteError);
	assert_int_equal(seen.stops, 1);
}

static void test_no_request(void **state)
{
	void *req;

	(void)state;
	net.again = true;
	req = send_v12(STEP);
	assert_null(req);
	net.err = -EPIPE;
	assert_int_equal(ncclNetPlugin_v12.isend(COMM, &net, 1, 6, MR, STEP, &req),
			 ncclRemoteError);
	assert_int_equal(seen.starts, 0);
}

/* Steps that nobody profiles have no handle; a profiler may want no events of ours. */
static void test_not_wanted(void **state)
{
	void *req;
	int done;

	(void)state;
	net.test_done = 1;
	net.cookie = EVENT; /* of the slot's last request */
	req = send_v12(NULL);
	assert_int_equal(seen.starts, 0);
	assert_int_equal(ncclNetPlugin_v12.test(req, &done, NULL), ncclSuccess);
	assert_int_equal(seen.stops, 0);

	seen.wants = false;
	net.cookie = EVENT;
	req = send_v12(STEP);
	assert_int_equal(seen.starts, 1);
	assert_int_equal(ncclNetPlugin_v12.test(req, &done, NULL), ncclSuccess);
	assert_int_equal(seen.stops, 0);
}

/* NCCL 2.26 would follow a pointer that it need not have set. */
static void test_version_10(void **state)
{
	void *req = NULL;

	(void)state;
	assert_int_equal(ncclNetPlugin_v10.isend(COMM, &net, 1, 6, MR, STEP, &req), ncclSuccess);
	assert_int_equal(seen.starts, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_send, profile_setup),
		cmocka_unit_test_setup(test_receive, profile_setup),
		cmocka_unit_test_setup(test_failure, profile_setup),
		cmocka_unit_test_setup(test_no_request, profile_setup),
		cmocka_unit_test_setup(test_not_wanted, profile_setup),
		cmocka_unit_test_setup(test_version_10, profile_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
