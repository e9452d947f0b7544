// SPDX-License-Identifier: BSD-3-Clause
/*
 * What NCCL is told about device unpack, and what it tells: properties, the handle of a connection, consumed receives, hints.
 *
 * unit-libs: devmem_abi_objects devmem_base
 */
#include <errno.h>

#include "abi/edge.h"
#include "nccl/net_v10.h"
#include "nccl/net_v11.h"
#include "nccl/net_v12.h"
#include "nccl/net_v6.h"
#include "nccl/net_v7.h"
#include "nccl/net_v8.h"
#include "nccl/net_v9.h"
#include "nccl/tuner.h"
#include "played_net.h"

extern const ncclNet_v6_t ncclNetPlugin_v6;
extern const ncclNet_v7_t ncclNetPlugin_v7;
extern const ncclNet_v8_t ncclNetPlugin_v8;
extern const ncclNet_v9_t ncclNetPlugin_v9;
extern const ncclNet_v10_t ncclNetPlugin_v10;
extern const ncclNet_v11_t ncclNetPlugin_v11;
extern const ncclNet_v12_t ncclNetPlugin_v12;

#define DEVICE ((void *)(uintptr_t)0x7f1234560000)

static int start(void **state)
{
	setup(state);
	net.unpack = true;
	net.needs_simple = true;
	net.device = DEVICE;
	unit_log_clear();
	return 0;
}

#define assert_unpacks(v, props)                                                              \
	do {                                                                                  \
		memset(&(props), 0xee, sizeof(props));                                        \
		assert_int_equal(ncclNetPlugin_v##v.getProperties(0, &(props)), ncclSuccess); \
		assert_int_equal((props).netDeviceType, NCCL_NET_DEVICE_UNPACK);              \
		assert_int_equal((props).netDeviceVersion, 0x7);                              \
	} while (0)

static void test_properties(void **state)
{
	ncclNetProperties_v7_t p7;
	ncclNetProperties_v8_t p8;
	ncclNetProperties_v9_t p9;
	ncclNetProperties_v10_t p10;
	ncclNetProperties_v11_t p11;
	ncclNetProperties_v12_t p12;

	(void)state;
	assert_unpacks(7, p7);
	assert_unpacks(8, p8);
	assert_unpacks(9, p9);
	assert_unpacks(10, p10);
	assert_unpacks(11, p11);
	assert_unpacks(12, p12);
}

/* Version 6 has no way to say it, and must not be used then. */
static void test_refused_by_version_6(void **state)
{
	(void)state;
	assert_int_equal(ncclNetPlugin_v6.init(NULL), ncclInvalidUsage);
	assert_logged("NCCL_DEVMEM_PLACE=unpack");
	assert_logged("gather");
	net.unpack = false;
	assert_int_equal(ncclNetPlugin_v6.init(NULL), ncclSuccess);
}

/* As NCCL brings it: its own, zeroed but for what getProperties said. */
static ncclNetDeviceHandle_v7_t fresh(void)
{
	return (ncclNetDeviceHandle_v7_t){ .netDeviceType = NCCL_NET_DEVICE_UNPACK,
					   .netDeviceVersion = 0x7 };
}

static void test_handle(void **state)
{
	ncclNetDeviceHandle_v7_t h = fresh(), *ph = &h;
	void *comm = NULL;

	(void)state;
	/* The same object comes with every try: nothing is entered before there is a comm. */
	net.again = true;
	assert_int_equal(ncclNetPlugin_v12.accept(LISTEN, &comm, &ph), ncclSuccess);
	assert_null(comm);
	assert_null(h.handle);
	assert_int_equal(h.needsProxyProgress, 0);

	net.again = false;
	assert_int_equal(ncclNetPlugin_v12.accept(LISTEN, &comm, &ph), ncclSuccess);
	assert_ptr_equal(comm, COMM);
	assert_ptr_equal(ph, &h);
	assert_int_equal(h.netDeviceType, NCCL_NET_DEVICE_UNPACK);
	assert_int_equal(h.netDeviceVersion, 0x7);
	assert_ptr_equal(h.handle, DEVICE);
	assert_int_equal(h.size, 24);
	assert_int_equal(h.needsProxyProgress, 1);
	assert_int_equal(ncclNetPlugin_v12.closeRecv(comm), ncclSuccess);

	h = fresh();
	assert_int_equal(ncclNetPlugin_v7.accept(LISTEN, &comm, &ph), ncclSuccess);
	assert_ptr_equal(h.handle, DEVICE);
	assert_int_equal(ncclNetPlugin_v7.closeRecv(comm), ncclSuccess);
}

/* A connection that does not unpack: its kernels must see an ordinary one, not an empty handle. */
static void test_connection_without(void **state)
{
	ncclNetDeviceHandle_v7_t h = fresh(), *ph = &h;
	void *comm = NULL;

	(void)state;
	net.device = NULL;
	assert_int_equal(ncclNetPlugin_v12.accept(LISTEN, &comm, &ph), ncclSuccess);
	assert_ptr_equal(comm, COMM);
	assert_int_equal(h.netDeviceType, NCCL_NET_DEVICE_HOST);
	assert_null(h.handle);
	assert_int_equal(h.size, 0);
	/* Or NCCL would never call test(). */
	assert_int_equal(h.needsProxyProgress, 1);
	assert_int_equal(ncclNetPlugin_v12.closeRecv(comm), ncclSuccess);

	/* The sender's is NULL, and stays so. */
	ph = NULL;
	assert_int_equal(ncclNetPlugin_v12.connect(NULL, 0, &h, &comm, &ph), ncclSuccess);
	assert_null(ph);
	assert_int_equal(ncclNetPlugin_v12.closeSend(comm), ncclSuccess);
}

static void test_no_object_for_the_handle(void **state)
{
	ncclNetDeviceHandle_v7_t *ph = NULL;
	void *comm = COMM;

	(void)state;
	assert_int_equal(ncclNetPlugin_v12.accept(LISTEN, &comm, &ph), ncclInternalError);
	assert_null(comm);
	/* NCCL will not close it. */
	assert_int_equal(net.closed, 1);
	assert_logged("device handle");
	assert_int_equal(ncclNetPlugin_v6.accept(LISTEN, &comm), ncclInternalError);
	assert_int_equal(net.closed, 2);

	ph = NULL;
	net.err = -ECONNRESET;
	assert_int_equal(ncclNetPlugin_v12.accept(LISTEN, &comm, &ph), ncclRemoteError);
	assert_int_equal(net.closed, 2);
}

static void test_consumed(void **state)
{
	(void)state;
	assert_int_equal(ncclNetPlugin_v7.irecvConsumed(COMM, 1, REQUEST), ncclSuccess);
	assert_int_equal(ncclNetPlugin_v8.irecvConsumed(COMM, 1, REQUEST), ncclSuccess);
	assert_int_equal(ncclNetPlugin_v9.irecvConsumed(COMM, 1, REQUEST), ncclSuccess);
	assert_int_equal(ncclNetPlugin_v10.irecvConsumed(COMM, 1, REQUEST), ncclSuccess);
	assert_int_equal(ncclNetPlugin_v11.irecvConsumed(COMM, 1, REQUEST), ncclSuccess);
	assert_int_equal(ncclNetPlugin_v12.irecvConsumed(COMM, 1, REQUEST), ncclSuccess);
	assert_int_equal(net.consumed, 6);
	assert_int_equal(ncclNetPlugin_v12.irecvConsumed(NULL, 1, REQUEST), ncclInvalidArgument);
	assert_int_equal(ncclNetPlugin_v12.irecvConsumed(COMM, 1, NULL), ncclInvalidArgument);
	net.err = -ECONNRESET;
	assert_int_equal(ncclNetPlugin_v12.irecvConsumed(COMM, 1, REQUEST), ncclRemoteError);
}

/* A registration that is refused so that NCCL goes on without it. */
static void test_null_registration(void **state)
{
	void *mr = MR;

	(void)state;
	net.no_mr = true;
	assert_int_equal(ncclNetPlugin_v12.regMrDmaBuf(COMM, &net, 4096, NCCL_PTR_CUDA, 0, 3, &mr),
			 ncclSuccess);
	assert_null(mr);
	mr = MR;
	assert_int_equal(ncclNetPlugin_v12.regMr(COMM, &net, 4096, NCCL_PTR_CUDA, &mr),
			 ncclSuccess);
	assert_null(mr);
	assert_int_equal(ncclNetPlugin_v12.deregMr(COMM, mr), ncclSuccess);
}

static void test_hints(void **state)
{
	ncclNetAttr_v12_t a12 = { .op = 1, .algo = 1 << NCCL_ALGO_RING };
	ncclNetAttr_v11_t a11 = { .op = 1, .algo = 1 << NCCL_ALGO_RING };

	(void)state;
	assert_int_equal(ncclNetPlugin_v12.setNetAttr(NULL, NULL), ncclInvalidArgument);
	assert_int_equal(ncclNetPlugin_v11.setNetAttr(NULL, NULL), ncclInvalidArgument);

	/* Nothing to say: unknown, Simple, or nobody unpacks. */
	a12.proto = (uint32_t)NCCL_NET_ATTR_UNDEF;
	assert_int_equal(ncclNetPlugin_v12.setNetAttr(NULL, &a12), ncclSuccess);
	a11.proto = 1 << NCCL_PROTO_SIMPLE;
	assert_int_equal(ncclNetPlugin_v11.setNetAttr(NULL, &a11), ncclSuccess);
	net.unpack = false;
	a12.proto = 1 << NCCL_PROTO_LL;
	assert_int_equal(ncclNetPlugin_v12.setNetAttr(NULL, &a12), ncclSuccess);
	assert_int_equal(unit_log_lines, 0);

	net.unpack = true;
	a11.proto = 1 << NCCL_PROTO_LL128;
	assert_int_equal(ncclNetPlugin_v11.setNetAttr(NULL, &a11), ncclSuccess);
	assert_logged("LL128");
	assert_logged("NCCL_PROTO=Simple");
	assert_int_equal(ncclNetPlugin_v12.setNetAttr(NULL, &a12), ncclSuccess);
	assert_int_equal(unit_log_lines, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_properties, start),
		cmocka_unit_test_setup(test_refused_by_version_6, start),
		cmocka_unit_test_setup(test_handle, start),
		cmocka_unit_test_setup(test_connection_without, start),
		cmocka_unit_test_setup(test_no_object_for_the_handle, start),
		cmocka_unit_test_setup(test_consumed, start),
		cmocka_unit_test_setup(test_null_registration, start),
		cmocka_unit_test_setup(test_hints, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
