// SPDX-License-Identifier: BSD-3-Clause
#include "socket_survey.h"

#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static bool is_connection(int fd)
{
	int protocol = 0;
	socklen_t len = sizeof(protocol);
	struct tcp_info info = { 0 };

	if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) < 0 || protocol != IPPROTO_TCP)
		return false;
	len = sizeof(info);
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state == TCP_ESTABLISHED;
}

/* Adds @name to the list if it is new and there is room. */
static void add_name(struct socket_survey *s, const char *name)
{
	size_t used = strlen(s->congestion), len = strlen(name);

	for (const char *p = s->congestion; (p = strstr(p, name)); p += len)
		if ((p == s->congestion || p[-1] == '+') && (!p[len] || p[len] == '+'))
			return;
	if (used + len + 2 <= sizeof(s->congestion))
		snprintf(s->congestion + used, sizeof(s->congestion) - used, "%s%s",
			 used ? "+" : "", name);
}

void socket_survey_take(struct socket_survey *ret)
{
	struct dirent *entry;
	char name[16];
	socklen_t len;
	DIR *dir;
	int fd;

	memset(ret, 0, sizeof(*ret));
	dir = opendir("/proc/self/fd");
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		fd = (int)strtol(entry->d_name, NULL, 10);
		if (!is_connection(fd))
			continue;
		ret->connections++;
		len = sizeof(name) - 1;
		memset(name, 0, sizeof(name));
		if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len) == 0)
			add_name(ret, name);
	}
	closedir(dir);
}
