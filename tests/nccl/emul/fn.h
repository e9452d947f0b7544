/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The numbers of NCCL's device functions. A build of NCCL gives the functions it has numbers of its own; its table
 * ncclDevFuncRowToId[] has them by "row", and what a row is, is the formula of ncclDevFuncId() in
 * src/include/device.h of each version. Here the way back.
 */
#ifndef EMUL_FN_H
#define EMUL_FN_H

#include "emul.h"

/* Rows of the table in this version. */
unsigned int emul_fn_rows(void);

/* What row @row stands for, whether or not this build has it. */
void emul_fn_row(unsigned int row, struct emul_fn *ret);

/* The number of a row's function in this build of NCCL, or less than 0: not built. */
int emul_fn_id(unsigned int row);

/*
 * What function @id does. Functions that do the same share a number (signed and unsigned integers do): then it is
 * the first of them. -ENOENT: no row has it.
 */
int emul_fn_get(int id, struct emul_fn *ret);

/* "AllReduce Tree LL128" and so on, for messages. */
void emul_fn_text(const struct emul_fn *fn, char *buf, size_t size);

#endif
