// SPDX-License-Identifier: BSD-3-Clause
#include "data_type.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static const struct {
	const char *name;
	size_t size;
} types[DATA_TYPES] = {
	[DATA_UINT8] = { "uint8", sizeof(uint8_t) },  [DATA_INT32] = { "int32", sizeof(int32_t) },
	[DATA_INT64] = { "int64", sizeof(int64_t) },  [DATA_FLOAT] = { "float", sizeof(float) },
	[DATA_DOUBLE] = { "double", sizeof(double) },
};

size_t data_type_size(enum data_type type)
{
	return types[type].size;
}

const char *data_type_name(enum data_type type)
{
	return types[type].name;
}

int data_type_parse(const char *word, enum data_type *ret)
{
	for (int i = 0; i < DATA_TYPES; i++) {
		if (!strcmp(word, types[i].name)) {
			*ret = (enum data_type)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Integers are added unsigned, because signed overflow is undefined in C. */
#define SUM_LOOP(T)                                \
	do {                                       \
		const T *x = a, *y = b;            \
		T *z = out;                        \
		for (size_t i = 0; i < count; i++) \
			z[i] = (T)(x[i] + y[i]);   \
	} while (0)

void data_type_sum(enum data_type type, void *out, const void *a, const void *b, size_t count)
{
	switch (type) {
	case DATA_UINT8:
		SUM_LOOP(uint8_t);
		break;
	case DATA_INT32:
		SUM_LOOP(uint32_t);
		break;
	case DATA_INT64:
		SUM_LOOP(uint64_t);
		break;
	case DATA_FLOAT:
		SUM_LOOP(float);
		break;
	case DATA_DOUBLE:
		SUM_LOOP(double);
		break;
	case DATA_TYPES:
		break;
	}
}
