// SPDX-License-Identifier: BSD-3-Clause
#include "digits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "report.h"

#define MAX_LINE     1024
#define MAX_PICTURES 100000
#define MAX_GREY     16

/* "p,p,...,label" */
static int digit_parse(const char *line, struct digit *ret)
{
	char *end;
	long v;

	for (int i = 0; i <= DIGITS_PIXELS; i++) {
		v = strtol(line, &end, 10);
		if (end == line || v < 0 || v > (i < DIGITS_PIXELS ? MAX_GREY : DIGITS_CLASSES - 1))
			return -EINVAL;
		if (i < DIGITS_PIXELS ? *end != ',' : *end && *end != '\n' && *end != '\r')
			return -EINVAL;
		if (i < DIGITS_PIXELS)
			ret->pixels[i] = (float)v / MAX_GREY;
		else
			ret->label = (int)v;
		line = end + 1;
	}
	return 0;
}

static int digits_read(gzFile file, const char *path, int shard, int nshards, struct digits *d)
{
	char line[MAX_LINE];
	struct digit one = { 0 };
	size_t row;

	for (row = 0; gzgets(file, line, sizeof(line)); row++) {
		if (row == MAX_PICTURES || digit_parse(line, &one)) {
			report_err("%s: line %zu is not 64 grey values and a digit", path, row + 1);
			return -EINVAL;
		}
		if (row % DIGITS_TEST_EVERY == 0) {
			one.index = d->test_total++;
			if (one.index % (size_t)nshards == (size_t)shard)
				d->test[d->ntest++] = one;
		} else {
			one.index = d->train_total++;
			if (one.index % (size_t)nshards == (size_t)shard)
				d->train[d->ntrain++] = one;
		}
	}
	if (!d->train_total || !gzeof(file)) {
		report_err("%s: cut short or empty", path);
		return -EINVAL;
	}
	return 0;
}

/* Lines of the file, an upper bound for what must be held. */
static size_t digits_count(gzFile file)
{
	char line[MAX_LINE];
	size_t n = 0;

	while (n <= MAX_PICTURES && gzgets(file, line, sizeof(line)))
		n++;
	gzrewind(file);
	return n;
}

int digits_load(const char *path, int shard, int nshards, struct digits *ret)
{
	struct digits d = { 0 };
	gzFile file;
	size_t n;
	int err;

	errno = 0;
	file = gzopen(path, "re");
	if (!file) {
		err = errno ? -errno : -ENOMEM;
		report_err(
			"%s: %s\n"
			"  The data comes with a Debian package:  apt-get install python3-sklearn\n"
			"  or without its dependencies:  apt-get download python3-sklearn && dpkg-deb -x python3-sklearn_*.deb DIR\n"
			"  and then:  --data DIR" DIGITS_DEFAULT_PATH,
			path, strerror(-err));
		return err;
	}
	n = digits_count(file) / (size_t)nshards + 1;
	d.train = calloc(n, sizeof(*d.train));
	d.test = calloc(n, sizeof(*d.test));
	err = d.train && d.test ? digits_read(file, path, shard, nshards, &d) : -ENOMEM;
	gzclose(file);
	if (err) {
		digits_free(&d);
		return err;
	}
	*ret = d;
	return 0;
}

void digits_free(struct digits *d)
{
	free(d->train);
	free(d->test);
	memset(d, 0, sizeof(*d));
}
