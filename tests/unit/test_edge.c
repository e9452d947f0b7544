// SPDX-License-Identifier: BSD-3-Clause
/*
 * The tables that NCCL gets, on a net_*() layer played by the test: result codes, argument checks, properties, logging,
 * and what each version passes on.
 *
 * unit-libs: devmem_abi_objects devmem_base
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>

#include "unit.h"
#include "abi/edge.h"
#include "played_net.h"
#include "nccl/net_v10.h"
#include "nccl/net_v11.h"
#include "nccl/net_v12.h"
#include "nccl/net_v6.h"
#include "nccl/net_v7.h"
#include "nccl/net_v8.h"
#include "nccl/net_v9.h"

extern const ncclNet_v6_t ncclNetPlugin_v6;
extern const ncclNet_v7_t ncclNetPlugin_v7;
extern const ncclNet_v8_t ncclNetPlugin_v8;
extern const ncclNet_v9_t ncclNetPlugin_v9;
extern const ncclNet_v10_t ncclNetPlugin_v10;
extern const ncclNet_v11_t ncclNetPlugin_v11;
extern const ncclNet_v12_t ncclNetPlugin_v12;

static void test_result_map(void **state)
{
	static const struct {
		int err;
		ncclResult_t result;
	} map[] = {
		{ 0, ncclSuccess },
		{ -EMSGSIZE, ncclInvalidUsage },
		{ -EINVAL, ncclInvalidArgument },
		{ -ECONNRESET, ncclRemoteError },
		{ -EPIPE, ncclRemoteError },
		{ -ETIMEDOUT, ncclRemoteError },
		{ -ECONNREFUSED, ncclRemoteError },
		{ -ECONNABORTED, ncclRemoteError },
		{ -EHOSTUNREACH, ncclRemoteError },
		{ -ENETUNREACH, ncclRemoteError },
		{ -ENOTCONN, ncclRemoteError },
		{ -EPROTO, ncclRemoteError },
		{ -ENOMEM, ncclSystemError },
		{ -EMFILE, ncclSystemError },
		{ -EPERM, ncclSystemError },
		{ -ENOTSUP, ncclSystemError },
		{ -ENODEV, ncclSystemError },
		{ -EBADE, ncclInternalError },
		{ -EFAULT, ncclInternalError },
		{ -EBADF, ncclInternalError },
		{ 1, ncclInternalError },
		{ ENOMEM, ncclInternalError },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		assert_int_equal(edge_result(map[i].err), map[i].result);
}

static ncclDebugLogLevel logged_level;
static unsigned long logged_flags;
static char logged_text[256];

static void __attribute__((format(printf, 5, 6)))
nccl_logger(ncclDebugLogLevel level, unsigned long flags, const char *file, int line,
	    const char *fmt, ...)
{
	va_list ap;

	assert_non_null(file);
	assert_true(line > 0);
	logged_level = level;
	logged_flags = flags;
	va_start(ap, fmt);
	vsnprintf(logged_text, sizeof(logged_text), fmt, ap);
	va_end(ap);
}

static void test_log_goes_to_nccl(void **state)
{
	void *ctx = NULL;

	(void)state;
	assert_int_equal(ncclNetPlugin_v12.init(&ctx, 7, NULL, nccl_logger, NULL), ncclSuccess);
	assert_non_null(ctx);
	log_warn("100%% of %s", "%s%n");
	assert_int_equal(logged_level, NCCL_LOG_WARN);
	assert_string_equal(logged_text, "NET/Devmem: 100% of %s%n");
	log_info("i");
	assert_int_equal(logged_level, NCCL_LOG_INFO);
	assert_true(logged_flags & NCCL_NET);
	log_level_set(LOG_LVL_DEBUG);
	log_debug("d");
	assert_int_equal(logged_level, NCCL_LOG_TRACE);
	log_err("e");
	assert_int_equal(logged_level, NCCL_LOG_WARN);
	log_level_set(LOG_LVL_INFO);
	assert_int_equal(ncclNetPlugin_v12.finalize(ctx), ncclSuccess);
	assert_int_equal(net.finals, 1);
}

static void test_init_by_communicator(void **state)
{
	void *a = NULL, *b = NULL, *untouched = COMM;

	(void)state;
	assert_int_equal(ncclNetPlugin_v11.init(&a, 1, NULL, NULL, NULL), ncclSuccess);
	assert_int_equal(ncclNetPlugin_v11.init(&b, 2, NULL, NULL, NULL), ncclSuccess);
	assert_int_equal(net.inits, 2);
	assert_int_equal(ncclNetPlugin_v11.finalize(a), ncclSuccess);
	assert_int_equal(ncclNetPlugin_v11.finalize(b), ncclSuccess);
	assert_int_equal(net.finals, 2);
	assert_int_equal(ncclNetPlugin_v11.finalize(NULL), ncclInvalidArgument);
	assert_int_equal(ncclNetPlugin_v11.init(NULL, 1, NULL, NULL, NULL), ncclInvalidArgument);
	assert_int_equal(net.finals, 2);
	net.err = -ENOMEM;
	assert_int_equal(ncclNetPlugin_v12.init(&untouched, 1, NULL, NULL, NULL), ncclSystemError);
	assert_ptr_equal(untouched, COMM);
}

static void test_init_by_process(void **state)
{
	(void)state;
	net.err = -EPERM;
	assert_int_equal(ncclNetPlugin_v8.init(NULL), ncclSystemError);
	net.err = 0;
	assert_int_equal(ncclNetPlugin_v6.init(NULL), ncclSuccess);
	assert_int_equal(ncclNetPlugin_v7.init(NULL), ncclSuccess);
	assert_int_equal(ncclNetPlugin_v8.init(NULL), ncclSuccess);
	assert_int_equal(ncclNetPlugin_v9.init(NULL), ncclSuccess);
	assert_int_equal(ncclNetPlugin_v10.init(NULL, NULL), ncclSuccess);
	/* One failed and one that took the reference. */
	assert_int_equal(net.inits, 2);
}

#define assert_props_v6(p)                                                         \
	do {                                                                       \
		assert_string_equal((p).name, "eth0");                             \
		assert_null((p).pciPath);                                          \
		assert_int_equal((p).guid, 0x1234567890ULL);                       \
		assert_int_equal((p).ptrSupport, NCCL_PTR_HOST | NCCL_PTR_DMABUF); \
		assert_int_equal((p).speed, 100000);                               \
		assert_int_equal((p).port, 1);                                     \
		assert_true((p).latency == 0);                                     \
		assert_int_equal((p).maxComms, 4096);                              \
		assert_int_equal((p).maxRecvs, 1);                                 \
	} while (0)

#define assert_props_v7(p)                                                 \
	do {                                                               \
		assert_props_v6(p);                                        \
		assert_int_equal((p).netDeviceType, NCCL_NET_DEVICE_HOST); \
		assert_int_equal((p).netDeviceVersion, 0);                 \
	} while (0)

#define assert_props(p)                               \
	do {                                          \
		assert_props_v7(p);                   \
		assert_int_equal((p).regIsGlobal, 0); \
	} while (0)

#define assert_props_v9(p)                                                   \
	do {                                                                 \
		assert_props(p);                                             \
		assert_int_equal((p).forceFlush, 0);                         \
		assert_int_equal((p).vProps.ndevs, 1);                       \
		assert_int_equal((p).vProps.devs[0], 2);                     \
		assert_int_equal((p).maxP2pBytes, NCCL_MAX_NET_SIZE_BYTES);  \
		assert_int_equal((p).maxCollBytes, NCCL_MAX_NET_SIZE_BYTES); \
	} while (0)

static void test_properties(void **state)
{
	ncclNetProperties_v6_t p6;
	ncclNetProperties_v7_t p7;
	ncclNetProperties_v8_t p8;
	ncclNetProperties_v9_t p9;
	ncclNetProperties_v10_t p10;
	ncclNetProperties_v11_t p11;
	ncclNetProperties_v12_t p12;

	(void)state;
	/* NCCL hands over uninitialised structs: every member must be written. */
	memset(&p6, 0xee, sizeof(p6));
	memset(&p7, 0xee, sizeof(p7));
	memset(&p8, 0xee, sizeof(p8));
	memset(&p9, 0xee, sizeof(p9));
	memset(&p10, 0xee, sizeof(p10));
	memset(&p11, 0xee, sizeof(p11));
	memset(&p12, 0xee, sizeof(p12));
	assert_int_equal(ncclNetPlugin_v6.getProperties(2, &p6), ncclSuccess);
	assert_int_equal(net.dev, 2);
	assert_props_v6(p6);
	assert_int_equal(ncclNetPlugin_v7.getProperties(2, &p7), ncclSuccess);
	assert_props_v7(p7);
	assert_int_equal(ncclNetPlugin_v8.getProperties(2, &p8), ncclSuccess);
	assert_props(p8);
	assert_int_equal(ncclNetPlugin_v9.getProperties(2, &p9), ncclSuccess);
	assert_props_v9(p9);
	assert_int_equal(ncclNetPlugin_v10.getProperties(2, &p10), ncclSuccess);
	assert_props_v9(p10);
	assert_int_equal(ncclNetPlugin_v11.getProperties(2, &p11), ncclSuccess);
	assert_props_v9(p11);
	assert_int_equal(p11.maxMultiRequestSize, 1);
	assert_int_equal(ncclNetPlugin_v12.getProperties(2, &p12), ncclSuccess);
	assert_props_v9(p12);
	assert_int_equal(p12.maxMultiRequestSize, 1);
	assert_int_equal(p12.railId, -1);
	assert_int_equal(p12.planeId, -1);
	net.err = -EINVAL;
	assert_int_equal(ncclNetPlugin_v12.getProperties(9, &p12), ncclInvalidArgument);
}

/* The tables agree on what may be NULL and what must not. */
#define assert_table_v6(t)                               \
	do {                                             \
		assert_string_equal((t).name, "Devmem"); \
		assert_non_null((t).init);               \
		assert_non_null((t).devices);            \
		assert_non_null((t).getProperties);      \
		assert_non_null((t).listen);             \
		assert_non_null((t).connect);            \
		assert_non_null((t).accept);             \
		assert_non_null((t).regMr);              \
		assert_non_null((t).regMrDmaBuf);        \
		assert_non_null((t).deregMr);            \
		assert_non_null((t).isend);              \
		assert_non_null((t).irecv);              \
		assert_non_null((t).iflush);             \
		assert_non_null((t).test);               \
		assert_non_null((t).closeSend);          \
		assert_non_null((t).closeRecv);          \
		assert_non_null((t).closeListen);        \
	} while (0)

#define assert_table(t)                             \
	do {                                        \
		assert_table_v6(t);                 \
		assert_null((t).getDeviceMr);       \
		assert_non_null((t).irecvConsumed); \
	} while (0)

static void test_tables(void **state)
{
	int n = 0;

	(void)state;
	assert_table_v6(ncclNetPlugin_v6);
	assert_table(ncclNetPlugin_v7);
	assert_table(ncclNetPlugin_v8);
	assert_table(ncclNetPlugin_v9);
	assert_table(ncclNetPlugin_v10);
	assert_table(ncclNetPlugin_v11);
	assert_table(ncclNetPlugin_v12);
	assert_null(ncclNetPlugin_v9.makeVDevice);
	assert_null(ncclNetPlugin_v12.makeVDevice);
	assert_non_null(ncclNetPlugin_v11.setNetAttr);
	assert_non_null(ncclNetPlugin_v12.setNetAttr);
	assert_non_null(ncclNetPlugin_v11.finalize);
	assert_non_null(ncclNetPlugin_v12.finalize);
	assert_int_equal(ncclNetPlugin_v12.devices(&n), ncclSuccess);
	assert_int_equal(n, 3);
	assert_int_equal(ncclNetPlugin_v12.devices(NULL), ncclInvalidArgument);
}

static void test_connections(void **state)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	ncclNetDeviceHandle_v12_t *dev_handle = NULL;
	void *listen = NULL, *send = COMM, *recv = COMM;
	ncclNetCommConfig_v10_t config = { 0 };

	(void)state;
	assert_int_equal(ncclNetPlugin_v12.listen(NULL, 4, handle, &listen), ncclSuccess);
	assert_ptr_equal(listen, LISTEN);
	assert_int_equal(net.dev, 4);

	/* Not yet up: success, and NULL instead of what was there. */
	net.again = true;
	assert_int_equal(ncclNetPlugin_v12.connect(NULL, 5, handle, &send, &dev_handle),
			 ncclSuccess);
	assert_null(send);
	assert_int_equal(net.dev, 5);
	assert_int_equal(ncclNetPlugin_v12.accept(LISTEN, &recv, &dev_handle), ncclSuccess);
	assert_null(recv);

	net.again = false;
	assert_int_equal(ncclNetPlugin_v10.connect(6, &config, handle, &send, &dev_handle),
			 ncclSuccess);
	assert_ptr_equal(send, COMM);
	assert_int_equal(net.dev, 6);
	assert_int_equal(ncclNetPlugin_v8.accept(LISTEN, &recv, &dev_handle), ncclSuccess);
	assert_ptr_equal(recv, COMM);
	assert_null(dev_handle);
	recv = NULL;
	assert_int_equal(ncclNetPlugin_v6.accept(LISTEN, &recv), ncclSuccess);
	assert_ptr_equal(recv, COMM);
	send = NULL;
	assert_int_equal(ncclNetPlugin_v6.connect(3, handle, &send), ncclSuccess);
	assert_ptr_equal(send, COMM);
	assert_int_equal(net.dev, 3);

	assert_int_equal(ncclNetPlugin_v12.closeSend(send), ncclSuccess);
	assert_int_equal(ncclNetPlugin_v12.closeRecv(recv), ncclSuccess);
	assert_int_equal(ncclNetPlugin_v12.closeListen(listen), ncclSuccess);
	assert_int_equal(net.closed, 2);
	assert_int_equal(ncclNetPlugin_v12.closeSend(NULL), ncclSuccess);
	assert_int_equal(ncclNetPlugin_v12.closeListen(NULL), ncclSuccess);

	net.err = -ECONNREFUSED;
	assert_int_equal(ncclNetPlugin_v9.connect(0, handle, &send, NULL), ncclRemoteError);
	assert_null(send);
	assert_int_equal(ncclNetPlugin_v9.connect(0, NULL, &send, NULL), ncclInvalidArgument);
	assert_int_equal(ncclNetPlugin_v9.listen(0, NULL, &listen), ncclInvalidArgument);
	assert_int_equal(ncclNetPlugin_v9.accept(NULL, &recv, NULL), ncclInvalidArgument);
}

static void test_registration(void **state)
{
	void *mr = NULL;

	(void)state;
	assert_int_equal(ncclNetPlugin_v12.regMr(COMM, &net, 99, NCCL_PTR_HOST, &mr), ncclSuccess);
	assert_ptr_equal(mr, MR);
	assert_int_equal(net.size, 99);
	assert_int_equal(net.type, NET_PTR_HOST);
	assert_int_equal(ncclNetPlugin_v12.regMrDmaBuf(COMM, &net, 1ULL << 40, NCCL_PTR_CUDA,
						       1ULL << 33, 12, &mr),
			 ncclSuccess);
	assert_int_equal(net.size, 1ULL << 40);
	assert_int_equal(net.offset, 1ULL << 33);
	assert_int_equal(net.fd, 12);
	assert_int_equal(ncclNetPlugin_v6.regMr(COMM, &net, 98, NCCL_PTR_HOST, &mr), ncclSuccess);
	assert_int_equal(net.size, 98);
	assert_int_equal(ncclNetPlugin_v7.regMr(COMM, &net, INT_MAX, NCCL_PTR_HOST, &mr),
			 ncclSuccess);
	assert_int_equal(net.size, INT_MAX);
	assert_int_equal(ncclNetPlugin_v6.regMr(COMM, &net, -1, NCCL_PTR_HOST, &mr),
			 ncclInvalidArgument);
	assert_int_equal(ncclNetPlugin_v7.regMr(COMM, &net, -1, NCCL_PTR_HOST, &mr),
			 ncclInvalidArgument);
	assert_int_equal(ncclNetPlugin_v12.deregMr(COMM, mr), ncclSuccess);
	assert_int_equal(ncclNetPlugin_v12.deregMr(COMM, NULL), ncclSuccess);
	mr = NULL;
	net.err = -ENOTSUP;
	assert_int_equal(ncclNetPlugin_v12.regMr(COMM, &net, 99, NCCL_PTR_CUDA, &mr),
			 ncclSystemError);
	assert_null(mr);
}

static void test_messages(void **state)
{
	size_t sizes[2] = { (size_t)1 << 33, 5 };
	int small[1] = { 77 };
	int tags[2] = { 3, 4 };
	void *mrs[2] = { MR, MR };
	void *data[2] = { &net, NULL };
	void *req = NULL;

	(void)state;
	assert_int_equal(ncclNetPlugin_v12.isend(COMM, &net, (size_t)1 << 33, 6, MR, NULL, &req),
			 ncclSuccess);
	assert_ptr_equal(req, REQUEST);
	assert_int_equal(net.size, (size_t)1 << 33);
	assert_int_equal(net.tag, 6);
	assert_ptr_equal(net.mr, MR);
	assert_int_equal(ncclNetPlugin_v8.isend(COMM, &net, 78, 6, MR, &req), ncclSuccess);
	assert_int_equal(net.size, 78);
	assert_int_equal(ncclNetPlugin_v8.isend(COMM, &net, -1, 6, MR, &req), ncclInvalidArgument);
	assert_int_equal(ncclNetPlugin_v6.isend(COMM, &net, 79, 6, MR, &req), ncclSuccess);
	assert_int_equal(net.size, 79);
	assert_int_equal(ncclNetPlugin_v7.isend(COMM, &net, 80, 6, MR, &req), ncclSuccess);
	assert_int_equal(net.size, 80);
	assert_int_equal(ncclNetPlugin_v6.isend(COMM, &net, -1, 6, MR, &req), ncclInvalidArgument);
	assert_int_equal(ncclNetPlugin_v7.isend(COMM, &net, -1, 6, MR, &req), ncclInvalidArgument);

	/* The preset of an optional completion must not be left behind. */
	req = (void *)NCCL_NET_OPTIONAL_RECV_COMPLETION;
	net.again = true;
	assert_int_equal(ncclNetPlugin_v10.irecv(COMM, 1, data, sizes, tags, mrs, NULL, &req),
			 ncclSuccess);
	assert_null(req);
	assert_true(net.ll);
	net.again = false;
	assert_int_equal(ncclNetPlugin_v10.irecv(COMM, 1, data, sizes, tags, mrs, NULL, &req),
			 ncclSuccess);
	assert_ptr_equal(req, REQUEST);
	assert_false(net.ll);
	assert_int_equal(net.size, (size_t)1 << 33);
	assert_int_equal(net.tag, 3);
	/* What was there is not what was asked for. */
	req = (void *)NCCL_NET_MULTI_REQUEST;
	assert_int_equal(ncclNetPlugin_v12.irecv(COMM, 1, data, sizes, tags, mrs, NULL, &req),
			 ncclSuccess);
	assert_false(net.ll);
	req = (void *)NCCL_NET_OPTIONAL_RECV_COMPLETION;
	assert_int_equal(ncclNetPlugin_v12.irecv(COMM, 1, data, sizes, tags, mrs, NULL, &req),
			 ncclSuccess);
	assert_true(net.ll);
	assert_int_equal(ncclNetPlugin_v8.irecv(COMM, 1, data, small, tags, mrs, &req),
			 ncclSuccess);
	assert_int_equal(net.size, 77);
	small[0] = 76;
	assert_int_equal(ncclNetPlugin_v6.irecv(COMM, 1, data, small, tags, mrs, &req),
			 ncclSuccess);
	assert_int_equal(net.size, 76);
	small[0] = 75;
	assert_int_equal(ncclNetPlugin_v7.irecv(COMM, 1, data, small, tags, mrs, &req),
			 ncclSuccess);
	assert_int_equal(net.size, 75);
	small[0] = -1;
	assert_int_equal(ncclNetPlugin_v6.irecv(COMM, 1, data, small, tags, mrs, &req),
			 ncclInvalidArgument);
	assert_int_equal(ncclNetPlugin_v7.irecv(COMM, 1, data, small, tags, mrs, &req),
			 ncclInvalidArgument);
	assert_int_equal(ncclNetPlugin_v8.irecv(COMM, 1, data, small, tags, mrs, &req),
			 ncclInvalidArgument);
	assert_int_equal(ncclNetPlugin_v12.irecv(COMM, 2, data, sizes, tags, mrs, NULL, &req),
			 ncclInvalidUsage);
	assert_int_equal(ncclNetPlugin_v12.irecv(COMM, 0, data, sizes, tags, mrs, NULL, &req),
			 ncclInvalidUsage);
	assert_int_equal(ncclNetPlugin_v12.isend(NULL, &net, 1, 6, MR, NULL, &req),
			 ncclInvalidArgument);

	req = REQUEST;
	assert_int_equal(ncclNetPlugin_v12.iflush(COMM, 1, data, small, mrs, &req), ncclSuccess);
	assert_null(req);
	net.err = -EPIPE;
	assert_int_equal(ncclNetPlugin_v12.isend(COMM, &net, 1, 6, MR, NULL, &req),
			 ncclRemoteError);
}

static void test_completion(void **state)
{
	int sizes[1] = { -5 };
	int done = -1;

	(void)state;
	assert_int_equal(ncclNetPlugin_v12.test(REQUEST, &done, sizes), ncclSuccess);
	assert_int_equal(done, 0);
	assert_int_equal(sizes[0], -5);

	net.test_done = 1;
	net.test_size = 4711;
	assert_int_equal(ncclNetPlugin_v12.test(REQUEST, &done, NULL), ncclSuccess);
	assert_int_equal(done, 1);
	assert_int_equal(ncclNetPlugin_v12.test(REQUEST, &done, sizes), ncclSuccess);
	assert_int_equal(sizes[0], 4711);
	net.test_size = (size_t)1 << 33;
	assert_int_equal(ncclNetPlugin_v12.test(REQUEST, &done, sizes), ncclSuccess);
	assert_int_equal(sizes[0], INT_MAX);

	net.err = -EMSGSIZE;
	assert_int_equal(ncclNetPlugin_v12.test(REQUEST, &done, sizes), ncclInvalidUsage);
	assert_int_equal(done, 0);
	assert_int_equal(ncclNetPlugin_v12.test(NULL, &done, sizes), ncclInvalidArgument);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_result_map, setup),
		cmocka_unit_test_setup(test_log_goes_to_nccl, setup),
		cmocka_unit_test_setup(test_init_by_communicator, setup),
		cmocka_unit_test_setup(test_init_by_process, setup),
		cmocka_unit_test_setup(test_properties, setup),
		cmocka_unit_test_setup(test_tables, setup),
		cmocka_unit_test_setup(test_connections, setup),
		cmocka_unit_test_setup(test_registration, setup),
		cmocka_unit_test_setup(test_messages, setup),
		cmocka_unit_test_setup(test_completion, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
