// SPDX-License-Identifier: BSD-3-Clause
/*
 * NCCL's own buffers get through, in the orders in which its versions register them, and its users' do not.
 * unit-libs: devmem_comm
 */
#include "unit.h"
#include "comm/net.h"
#include "comm/reg_gate.h"

#define KIB 1024UL
#define MIB (1024UL * KIB)

/* NCCL's defaults. */
#define LL     (512 * KIB)
#define LL128  (4800 * KIB)
#define SIMPLE (4 * MIB)
#define SHARED (2 * 16 * 128 * KIB)

static struct reg_gate gate;

static int setup(void **state)
{
	(void)state;
	gate = (struct reg_gate){ 0 };
	return 0;
}

static bool admit(uintptr_t base, size_t size, int type)
{
	return reg_gate_admit(&gate, (void *)base, size, type);
}

static void test_receiver(void **state)
{
	const uintptr_t at = 0x7f0000000000;

	(void)state;
	assert_true(admit(at, LL, NET_PTR_CUDA));
	assert_true(admit(at + LL, LL128, NET_PTR_CUDA));
	assert_true(admit(at + LL + LL128, SIMPLE, NET_PTR_CUDA));
	/* Even what follows at once is somebody else's. */
	assert_false(admit(at + LL + LL128 + SIMPLE, 64 * MIB, NET_PTR_CUDA));
	assert_false(admit(at + 512 * MIB, 64 * MIB, NET_PTR_CUDA));
}

static void test_sender(void **state)
{
	const uintptr_t host = 0x560000000000, at = 0x7f0000000000;

	(void)state;
	assert_true(admit(host, LL, NET_PTR_HOST));
	assert_true(admit(at, LL128, NET_PTR_CUDA));
	assert_true(admit(at + LL128, SIMPLE, NET_PTR_CUDA));
	assert_false(admit(at + LL128 + SIMPLE, 64 * MIB, NET_PTR_CUDA));
}

static void test_without_gpudirect(void **state)
{
	const uintptr_t host = 0x560000000000;

	(void)state;
	assert_true(admit(host, LL, NET_PTR_HOST));
	assert_true(admit(host + LL, LL128, NET_PTR_HOST));
	assert_true(admit(host + LL + LL128, SIMPLE, NET_PTR_HOST));
	assert_false(admit(host + LL + LL128 + SIMPLE, 4096, NET_PTR_HOST));
}

/* A shared buffer is alone, whatever lies behind it. */
static void test_shared(void **state)
{
	const uintptr_t at = 0x7f0000000000;

	(void)state;
	assert_true(admit(at, SHARED, NET_PTR_CUDA));
	assert_false(admit(at + SHARED, 64 * MIB, NET_PTR_CUDA));
	assert_false(admit(at + 512 * MIB, 64 * MIB, NET_PTR_CUDA));
	assert_false(admit(at, SHARED, NET_PTR_CUDA));
}

static void test_shared_with_ll(void **state)
{
	const uintptr_t host = 0x560000000000, at = 0x7f0000000000;

	(void)state;
	assert_true(admit(host, LL, NET_PTR_HOST));
	assert_true(admit(at, SHARED, NET_PTR_CUDA));
	assert_false(admit(at + 512 * MIB, 64 * MIB, NET_PTR_CUDA));
}

/* A user's buffer between a connection's own would be an error of NCCL's; it does not get through either. */
static void test_elsewhere(void **state)
{
	const uintptr_t at = 0x7f0000000000;

	(void)state;
	assert_true(admit(at, LL, NET_PTR_CUDA));
	assert_false(admit(at + LL + 4096, LL128, NET_PTR_CUDA));
	assert_false(admit(at + LL, LL128, NET_PTR_HOST));
	/* Being refused changes nothing. */
	assert_true(admit(at + LL, LL128, NET_PTR_CUDA));
	assert_true(admit(at + LL + LL128, SIMPLE, NET_PTR_CUDA));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_receiver, setup),
		cmocka_unit_test_setup(test_sender, setup),
		cmocka_unit_test_setup(test_without_gpudirect, setup),
		cmocka_unit_test_setup(test_shared, setup),
		cmocka_unit_test_setup(test_shared_with_ll, setup),
		cmocka_unit_test_setup(test_elsewhere, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
