// SPDX-License-Identifier: BSD-3-Clause
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/stats_name.h"
#include "nccl_devmem_stats.h"

void stats_name(const struct process_id *id, unsigned int copy, char name[STATS_NAME_MAX])
{
	int n = snprintf(name, STATS_NAME_MAX, NCCL_DEVMEM_STATS_PREFIX "%" PRIu64 ".%d.%" PRIu64,
			 id->pidns, (int)id->pid, id->start);

	if (copy)
		snprintf(name + n, STATS_NAME_MAX - (size_t)n, ".%u", copy);
}

/* Digits up to a dot or the end: *s moves behind them. */
static bool take_number(const char **s, uint64_t most, uint64_t *ret)
{
	size_t digits = strspn(*s, "0123456789");

	if (!digits || digits > 20)
		return false;
	*ret = strtoull(*s, NULL, 10);
	*s += digits;
	return *ret <= most;
}

bool stats_name_parse(const char *name, struct process_id *ret)
{
	uint64_t pidns, pid, start, copy;

	if (strncmp(name, NCCL_DEVMEM_STATS_PREFIX, sizeof(NCCL_DEVMEM_STATS_PREFIX) - 1) != 0)
		return false;
	name += sizeof(NCCL_DEVMEM_STATS_PREFIX) - 1;
	if (!take_number(&name, UINT64_MAX, &pidns) || *name++ != '.' ||
	    !take_number(&name, INT32_MAX, &pid) || *name++ != '.' || !pid ||
	    !take_number(&name, UINT64_MAX, &start))
		return false;
	if (*name && (*name++ != '.' || !take_number(&name, UINT32_MAX, &copy) || *name))
		return false;
	*ret = (struct process_id){ .pid = (pid_t)pid, .start = start, .pidns = pidns };
	return true;
}

void stats_sweep(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct process_id id;
	struct dirent *e;
	DIR *dir;

	if (fd < 0)
		return;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return;
	}
	while ((e = readdir(dir)))
		if (stats_name_parse(e->d_name, &id) && process_life(&id) == PROCESS_DEAD)
			unlinkat(dir_fd, e->d_name, 0);
	closedir(dir);
}
