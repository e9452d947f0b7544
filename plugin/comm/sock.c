// SPDX-License-Identifier: BSD-3-Clause
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/counter.h"
#include "base/log.h"
#include "base/mutant.h"
#include "base/param.h"
#include "comm/sock.h"
#include "nic/nic.h"

/* linux/tcp.h has it since 6.15, with these limits. */
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif
#define RTO_MAX_LEAST_MS 1000
#define RTO_MAX_MOST_MS	 120000

/* A burst of connects from every peer of a ring at once; the kernel caps it at net.core.somaxconn. */
#define LISTEN_BACKLOG 1024

const char *sock_addr_text(const struct sockaddr *addr, char buf[SOCK_ADDR_TEXT])
{
	char ip[INET6_ADDRSTRLEN];
	unsigned int port;

	if (addr->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)addr;

		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
		port = ntohs(in->sin_port);
		snprintf(buf, SOCK_ADDR_TEXT, port ? "%s:%u" : "%s", ip, port);
	} else if (addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)addr;

		inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
		port = ntohs(in6->sin6_port);
		snprintf(buf, SOCK_ADDR_TEXT, port ? "[%s]:%u" : "%s", ip, port);
	} else {
		snprintf(buf, SOCK_ADDR_TEXT, "(address family %d)", addr->sa_family);
	}
	return buf;
}

static void set_port(struct sockaddr *addr, uint16_t port)
{
	if (addr->sa_family == AF_INET)
		((struct sockaddr_in *)addr)->sin_port = port;
	else
		((struct sockaddr_in6 *)addr)->sin6_port = port;
}

int sock_listen(const struct sockaddr *addr, socklen_t len, struct sockaddr_storage *ret_bound)
{
	struct sockaddr_storage bound = { 0 };
	socklen_t bound_len = sizeof(bound);
	_cleanup_close_ int fd = -1;

	memcpy(&bound, addr, len);
	set_port((struct sockaddr *)&bound, 0);
	fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&bound, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&bound, &bound_len) < 0)
		return -errno;
	*ret_bound = bound;
	return TAKE_FD(fd);
}

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/*
 * The loopback device neither queues nor loses: there a congestion control that paces, bbr above all, only waits. reno does not, and every
 * kernel has it and lets every process take it (net/ipv4/tcp_cong.c). Has to be so before connect(), as bbr leaves its pacing behind.
 */
static void set_near_congestion(int fd)
{
	static const char cc[] = "reno";
	static bool said;

	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, cc, sizeof(cc) - 1) == 0 &&
	    !__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
		log_info("congestion control %s on data sockets to this host, where there is no "
			 "network to be fair to; %s sets another",
			 cc, param_env_name(PARAM_CONGESTION));
}

/*
 * On loopback a send's bytes are in the receiver's queue when it ends, and the answers to them are looked at last: so this bounds what one
 * call copies, how far a thread runs ahead of its own receiving, and how much of a processor's cache that goes through. The kernel's own
 * growth up to net.ipv4.tcp_wmem buys nothing here. NCCL's largest slot with its head (512 KiB and a little) should fit, and the kernel
 * doubles what it is given (socket(7)).
 */
#define NEAR_SNDBUF (384 << 10)

static void set_near_sndbuf(int fd)
{
	static bool said;
	int got = 0;
	socklen_t len = sizeof(got);

	if (set_int(fd, SOL_SOCKET, SO_SNDBUF, NEAR_SNDBUF) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &got, &len) < 0)
		return;
	/* net.core.wmem_max was the bound: less than a slot is worse than the kernel's own growth, which so comes back (Linux 5.15). */
	if (got < 2 * NEAR_SNDBUF) {
		set_int(fd, SOL_SOCKET, SO_BUF_LOCK, 0);
		if (!__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
			log_info("send buffers to this host are the kernel's, since "
				 "net.core.wmem_max is below %d; with more of it they are bounded "
				 "to what stays in a processor's cache",
				 NEAR_SNDBUF);
		return;
	}
	if (!__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
		log_info("send buffer of %dK on data sockets to this host, so that what is sent is "
			 "still in a processor's cache when it is received; %s sets another",
			 NEAR_SNDBUF >> 10, param_env_name(PARAM_SNDBUF));
}

/* Buffer sizes and congestion control decide about the handshake too (window scale), so they are set before connect. */
static void set_data_options(int fd)
{
	const char *cc = param_str(PARAM_CONGESTION);
	static bool cc_warned;

	if (param_int(PARAM_SNDBUF))
		set_int(fd, SOL_SOCKET, SO_SNDBUF, (int)param_int(PARAM_SNDBUF));
	if (param_int(PARAM_RCVBUF))
		set_int(fd, SOL_SOCKET, SO_RCVBUF, (int)param_int(PARAM_RCVBUF));
	if (cc[0] && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, cc, (socklen_t)strlen(cc)) < 0 &&
	    !__atomic_exchange_n(&cc_warned, true, __ATOMIC_RELAXED))
		log_warn("%s=%s: %s; see net.ipv4.tcp_available_congestion_control; the system's "
			 "default is used",
			 param_env_name(PARAM_CONGESTION), cc, strerror(errno));
}

int sock_connect(const struct sockaddr *local, const struct sockaddr *remote, socklen_t len,
		 bool data, int *ret_fd)
{
	struct sockaddr_storage from = { 0 };
	_cleanup_close_ int fd = -1;

	fd = socket(remote->sa_family,
		    SOCK_STREAM | SOCK_NONBLOCK |
			    (DEVMEM_MUTANT(cloexec_missing) ? 0 : SOCK_CLOEXEC),
		    0);
	if (fd < 0)
		return -errno;
	/* From the NIC's own address, so that traffic leaves and comes back where the device was chosen. */
	memcpy(&from, local, len);
	set_port((struct sockaddr *)&from, 0);
	set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	if (bind(fd, (struct sockaddr *)&from, len) < 0)
		return -errno;
	if (data)
		set_data_options(fd);
	if (data && nic_addr_is_local(remote)) {
		if (!param_str(PARAM_CONGESTION)[0])
			set_near_congestion(fd);
		if (!param_int(PARAM_SNDBUF))
			set_near_sndbuf(fd);
	}
	if (connect(fd, remote, len) < 0 && errno != EINPROGRESS)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int sock_connected(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int err = 0;
	socklen_t len = sizeof(err);

	if (poll(&p, 1, 0) < 0)
		return errno == EINTR ? 0 : -errno;
	if (!p.revents)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return -errno;
	return err ? -err : 1;
}

int sock_prepare(int fd, bool data)
{
	int timeout = (int)param_int(PARAM_PEER_TIMEOUT);
	/* Three probes in the second half of the time: a silent host is found dead within PEER_TIMEOUT. */
	int idle = timeout / 2000 > 0 ? timeout / 2000 : 1;
	int interval = timeout / 6000 > 0 ? timeout / 6000 : 1;
	int rto_max = timeout / 4;
	int r;

	if (rto_max < RTO_MAX_LEAST_MS)
		rto_max = RTO_MAX_LEAST_MS;
	if (rto_max > RTO_MAX_MOST_MS)
		rto_max = RTO_MAX_MOST_MS;

	r = set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	/* So that a closed window is probed often enough to notice a death; kernels before 6.15 do not know it. */
	set_int(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, rto_max);
	if (r == 0)
		r = set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (r == 0)
		r = set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle);
	if (r == 0)
		r = set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval);
	if (r == 0)
		r = set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
	if (r == 0 && data)
		set_data_options(fd);
	return r;
}

/*
 * Not TCP_USER_TIMEOUT: that also counts the time in which a live host keeps its window closed (net/ipv4/tcp_timer.c,
 * tcp_probe_timer()), so a rank that is late by more than the timeout would kill its job.
 */
int sock_watch(int fd, int64_t *since, int64_t now)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return -errno;
	/* Both count what has gone out again since the last answer. */
	if (!info.tcpi_retransmits && !info.tcpi_probes) {
		*since = 0;
		return 0;
	}
	/* The last answer may be old because nothing was sent before: what counts is silence since the first look. */
	if (!*since || info.tcpi_last_ack_recv < now - *since) {
		*since = now;
		return 0;
	}
	return now - *since < param_int(PARAM_PEER_TIMEOUT) ? 0 : -ETIMEDOUT;
}

int sock_read_some(int fd, void *buf, size_t size, size_t *pos)
{
	ssize_t n = recv(fd, (uint8_t *)buf + *pos, size - *pos, MSG_DONTWAIT);

	counter_inc(sys_ctrl);
	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	*pos += (size_t)n;
	return *pos == size;
}

int sock_write_some(int fd, const void *buf, size_t size, size_t *pos)
{
	ssize_t n = send(fd, (const uint8_t *)buf + *pos, size - *pos, MSG_DONTWAIT | MSG_NOSIGNAL);

	counter_inc(sys_ctrl);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	*pos += (size_t)n;
	return *pos == size;
}

int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t now_ms(void)
{
	return now_ns() / 1000000;
}
