// SPDX-License-Identifier: BSD-3-Clause
#include "option_values.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

int option_seconds(const char *text, double *ret)
{
	char *end;
	double v;

	v = strtod(text, &end);
	/* The comparison is false for NaN too. */
	if (end == text || *end || !(v >= 0.001 && v <= 3600))
		return -EINVAL;
	*ret = v;
	return 0;
}

int option_check_writable(const char *name, const char *path)
{
	int fd, err;

	if (!path)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (fd < 0) {
		err = -errno;
		report_err("%s %s: cannot be written: %s", name, path, strerror(-err));
		return err;
	}
	close(fd);
	return 0;
}
