// SPDX-License-Identifier: BSD-3-Clause
/* Callers that are not the peer: dropped, counted, and the real connection comes up all the same. */
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cases.h"
#include "plug.h"
#include "raw.h"

#define MANY 200

static char handle[NCCL_NET_HANDLE_MAXSIZE];
static void *listener;

static void begin(void)
{
	plug_open();
	do_listen(handle, &listener);
}

static uint64_t strangers(void)
{
	struct nccl_devmem_counters c;

	plug_counters(&c);
	return c.strangers;
}

/* Polls accept(), which must not yield a comm, until @n strangers were dropped. */
static void dropped(uint64_t n)
{
	int64_t end = ms_now() + ERROR_MS;
	void *recv;

	while (strangers() < n && ms_now() < end) {
		CHECK_EQ(plug.net->accept(listener, &recv, NULL), ncclSuccess);
		CHECK(!recv);
		ms_sleep(1);
	}
	CHECK_EQ(strangers(), n);
}

/*
 * The real peer comes, and data flows. It may come several times if it has only @within_ms to connect and that was over: a busy
 * machine's doing.
 */
static void real_one_within(int64_t within_ms)
{
	void *send, *recv;
	struct pair p = { 0 };
	ncclResult_t s, r;
	int64_t start;
	int tries = 0;

	for (;;) {
		start = ms_now();
		do_both(handle, listener, &send, &recv, &s, &r, ERROR_MS);
		if ((s == ncclSuccess && r == ncclSuccess) || ms_now() - start < within_ms ||
		    ++tries == 20)
			break;
		if (send)
			CHECK_EQ(plug.net->closeSend(send), ncclSuccess);
		if (recv)
			CHECK_EQ(plug.net->closeRecv(recv), ncclSuccess);
	}
	CHECK_EQ(s, ncclSuccess);
	CHECK_EQ(r, ncclSuccess);
	side_open(&p.tx, send, 100000);
	side_open(&p.rx, recv, 100000);
	pair_exchange(&p, 100, 1);
	pair_exchange(&p, 100000, 2);
	pair_close(&p);
	CHECK_EQ(plug.net->closeListen(listener), ncclSuccess);
	plug_close();
}

static void real_one(void)
{
	real_one_within(ERROR_MS);
}

static void random_bytes(void)
{
	char junk[500];
	int fd;

	begin();
	CHECK(getrandom(junk, sizeof(junk), 0) == sizeof(junk));
	fd = raw_dial(handle);
	raw_send(fd, junk, sizeof(junk));
	dropped(1);
	CHECK(raw_is_closed(fd, ERROR_MS));
	close(fd);
	plug_expect_log("does not speak this protocol");
	real_one();
}

static void http_get(void)
{
	static const char get[] = "GET / HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n";
	int fd;

	begin();
	fd = raw_dial(handle);
	raw_send(fd, get, sizeof(get) - 1);
	dropped(1);
	close(fd);
	real_one();
}

/* Says nothing: does not delay the real one, and is dropped after its time. */
static void silence(void)
{
	int fd;

	begin();
	fd = raw_dial(handle);
	dropped(1);
	plug_expect_log("did not introduce itself in time");
	CHECK(raw_is_closed(fd, ERROR_MS));
	close(fd);
	real_one();
}

static void silence_beside(void)
{
	int fd;

	begin();
	fd = raw_dial(handle);
	real_one();
	CHECK(raw_is_closed(fd, ERROR_MS));
	close(fd);
}

static void half_hello(void)
{
	struct wire_hello h;
	int fd;

	begin();
	fd = raw_dial(handle);
	h = raw_hello(handle, WIRE_HELLO_CTRL, 1, 1, 0);
	raw_send(fd, &h, sizeof(h) / 2);
	close(fd);
	dropped(1);
	plug_expect_log("closed before it introduced itself");
	real_one();
}

static void half_hello_open(void)
{
	struct wire_hello h;
	int fd;

	begin();
	fd = raw_dial(handle);
	h = raw_hello(handle, WIRE_HELLO_CTRL, 1, 1, 0);
	raw_send(fd, &h, sizeof(h) - 1);
	dropped(1);
	close(fd);
	real_one();
}

static void reset_at_once(void)
{
	int fd, i;

	begin();
	for (i = 0; i < 10; i++) {
		fd = raw_dial(handle);
		raw_linger0(fd);
		close(fd);
	}
	real_one();
}

/* A hello that is right but for one field, and what the log has to say. */
static void wrong_hello(void (*change)(struct wire_hello *h), const char *text)
{
	struct wire_hello h;
	int fd;

	begin();
	fd = raw_dial(handle);
	h = raw_hello(handle, WIRE_HELLO_DATA, 5, 4, 0);
	change(&h);
	raw_hello_send(fd, h);
	dropped(1);
	CHECK(raw_is_closed(fd, ERROR_MS));
	plug_expect_log(text);
	close(fd);
	real_one();
}

static void nonce_last(struct wire_hello *h)
{
	h->nonce[WIRE_NONCE_LEN - 1] ^= 1;
}

static void nonce_zero(struct wire_hello *h)
{
	memset(h->nonce, 0, sizeof(h->nonce));
}

/* Without the nonce not even the version is talked about. */
static void nonce_and_version(struct wire_hello *h)
{
	nonce_last(h);
	h->version = 9;
}

static void socks_0(struct wire_hello *h)
{
	h->n_socks = 0;
}

static void socks_17(struct wire_hello *h)
{
	h->n_socks = 17;
}

static void socks_max(struct wire_hello *h)
{
	h->n_socks = 65535;
	h->index = 65534;
}

static void index_is_count(struct wire_hello *h)
{
	h->index = 4;
}

static void index_max(struct wire_hello *h)
{
	h->index = 65535;
}

static void kind_0(struct wire_hello *h)
{
	h->kind = 0;
}

static void kind_3(struct wire_hello *h)
{
	h->kind = 3;
}

static void wrong_nonce(void)
{
	wrong_hello(nonce_last, "does not know the nonce");
}

static void wrong_nonce_zero(void)
{
	wrong_hello(nonce_zero, "does not know the nonce");
}

static void wrong_nonce_version(void)
{
	wrong_hello(nonce_and_version, "does not know the nonce");
}

static void hello_socks_0(void)
{
	wrong_hello(socks_0, "makes no sense");
}

static void hello_socks_17(void)
{
	wrong_hello(socks_17, "makes no sense");
}

static void hello_socks_65535(void)
{
	wrong_hello(socks_max, "makes no sense");
}

static void hello_index(void)
{
	wrong_hello(index_is_count, "makes no sense");
}

static void hello_index_65535(void)
{
	wrong_hello(index_max, "makes no sense");
}

static void hello_kind_0(void)
{
	wrong_hello(kind_0, "makes no sense");
}

static void hello_kind_3(void)
{
	wrong_hello(kind_3, "makes no sense");
}

/* Two sockets of one connection where the second contradicts the first. */
static void second_hello(uint16_t kind1, uint16_t socks2, uint16_t kind2)
{
	int a, b;

	begin();
	a = raw_dial(handle);
	raw_hello_send(a, raw_hello(handle, kind1, 5, 4, 0));
	ms_sleep(20);
	b = raw_dial(handle);
	raw_hello_send(b, raw_hello(handle, kind2, 5, socks2, 0));
	dropped(1);
	CHECK(raw_is_closed(b, ERROR_MS));
	CHECK(!raw_is_closed(a, 50));
	close(a);
	close(b);
	real_one();
}

static void duplicate_data(void)
{
	second_hello(WIRE_HELLO_DATA, 4, WIRE_HELLO_DATA);
}

static void duplicate_ctrl(void)
{
	second_hello(WIRE_HELLO_CTRL, 4, WIRE_HELLO_CTRL);
}

static void contradicting_count(void)
{
	second_hello(WIRE_HELLO_CTRL, 3, WIRE_HELLO_DATA);
}

/* Connections of the right nonce of which only half comes: they expire and do not count for the real one. */
static void half_connections(void)
{
	int64_t end = ms_now() + ERROR_MS;
	int fd[6], left = 6, i;

	env_set("NCCL_DEVMEM_CONNECT_TIMEOUT", "500");
	begin();
	for (i = 0; i < 6; i++) {
		fd[i] = raw_dial(handle);
		raw_hello_send(fd[i], raw_hello(handle, WIRE_HELLO_DATA, 100 + (uint64_t)i, 2, 1));
	}
	dropped(0);
	while (left && ms_now() < end) {
		void *recv;

		CHECK_EQ(plug.net->accept(listener, &recv, NULL), ncclSuccess);
		CHECK(!recv);
		for (i = 0, left = 0; i < 6; i++)
			left += !raw_is_closed(fd[i], 0);
		ms_sleep(1);
	}
	CHECK_EQ(left, 0);
	plug_expect_log("gave up a connection of which 1 of 3 sockets came");
	for (i = 0; i < 6; i++)
		close(fd[i]);
	real_one_within(500);
}

static void flood_open(int *fd, bool silent)
{
	char junk[64];
	int i;

	for (i = 0; i < MANY; i++) {
		fd[i] = raw_dial(handle);
		memset(junk, i, sizeof(junk));
		if (!silent || i % 3 == 0)
			raw_send(fd[i], junk, (size_t)(i % 3 ? 64 : 20));
	}
}

static void flood_close(int *fd)
{
	int i;

	for (i = 0; i < MANY; i++)
		close(fd[i]);
}

static void many_junk(void)
{
	int fd[MANY];

	begin();
	flood_open(fd, false);
	real_one();
	flood_close(fd);
}

/* Silent ones take up places; the real peer still gets one. */
static void many_silent(void)
{
	int fd[MANY];

	begin();
	flood_open(fd, true);
	real_one();
	flood_close(fd);
}

/* The real peer's sockets are in the queue, without a hello, while the flood follows them. */
static void many_behind(void)
{
	struct pair p = { 0 };
	void *send, *recv;
	ncclResult_t s, r;
	int fd[MANY];

	begin();
	CHECK_EQ(plug.net->connect(plug.ctx, 0, handle, &send, NULL), ncclSuccess);
	CHECK(!send);
	flood_open(fd, true);
	do_both(handle, listener, &send, &recv, &s, &r, ERROR_MS);
	CHECK_EQ(s, ncclSuccess);
	CHECK_EQ(r, ncclSuccess);
	side_open(&p.tx, send, 100000);
	side_open(&p.rx, recv, 100000);
	pair_exchange(&p, 100000, 2);
	pair_close(&p);
	CHECK_EQ(plug.net->closeListen(listener), ncclSuccess);
	plug_close();
	flood_close(fd);
}

/*
 * Two that dial and say nothing while a flood comes in behind them, and then speak. False if that took longer than the listener has
 * patience for (HELLO_GRACE_MS), as on a loaded machine: then there is nothing to expect.
 */
static bool slow_peer_tries(int *peer, int *fd)
{
	int64_t begun = ms_now();
	void *recv;

	peer[0] = raw_dial(handle);
	peer[1] = raw_dial(handle);
	flood_open(fd, true);
	for (int i = 0; i < 60; i++) {
		CHECK_EQ(plug.net->accept(listener, &recv, NULL), ncclSuccess);
		CHECK(!recv);
		ms_sleep(1);
	}
	raw_hello_send(peer[0], raw_hello(handle, WIRE_HELLO_CTRL, 3, 1, 0));
	raw_hello_send(peer[1], raw_hello(handle, WIRE_HELLO_DATA, 3, 1, 0));
	return ms_now() - begun < 200;
}

/* A peer that takes a moment to speak is not pushed out by the flood behind it. */
static void many_slow_peer(void)
{
	struct wire_ready ready;
	int fd[MANY], peer[2];
	ncclResult_t r;
	void *recv;
	bool timely;
	int tries = 0;

	begin();
	do {
		timely = slow_peer_tries(peer, fd);
		r = do_accept(listener, &recv, ERROR_MS);
		if (r == ncclSuccess)
			break;
		close(peer[0]);
		close(peer[1]);
		flood_close(fd);
	} while (!timely && ++tries < 10);
	if (r != ncclSuccess && !timely)
		case_skip("this machine is too busy for a peer to be in time");
	CHECK_EQ(r, ncclSuccess);
	CHECK_EQ(raw_recv(peer[0], &ready, sizeof(ready)), sizeof(ready));
	CHECK_EQ(plug.net->closeRecv(recv), ncclSuccess);
	close(peer[0]);
	close(peer[1]);
	real_one();
	flood_close(fd);
}

/* Silent callers that all fit are each dropped and counted in the end. */
static void many_counted(void)
{
	struct nccl_devmem_counters c;
	int fd[50], i;

	begin();
	for (i = 0; i < 50; i++)
		fd[i] = raw_dial(handle);
	dropped(50);
	for (i = 0; i < 50; i++) {
		CHECK(raw_is_closed(fd[i], ERROR_MS));
		close(fd[i]);
	}
	plug_counters(&c);
	CHECK_EQ(c.conns, 0);
	/* Warned about once, not fifty times. */
	plug_log_clear();
	real_one();
	CHECK(!strstr(plug_log_text(), "dropped a connection"));
}

const struct fault_case cases_stranger[] = {
	{ .name = "stranger.random_bytes", .run = random_bytes },
	{ .name = "stranger.http_get", .run = http_get },
	{ .name = "stranger.silence", .run = silence },
	{ .name = "stranger.silence_beside", .run = silence_beside },
	{ .name = "stranger.half_hello", .run = half_hello },
	{ .name = "stranger.half_hello_open", .run = half_hello_open },
	{ .name = "stranger.reset_at_once", .run = reset_at_once },
	{ .name = "stranger.wrong_nonce", .run = wrong_nonce },
	{ .name = "stranger.wrong_nonce_zero", .run = wrong_nonce_zero },
	{ .name = "stranger.wrong_nonce_version", .run = wrong_nonce_version },
	{ .name = "stranger.hello_socks_0", .run = hello_socks_0 },
	{ .name = "stranger.hello_socks_17", .run = hello_socks_17 },
	{ .name = "stranger.hello_socks_65535", .run = hello_socks_65535 },
	{ .name = "stranger.hello_index", .run = hello_index },
	{ .name = "stranger.hello_index_65535", .run = hello_index_65535 },
	{ .name = "stranger.hello_kind_0", .run = hello_kind_0 },
	{ .name = "stranger.hello_kind_3", .run = hello_kind_3 },
	{ .name = "stranger.duplicate_data", .run = duplicate_data },
	{ .name = "stranger.duplicate_ctrl", .run = duplicate_ctrl },
	{ .name = "stranger.contradicting_count", .run = contradicting_count },
	{ .name = "stranger.half_connections", .run = half_connections },
	{ .name = "stranger.many_junk", .run = many_junk },
	{ .name = "stranger.many_silent", .run = many_silent },
	{ .name = "stranger.many_behind", .run = many_behind },
	{ .name = "stranger.many_slow_peer", .run = many_slow_peer },
	{ .name = "stranger.many_counted", .run = many_counted },
	{ 0 },
};
