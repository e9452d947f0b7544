// SPDX-License-Identifier: BSD-3-Clause
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "plug.h"

#define LOG_MAX (64 << 10)

struct plug plug;
const char *plug_path;

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[LOG_MAX];
static size_t log_used;
static int log_lines;

__attribute__((format(printf, 5, 6))) static void logger(ncclDebugLogLevel level,
							 unsigned long flags, const char *file,
							 int line, const char *fmt, ...)
{
	char text[1200];
	va_list ap;
	int n;

	(void)flags;
	(void)file;
	(void)line;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&log_lock);
	n = snprintf(log_text + log_used, sizeof(log_text) - log_used, "    %s%s\n",
		     level == NCCL_LOG_WARN ? "WARN " : "", text);
	if (n > 0 && (size_t)n < sizeof(log_text) - log_used)
		log_used += (size_t)n;
	log_lines++;
	pthread_mutex_unlock(&log_lock);
}

const char *plug_log_text(void)
{
	return log_text;
}

int plug_log_lines(void)
{
	return log_lines;
}

void plug_log_clear(void)
{
	pthread_mutex_lock(&log_lock);
	log_used = 0;
	log_text[0] = '\0';
	log_lines = 0;
	pthread_mutex_unlock(&log_lock);
}

void plug_expect_log(const char *text)
{
	if (!strstr(log_text, text))
		FAIL("the log does not say \"%s\"", text);
}

void plug_load(void)
{
	CHECK(!plug.net);
	plug.dl = dlopen(plug_path, RTLD_NOW | RTLD_LOCAL);
	if (!plug.dl)
		FAIL("%s", dlerror());
	plug.net = dlsym(plug.dl, "ncclNetPlugin_v12");
	CHECK(plug.net);
}

ncclResult_t plug_init(void)
{
	return plug.net->init(&plug.ctx, 1, NULL, logger, NULL);
}

void plug_open(void)
{
	ncclResult_t r;

	plug_load();
	r = plug_init();
	if (r != ncclSuccess)
		FAIL("init gave %d", r);
}

void plug_close(void)
{
	if (plug.ctx)
		CHECK_EQ(plug.net->finalize(plug.ctx), ncclSuccess);
	dlclose(plug.dl);
	memset(&plug, 0, sizeof(plug));
}

void plug_counters(struct nccl_devmem_counters *ret)
{
	size_t (*get)(struct nccl_devmem_counters *, size_t);

	*(void **)&get = dlsym(plug.dl, "nccl_devmem_counters_get");
	memset(ret, 0, sizeof(*ret));
	if (get)
		get(ret, sizeof(*ret));
	else
		FAIL("nccl_devmem_counters_get is not exported");
}

void do_listen(void *handle, void **listen)
{
	*listen = NULL;
	CHECK_EQ(plug.net->listen(plug.ctx, 0, handle, listen), ncclSuccess);
	CHECK(*listen);
}

ncclResult_t do_connect(void *handle, void **comm, int ms)
{
	int64_t end = ms_now() + ms;
	ncclResult_t r;

	*comm = NULL;
	for (;;) {
		r = plug.net->connect(plug.ctx, 0, handle, comm, NULL);
		if (r != ncclSuccess || *comm)
			return r;
		if (ms_now() > end)
			return ncclInProgress;
		sched_yield();
	}
}

ncclResult_t do_accept(void *listen, void **comm, int ms)
{
	int64_t end = ms_now() + ms;
	ncclResult_t r;

	*comm = NULL;
	for (;;) {
		r = plug.net->accept(listen, comm, NULL);
		if (r != ncclSuccess || *comm)
			return r;
		if (ms_now() > end)
			return ncclInProgress;
		sched_yield();
	}
}

void do_both(void *handle, void *listen, void **send, void **recv, ncclResult_t *ret_send,
	     ncclResult_t *ret_recv, int ms)
{
	int64_t end = ms_now() + ms;

	*send = NULL;
	*recv = NULL;
	*ret_send = ncclInProgress;
	*ret_recv = ncclInProgress;
	while ((*ret_send == ncclInProgress || *ret_recv == ncclInProgress) && ms_now() < end) {
		if (*ret_send == ncclInProgress) {
			ncclResult_t r = plug.net->connect(plug.ctx, 0, handle, send, NULL);

			if (r != ncclSuccess || *send)
				*ret_send = r;
		}
		if (*ret_recv == ncclInProgress) {
			ncclResult_t r = plug.net->accept(listen, recv, NULL);

			if (r != ncclSuccess || *recv)
				*ret_recv = r;
		}
	}
}

void side_open(struct side *s, void *comm, size_t size)
{
	s->comm = comm;
	s->size = size;
	s->buf = malloc(size);
	CHECK(s->buf);
	memset(s->buf, 0xee, size);
	CHECK_EQ(plug.net->regMr(comm, s->buf, size, NCCL_PTR_HOST, &s->mh), ncclSuccess);
}

void side_close(struct side *s, bool sends)
{
	if (s->mh)
		CHECK_EQ(plug.net->deregMr(s->comm, s->mh), ncclSuccess);
	if (s->comm)
		CHECK_EQ(sends ? plug.net->closeSend(s->comm) : plug.net->closeRecv(s->comm),
			 ncclSuccess);
	free(s->buf);
	memset(s, 0, sizeof(*s));
}

void pair_open(struct pair *p, size_t buf_size)
{
	ncclResult_t s, r;
	void *send, *recv;

	memset(p, 0, sizeof(*p));
	do_listen(p->handle, &p->listen);
	do_both(p->handle, p->listen, &send, &recv, &s, &r, ERROR_MS);
	CHECK_EQ(s, ncclSuccess);
	CHECK_EQ(r, ncclSuccess);
	side_open(&p->tx, send, buf_size);
	side_open(&p->rx, recv, buf_size);
}

void pair_close(struct pair *p)
{
	side_close(&p->tx, true);
	side_close(&p->rx, false);
	if (p->listen)
		CHECK_EQ(plug.net->closeListen(p->listen), ncclSuccess);
	memset(p, 0, sizeof(*p));
}

ncclResult_t do_isend(struct side *s, size_t off, size_t size, void **req, int ms)
{
	int64_t end = ms_now() + ms;
	ncclResult_t r;

	*req = NULL;
	do {
		r = plug.net->isend(s->comm, s->buf + off, size, 7, s->mh, NULL, req);
		if (r != ncclSuccess || *req)
			return r;
	} while (ms_now() < end);
	return ncclInProgress;
}

ncclResult_t do_irecv(struct side *s, size_t off, size_t size, void **req, int ms)
{
	int64_t end = ms_now() + ms;
	void *data = s->buf + off;
	int tag = 7;
	ncclResult_t r;

	do {
		*req = NULL;
		r = plug.net->irecv(s->comm, 1, &data, &size, &tag, &s->mh, NULL, req);
		if (r != ncclSuccess || *req)
			return r;
	} while (ms_now() < end);
	return ncclInProgress;
}

void wait_all(struct wait *w, int n, int ms)
{
	int64_t end = ms_now() + ms;
	int i, left;

	for (i = 0; i < n; i++)
		w[i].res = ncclInProgress;
	do {
		left = 0;
		for (i = 0; i < n; i++) {
			int done = 0, size = -1;
			ncclResult_t r;

			if (w[i].res != ncclInProgress)
				continue;
			r = plug.net->test(w[i].req, &done, &size);
			if (r == ncclSuccess && !done) {
				left++;
				continue;
			}
			w[i].res = r;
			w[i].size = size;
		}
	} while (left && ms_now() < end);
}

ncclResult_t wait_one(void *req, int *size, int ms)
{
	struct wait w = { .req = req };

	wait_all(&w, 1, ms);
	if (size)
		*size = w.size;
	return w.res;
}

void pattern_fill(uint8_t *p, size_t n, uint32_t seq)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = pattern_at(seq, i);
}

void pattern_check(const uint8_t *p, size_t n, uint32_t seq)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i] != pattern_at(seq, i))
			FAIL("message %u of %zu bytes: byte %zu is 0x%02x, expected 0x%02x", seq, n,
			     i, p[i], pattern_at(seq, i));
}

void pair_exchange(struct pair *p, size_t size, uint32_t seq)
{
	struct wait w[2];

	CHECK(size <= p->tx.size && size <= p->rx.size);
	pattern_fill(p->tx.buf, size, seq);
	memset(p->rx.buf, 0xee, p->rx.size);
	CHECK_EQ(do_irecv(&p->rx, 0, p->rx.size, &w[0].req, ERROR_MS), ncclSuccess);
	CHECK_EQ(do_isend(&p->tx, 0, size, &w[1].req, ERROR_MS), ncclSuccess);
	wait_all(w, 2, ERROR_MS);
	CHECK_EQ(w[0].res, ncclSuccess);
	CHECK_EQ(w[1].res, ncclSuccess);
	CHECK_EQ(w[0].size, size);
	pattern_check(p->rx.buf, size, seq);
	if (size < p->rx.size)
		CHECK_EQ(p->rx.buf[size], 0xee);
}

void plug_fresh_run(void)
{
	static const size_t sizes[] = { 1, 0, 4096, 300001, 17 };
	struct pair p;
	size_t i;

	plug_open();
	pair_open(&p, 512 << 10);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		pair_exchange(&p, sizes[i], (uint32_t)i);
	pair_close(&p);
	plug_close();
}
