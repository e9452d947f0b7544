/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the measuring programs share: the instruction counter, samples, sockets, the form of the output.
 *
 * Under QEMU's instruction clock (tests/vm/guest --instructions) rdtsc is a count of executed instructions, so a difference
 * around a system call is what that call costs: kernel, entry and the two or three instructions of the call itself.
 * Where interrupts can fall into a call the least of many counts is without them.
 *
 * Output: a line a result, `name value`. A value is a count; '-' is what this kernel does not offer.
 * Errors end the program with a message: a result of half a run is none.
 */
#ifndef TESTS_VM_MEASURE_H
#define TESTS_VM_MEASURE_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <x86intrin.h>

static inline uint64_t count_now(void)
{
	return __rdtsc();
}

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *fmt, ...)
{
	int err = errno;
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(err));
	exit(EXIT_FAILURE);
}

static inline int samples_compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Sorts @samples. @n: above 0 */
static inline uint64_t samples_median(uint64_t *samples, size_t n)
{
	qsort(samples, n, sizeof(*samples), samples_compare);
	return samples[n / 2];
}

static inline uint64_t samples_least(const uint64_t *samples, size_t n)
{
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; i < n; i++)
		least = samples[i] < least ? samples[i] : least;
	return least;
}

/* An address of either family. @port: host byte order. Return: its length */
static inline socklen_t address_parse(struct sockaddr_storage *ss, const char *text, uint16_t port)
{
	struct sockaddr_in6 *v6 = (void *)ss;
	struct sockaddr_in *v4 = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		return sizeof(*v6);
	}
	errno = EINVAL;
	die("address %s", text);
}

/* A TCP connection to itself over @address, an address of this machine: @ret_tx sends, @ret_rx reads. */
static inline void stream_make(const char *address, int *ret_tx, int *ret_rx)
{
	struct sockaddr_storage ss;
	socklen_t len = address_parse(&ss, address, 0);
	int listener, tx, rx, one = 1;

	listener = socket(ss.ss_family, SOCK_STREAM, 0);
	tx = socket(ss.ss_family, SOCK_STREAM, 0);
	if (listener < 0 || tx < 0 || bind(listener, (void *)&ss, len) || listen(listener, 1) ||
	    getsockname(listener, (void *)&ss, &len) || connect(tx, (void *)&ss, len))
		die("TCP over %s", address);
	rx = accept(listener, NULL, NULL);
	if (rx < 0 || setsockopt(tx, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		die("TCP over %s", address);
	close(listener);
	*ret_tx = tx;
	*ret_rx = rx;
}

/* A UDP socket that sends to @address */
static inline int datagram_make(const char *address, uint16_t port)
{
	struct sockaddr_storage ss;
	socklen_t len = address_parse(&ss, address, port);
	int fd = socket(ss.ss_family, SOCK_DGRAM, 0);

	if (fd < 0 || connect(fd, (void *)&ss, len))
		die("UDP to %s", address);
	return fd;
}

/* Read all that is there. The acknowledgement goes out at once, so that no timer decides when a send has finished. */
static inline void stream_drain(int fd, void *buf, size_t size)
{
	int one = 1;

	while (recv(fd, buf, size, MSG_DONTWAIT) > 0)
		;
	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
}

#endif
