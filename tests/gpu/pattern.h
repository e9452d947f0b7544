/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What nccl-bench fills its buffers with, and what must come out: the functions of tensors.py once more, so that both programs'
 * digests can be compared. Element i of a buffer follows from (seed, i); values are integers whose sums over all ranks are exact.
 */
#ifndef GPU_PATTERN_H
#define GPU_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/* Elements that one call works on at most; a caller goes through larger buffers in such steps. */
#define PATTERN_CHUNK ((size_t)1 << 22)

enum pattern_type { PATTERN_FP32, PATTERN_BF16, PATTERN_TYPES };
enum pattern_op {
	PATTERN_ALL_REDUCE,
	PATTERN_ALL_GATHER,
	PATTERN_REDUCE_SCATTER,
	PATTERN_BROADCAST,
	PATTERN_SENDRECV, /* to the next rank, from the one before */
	PATTERN_ALL_TO_ALL,
	PATTERN_OPS
};

extern const char *const pattern_op_names[PATTERN_OPS];
extern const char *const pattern_type_names[PATTERN_TYPES];

/* @size: bytes of the larger buffer, as nccl-tests counts them. @salt chooses values and root. */
struct pattern_case {
	enum pattern_op op;
	enum pattern_type type;
	size_t size;
	int world, rank;
	unsigned int salt;
};

size_t pattern_itemsize(enum pattern_type type);
/* Elements of this rank's input and output. */
size_t pattern_count_in(const struct pattern_case *c);
size_t pattern_count_out(const struct pattern_case *c);
/* Whether @c->size is a whole number of elements, for each rank where they share it. */
int pattern_fits(const struct pattern_case *c);
int pattern_root(const struct pattern_case *c);
/* Bus bandwidth is size / time times this. */
double pattern_bus_factor(enum pattern_op op, int world);
/* Payload bytes that this rank cannot do without receiving when @root is the root. */
uint64_t pattern_must_receive(const struct pattern_case *c, int root);

/* Writes elements [@first, @first + @n) of this rank's input to @at. */
void pattern_fill(const struct pattern_case *c, size_t first, size_t n, void *at);

/*
 * Compares elements [@first, @first + @n) of this rank's output, which lie at @at, bit by bit. Returns the number of
 * wrong ones; the first of them goes to *@ret_first and the right value to *@ret_want, if there is any.
 */
size_t pattern_wrong(const struct pattern_case *c, size_t first, size_t n, const void *at,
		     size_t *ret_first, double *ret_want);

/* Adds elements [@first, @first + @n) at @at to a digest that starts at 0. */
uint64_t pattern_digest(enum pattern_type type, size_t first, size_t n, const void *at,
			uint64_t digest);
double pattern_value(enum pattern_type type, const void *at, size_t i);

#endif
