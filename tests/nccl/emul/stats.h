/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a process's emulated kernels have done, so that a test can tell that it tested what it meant to. With
 * EMUL_STATS=1 one line at the end of the process, on stderr: "emul: NAME=N NAME=N ...".
 */
#ifndef EMUL_STATS_H
#define EMUL_STATS_H

#include <stdint.h>

/*
 * simple_slices, ll_steps: received, with or without data. registered: connections opened whose user buffer the NIC
 * uses. unpacked_wide: entries copied in units of 16 bytes.
 */
#define EMUL_STATS(row)                                                                   \
	row(blocks) row(simple_slices) row(ll_steps) row(registered) row(unpacked_slices) \
		row(unpacked_entries) row(unpacked_bytes) row(unpacked_wide)

/* clang-format off */
enum emul_stat {
#define EMUL_STAT_ENUM(name) EMUL_STAT_##name,
	EMUL_STATS(EMUL_STAT_ENUM)
#undef EMUL_STAT_ENUM
	EMUL_STAT_COUNT
};
/* clang-format on */

/* Any thread. */
void emul_stat_add(enum emul_stat stat, uint64_t n);

#endif
