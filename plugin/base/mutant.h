/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DEVMEM_MUTANT(name): is this defect of mutant_table.h switched on? Never, in a library that is used. A build with
 * -DDEVMEM_MUTANTS=ON reads its name from the environment (DEVMEM_MUTANT); it exists for tests/conformance/mutants alone, so the
 * variable is not in the parameter table.
 */
#ifndef DEVMEM_MUTANT_H
#define DEVMEM_MUTANT_H

#include <stdbool.h>

enum mutant {
#define MUTANT(name, lane, caught_by, what) MUTANT_##name,
#include "base/mutant_table.h"
#undef MUTANT
	MUTANTS
};

#ifdef DEVMEM_MUTANTS
#include <stdlib.h>
#include <string.h>

static inline bool mutant_on(enum mutant mutant)
{
	static const char *const names[] = {
#define MUTANT(name, lane, caught_by, what) #name,
#include "base/mutant_table.h"
#undef MUTANT
	};
	const char *wanted = getenv("DEVMEM_MUTANT");

	return wanted && !strcmp(wanted, names[mutant]);
}
#define DEVMEM_MUTANT(name) mutant_on(MUTANT_##name)
#else
/* The name is checked all the same. */
#define DEVMEM_MUTANT(name) ((void)MUTANT_##name, false)
#endif

#endif
