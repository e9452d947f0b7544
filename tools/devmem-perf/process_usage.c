// SPDX-License-Identifier: BSD-3-Clause
#include "process_usage.h"

#include <dirent.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int64_t heap_in_use(void)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
	struct mallinfo2 m = mallinfo2();

	return (int64_t)(m.uordblks + m.hblkhd);
#else
	return 0;
#endif
}

static int64_t resident(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	int64_t pages = 0;
	char line[128];

	if (!f)
		return 0;
	/* Size, resident, ..., in pages. */
	if (fgets(line, sizeof(line), f))
		pages = strtoll(line + strcspn(line, " "), NULL, 10);
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int n = 0;

	if (!dir)
		return -1;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n - 1; /* the directory's own */
}

static int count_threads(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[128];
	int n = -1;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "Threads:", 8))
			n = (int)strtol(line + 8, NULL, 10);
	if (f)
		fclose(f);
	return n;
}

void process_usage_take(struct process_usage *ret)
{
	ret->heap = heap_in_use();
	ret->rss = resident();
	ret->fds = count_fds();
	ret->threads = count_threads();
}

int process_usage_max_fds(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX)
		return INT_MAX;
	return (int)limit.rlim_cur;
}
