/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Putting received frags in order at their destination.
 *
 * gather_cpu is for memory the CPU sees; a GPU kernel or copy engine takes its place behind the same call for memory it
 * does not see.
 */
#ifndef DEVMEM_GATHER_H
#define DEVMEM_GATHER_H

#include <stddef.h>
#include <stdint.h>

/*
 * One piece of a received run of bytes. @linear: the piece lies in host memory, in the iov of the receive call, behind
 * the linear pieces before it; otherwise at @offset of the pool.
 */
struct gather_piece {
	uint64_t offset;
	uint32_t len;
	uint32_t linear;
};

/*
 * Places @n pieces, @total bytes together, at @dst. The linear pieces, @linear_total bytes, already lie packed
 * at the beginning of @dst. Offsets must have been checked against the pool.
 */
void gather_cpu(uint8_t *dst, size_t total, size_t linear_total, const uint8_t *pool,
		const struct gather_piece *pieces, unsigned int n);

#endif
