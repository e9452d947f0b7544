// SPDX-License-Identifier: BSD-3-Clause
/*
 * The plugin's gather kernel for the stand-in: a library for STANDIN_KERNELS.
 */
#include "gather_emul.h"
#include "standin.h"

struct gather_args {
	const struct gather_tile *tiles;
	const struct gather_source *sources;
};

static void gather_run(const struct standin_launch *l)
{
	const struct gather_args *args = l->args;

	if (l->args_size != sizeof(*args) || l->block[0] != GATHER_THREADS || l->block[1] != 1 ||
	    l->grid[1] != 1)
		standin_die("%s: launched with %zu bytes of arguments and blocks of %u threads",
			    l->name, l->args_size, l->block[0]);
	if (args->tiles[l->block_linear].n > GATHER_SOURCES)
		standin_die("%s: tile %u has %u sources", l->name, l->block_linear,
			    args->tiles[l->block_linear].n);
	gather_emul_block(&args->tiles[l->block_linear], args->sources);
}

__attribute__((constructor)) static void gather_register(void)
{
	if (standin_kernel_register(GATHER_ENTRY, gather_run))
		standin_die("no memory to register %s", GATHER_ENTRY);
}
