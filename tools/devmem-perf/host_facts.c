// SPDX-License-Identifier: BSD-3-Clause
#include "host_facts.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/*
 * The value of the first line of @path that begins with @key, or the whole first line for "".
 * Spaces at both ends are left out.
 */
static void read_value(const char *path, const char *key, char *ret, size_t size)
{
	char line[512];
	FILE *in;
	char *p;

	in = fopen(path, "re");
	if (!in)
		return;
	while (fgets(line, sizeof(line), in)) {
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		p = line + strlen(key);
		p += strspn(p, "\t :");
		p[strcspn(p, "\n")] = '\0';
		snprintf(ret, size, "%s", p);
		break;
	}
	fclose(in);
}

void host_facts_take(struct host_facts *ret)
{
	struct host_facts f = { 0 };
	struct utsname u;

	if (uname(&u) == 0) {
		snprintf(f.kernel, sizeof(f.kernel), "%s", u.release);
		snprintf(f.machine, sizeof(f.machine), "%s", u.machine);
	}
	read_value("/proc/cpuinfo", "model name", f.cpu, sizeof(f.cpu));
	read_value("/proc/sys/net/ipv4/tcp_congestion_control", "", f.congestion,
		   sizeof(f.congestion));
	f.cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	f.now = time(NULL);
	*ret = f;
}
