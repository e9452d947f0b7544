/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Moves, cut into the tiles of the gather kernel (gather_tile.h).
 */
#ifndef DEVMEM_GATHER_PLAN_H
#define DEVMEM_GATHER_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "mem/gather_tile.h"
#include "mem/gpu.h"

/* Room that moves of GPU_MOVES and GPU_MOVE_BYTES together need, whatever their alignment. */
#define GATHER_PLAN_TILES   (GPU_MOVES + GPU_MOVE_BYTES / (GATHER_TILE - GATHER_LINE) + 2)
#define GATHER_PLAN_SOURCES (GPU_MOVES + GATHER_PLAN_TILES + 2)

/* @tiles and @sources are the owner's memory, with the room above. */
struct gather_plan {
	struct gather_tile *tiles;
	struct gather_source *sources;
	unsigned int n_tiles;
	unsigned int n_sources;
};

void gather_plan_clear(struct gather_plan *plan);

/* Adds @m if there is room for it in any case; a move that goes on where the last one ended joins its tile. */
bool gather_plan_add(struct gather_plan *plan, const struct gpu_move *m);

/*
 * Does @m begin in a line that some tile of the plan, not the last, leaves unfinished? Then it belongs to a later launch: within one there is no
 * order between tiles.
 */
bool gather_plan_shares_line(const struct gather_plan *plan, const struct gpu_move *m);

#endif
