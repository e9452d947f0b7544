/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Small helpers for non-blocking TCP sockets. All return 0 (or what is said) or -errno.
 */
#ifndef DEVMEM_SOCK_H
#define DEVMEM_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Room for "[ipv6%scope]:port". */
#define SOCK_ADDR_TEXT 80

/* "10.0.0.1:4711", "[fd00::1]:4711", without a port just the address, into @buf; returns @buf. */
const char *sock_addr_text(const struct sockaddr *addr, char buf[SOCK_ADDR_TEXT]);

/* The listening side's socket on @addr with a port of the kernel's choice; *ret_bound tells which. Returns the descriptor. */
int sock_listen(const struct sockaddr *addr, socklen_t len, struct sockaddr_storage *ret_bound);

/* Begins to connect from @local (port ignored) to @remote; *ret_fd may still be connecting, see sock_connected(). */
int sock_connect(const struct sockaddr *local, const struct sockaddr *remote, socklen_t len,
		 bool data, int *ret_fd);

/* 1 connected, 0 still on the way, or the -errno for which it failed. Never blocks. */
int sock_connected(int fd);

/*
 * Applies the options of an established socket: no Nagle, keepalive, and for @data buffers and congestion control. Keepalive
 * finds a dead host while nothing is on the way to it; for the rest there is sock_watch().
 */
int sock_prepare(int fd, bool data);

/*
 * Is the host at the other end, to which bytes may be on the way, dead? To be called now and then; *since belongs to the
 * socket, 0 in the beginning, and @now is now_ms(). 0, or -ETIMEDOUT when everything sent for NCCL_DEVMEM_PEER_TIMEOUT has
 * been left without any answer. Not so when the host answers and only its process does not read.
 */
int sock_watch(int fd, int64_t *since, int64_t now);

/*
 * One non-blocking read or write of the rest of [buf, buf+size), *pos bytes of which are done. 1 complete, 0 not yet,
 * -ECONNRESET at end of stream, -errno.
 */
int sock_read_some(int fd, void *buf, size_t size, size_t *pos);
int sock_write_some(int fd, const void *buf, size_t size, size_t *pos);

/* Nanoseconds and milliseconds of CLOCK_MONOTONIC. */
int64_t now_ns(void);
int64_t now_ms(void);

#endif
