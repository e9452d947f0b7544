/* SPDX-License-Identifier: BSD-3-Clause */
/* Waiting of emulated kernels, and the end of what cannot go on. */
#ifndef EMUL_WAIT_H
#define EMUL_WAIT_H

#include "emul.h"

/*
 * One wait of one thread. @what and the numbers say for whom and what, should it end by time.
 * EMUL_TIMEOUT_S (60 if not set) bounds it: a GPU would spin on, a test must not.
 */
struct emul_wait {
	struct emul_block *block;
	const char *what;
	int peer;
	uint64_t want;
	unsigned int spins;
	uint64_t deadline; /* ns of CLOCK_MONOTONIC; 0: not looked at the clock yet */
};

/* Gives the CPU away. False when the communicator was aborted: stop waiting. @have is for the message. */
bool emul_wait_pause(struct emul_wait *wait, uint64_t have);

/* Has the communicator been aborted? Sticky for the block. */
bool emul_aborted(struct emul_block *block);

/* One line "emul: ..." on stderr, then abort(). */
void emul_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
