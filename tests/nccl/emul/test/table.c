// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>

#include "elem.h"
#include "fn.h"
#include "table.h"

#define ROWS 8192

/* Constant in NCCL. */
extern int ncclDevFuncRowToId[];
int ncclDevFuncRowToId[ROWS];

static int same_but_sign(const struct emul_fn *a, const struct emul_fn *b)
{
	/* 2.22 divides by the function's type. */
	if (EMUL_NCCL < 22300 && a->op == ELEM_SUM_POST_DIV)
		return 0;
	return a->coll == b->coll && a->op == b->op && a->algo == b->algo && a->proto == b->proto &&
	       (a->type | 1) == (b->type | 1) && a->type < ELEM_FLOAT16 && b->type < ELEM_FLOAT16;
}

void table_fill(void)
{
	const unsigned int rows = emul_fn_rows();

	if (rows > ROWS)
		abort();
	for (unsigned int row = 0; row < rows; row++) {
		struct emul_fn fn, other;

		ncclDevFuncRowToId[row] = (int)(rows - 1 - row);
		emul_fn_row(row, &fn);
		for (unsigned int i = 0; i < row && i < 100; i++) {
			emul_fn_row(row - 1 - i, &other);
			if (same_but_sign(&fn, &other))
				ncclDevFuncRowToId[row] = ncclDevFuncRowToId[row - 1 - i];
		}
	}
}
