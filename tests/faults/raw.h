/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer that speaks the wire format by hand, right or wrong. Blocking sockets; every wait ends after 5 s.
 */
#ifndef FAULTS_RAW_H
#define FAULTS_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "comm/wire.h"

/* @frames: the plugin wants frames. */
struct raw_conn {
	int ctrl;
	int n;
	bool frames;
	int data[WIRE_MAX_SOCKS];
};

/* A TCP connection to the listener of @handle. */
int raw_dial(const void *handle);
void raw_send(int fd, const void *buf, size_t len);
/* Bytes read until @len, end of stream or reset; -1 if nothing of that came within 5 s. */
ssize_t raw_recv(int fd, void *buf, size_t len);
/* Whether the other side closed or reset @fd within @ms. */
bool raw_is_closed(int fd, int ms);
/* Makes close() a reset. */
void raw_linger0(int fd);

/* Whether hellos offer frames. */
extern bool raw_frames;

/* A right hello for @handle. */
struct wire_hello raw_hello(const void *handle, uint16_t kind, uint64_t conn, uint16_t n_socks,
			    uint16_t index);
void raw_hello_send(int fd, struct wire_hello h);

/* The whole handshake with the plugin's @listen in this process; *ret_recv is the plugin's side. */
void raw_connect(struct raw_conn *c, const void *handle, void *listen, int n, void **ret_recv);
void raw_close(struct raw_conn *c, bool reset);

void raw_rec(const struct raw_conn *c, struct wire_rec rec);

/* A listener that the plugin is to connect to: fills @handle. */
int raw_listen(void *handle);
/* Takes one connection of @n data sockets from the plugin: sockets and hellos, not the answer. */
void raw_accept(int fd, struct raw_conn *c, int n);
/* Takes a connection, answers @ready, and drives the plugin's connect meanwhile. */
void raw_ready(const struct raw_conn *c, uint16_t version, int32_t status);

#endif
