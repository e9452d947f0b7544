/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which zerocopy sends of one TCP socket still own their memory.
 *
 * The kernel numbers the MSG_ZEROCOPY sends of a socket from 0, one number for each call that accepted at least one byte,
 * modulo 2^32 (Documentation/networking/msg_zerocopy.rst), and reports them finished as inclusive ranges, merged
 * and in any order. The tracker maps numbers to whoever waits. One thread at a time.
 */
#ifndef DEVMEM_ZC_TRACKER_H
#define DEVMEM_ZC_TRACKER_H

#include <stdbool.h>
#include <stdint.h>

/* Sends in flight per socket; a power of two. More have to wait for completions. */
#define ZC_WINDOW 1024

/* What waits: embedded in a request. The memory is free when @pending is 0 again. */
struct zc_ref {
	uint32_t pending;
};

/*
 * @next:        number of the next send.
 * @outstanding: numbers handed out and not reported back.
 * @copied_run:  completions in a row that the kernel marked as copied.
 */
struct zc_tracker {
	uint32_t next;
	uint32_t outstanding;
	uint32_t copied_run;
	struct zc_ref *ring[ZC_WINDOW];
};

void zc_tracker_init(struct zc_tracker *t);

/* No room for one more send: its slot belongs to a send that has not finished. */
static inline bool zc_tracker_full(const struct zc_tracker *t)
{
	return t->ring[t->next % ZC_WINDOW] != NULL;
}

/* A send was accepted. @ref stays referenced until its number is reported. Must not be called when full. */
void zc_tracker_sent(struct zc_tracker *t, struct zc_ref *ref);

/* Numbers @lo..@hi are finished. -EPROTO, logged and nothing changed, if any of them is not outstanding. */
int zc_tracker_complete(struct zc_tracker *t, uint32_t lo, uint32_t hi, bool copied);

/*
 * Reads finished ranges from the error queue of @fd until nothing is outstanding or the queue is empty.
 * Returns the number of sends that finished, 0 if none, or -errno.
 */
int zc_tracker_reap(struct zc_tracker *t, int fd);

#endif
