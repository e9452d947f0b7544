// SPDX-License-Identifier: BSD-3-Clause
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "wait.h"

/* Yields before sleeping, and sleeps of which length: the proxy thread needs the CPU that a spin would take. */
#define YIELDS	 64
#define SLEEP_NS 20000

void emul_die(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "emul: %s\n", text);
	abort();
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t timeout_s(void)
{
	const char *text = getenv("EMUL_TIMEOUT_S");
	char *end;
	unsigned long s;

	if (!text || !*text)
		return 60;
	s = strtoul(text, &end, 10);
	if (*end || !s || s > 86400)
		emul_die("EMUL_TIMEOUT_S=%s: seconds, 1 to 86400", text);
	return s;
}

bool emul_aborted(struct emul_block *block)
{
	if (__atomic_load_n(&block->aborted, __ATOMIC_RELAXED))
		return true;
	if (!__atomic_load_n(block->comm.abort_flag, __ATOMIC_RELAXED))
		return false;
	__atomic_store_n(&block->aborted, 1, __ATOMIC_RELAXED);
	return true;
}

bool emul_wait_pause(struct emul_wait *wait, uint64_t have)
{
	const struct timespec nap = { .tv_nsec = SLEEP_NS };
	struct emul_block *block = wait->block;

	if (emul_aborted(block))
		return false;
	if (wait->spins++ < YIELDS) {
		sched_yield();
		return true;
	}
	if (!wait->deadline)
		wait->deadline = now_ns() + timeout_s() * 1000000000u;
	else if (now_ns() > wait->deadline)
		emul_die("rank %d, channel %d: %s rank %d for %" PRIu64 " s: want %" PRIu64
			 ", have %" PRIu64,
			 block->comm.rank, block->channel, wait->what, wait->peer, timeout_s(),
			 wait->want, have);
	nanosleep(&nap, NULL);
	return true;
}
