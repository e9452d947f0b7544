// SPDX-License-Identifier: BSD-3-Clause
#include <stdarg.h>
#include <stdio.h>

#include "base/verdict.h"

int verdict_set(struct verdict *v, int err, const char *remedy, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(v->reason, sizeof(v->reason), fmt, ap);
	va_end(ap);
	snprintf(v->remedy, sizeof(v->remedy), "%s", remedy ? remedy : "");
	v->err = err;
	return err;
}
