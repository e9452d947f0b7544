// SPDX-License-Identifier: BSD-3-Clause
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "owner.h"

/* Room for a process's environment; what is beyond is not looked at. */
#define ENVIRON_MAX (256UL << 10)

/* Who starts ranks, and how it tells them their number and their job: torchrun, Slurm, Open MPI, PMIx and PMI (MPICH). */
static const char *const rank_names[] = { "RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK",
					  "PMIX_RANK", "PMI_RANK" };
static const char *const job_names[] = { "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID", "PMIX_NAMESPACE" };

/* A line of /proc/PID/status, behind its name; false when there is none. */
static bool status_line(pid_t pid, const char *name, char *line, size_t size)
{
	size_t n = strlen(name);
	bool found = false;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, (int)size, f))
		found = !strncmp(line, name, n);
	fclose(f);
	if (found)
		memmove(line, line + n, strlen(line + n) + 1);
	return found;
}

bool owner_is(pid_t pid, uid_t uid)
{
	char line[256], *real_end, *end;
	unsigned long effective;

	/* Not the owner of /proc/PID, which is root where a program has file capabilities. */
	if (!status_line(pid, "Uid:", line, sizeof(line)))
		return false;
	strtoul(line, &real_end, 10);
	effective = strtoul(real_end, &end, 10);
	return end != real_end && effective == uid;
}

static const char *environment_find(const char *env, size_t size, const char *name)
{
	size_t n = strlen(name);
	const char *s;

	for (s = env; s < env + size; s += strlen(s) + 1)
		if (!strncmp(s, name, n) && s[n] == '=')
			return s + n + 1;
	return NULL;
}

/* NUL-terminated once more; NULL when it may not be read. */
static char *environment_read(pid_t pid, size_t *ret_size)
{
	char *env = malloc(ENVIRON_MAX + 1);
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	f = env ? fopen(path, "re") : NULL;
	if (!f) {
		free(env);
		return NULL;
	}
	*ret_size = fread(env, 1, ENVIRON_MAX, f);
	env[*ret_size] = '\0';
	fclose(f);
	return env;
}

void owner_describe(pid_t pid, bool foreign, int *ret_rank, char *job, size_t job_size)
{
	const char *value = NULL;
	size_t size = 0, i;
	char line[256];
	char *env;

	*ret_rank = -1;
	snprintf(job, job_size, "pid %d", (int)pid);
	if (foreign)
		return;
	if (status_line(pid, "PPid:", line, sizeof(line)))
		snprintf(job, job_size, "pid %ld", strtol(line, NULL, 10));
	env = environment_read(pid, &size);
	if (!env)
		return;
	for (i = 0; !value && i < sizeof(rank_names) / sizeof(rank_names[0]); i++)
		value = environment_find(env, size, rank_names[i]);
	if (value && *value >= '0' && *value <= '9')
		*ret_rank = (int)strtol(value, NULL, 10);
	value = NULL;
	for (i = 0; !value && i < sizeof(job_names) / sizeof(job_names[0]); i++)
		value = environment_find(env, size, job_names[i]);
	if (value && *value)
		snprintf(job, job_size, "%s", value);
	free(env);
}
