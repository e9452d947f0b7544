// SPDX-License-Identifier: BSD-3-Clause
/*
 * The plugin's own parameters: whatever it would warn about at the start of a job.
 */
#include <string.h>

#include "base/log.h"
#include "base/param.h"
#include "exam.h"

/* param_load() tells by the log, and the log's sink has no argument. */
static struct findings *told;

static void on_line(enum log_level lvl, const char *file, int line, const char *text)
{
	(void)file;
	(void)line;
	if (lvl <= LOG_LVL_WARN)
		finding_fix(findings_add(told, "settings", "settings", FINDING_FAIL, "%s", text),
			    "correct the variable, or unset it; docs/environment.md has them all");
}

static void on_nothing(enum log_level lvl, const char *file, int line, const char *text)
{
	(void)lvl;
	(void)file;
	(void)line;
	(void)text;
}

void check_settings(struct exam *x)
{
	unsigned int before = x->findings.n;
	unsigned int set = 0;

	told = &x->findings;
	log_sink_set(on_line);
	param_load();
	/* What the checks call has its findings in its results. */
	log_sink_set(on_nothing);
	for (enum param_id i = 0; i < PARAM_COUNT; i++)
		set += param_is_set(i);
	if (x->findings.n == before)
		findings_add(&x->findings, "settings", "settings", FINDING_OK,
			     "%u NCCL_DEVMEM_* variables set%s", set,
			     set ? ", all understood" : "");
}
