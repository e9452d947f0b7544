// SPDX-License-Identifier: BSD-3-Clause
/* What is not emulated, and what would hang or corrupt a GPU in silence, ends the process and says why. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "elem.h"
#include "fn.h"
#include "rig.h"
#include "table.h"
#include "unit.h"
#include "wait.h"

static uint8_t in[4096], out[4096];
static struct rig rig;

static struct rig_coll coll_of(enum emul_coll coll, enum emul_algo algo, int proto)
{
	return (struct rig_coll){ .fn = { coll, ELEM_SUM, ELEM_INT8, algo, proto },
				  .count = 1000,
				  .n_channels = 1,
				  .send = { in },
				  .recv = { out } };
}

/* Runs @fn in a child, which must die by abort() with @words on stderr. */
static void assert_dies(void (*fn)(void), const char *words)
{
	char text[4096] = "";
	size_t used = 0;
	int fds[2];
	int status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		fn();
		_exit(0);
	}
	close(fds[1]);
	while (used < sizeof(text) - 1 &&
	       (n = read(fds[0], text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		fail_msg("status %#x, not SIGABRT: %s", (unsigned int)status, text);
	if (!strstr(text, words))
		fail_msg("\"%s\" is not in: %s", words, text);
}

static void run_alone(enum wire_kind kind, const struct rig_coll *coll)
{
	if (rig_open(&rig, 2, kind))
		_exit(1);
	rig_coll_alone(&rig, coll, 0);
}

static void run_ll128(void)
{
	struct rig_coll coll = coll_of(EMUL_ALL_REDUCE, EMUL_TREE, NCCL_LL128);

	run_alone(WIRE_NET, &coll);
}

static void run_nvls(void)
{
	struct rig_coll coll = coll_of(EMUL_REDUCE_SCATTER, EMUL_NVLS, NCCL_SIMPLE);

	run_alone(WIRE_NET, &coll);
}

static void run_collnet(void)
{
	struct rig_coll coll = coll_of(EMUL_ALL_REDUCE, EMUL_COLLNET_CHAIN, NCCL_SIMPLE);

	run_alone(WIRE_NET, &coll);
}

static void run_ll_unpack(void)
{
	struct rig_coll coll = coll_of(EMUL_ALL_REDUCE, EMUL_RING, NCCL_LL);

	run_alone(WIRE_UNPACK, &coll);
}

static void run_no_function(void)
{
	struct rig_coll coll = coll_of(EMUL_ALL_REDUCE, EMUL_PAT, NCCL_SIMPLE);

	run_alone(WIRE_NET, &coll);
}

static void run_no_connection(void)
{
	struct rig_coll coll = coll_of(EMUL_ALL_REDUCE, EMUL_RING, NCCL_SIMPLE);

	if (rig_open(&rig, 2, WIRE_NET))
		_exit(1);
	memset(&rig.ranks[0].peer[0][1], 0, sizeof(rig.ranks[0].peer[0][1]));
	rig_coll_alone(&rig, &coll, 0);
}

/* The peer is not there and nobody aborts. */
static void run_hang(void)
{
	struct rig_coll coll = coll_of(EMUL_ALL_REDUCE, EMUL_RING, NCCL_SIMPLE);

	setenv("EMUL_TIMEOUT_S", "1", 1);
	run_alone(WIRE_NET, &coll);
}

/* A slice whose metadata says too little. */
static void run_short_slice(void)
{
	struct rig_coll coll = coll_of(EMUL_ALL_REDUCE, EMUL_RING, NCCL_SIMPLE);

	if (rig_open(&rig, 2, WIRE_UNPACK))
		_exit(1);
	for (unsigned int i = 0; i < rig.n_wires; i++) {
		if (!rig.wires[i].send)
			continue;
		memset(rig.wires[i].handle.meta, 0, sizeof(*rig.wires[i].handle.meta));
		rig.wires[i].recv_tail = NCCL_STEPS;
	}
	rig_coll_alone(&rig, &coll, 0);
}

/* Two connections into one group, from two bounce buffers. */
static void run_two_bases(void)
{
	struct rig_coll coll = coll_of(EMUL_ALL_REDUCE, EMUL_TREE, NCCL_SIMPLE);
	static uint8_t other[4096];

	if (rig_open(&rig, 3, WIRE_UNPACK))
		_exit(1);
	((struct unpack_emul_handle *)rig.ranks[0].peer[0][2].recv[0].net.handle)->bounce_buf =
		other;
	rig_coll_alone(&rig, &coll, 0);
}

/* A third one: NCCL's arrays have room for two. */
static void run_three_peers(void)
{
	struct rig_coll coll = coll_of(EMUL_ALL_REDUCE, EMUL_TREE, NCCL_SIMPLE);

	if (rig_open(&rig, 4, WIRE_UNPACK))
		_exit(1);
	rig.ranks[0].channels[0].tree = (struct nccl_tree){ .up = 3, .down = { 1, 2, 3 } };
	rig_coll_alone(&rig, &coll, 0);
}

static void test_not_emulated(void **state)
{
	(void)state;
	assert_dies(run_ll128, "AllReduce Tree LL128 is not emulated");
	assert_dies(run_nvls, "ReduceScatter NVLS Simple is not emulated");
	assert_dies(run_collnet, "AllReduce CollNetChain Simple is not emulated");
	assert_dies(run_no_function, "has no function");
}

static void test_broken(void **state)
{
	(void)state;
	assert_dies(run_ll_unpack, "LL on a connection with device unpack");
	assert_dies(run_no_connection, "no receive connection 0 with rank 1");
	assert_dies(run_short_slice, "0 entries cover 0");
	assert_dies(run_two_bases, "two bounce bases in one block");
	assert_dies(run_three_peers, "peer 2: a group has room for 2");
}

static void test_timeout(void **state)
{
	(void)state;
	assert_dies(run_hang,
		    "rank 0, channel 0: waits for data from rank 1 for 1 s: want 2, have 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_emulated),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_timeout),
	};

	table_fill();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
