// SPDX-License-Identifier: BSD-3-Clause
#include "json_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "report.h"

json_t *json_file_text(const char *text)
{
	json_t *s = json_string(text);

	return s ? s : json_string("(not UTF-8)");
}

static json_t *host_json(const struct host_facts *host)
{
	json_t *o = json_object();

	json_object_set_new(o, "kernel", json_file_text(host->kernel));
	json_object_set_new(o, "machine", json_file_text(host->machine));
	json_object_set_new(o, "cpu", json_file_text(host->cpu));
	json_object_set_new(o, "cpus", json_integer(host->cpus));
	json_object_set_new(o, "congestion_default", json_file_text(host->congestion));
	return o;
}

void json_file_head(json_t *root, const char *program, const struct host_facts *host)
{
	char date[32] = "";
	struct tm tm;

	if (gmtime_r(&host->now, &tm))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_object_set_new(root, "program", json_string(program));
	json_object_set_new(root, "version", json_string(DEVMEM_VERSION));
	json_object_set_new(root, "date", json_string(date));
	json_object_set_new(root, "host", host_json(host));
}

int json_file_write(json_t *root, const char *path)
{
	int err = 0;
	FILE *out;

	errno = 0;
	out = path ? fopen(path, "we") : stdout;
	if (!out || json_dumpf(root, out, JSON_INDENT(2)) || fputc('\n', out) == EOF ||
	    fflush(out) == EOF) {
		err = errno ? -errno : -EIO;
		report_err("writing JSON to %s: %s", path ? path : "standard output",
			   strerror(-err));
	}
	if (out && path)
		fclose(out);
	json_decref(root);
	return err;
}
