// SPDX-License-Identifier: BSD-3-Clause
/*
 * gpu-pattern OP TYPE BYTES WORLD RANK SALT: the digest of the output that nccl-bench expects, without any NCCL, for
 * selfcheck.py to compare with what Python works out. Also puts in one wrong element, and fails if that is not found.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"

static int word_find(const char *word, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(word, names[i]))
			return i;
	fprintf(stderr, "gpu-pattern: '%s' is unknown\n", word);
	exit(2);
}

/* @rank's output, put together from all inputs by the definition of the operation. */
static void output_make(const struct pattern_case *c, uint8_t *out)
{
	size_t item = pattern_itemsize(c->type), n = pattern_count_out(c);
	size_t block = n / (size_t)c->world;
	struct pattern_case from = *c;
	uint8_t *at = out;

	switch (c->op) {
	case PATTERN_ALL_GATHER:
	case PATTERN_ALL_TO_ALL:
		for (from.rank = 0; from.rank < c->world; from.rank++, at += block * item)
			pattern_fill(&from,
				     c->op == PATTERN_ALL_GATHER ? 0 : (size_t)c->rank * block,
				     block, at);
		break;
	case PATTERN_BROADCAST:
		from.rank = pattern_root(c);
		pattern_fill(&from, 0, n, out);
		break;
	case PATTERN_SENDRECV:
		from.rank = (c->rank + c->world - 1) % c->world;
		pattern_fill(&from, 0, n, out);
		break;
	default: {
		size_t first = c->op == PATTERN_ALL_REDUCE ? 0 : (size_t)c->rank * n;
		uint8_t *part = calloc(n, item);

		for (from.rank = 0; from.rank < c->world && part; from.rank++) {
			pattern_fill(&from, first, n, part);
			for (size_t i = 0; i < n; i++) {
				float sum = (float)pattern_value(c->type, part, i);
				uint32_t bits;

				if (from.rank > 0)
					sum += (float)pattern_value(c->type, out, i);
				memcpy(&bits, &sum, sizeof(bits));
				if (c->type == PATTERN_FP32)
					((uint32_t *)out)[i] = bits;
				else
					((uint16_t *)out)[i] = (uint16_t)(bits >> 16);
			}
		}
		free(part);
	}
	}
}

int main(int argc, char **argv)
{
	struct pattern_case c = { 0 };
	size_t first = 0, n, item;
	double want = 0;
	uint8_t *out;

	if (argc != 7) {
		fprintf(stderr, "usage: gpu-pattern OP TYPE BYTES WORLD RANK SALT\n");
		return 2;
	}
	c.op = (enum pattern_op)word_find(argv[1], pattern_op_names, PATTERN_OPS);
	c.type = (enum pattern_type)word_find(argv[2], pattern_type_names, PATTERN_TYPES);
	c.size = strtoul(argv[3], NULL, 10);
	c.world = atoi(argv[4]);
	c.rank = atoi(argv[5]);
	c.salt = (unsigned int)strtoul(argv[6], NULL, 10);
	if (!c.size || c.world < 2 || c.rank < 0 || c.rank >= c.world || !pattern_fits(&c))
		return 2;
	n = pattern_count_out(&c);
	item = pattern_itemsize(c.type);
	out = calloc(n, item);
	if (!out)
		return 2;
	output_make(&c, out);
	if (pattern_wrong(&c, 0, n, out, &first, &want)) {
		fprintf(stderr, "gpu-pattern: element %zu is %g, not %g\n", first,
			pattern_value(c.type, out, first), want);
		return 1;
	}
	printf("%016" PRIx64 "\n", pattern_digest(c.type, 0, n, out, 0));
	out[(n / 2) * item] ^= 1;
	if (pattern_wrong(&c, 0, n, out, &first, &want) != 1 || first != n / 2) {
		fprintf(stderr,
			"gpu-pattern: a bit that was flipped in element %zu was not found\n",
			n / 2);
		return 1;
	}
	free(out);
	return 0;
}
