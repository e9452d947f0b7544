// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdio.h>

#include "decode.h"
#include "elem.h"
#include "fn.h"

/* NCCL's table, linked in with its objects (host_table.cc, made by src/device/generate.py). */
extern const int ncclDevFuncRowToId[];

/* The groups of rows in their order. Within one: operators, of each its types, of each the algorithms, protocols. */
struct group {
	enum emul_coll coll;
	bool typed;
	unsigned int n_algos;
	enum emul_algo algos[6];
};

static const struct group groups[] = {
	{ EMUL_ALL_GATHER,
	  false,
	  NCCL_GATHER_ALGOS,
	  { EMUL_RING, EMUL_COLLNET_DIRECT, EMUL_NVLS, EMUL_PAT } },
	{ EMUL_BROADCAST, false, 1, { EMUL_RING } },
	{ EMUL_ALL_GATHER_V, false, NCCL_HAS_GATHER_V, { EMUL_RING } },
	{ EMUL_ALL_REDUCE,
	  true,
	  6,
	  { EMUL_TREE, EMUL_RING, EMUL_COLLNET_DIRECT, EMUL_COLLNET_CHAIN, EMUL_NVLS,
	    EMUL_NVLS_TREE } },
	{ EMUL_REDUCE, true, 1, { EMUL_RING } },
	{ EMUL_REDUCE_SCATTER,
	  true,
	  NCCL_GATHER_ALGOS,
	  { EMUL_RING, EMUL_COLLNET_DIRECT, EMUL_NVLS, EMUL_PAT } },
};

#define GROUPS (sizeof(groups) / sizeof(groups[0]))

static unsigned int group_rows(const struct group *g)
{
	return (g->typed ? ELEM_OPS * NCCL_TYPES : 1) * g->n_algos * NCCL_PROTOS;
}

unsigned int emul_fn_rows(void)
{
	unsigned int rows = 1;

	for (unsigned int i = 0; i < GROUPS; i++)
		rows += group_rows(&groups[i]);
	return rows;
}

void emul_fn_row(unsigned int row, struct emul_fn *ret)
{
	/* What copies works on bytes. */
	*ret = (struct emul_fn){ EMUL_SEND_RECV, ELEM_SUM, ELEM_INT8, EMUL_RING, NCCL_SIMPLE };
	if (!row--)
		return;
	for (unsigned int i = 0; i < GROUPS; i++) {
		const struct group *g = &groups[i];

		if (row >= group_rows(g)) {
			row -= group_rows(g);
			continue;
		}
		ret->coll = g->coll;
		ret->proto = (int)(row % NCCL_PROTOS);
		row /= NCCL_PROTOS;
		ret->algo = g->algos[row % g->n_algos];
		row /= g->n_algos;
		if (g->typed) {
			ret->type = (int)(row % NCCL_TYPES);
			ret->op = (int)(row / NCCL_TYPES);
		}
		return;
	}
}

int emul_fn_id(unsigned int row)
{
	return ncclDevFuncRowToId[row];
}

int emul_fn_get(int id, struct emul_fn *ret)
{
	const unsigned int rows = emul_fn_rows();

	for (unsigned int row = 0; row < rows; row++) {
		if (ncclDevFuncRowToId[row] == id) {
			emul_fn_row(row, ret);
			return 0;
		}
	}
	return -ENOENT;
}

void emul_fn_text(const struct emul_fn *fn, char *buf, size_t size)
{
	static const char *const colls[] = { "SendRecv",  "AllGather", "Broadcast",    "AllGatherV",
					     "AllReduce", "Reduce",    "ReduceScatter" };
	static const char *const algos[] = { "Tree",	     "Ring", "CollNetDirect",
					     "CollNetChain", "NVLS", "NVLSTree",
					     "PAT" };
	static const char *const protos[] = { "LL", "LL128", "Simple" };

	snprintf(buf, size, "%s %s %s", colls[fn->coll], algos[fn->algo], protos[fn->proto]);
}
