// SPDX-License-Identifier: BSD-3-Clause
/*
 * The tuner guard: what it takes out of NCCL's choice, that it takes out nothing else, and what it says.
 *
 * unit-libs: devmem_abi_objects devmem_base
 */
#include <stdarg.h>

#include "nccl/tuner_v2.h"
#include "nccl/tuner_v3.h"
#include "nccl/tuner_v4.h"
#include "nccl/tuner_v5.h"
#include "nccl/tuner_v6.h"
#include "played_net.h"

extern const ncclTuner_v2_t ncclTunerPlugin_v2;
extern const ncclTuner_v3_t ncclTunerPlugin_v3;
extern const ncclTuner_v4_t ncclTunerPlugin_v4;
extern const ncclTuner_v5_t ncclTunerPlugin_v5;
extern const ncclTuner_v6_t ncclTunerPlugin_v6;

#define ALGOS  7
#define PROTOS 3

/* Costs as NCCL brings them, all different; what it does not offer is -1. One more element, to see writes past the end. */
static float costs[ALGOS * PROTOS + 1], before[ALGOS * PROTOS + 1];
static int channels;

static char nccl_said[1024];

static void __attribute__((format(printf, 5, 6)))
nccl_logger(ncclDebugLogLevel level, unsigned long flags, const char *file, int line,
	    const char *fmt, ...)
{
	size_t used = strlen(nccl_said);
	va_list ap;

	(void)level;
	(void)flags;
	(void)file;
	(void)line;
	va_start(ap, fmt);
	vsnprintf(nccl_said + used, sizeof(nccl_said) - used, fmt, ap);
	va_end(ap);
}

static int start(void **state)
{
	setup(state);
	for (int i = 0; i <= ALGOS * PROTOS; i++)
		costs[i] = 10.0f + (float)i;
	costs[NCCL_ALGO_NVLS * PROTOS + NCCL_PROTO_LL] = -1;
	costs[NCCL_ALGO_COLLNET_CHAIN * PROTOS + NCCL_PROTO_SIMPLE] = -1;
	memcpy(before, costs, sizeof(costs));
	channels = -7;
	nccl_said[0] = '\0';
	return 0;
}

/* Asks the table of version @v about @n_algo algorithms. */
static ncclResult_t ask(int v, int n_algo)
{
	float **t = (float **)costs;

	switch (v) {
	case 3:
		return ncclTunerPlugin_v3.getCollInfo(NULL, ncclFuncAllReduce, 4096, 1, t, n_algo,
						      PROTOS, &channels);
	case 4:
		return ncclTunerPlugin_v4.getCollInfo(NULL, ncclFuncAllReduce, 4096, 1, t, n_algo,
						      PROTOS, 0, &channels);
	case 5:
		return ncclTunerPlugin_v5.getCollInfo(NULL, ncclFuncAllReduce, 4096, 1, t, n_algo,
						      PROTOS, 0, &channels);
	default:
		return ncclTunerPlugin_v6.getCollInfo(NULL, ncclFuncAllReduce, 4096, 1, t, n_algo,
						      PROTOS, 0, &channels);
	}
}

/* Of @n_algo algorithms LL, LL128 and, if @pat, PAT are out; the rest is as it was. */
static void check(int n_algo, bool pat)
{
	for (int i = 0; i <= ALGOS * PROTOS; i++) {
		int algo = i / PROTOS, proto = i % PROTOS;
		bool out = algo < n_algo && (proto == NCCL_PROTO_LL || proto == NCCL_PROTO_LL128 ||
					     (pat && algo == NCCL_ALGO_PAT));

		if (costs[i] != (out ? -1.0f : before[i]))
			fail_msg("algorithm %d, protocol %d: %g instead of %g", algo, proto,
				 (double)costs[i], (double)(out ? -1.0f : before[i]));
	}
	/* Channels are NCCL's to choose. */
	assert_int_equal(channels, -7);
}

static void test_unpack(void **state)
{
	for (int v = 3; v <= 6; v++) {
		start(state);
		net.unpack = true;
		net.needs_simple = true;
		assert_int_equal(ask(v, ALGOS), ncclSuccess);
		check(ALGOS, true);
	}
}

/* NCCL 2.22 has no PAT: 6 algorithms. */
static void test_six_algorithms(void **state)
{
	(void)state;
	net.unpack = true;
	assert_int_equal(ask(3, 6), ncclSuccess);
	check(6, true);
}

/* The copy engine puts bytes in place: LL's lines would not come whole, but PAT reads what Simple reads. */
static void test_copy_engine(void **state)
{
	for (int v = 3; v <= 6; v++) {
		start(state);
		net.needs_simple = true;
		assert_int_equal(ask(v, ALGOS), ncclSuccess);
		check(ALGOS, false);
	}
}

static void test_off(void **state)
{
	for (int v = 3; v <= 6; v++) {
		start(state);
		assert_int_equal(ask(v, ALGOS), ncclSuccess);
		assert_memory_equal(costs, before, sizeof(costs));
		assert_int_equal(channels, -7);
	}
}

/* No NICs: getProperties fails; the tuner of a library whose net plugin did not come up keeps quiet. */
static void test_without_net(void **state)
{
	(void)state;
	net.unpack = true;
	net.err = -19;
	assert_int_equal(ask(6, ALGOS), ncclSuccess);
	assert_memory_equal(costs, before, sizeof(costs));
}

/* NCCL_PROTO=LL: better no algorithm, which NCCL makes an error, than wrong data. */
static void test_nothing_left(void **state)
{
	(void)state;
	unit_log_clear();
	net.unpack = true;
	for (int i = 0; i < ALGOS * PROTOS; i++)
		if (i % PROTOS != NCCL_PROTO_LL)
			costs[i] = -1;
	memcpy(before, costs, sizeof(costs));
	assert_int_equal(ask(6, ALGOS), ncclSuccess);
	for (int i = 0; i < ALGOS * PROTOS; i++)
		assert_true(costs[i] == -1.0f);
	assert_logged("NCCL_PROTO");
	assert_logged("NCCL_DEVMEM_PLACE");
	/* Said once; and a table that had nothing to begin with is no news. */
	assert_int_equal(ask(6, ALGOS), ncclSuccess);
	assert_int_equal(unit_log_lines, 1);
	/* Free again for other tests. */
	log_sink_set(NULL);
}

static ncclResult_t ask_v2(int *algorithm, int *protocol)
{
	return ncclTunerPlugin_v2.getCollInfo(NULL, ncclFuncAllReduce, 4096, 0, 1, 1, algorithm,
					      protocol, &channels);
}

static void test_version_2(void **state)
{
	int algorithm = NCCL_ALGO_UNDEF, protocol = NCCL_PROTO_UNDEF;

	(void)state;
	assert_int_equal(ask_v2(&algorithm, &protocol), ncclSuccess);
	assert_int_equal(algorithm, NCCL_ALGO_UNDEF);
	assert_int_equal(protocol, NCCL_PROTO_UNDEF);
	net.needs_simple = true;
	assert_int_equal(ask_v2(&algorithm, &protocol), ncclSuccess);
	assert_int_equal(algorithm, NCCL_ALGO_RING);
	assert_int_equal(protocol, NCCL_PROTO_SIMPLE);
	assert_int_equal(channels, -7);
}

/* An error from init() or destroy() would end the communicator. */
static void test_life(void **state)
{
	ncclTunerConstants_v5_t constants, same;
	ncclNvlDomainInfo_v5_t domains = { 1, 1, 1 };
	void *ctx;

	(void)state;
	memset(&constants, 0x11, sizeof(constants));
	same = constants;
	net.unpack = true;
	ctx = NULL;
	assert_int_equal(ncclTunerPlugin_v2.init(2, 2, nccl_logger, &ctx), ncclSuccess);
	assert_non_null(ctx);
	assert_int_equal(ncclTunerPlugin_v2.destroy(ctx), ncclSuccess);
	/* Through NCCL's logger, also when the net plugin has not installed it. */
	assert_non_null(strstr(nccl_said, "LL128"));
	assert_non_null(strstr(nccl_said, "NCCL_DEVMEM_PLACE"));
	nccl_said[0] = '\0';
	assert_int_equal(ncclTunerPlugin_v3.init(2, 2, nccl_logger, &ctx), ncclSuccess);
	assert_int_equal(ncclTunerPlugin_v3.destroy(ctx), ncclSuccess);
	assert_int_equal(ncclTunerPlugin_v4.init(2, 2, nccl_logger, &ctx), ncclSuccess);
	assert_int_equal(ncclTunerPlugin_v4.destroy(ctx), ncclSuccess);
	assert_int_equal(ncclTunerPlugin_v5.init(&ctx, 9, 2, 2, nccl_logger, &domains, &constants),
			 ncclSuccess);
	assert_int_equal(ncclTunerPlugin_v5.finalize(ctx), ncclSuccess);
	assert_int_equal(ncclTunerPlugin_v6.init(&ctx, 9, 2, 2, NULL, &domains, &constants),
			 ncclSuccess);
	assert_int_equal(ncclTunerPlugin_v6.finalize(ctx), ncclSuccess);
	assert_null(ncclTunerPlugin_v6.getChunkSize);
	assert_memory_equal(&constants, &same, sizeof(same));
	assert_string_equal(ncclTunerPlugin_v6.name, "Devmem");
	/* Once per process. */
	assert_string_equal(nccl_said, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_life, start),
		cmocka_unit_test_setup(test_unpack, start),
		cmocka_unit_test_setup(test_six_algorithms, start),
		cmocka_unit_test_setup(test_copy_engine, start),
		cmocka_unit_test_setup(test_off, start),
		cmocka_unit_test_setup(test_without_net, start),
		cmocka_unit_test_setup(test_nothing_left, start),
		cmocka_unit_test_setup(test_version_2, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
