// SPDX-License-Identifier: BSD-3-Clause
/*
 * One end of the plugin, driven by hand: commands on standard input, an answer of one line to each on standard output.
 *   hand-rank LIBRARY
 *     listen               "handle HEX"
 *     connect HEX          "ok N": connection N to whoever listens there; the other end has to accept
 *     accept               "ok N"
 *     send N COUNT SEED    "ok": COUNT messages of 1 MiB, each of other bytes
 *     recv N COUNT SEED    "ok DEVMEM": so many were received and are right, DEVMEM of their bytes by devmem
 *     close N              "ok"
 * What fails is "failed WHAT", and the end.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net_driver.h"

#define SIZE	  (1UL << 20)
#define CONNS_MAX 8
/* A connection or message that takes longer does not come. */
#define PATIENCE_S 100

struct conn {
	void *comm;
	void *mhandle;
	bool sends;
};

static struct hand {
	struct net_driver *drv;
	void *listener;
	struct conn conns[CONNS_MAX];
	int n_conns;
	uint64_t *data;
} h;

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

static __attribute__((noreturn)) void fail(const char *what, long long which)
{
	say("failed %s %lld", what, which);
	exit(1);
}

static void must(ncclResult_t res, const char *what)
{
	if (res != ncclSuccess)
		fail(what, res);
}

/* A moment, and for no longer than is bearable: counted from the first of a row. */
static void patience(time_t since)
{
	const struct timespec t = { .tv_nsec = 200000 };

	if (time(NULL) - since > PATIENCE_S)
		fail("waiting", PATIENCE_S);
	nanosleep(&t, NULL);
}

static void listens(void)
{
	unsigned char handle[NCCL_NET_HANDLE_MAXSIZE] = { 0 };
	char hex[2 * sizeof(handle) + 1];

	must(h.drv->calls.listen(h.drv->table, h.drv->ctx, h.drv->dev, handle, &h.listener),
	     "listen");
	for (size_t i = 0; i < sizeof(handle); i++)
		snprintf(hex + 2 * i, 3, "%02x", handle[i]);
	say("handle %s", hex);
}

static void conn_add(void *comm, bool sends)
{
	struct conn *c = &h.conns[h.n_conns];

	*c = (struct conn){ .comm = comm, .sends = sends };
	must(h.drv->calls.reg_mr(h.drv->table, comm, h.data, SIZE, NCCL_PTR_HOST, &c->mhandle),
	     "regMr");
	say("ok %d", h.n_conns++);
}

static void connects(const char *hex)
{
	unsigned char handle[NCCL_NET_HANDLE_MAXSIZE] = { 0 };
	ncclNetDeviceHandle_v7_t *dev = NULL;
	time_t since = time(NULL);
	void *comm = NULL;

	for (size_t i = 0; i < sizeof(handle); i++)
		if (sscanf(hex + 2 * i, "%2hhx", &handle[i]) != 1)
			fail("handle", (long long)i);
	while (!comm) {
		must(h.drv->calls.connect(h.drv->table, h.drv->ctx, h.drv->dev, handle, &comm,
					  &dev),
		     "connect");
		patience(since);
	}
	conn_add(comm, true);
}

static void accepts(void)
{
	ncclNetDeviceHandle_v7_t *dev = NULL;
	time_t since = time(NULL);
	void *comm = NULL;

	while (!comm) {
		must(h.drv->calls.accept(h.drv->table, h.listener, &comm, &dev), "accept");
		patience(since);
	}
	conn_add(comm, false);
}

static uint64_t word(uint64_t seed, uint64_t msg, uint64_t i)
{
	return (seed << 48) ^ (msg << 32) ^ (i * 0x9e3779b97f4a7c15ULL);
}

static void finish(void *req, size_t want)
{
	time_t since = time(NULL);
	int done = 0, size = 0;

	for (;;) {
		must(h.drv->calls.test(req, &done, &size), "test");
		if (done)
			break;
		patience(since);
	}
	if (want && (size_t)size != want)
		fail("size", size);
}

static void sends(const struct conn *c, uint64_t count, uint64_t seed)
{
	for (uint64_t m = 0; m < count; m++) {
		time_t since = time(NULL);
		void *req = NULL;

		for (uint64_t i = 0; i < SIZE / 8; i++)
			h.data[i] = word(seed, m, i);
		while (!req) {
			must(h.drv->calls.isend(h.drv->table, c->comm, h.data, SIZE, 0, c->mhandle,
						&req),
			     "isend");
			patience(since);
		}
		finish(req, 0);
	}
	say("ok");
}

static void receives(const struct conn *c, uint64_t count, uint64_t seed)
{
	struct nccl_devmem_counters was, is;

	net_driver_counters(h.drv, &was);
	for (uint64_t m = 0; m < count; m++) {
		time_t since = time(NULL);
		void *req = NULL, *data = h.data, *mhandle = c->mhandle;
		size_t size = SIZE;
		int tag = 0;

		memset(h.data, 0xa5, SIZE);
		while (!req) {
			must(h.drv->calls.irecv(h.drv->table, c->comm, 1, &data, &size, &tag,
						&mhandle, &req),
			     "irecv");
			patience(since);
		}
		finish(req, SIZE);
		for (uint64_t i = 0; i < SIZE / 8; i++)
			if (h.data[i] != word(seed, m, i))
				fail("message", (long long)m);
	}
	net_driver_counters(h.drv, &is);
	say("ok %llu", (unsigned long long)(is.recv_devmem - was.recv_devmem));
}

static void closes(struct conn *c)
{
	must(h.drv->calls.dereg_mr(c->comm, c->mhandle), "deregMr");
	must(c->sends ? h.drv->calls.close_send(c->comm) : h.drv->calls.close_recv(c->comm),
	     "close");
	c->comm = NULL;
	say("ok");
}

static void obey(char *line)
{
	char *save = NULL, *verb = strtok_r(line, " \n", &save);
	const char *arg = strtok_r(NULL, " \n", &save);
	const char *count = strtok_r(NULL, " \n", &save), *seed = strtok_r(NULL, " \n", &save);
	long n = arg ? strtol(arg, NULL, 10) : -1;
	bool known = n >= 0 && n < h.n_conns && h.conns[n].comm;

	if (!verb)
		fail("line", 0);
	if (!strcmp(verb, "listen"))
		listens();
	else if (!strcmp(verb, "accept") && h.listener)
		accepts();
	else if (!strcmp(verb, "connect") && arg && h.n_conns < CONNS_MAX)
		connects(arg);
	else if (!strcmp(verb, "close") && known)
		closes(&h.conns[n]);
	else if (!strcmp(verb, "send") && known && seed)
		sends(&h.conns[n], strtoull(count, NULL, 10), strtoull(seed, NULL, 10));
	else if (!strcmp(verb, "recv") && known && seed)
		receives(&h.conns[n], strtoull(count, NULL, 10), strtoull(seed, NULL, 10));
	else
		fail(verb, n);
}

int main(int argc, char **argv)
{
	static char line[1024];

	if (argc != 2 || net_driver_open(argv[1], 0, NULL, &h.drv))
		return 2;
	h.data = aligned_alloc(4096, SIZE);
	if (!h.data)
		return 2;
	while (fgets(line, sizeof(line), stdin))
		obey(line);
	if (h.listener)
		h.drv->calls.close_listen(h.listener);
	net_driver_finalize(h.drv);
	net_driver_close(h.drv);
	free(h.data);
	return 0;
}
