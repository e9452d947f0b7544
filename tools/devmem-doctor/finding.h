/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What was found, a line each: the thing, whether it is as it should be, and the command that puts it right.
 */
#ifndef DOCTOR_FINDING_H
#define DOCTOR_FINDING_H

#include <stdbool.h>

#include "base/verdict.h"

/*
 * FINDING_NOTE: worth knowing; nothing is lost, or the plugin sees to it by itself.
 * FINDING_WARN: the job runs, but slower than it could on this machine.
 * FINDING_FAIL: keeps a path, or the whole plugin, from working.
 */
enum finding_state { FINDING_OK, FINDING_NOTE, FINDING_WARN, FINDING_FAIL };

/*
 * @check:   a stable name for scripts, "header-split".
 * @subject: what it is about: "kernel", "host", an interface, "GPU 0", "NCCL".
 * @fix:     one command, as it is typed in a shell, or advice; "" where there is nothing to do.
 * @safe:    @fix is a command that --fix may run: it disturbs no traffic, can be taken back, and lasts until the next boot.
 */
struct finding {
	const char *check;
	char subject[32];
	enum finding_state state;
	bool safe;
	char text[224];
	char fix[224];
};

/* In the order in which they were added. Zeroed: none. */
struct findings {
	struct finding *v;
	unsigned int n;
	bool incomplete; /* there was no memory for one */
};

/* Adds one without a fix. @check has to last. The pointer is valid until the next one is added; never NULL. */
struct finding *findings_add(struct findings *f, const char *check, const char *subject,
			     enum finding_state state, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* Adds what @v says: OK when it has no error, else @bad, with its remedy for a fix. A "name: " at its head that is @subject goes. */
struct finding *findings_add_verdict(struct findings *f, const char *check, const char *subject,
				     enum finding_state bad, const struct verdict *v);

/* Puts a fix to a finding: one that --fix may run, or one for people. */
void finding_fix_safe(struct finding *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void finding_fix(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "ok", "note", "warn", "FAIL". */
const char *finding_state_name(enum finding_state s);

/* The worst state there is. */
enum finding_state findings_worst(const struct findings *f);

void findings_drop(struct findings *f);

#endif
