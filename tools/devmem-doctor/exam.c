// SPDX-License-Identifier: BSD-3-Clause
#include "exam.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int read_line(const char *path, char *buf, size_t len)
{
	FILE *f = fopen(path, "re");

	if (!f)
		return -errno;
	if (!fgets(buf, (int)len, f))
		buf[0] = '\0';
	fclose(f);
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

int read_numbers(const char *path, long long *ret, unsigned int n)
{
	char line[96], *at = line, *end;
	unsigned int i;
	int err = read_line(path, line, sizeof(line));

	if (err)
		return err;
	for (i = 0; i < n; i++, at = end) {
		errno = 0;
		ret[i] = strtoll(at, &end, 10);
		if (end == at || errno)
			break;
	}
	return (int)i;
}

long long read_number(const char *path, long long otherwise)
{
	long long v = otherwise;

	return read_numbers(path, &v, 1) == 1 ? v : otherwise;
}

bool has_capability(unsigned int cap)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[128];
	uint64_t set = 0;

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "CapEff:", 7))
			set = strtoull(line + 7, NULL, 16);
	fclose(f);
	return set >> cap & 1;
}

int exam_run(struct exam *x)
{
	check_settings(x);
	check_kernel(x);
	check_host(x);
	check_nics(x);
	check_gpus(x);
	check_nccl(x);
	check_paths(x);
	return x->findings.incomplete ? -ENOMEM : 0;
}

void exam_drop(struct exam *x)
{
	findings_drop(&x->findings);
	free(x->nics);
	free(x->caps);
	memset(x, 0, sizeof(*x));
}
