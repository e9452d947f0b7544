// SPDX-License-Identifier: BSD-3-Clause
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "report.h"

/* For programs states are lower case. */
static json_t *json_state(enum finding_state s)
{
	char word[8];
	unsigned int i;

	snprintf(word, sizeof(word), "%s", finding_state_name(s));
	for (i = 0; word[i]; i++)
		word[i] = (char)tolower((unsigned char)word[i]);
	return json_string(word);
}

/* Interface names may hold any byte. */
static json_t *json_text(const char *s)
{
	json_t *j = json_string(s);

	return j ? j : json_stringn_nocheck("?", 1);
}

static json_t *json_findings(const struct exam *x)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < x->findings.n; i++) {
		const struct finding *f = &x->findings.v[i];

		json_array_append_new(list,
				      json_pack("{so so so so so sb}", "check", json_text(f->check),
						"subject", json_text(f->subject), "state",
						json_state(f->state), "text", json_text(f->text),
						"fix", json_text(f->fix), "safe", (int)f->safe));
	}
	return list;
}

static json_t *json_paths(const struct exam *x)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < x->n_paths; i++) {
		const struct exam_path *p = &x->paths[i];

		json_array_append_new(list,
				      json_pack("{so ss ss ss so}", "interface", json_text(p->nic),
						"memory", p->memory, "direction", p->direction,
						"path", p->path, "why", json_text(p->why)));
	}
	return list;
}

int report_json(const struct exam *x)
{
	json_t *top;
	struct utsname u;
	int err;

	uname(&u);
	top = json_pack("{ss ss so so so}", "version", DEVMEM_VERSION, "kernel", u.release, "worst",
			json_state(findings_worst(&x->findings)), "findings", json_findings(x),
			"paths", json_paths(x));
	if (!top)
		return -EIO;
	err = json_dumpf(top, stdout, JSON_INDENT(2));
	json_decref(top);
	if (printf("\n") < 0 || fflush(stdout) == EOF)
		err = -1;
	return err ? -EIO : 0;
}
