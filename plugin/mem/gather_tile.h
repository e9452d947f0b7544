/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the gather kernel is told: included by the plugin, by the kernel's source and by whoever stands in for the GPU.
 *
 * A tile is a stretch of the destination that one block of threads fills, put together from sources that follow one another. It begins or
 * ends inside a line of 128 bytes only where the caller's stretch does.
 */
#ifndef DEVMEM_GATHER_TILE_H
#define DEVMEM_GATHER_TILE_H

#define GATHER_ENTRY   "devmem_gather"
#define GATHER_THREADS 256
#define GATHER_LINE    128
#define GATHER_TILE    8192 /* bytes of a tile at most */
#define GATHER_SOURCES 256  /* of a tile at most: what a line can have, twice */

/* @n sources from index @first on of the list make up @len bytes at @dst. */
struct gather_tile {
	unsigned long long dst;
	unsigned int len;
	unsigned short n;
	unsigned short unused;
	unsigned int first;
	unsigned int unused2;
};

/* Bytes from @src on belong at @at bytes behind the tile's beginning, up to the next source's; in order of @at. */
struct gather_source {
	unsigned long long src;
	unsigned int at;
	unsigned int unused;
};

#endif
