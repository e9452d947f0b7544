// SPDX-License-Identifier: BSD-3-Clause
#include "mem/gather_plan.h"

void gather_plan_clear(struct gather_plan *plan)
{
	plan->n_tiles = 0;
	plan->n_sources = 0;
}

static unsigned long long tile_end(const struct gather_tile *t)
{
	return t->dst + t->len;
}

/* How far @t can reach. It ends with a line, so that the next one begins one; and before a line that might have too many sources. */
static unsigned long long tile_limit(const struct gather_tile *t)
{
	const unsigned long long mask = GATHER_LINE - 1;

	if (t->n >= GATHER_SOURCES / 2)
		return (tile_end(t) + mask) & ~mask;
	return (t->dst + GATHER_TILE) & ~mask;
}

static struct gather_tile *tile_for(struct gather_plan *plan, unsigned long long dst)
{
	struct gather_tile *t = &plan->tiles[plan->n_tiles];

	if (plan->n_tiles && tile_end(t - 1) == dst && tile_limit(t - 1) > dst)
		return t - 1;
	plan->n_tiles++;
	*t = (struct gather_tile){ .dst = dst, .first = plan->n_sources };
	return t;
}

static void tile_add_source(struct gather_plan *plan, struct gather_tile *t, unsigned long long src)
{
	struct gather_source *s = &plan->sources[plan->n_sources];

	if (t->n && s[-1].src + (t->len - s[-1].at) == src)
		return;
	*s = (struct gather_source){ .src = src, .at = t->len };
	plan->n_sources++;
	t->n++;
}

bool gather_plan_add(struct gather_plan *plan, const struct gpu_move *m)
{
	unsigned long long src = m->src, dst = m->dst;
	size_t left = m->len;
	size_t most = left / (GATHER_TILE - GATHER_LINE) + 2;

	if (plan->n_tiles + most > GATHER_PLAN_TILES ||
	    plan->n_sources + most > GATHER_PLAN_SOURCES)
		return false;
	while (left) {
		struct gather_tile *t = tile_for(plan, dst);
		unsigned long long room = tile_limit(t) - dst;
		unsigned int len = (unsigned int)(left < room ? left : room);

		tile_add_source(plan, t, src);
		t->len += len;
		src += len;
		dst += len;
		left -= len;
	}
	return true;
}

bool gather_plan_shares_line(const struct gather_plan *plan, const struct gpu_move *m)
{
	unsigned int i;

	if (m->dst % GATHER_LINE == 0)
		return false;
	for (i = 0; i + 1 < plan->n_tiles; i++)
		if (tile_end(&plan->tiles[i]) == m->dst)
			return true;
	return false;
}
