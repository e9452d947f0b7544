// SPDX-License-Identifier: BSD-3-Clause
/*
 * Preloaded into devmem-nicd: kills it by SIGKILL before its n-th call that changes something, so that a loop over n has it die at
 * every moment that differs from the others. The file named by DIE_AT has "<n> <name>", with the name of the process it is about
 * (PR_GET_NAME) at the line's end; it is read at each such call, and each process counts for itself. What kills writes "<n> <call>"
 * to the file named by DIE_LOG.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>

#define PUBLIC __attribute__((visibility("default")))

#define NEXT(name)                                                          \
	({                                                                  \
		static __typeof__(&(name)) _next;                           \
		if (!_next)                                                 \
			_next = (__typeof__(_next))dlsym(RTLD_NEXT, #name); \
		_next;                                                      \
	})

static pid_t counts_for;
static unsigned int count;

/* The number at which this process is to die, or 0. */
static unsigned int wanted(void)
{
	const char *path = getenv("DIE_AT");
	char line[64] = "", name[17] = "", *rest = NULL;
	unsigned long n;
	ssize_t len;
	int fd;

	fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return 0;
	len = read(fd, line, sizeof(line) - 1);
	close(fd);
	if (len <= 0)
		return 0;
	line[strcspn(line, "\n")] = '\0';
	n = strtoul(line, &rest, 10);
	prctl(PR_GET_NAME, name);
	return *rest == ' ' && !strcmp(rest + 1, name) ? (unsigned int)n : 0;
}

static void before(const char *call)
{
	const char *path = getenv("DIE_LOG");
	int fd;

	if (counts_for != getpid()) {
		counts_for = getpid();
		count = 0;
	}
	if (++count != wanted() || !path)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0)
		dprintf(fd, "%u %s\n", count, call);
	kill(getpid(), SIGKILL);
}

static bool ethtool_changes(const struct ifreq *ifr)
{
	switch (*(const __u32 *)ifr->ifr_data) {
	case ETHTOOL_SRXCLSRLINS:
	case ETHTOOL_SRXCLSRLDEL:
	case ETHTOOL_SRXFHINDIR:
	case ETHTOOL_SRSSH:
	case ETHTOOL_SCHANNELS:
	case ETHTOOL_SRINGPARAM:
	case ETHTOOL_SFEATURES:
	case ETHTOOL_SFLAGS:
		return true;
	default:
		return false;
	}
}

PUBLIC int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == SIOCSIFMTU || (request == SIOCETHTOOL && ethtool_changes(arg)))
		before("ioctl");
	return NEXT(ioctl)(fd, request, arg);
}

static bool netlink_looks(const struct nlmsghdr *h)
{
	return h->nlmsg_type == GENL_ID_CTRL || h->nlmsg_type == RTM_GETLINK ||
	       (h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
}

/* An answer to a client, or a request to the kernel that is no mere look. */
PUBLIC ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	const struct nlmsghdr *h = msg->msg_iovlen ? msg->msg_iov[0].iov_base : NULL;
	int domain = 0;
	socklen_t len = sizeof(domain);

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
	if (domain != AF_NETLINK)
		before("answer");
	else if (h && !netlink_looks(h))
		before("netlink");
	return NEXT(sendmsg)(fd, msg, flags);
}

PUBLIC int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	before("renameat");
	return NEXT(renameat)(from_fd, from, to_fd, to);
}

/* Most are of files that are not there. */
PUBLIC int unlinkat(int fd, const char *path, int flags)
{
	if (!faccessat(fd, path, F_OK, AT_SYMLINK_NOFOLLOW))
		before("unlinkat");
	return NEXT(unlinkat)(fd, path, flags);
}
