// SPDX-License-Identifier: BSD-3-Clause
#include "json_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "report.h"

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
