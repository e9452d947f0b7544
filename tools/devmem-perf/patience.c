// SPDX-License-Identifier: BSD-3-Clause
#include "patience.h"

#include <errno.h>
#include <sched.h>

#include "monotime.h"
#include "report.h"

#define IDLE_LOOPS_PER_CLOCK 256

int patience_spend(struct patience *p, int moved)
{
	if (moved) {
		p->idle = 0;
		return 0;
	}
	sched_yield();
	if (p->idle++ == 0)
		p->deadline = monotime_ns() + p->timeout_s * NSEC_PER_SEC;
	if (p->idle % IDLE_LOOPS_PER_CLOCK == 0 && monotime_ns() >= p->deadline) {
		report_err("no progress for %d s", p->timeout_s);
		return -ETIMEDOUT;
	}
	return 0;
}
