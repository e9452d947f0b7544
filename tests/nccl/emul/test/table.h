/* SPDX-License-Identifier: BSD-3-Clause */
/* A table of function numbers as a build of NCCL has one. */
#ifndef TEST_TABLE_H
#define TEST_TABLE_H

/* Signed and unsigned integers share numbers; otherwise all rows have one, in an order that is not theirs. */
void table_fill(void);

#endif
