/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin under test, driven through ncclNetPlugin_v12 as NCCL does it.
 */
#ifndef FAULTS_PLUG_H
#define FAULTS_PLUG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nccl/net_v12.h"
#include "nccl_devmem.h"

/* @net is NULL while the library is not loaded. */
struct plug {
	void *dl;
	const ncclNet_v12_t *net;
	void *ctx;
};
extern struct plug plug;
extern const char *plug_path;

/* Loads; loads and initialises, which has to succeed; finalizes and unloads. */
void plug_load(void);
void plug_open(void);
void plug_close(void);
/* Only the init call. */
ncclResult_t plug_init(void);
void plug_counters(struct nccl_devmem_counters *ret);

/* What the plugin logged, all lines since plug_log_clear(). The second checks that @text is there. */
const char *plug_log_text(void);
int plug_log_lines(void);
void plug_log_clear(void);
void plug_expect_log(const char *text);

/* One connection with both ends in this process. @mr: @buf of @size registered with that side. */
struct side {
	void *comm;
	uint8_t *buf;
	size_t size;
	void *mh;
};
struct pair {
	void *listen;
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	struct side tx;
	struct side rx;
};

void pair_open(struct pair *p, size_t buf_size);
void pair_close(struct pair *p);
/* Registers a new buffer of @size for @comm; gives it back. */
void side_open(struct side *s, void *comm, size_t size);
void side_close(struct side *s, bool sends);

void do_listen(void *handle, void **listen);
/* Poll until there is a comm, an error, or @ms are over (then ncclInProgress). */
ncclResult_t do_connect(void *handle, void **comm, int ms);
ncclResult_t do_accept(void *listen, void **comm, int ms);
/* Both at once in one thread; returns when both have a result. */
void do_both(void *handle, void *listen, void **send, void **recv, ncclResult_t *ret_send,
	     ncclResult_t *ret_recv, int ms);

/* Repeat the call until a request is there, an error, or @ms are over (ncclInProgress). */
ncclResult_t do_isend(struct side *s, size_t off, size_t size, void **req, int ms);
ncclResult_t do_irecv(struct side *s, size_t off, size_t size, void **req, int ms);

/* A request and its outcome: ncclInProgress until test() said done or failed. */
struct wait {
	void *req;
	ncclResult_t res;
	int size;
};
/* Tests all in turn until each has an outcome or @ms are over. */
void wait_all(struct wait *w, int n, int ms);
/* The same for one; *size may be NULL. */
ncclResult_t wait_one(void *req, int *size, int ms);

/* The byte at @off of message @seq. */
static inline uint8_t pattern_at(uint32_t seq, size_t off)
{
	return (uint8_t)(seq * 101 + off * 31 + (off >> 8) * 17 + (off >> 16) * 7 + 3);
}
void pattern_fill(uint8_t *p, size_t n, uint32_t seq);
/* Fails the case at the first wrong byte. */
void pattern_check(const uint8_t *p, size_t n, uint32_t seq);

/* One message of @size over @p, byte-checked. */
void pair_exchange(struct pair *p, size_t size, uint32_t seq);

/* A whole life of the plugin on loopback, from load to unload, with traffic. */
void plug_fresh_run(void);

#endif
