// SPDX-License-Identifier: BSD-3-Clause
/* Closing at any moment, aborting, unloading, and doing it again many times. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cases.h"
#include "plug.h"
#include "raw.h"

#define BIG (16 << 20)

/* Both directions busy; then one side closes with requests in flight, and the other gets an error. */
static void close_in_flight(bool close_sender, const char *socks)
{
	struct wait w[16];
	struct pair p;
	int i, first = close_sender ? 0 : 8;

	env_set("NCCL_DEVMEM_SOCKETS", socks);
	plug_open();
	pair_open(&p, BIG);
	for (i = 0; i < 8; i++) {
		CHECK_EQ(do_irecv(&p.rx, 0, BIG, &w[i].req, ERROR_MS), ncclSuccess);
		CHECK_EQ(do_isend(&p.tx, 0, BIG, &w[8 + i].req, ERROR_MS), ncclSuccess);
	}
	wait_all(w, 16, 5);
	if (close_sender) {
		CHECK_EQ(plug.net->closeSend(p.tx.comm), ncclSuccess);
		p.tx.comm = NULL;
	} else {
		CHECK_EQ(plug.net->closeRecv(p.rx.comm), ncclSuccess);
		p.rx.comm = NULL;
	}
	/* Nothing may touch the memory any more. */
	if (close_sender) {
		CHECK_EQ(plug.net->deregMr(p.rx.comm, p.tx.mh), ncclSuccess);
		free(p.tx.buf);
		memset(&p.tx, 0, sizeof(p.tx));
	} else {
		CHECK_EQ(plug.net->deregMr(p.tx.comm, p.rx.mh), ncclSuccess);
		free(p.rx.buf);
		memset(&p.rx, 0, sizeof(p.rx));
	}
	for (i = first; i < first + 8; i++)
		if (w[i].res == ncclInProgress && wait_one(w[i].req, NULL, ERROR_MS) != ncclSuccess)
			break;
	CHECK(i < first + 8);
	CHECK_EQ(wait_one(w[first + 7].req, NULL, ERROR_MS), ncclRemoteError);
	pair_close(&p);
	plug_close();
}

static void close_send_in_flight(void)
{
	close_in_flight(true, "1");
}

static void close_send_in_flight_socks(void)
{
	close_in_flight(true, "5");
}

static void close_recv_in_flight(void)
{
	close_in_flight(false, "1");
}

static void close_recv_in_flight_socks(void)
{
	close_in_flight(false, "5");
}

static void close_both_in_flight(void)
{
	struct pair p;
	void *req;
	int i;

	plug_open();
	for (i = 0; i < 10; i++) {
		pair_open(&p, BIG);
		CHECK_EQ(do_irecv(&p.rx, 0, BIG, &req, ERROR_MS), ncclSuccess);
		CHECK_EQ(do_isend(&p.tx, 0, BIG, &req, ERROR_MS), ncclSuccess);
		CHECK_EQ(wait_one(req, NULL, i / 3), ncclInProgress);
		pair_close(&p);
	}
	plug_close();
}

/* The listener goes while connects are half open on either side of it. */
static void close_listen_half_open(void)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	void *listen, *send, *recv;
	int raw[3], before;

	plug_open();
	before = count_fds();
	do_listen(handle, &listen);
	raw[0] = raw_dial(handle);
	raw[1] = raw_dial(handle);
	raw_hello_send(raw[1], raw_hello(handle, WIRE_HELLO_CTRL, 8, 4, 0));
	raw[2] = raw_dial(handle);
	raw_hello_send(raw[2], raw_hello(handle, WIRE_HELLO_DATA, 8, 4, 2));
	ms_sleep(20);
	CHECK_EQ(plug.net->accept(listen, &recv, NULL), ncclSuccess);
	CHECK(!recv);
	CHECK_EQ(plug.net->connect(plug.ctx, 0, handle, &send, NULL), ncclSuccess);
	CHECK(!send);
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), ncclRemoteError);
	CHECK_EQ(count_fds(), before + 3);
	close(raw[0]);
	close(raw[1]);
	close(raw[2]);
	plug_close();
}

/* After an abort NCCL closes nothing. finalize() has to. */
static void finalize_abort(void)
{
	char handles[4][NCCL_NET_HANDLE_MAXSIZE];
	struct pair p[3];
	void *listen, *send, *recv, *req;
	int i, before;

	plug_load();
	before = count_fds();
	CHECK_EQ(plug_init(), ncclSuccess);
	for (i = 0; i < 3; i++) {
		pair_open(&p[i], 1 << 20);
		CHECK_EQ(do_irecv(&p[i].rx, 0, 1 << 20, &req, ERROR_MS), ncclSuccess);
		CHECK_EQ(do_isend(&p[i].tx, 0, 1 << 20, &req, ERROR_MS), ncclSuccess);
	}
	for (i = 0; i < 4; i++) {
		do_listen(handles[i], &listen);
		CHECK_EQ(plug.net->connect(plug.ctx, 0, handles[i], &send, NULL), ncclSuccess);
		CHECK(!send);
		if (i & 1)
			CHECK_EQ(plug.net->accept(listen, &recv, NULL), ncclSuccess);
	}
	/* The registrations are left as well. */
	CHECK_EQ(plug.net->finalize(plug.ctx), ncclSuccess);
	plug.ctx = NULL;
	CHECK_EQ(count_fds(), before);
	plug_close();
	for (i = 0; i < 3; i++) {
		free(p[i].tx.buf);
		free(p[i].rx.buf);
	}
}

/* Several communicators share the library: only the last finalize() ends it. */
static void finalize_shared(void)
{
	struct pair p;
	void *ctx[3];
	int i;

	plug_open();
	ctx[0] = plug.ctx;
	for (i = 1; i < 3; i++) {
		CHECK_EQ(plug_init(), ncclSuccess);
		ctx[i] = plug.ctx;
	}
	pair_open(&p, 1 << 20);
	CHECK_EQ(plug.net->finalize(ctx[0]), ncclSuccess);
	pair_exchange(&p, 1 << 20, 1);
	CHECK_EQ(plug.net->finalize(ctx[1]), ncclSuccess);
	pair_exchange(&p, 1 << 20, 2);
	pair_close(&p);
	CHECK_EQ(plug.net->finalize(ctx[2]), ncclSuccess);
	/* One too many. */
	CHECK_EQ(plug.net->finalize(ctx[2]), ncclInvalidArgument);
	plug.ctx = NULL;
	plug_close();
}

static void reload(void)
{
	struct pair p;
	int i;

	for (i = 0; i < 20; i++) {
		plug_open();
		pair_open(&p, 1 << 18);
		pair_exchange(&p, 1 << 18, (uint32_t)i);
		pair_close(&p);
		plug_close();
	}
}

static void connects(void)
{
	long rss = 0;
	struct pair p;
	int i, fds = 0;

	plug_open();
	for (i = 0; i < 500; i++) {
		if (i == 50) {
			rss = rss_kb();
			fds = count_fds();
		}
		pair_open(&p, 10000);
		pair_exchange(&p, i % 2 ? 10000 : 0, (uint32_t)i);
		pair_close(&p);
	}
	CHECK_EQ(count_fds(), fds);
	/*
	 * A leaked comm for each connection would be more than 100 MiB. Sanitizers keep freed memory for a while; theirs is the
	 * leak check.
	 */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	if (rss_kb() - rss > 2048)
		FAIL("resident memory grew by %ld KiB", rss_kb() - rss);
#else
	(void)rss;
#endif
	plug_close();
}

/* No descriptor left for a connection: an error that names the remedy, and it works once there are some. */
static void out_of_fds(void)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	void *listen, *send = NULL, *recv = NULL;
	struct rlimit old, low;
	ncclResult_t s, r;
	struct pair p;
	int64_t end;
	int before;

	env_set("NCCL_DEVMEM_SOCKETS", "8");
	plug_open();
	do_listen(handle, &listen);
	CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
	low = old;
	before = count_fds();
	low.rlim_cur = (rlim_t)before + 12; /* connect's nine, but not accept's */
	CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
	/* Not do_both(): connect has no end before the listener has. */
	end = ms_now() + ERROR_MS;
	do {
		s = do_connect(handle, &send, 0);
		r = do_accept(listen, &recv, 0);
	} while (s == ncclInProgress && r == ncclInProgress && ms_now() < end);
	CHECK_EQ(r, ncclSystemError);
	plug_expect_log("ulimit -n");
	CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	if (s == ncclInProgress)
		CHECK_EQ(do_connect(handle, &send, ERROR_MS), ncclRemoteError);
	pair_open(&p, 100000);
	pair_exchange(&p, 100000, 1);
	pair_close(&p);
	plug_close();
}

static void out_of_fds_connect(void)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	struct rlimit old, low;
	void *listen, *send;
	int before;

	env_set("NCCL_DEVMEM_SOCKETS", "16");
	plug_open();
	do_listen(handle, &listen);
	before = count_fds();
	CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
	low = old;
	low.rlim_cur = (rlim_t)before + 5;
	CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), ncclSystemError);
	CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
	plug_expect_log("Too many open files");
	CHECK_EQ(count_fds(), before);
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	plug_close();
}

/* Threads: one pair each, streaming, and the main thread registers on all of them meanwhile, as NCCL's service thread does. */
#define THREADS 4
struct stream {
	struct pair p;
	bool stop;
};

static void *stream_main(void *arg)
{
	struct stream *s = arg;
	uint32_t i;

	for (i = 0; !__atomic_load_n(&s->stop, __ATOMIC_RELAXED); i++)
		pair_exchange(&s->p, i % 3 ? 3000 : 200000, i);
	return NULL;
}

static void threads(void)
{
	struct stream s[THREADS] = { 0 };
	pthread_t t[THREADS];
	int64_t end;
	void *mh;
	int i;

	env_set("NCCL_DEVMEM_SOCKETS", "2");
	plug_open();
	for (i = 0; i < THREADS; i++) {
		pair_open(&s[i].p, 200000);
		CHECK(pthread_create(&t[i], NULL, stream_main, &s[i]) == 0);
	}
	end = ms_now() + 1500;
	while (ms_now() < end) {
		struct pair extra;

		for (i = 0; i < THREADS; i++) {
			struct pair *p = &s[i].p;

			CHECK_EQ(plug.net->regMr(p->tx.comm, p->tx.buf, 100, NCCL_PTR_HOST, &mh),
				 ncclSuccess);
			CHECK_EQ(plug.net->deregMr(p->tx.comm, mh), ncclSuccess);
		}
		pair_open(&extra, 1000);
		pair_exchange(&extra, 1000, 1);
		pair_close(&extra);
		CHECK_EQ(plug_init(), ncclSuccess);
		CHECK_EQ(plug.net->finalize(plug.ctx), ncclSuccess);
	}
	for (i = 0; i < THREADS; i++)
		__atomic_store_n(&s[i].stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < THREADS; i++) {
		CHECK(pthread_join(t[i], NULL) == 0);
		pair_close(&s[i].p);
	}
	plug_close();
}

#define L(fn)                                  \
	{                                      \
		.name = "life." #fn, .run = fn \
	}
const struct fault_case cases_life[] = {
	L(close_send_in_flight),
	L(close_send_in_flight_socks),
	L(close_recv_in_flight),
	L(close_recv_in_flight_socks),
	L(close_both_in_flight),
	L(close_listen_half_open),
	L(finalize_abort),
	L(finalize_shared),
	{ .name = "life.reload", .run = reload },
	{ .name = "life.connects", .run = connects },
	L(out_of_fds),
	L(out_of_fds_connect),
	{ .name = "life.threads", .run = threads },
	{ 0 },
};
