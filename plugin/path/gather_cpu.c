// SPDX-License-Identifier: BSD-3-Clause
#include <string.h>

#include "path/gather.h"

void gather_cpu(uint8_t *dst, size_t total, size_t linear_total, const uint8_t *pool,
		const struct gather_piece *pieces, unsigned int n)
{
	size_t pos = total, linear = linear_total;
	unsigned int i;

	/* In stream order where nothing forbids it: a GPU may be watching for flags that come behind their data (NCCL's LL). */
	if (linear_total == 0) {
		for (i = 0; i < n; i++) {
			memcpy(dst, pool + pieces[i].offset, pieces[i].len);
			dst += pieces[i].len;
		}
		return;
	}
	/*
	 * Backwards: a linear piece only ever moves towards the end, and what is written at @pos never reaches
	 * below the linear bytes that still wait in [0, linear), because those all belong before @pos.
	 */
	while (n--) {
		const struct gather_piece *g = &pieces[n];

		pos -= g->len;
		if (g->linear) {
			linear -= g->len;
			memmove(dst + pos, dst + linear, g->len);
		} else {
			memcpy(dst + pos, pool + g->offset, g->len);
		}
	}
}
