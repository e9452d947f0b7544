// SPDX-License-Identifier: BSD-3-Clause
#include "finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where one is put for which there is no memory. */
static struct finding nowhere;

static struct finding *findings_grow(struct findings *f)
{
	struct finding *v = realloc(f->v, (f->n + 1) * sizeof(*v));

	if (!v) {
		f->incomplete = true;
		return &nowhere;
	}
	f->v = v;
	return &v[f->n++];
}

struct finding *findings_add(struct findings *f, const char *check, const char *subject,
			     enum finding_state state, const char *fmt, ...)
{
	struct finding *one = findings_grow(f);
	va_list ap;

	memset(one, 0, sizeof(*one));
	one->check = check;
	one->state = state;
	snprintf(one->subject, sizeof(one->subject), "%s", subject);
	va_start(ap, fmt);
	vsnprintf(one->text, sizeof(one->text), fmt, ap);
	va_end(ap);
	return one;
}

struct finding *findings_add_verdict(struct findings *f, const char *check, const char *subject,
				     enum finding_state bad, const struct verdict *v)
{
	size_t len = strlen(subject);
	const char *text = v->reason;
	struct finding *one;

	if (!strncmp(text, subject, len) && !strncmp(text + len, ": ", 2))
		text += len + 2;
	one = findings_add(f, check, subject, v->err ? bad : FINDING_OK, "%s", text);
	if (v->err)
		snprintf(one->fix, sizeof(one->fix), "%s", v->remedy);
	return one;
}

static void finding_vfix(struct finding *f, bool safe, const char *fmt, va_list ap)
{
	vsnprintf(f->fix, sizeof(f->fix), fmt, ap);
	f->safe = safe;
}

void finding_fix_safe(struct finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	finding_vfix(f, true, fmt, ap);
	va_end(ap);
}

void finding_fix(struct finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	finding_vfix(f, false, fmt, ap);
	va_end(ap);
}

const char *finding_state_name(enum finding_state s)
{
	static const char *const names[] = { "ok", "note", "warn", "FAIL" };

	return names[s];
}

enum finding_state findings_worst(const struct findings *f)
{
	enum finding_state worst = FINDING_OK;

	for (unsigned int i = 0; i < f->n; i++)
		if (f->v[i].state > worst)
			worst = f->v[i].state;
	return worst;
}

void findings_drop(struct findings *f)
{
	free(f->v);
	memset(f, 0, sizeof(*f));
}
