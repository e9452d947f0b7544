// SPDX-License-Identifier: BSD-3-Clause
/*
 * The exporter's port: HTTP/1.0 answers to GET /metrics, one caller at a time, each with a limit of time and size.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "show.h"

#define REQUEST_MAX 4096
#define CALLER_MS   2000

static int64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* "127.0.0.1:9500", "[::1]:9500". Descriptor, or -errno, said. */
static int open_port(const char *address)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE };
	const char *port = strrchr(address, ':');
	struct addrinfo *ai = NULL;
	char host[80];
	int fd, err = 0, one = 1;

	peer_host(address, host, sizeof(host));
	if (!port || !port[1] || !*host || getaddrinfo(host, port + 1, &hints, &ai)) {
		fprintf(stderr,
			"devmem-top: --listen %s: ADDRESS:PORT in numbers is wanted, for instance 127.0.0.1:9480\n",
			address);
		return -EINVAL;
	}
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		err = -errno;
	if (!err)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!err && (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, 16)))
		err = -errno;
	freeaddrinfo(ai);
	if (!err)
		return fd;
	fprintf(stderr, "devmem-top: cannot listen on %s: %s%s\n", address, strerror(-err),
		err == -EADDRINUSE ? "; take another port, or see who has it: ss -ltnp" : "");
	if (fd >= 0)
		close(fd);
	return err;
}

/* 1 it is ready, 0 the caller's time is up or *stop is set. */
static int wait_for(int fd, short events, int64_t deadline, const volatile int *stop)
{
	int64_t left;

	while (!*stop && (left = deadline - clock_ms()) > 0) {
		struct pollfd p = { .fd = fd, .events = events };

		if (poll(&p, 1, left > 200 ? 200 : (int)left) > 0)
			return 1;
	}
	return 0;
}

/* Reads up to the empty line. false: nothing sensible came in time. */
static bool read_request(int fd, char *buf, size_t size, int64_t deadline, const volatile int *stop)
{
	size_t n = 0;

	while (n < size - 1 && wait_for(fd, POLLIN, deadline, stop)) {
		ssize_t got = recv(fd, buf + n, size - 1 - n, MSG_DONTWAIT);

		if (got <= 0)
			return false;
		n += (size_t)got;
		buf[n] = '\0';
		if (strstr(buf, "\r\n\r\n") || strstr(buf, "\n\n"))
			return true;
	}
	return false;
}

static void send_all(int fd, const char *p, size_t n, int64_t deadline, const volatile int *stop)
{
	while (n && wait_for(fd, POLLOUT, deadline, stop)) {
		ssize_t sent = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN)
			return;
		if (sent > 0) {
			p += sent;
			n -= (size_t)sent;
		}
	}
}

static void respond(int fd, const char *status, const char *body, size_t size, int64_t deadline,
		    const volatile int *stop)
{
	char head[256];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.0 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
			 "Content-Length: %zu\r\nConnection: close\r\n\r\n",
			 status, size);

	send_all(fd, head, (size_t)n, deadline, stop);
	send_all(fd, body, size, deadline, stop);
}

static void respond_metrics(int fd, const char *dir, int64_t deadline, const volatile int *stop)
{
	struct reading r = { 0 };
	char *body = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&body, &size);
	int err = out ? reading_take(dir, &r) : -ENOMEM;

	if (!err)
		err = show_prometheus(out, &r);
	if (out && fclose(out))
		err = -ENOMEM;
	if (err) {
		const char *why = strerror(-err);

		fprintf(stderr, "devmem-top: reading %s: %s\n", dir, why);
		respond(fd, "500 Internal Server Error", why, strlen(why), deadline, stop);
	} else {
		respond(fd, "200 OK", body, size, deadline, stop);
	}
	free(body);
	reading_drop(&r);
}

static void answer(int fd, const char *dir, const volatile int *stop)
{
	static const char front[] = "devmem-top: /metrics has the counters\n";
	static const char no_such[] = "only /metrics is here\n";
	static const char no_method[] = "GET alone is understood\n";
	int64_t deadline = clock_ms() + CALLER_MS;
	char request[REQUEST_MAX];

	if (!read_request(fd, request, sizeof(request), deadline, stop))
		return;
	if (strncmp(request, "GET ", 4) != 0)
		respond(fd, "405 Method Not Allowed", no_method, sizeof(no_method) - 1, deadline,
			stop);
	else if (!strncmp(request + 4, "/metrics ", 9) || !strncmp(request + 4, "/metrics?", 9))
		respond_metrics(fd, dir, deadline, stop);
	else if (!strncmp(request + 4, "/ ", 2))
		respond(fd, "200 OK", front, sizeof(front) - 1, deadline, stop);
	else
		respond(fd, "404 Not Found", no_such, sizeof(no_such) - 1, deadline, stop);
}

int serve(const char *address, const char *dir, const volatile int *stop)
{
	int fd = open_port(address);

	if (fd < 0)
		return fd;
	fprintf(stderr, "devmem-top: http://%s/metrics\n", address);
	while (!*stop) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int caller;

		if (poll(&p, 1, 500) <= 0)
			continue;
		caller = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		if (caller < 0)
			continue;
		answer(caller, dir, stop);
		close(caller);
	}
	close(fd);
	return 0;
}
