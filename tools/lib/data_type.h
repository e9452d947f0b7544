/* SPDX-License-Identifier: BSD-3-Clause */
/* Element types of the collectives, and the one reduction: the sum. */
#ifndef PERF_DATA_TYPE_H
#define PERF_DATA_TYPE_H

#include <stddef.h>

enum data_type {
	DATA_UINT8, /* sums wrap around, as all integer sums do */
	DATA_INT32,
	DATA_INT64,
	DATA_FLOAT,
	DATA_DOUBLE,
	DATA_TYPES
};

/* Bytes of one element. */
size_t data_type_size(enum data_type type);

/* nccl-tests' words: "uint8", "int32", "int64", "float", "double". */
const char *data_type_name(enum data_type type);

/* -EINVAL for an unknown word. */
int data_type_parse(const char *word, enum data_type *ret);

/* @out[i] = @a[i] + @b[i] for @count elements; @out may be @a or @b, but not overlap them else. */
void data_type_sum(enum data_type type, void *out, const void *a, const void *b, size_t count);

#endif
