// SPDX-License-Identifier: BSD-3-Clause
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stats.h"

static uint64_t stats[EMUL_STAT_COUNT];

void emul_stat_add(enum emul_stat stat, uint64_t n)
{
	__atomic_fetch_add(&stats[stat], n, __ATOMIC_RELAXED);
}

static __attribute__((destructor)) void stats_print(void)
{
#define NAME(name) #name,
	static const char *const names[] = { EMUL_STATS(NAME) };
#undef NAME
	const char *want = getenv("EMUL_STATS");
	char line[512];
	size_t used = 0;

	if (!want || strcmp(want, "1") != 0)
		return;
	for (int i = 0; i < EMUL_STAT_COUNT && used < sizeof(line); i++)
		used += (size_t)snprintf(line + used, sizeof(line) - used, " %s=%" PRIu64, names[i],
					 __atomic_load_n(&stats[i], __ATOMIC_RELAXED));
	fprintf(stderr, "emul:%s\n", line);
}
