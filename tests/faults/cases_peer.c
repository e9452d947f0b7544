// SPDX-License-Identifier: BSD-3-Clause
/* Peers that die, reset, freeze or fall silent in mid-transfer. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"
#include "plug.h"
#include "raw.h"

#define BIG    (8 << 20)
#define WINDOW 8

/* Keeps WINDOW transfers of BIG bytes going until one fails; returns how. */
static ncclResult_t stream_until_error(struct side *s, bool sends, int fd)
{
	struct wait w[WINDOW] = { 0 };
	int64_t end = ms_now() + ERROR_MS;
	bool told = false;
	int i;

	while (ms_now() < end) {
		for (i = 0; i < WINDOW; i++) {
			int done = 0;
			ncclResult_t r;

			if (!w[i].req) {
				r = sends ? do_isend(s, 0, BIG, &w[i].req, 0)
					  : do_irecv(s, 0, BIG, &w[i].req, 0);
				if (r != ncclSuccess && r != ncclInProgress)
					return r;
			}
			if (!w[i].req)
				continue;
			r = plug.net->test(w[i].req, &done, NULL);
			if (r != ncclSuccess)
				return r;
			if (done)
				w[i].req = NULL;
			if (done && !told) {
				told = true;
				peer_put(fd, "t", 1); /* in mid-transfer */
			}
		}
	}
	return ncclInProgress;
}

static void stream_peer_recv(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	void *listen, *recv;
	struct side s;

	plug_open();
	do_listen(handle, &listen);
	peer_put(fd, handle, sizeof(handle));
	CHECK_EQ(do_accept(listen, &recv, ERROR_MS), ncclSuccess);
	side_open(&s, recv, BIG);
	stream_until_error(&s, false, fd);
	FAIL("was to be killed");
}

static void stream_peer_send(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	struct side s;
	void *send;

	plug_open();
	peer_get(fd, handle, sizeof(handle));
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), ncclSuccess);
	side_open(&s, send, BIG);
	stream_until_error(&s, true, fd);
	FAIL("was to be killed");
}

/* The killer has to run beside the stream: it waits until the peer says that a transfer is done. */
static pid_t killer_start(const struct peer *p)
{
	pid_t pid = fork();

	if (pid == 0) {
		char c;

		peer_get(p->fd, &c, 1);
		ms_sleep(20);
		kill(p->pid, SIGKILL);
		_exit(0);
	}
	return pid;
}

static void kill_mid(bool i_send, const char *socks)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	void *listen = NULL, *comm;
	struct side s;
	struct peer p;
	pid_t killer;
	int sv[2];

	env_set("NCCL_DEVMEM_SOCKETS", socks);
	p = peer_start(i_send ? stream_peer_recv : stream_peer_send);
	plug_open();
	if (i_send) {
		peer_get(p.fd, handle, sizeof(handle));
		CHECK_EQ(do_connect(handle, &comm, ERROR_MS), ncclSuccess);
	} else {
		do_listen(handle, &listen);
		peer_put(p.fd, handle, sizeof(handle));
		CHECK_EQ(do_accept(listen, &comm, ERROR_MS), ncclSuccess);
	}
	side_open(&s, comm, BIG);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0);
	killer = killer_start(&p);
	CHECK_EQ(stream_until_error(&s, i_send, sv[0]), ncclRemoteError);
	plug_expect_log("peer process ended or closed");
	close(sv[0]);
	close(sv[1]);
	CHECK(waitpid(killer, NULL, 0) == killer);
	peer_kill(&p);
	side_close(&s, i_send);
	if (listen)
		CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	plug_close();
}

static void kill_receiver(void)
{
	kill_mid(true, "1");
}

static void kill_receiver_socks(void)
{
	kill_mid(true, "8");
}

static void kill_sender(void)
{
	kill_mid(false, "1");
}

static void kill_sender_socks(void)
{
	kill_mid(false, "8");
}

/* A receiver by hand that takes some bytes and resets all sockets, or one. */
static void receiver_goes(bool reset, bool only_data)
{
	char h[NCCL_NET_HANDLE_MAXSIZE], junk[100000];
	struct raw_conn c;
	struct side tx;
	void *send, *req;
	int64_t end;
	int fd, i;

	env_set("NCCL_DEVMEM_SOCKETS", "3");
	plug_open();
	fd = raw_listen(h);
	for (i = 0; i < 20; i++) {
		CHECK_EQ(plug.net->connect(plug.ctx, 0, h, &send, NULL), ncclSuccess);
		ms_sleep(1);
	}
	raw_accept(fd, &c, 3);
	raw_ready(&c, WIRE_VERSION, 0);
	CHECK_EQ(do_connect(h, &send, ERROR_MS), ncclSuccess);
	side_open(&tx, send, 64 << 20);
	CHECK_EQ(do_isend(&tx, 0, tx.size, &req, ERROR_MS), ncclSuccess);
	end = ms_now() + ERROR_MS;
	do
		CHECK_EQ(wait_one(req, NULL, 100), ncclInProgress);
	while (recv(c.data[1], junk, sizeof(junk), MSG_DONTWAIT) <= 0 && ms_now() < end);
	CHECK(ms_now() < end);
	if (only_data) {
		if (reset)
			raw_linger0(c.data[1]);
		close(c.data[1]);
		c.data[1] = c.data[2];
		c.n = 2;
	} else {
		raw_close(&c, reset);
	}
	CHECK_EQ(wait_one(req, NULL, ERROR_MS), ncclRemoteError);
	plug_expect_log("peer process ended or closed");
	if (only_data)
		raw_close(&c, false);
	close(fd);
	side_close(&tx, true);
	plug_close();
}

static void receiver_resets(void)
{
	receiver_goes(true, false);
}

static void receiver_closes(void)
{
	receiver_goes(false, false);
}

static void receiver_resets_data(void)
{
	receiver_goes(true, true);
}

static void receiver_closes_data(void)
{
	receiver_goes(false, true);
}

/* @count messages of BIG, byte-checked; @fd hears a byte before each. */
static void counted_stream(struct side *s, bool sends, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		void *req;

		if (sends) {
			pattern_fill(s->buf, BIG, (uint32_t)i);
			CHECK_EQ(do_isend(s, 0, BIG, &req, ERROR_MS), ncclSuccess);
		} else {
			CHECK_EQ(do_irecv(s, 0, BIG, &req, ERROR_MS), ncclSuccess);
		}
		CHECK_EQ(wait_one(req, NULL, ERROR_MS), ncclSuccess);
		if (!sends)
			pattern_check(s->buf, BIG, (uint32_t)i);
	}
}

#define STOP_COUNT 30

static void counted_peer_recv(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	void *listen, *recv;
	struct side s;

	plug_open();
	do_listen(handle, &listen);
	peer_put(fd, handle, sizeof(handle));
	CHECK_EQ(do_accept(listen, &recv, ERROR_MS), ncclSuccess);
	side_open(&s, recv, BIG);
	counted_stream(&s, false, STOP_COUNT);
	side_close(&s, false);
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	plug_close();
}

static void counted_peer_send(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	struct side s;
	void *send;

	plug_open();
	peer_get(fd, handle, sizeof(handle));
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), ncclSuccess);
	side_open(&s, send, BIG);
	counted_stream(&s, true, STOP_COUNT);
	side_close(&s, true);
	plug_close();
}

/* A peer that stops (SIGSTOP) for @ms and goes on: not dead, so no error, and no byte is lost. */
static void freeze(bool i_send, int ms, const char *peer_timeout)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	void *listen = NULL, *comm;
	struct side s;
	struct peer p;
	pid_t stopper;

	env_set("NCCL_DEVMEM_PEER_TIMEOUT", peer_timeout);
	p = peer_start(i_send ? counted_peer_recv : counted_peer_send);
	plug_open();
	if (i_send) {
		peer_get(p.fd, handle, sizeof(handle));
		CHECK_EQ(do_connect(handle, &comm, ERROR_MS), ncclSuccess);
	} else {
		do_listen(handle, &listen);
		peer_put(p.fd, handle, sizeof(handle));
		CHECK_EQ(do_accept(listen, &comm, ERROR_MS), ncclSuccess);
	}
	side_open(&s, comm, BIG);
	stopper = fork();
	if (stopper == 0) {
		ms_sleep(60);
		kill(p.pid, SIGSTOP);
		ms_sleep(ms);
		kill(p.pid, SIGCONT);
		_exit(0);
	}
	counted_stream(&s, i_send, STOP_COUNT);
	CHECK(waitpid(stopper, NULL, 0) == stopper);
	side_close(&s, i_send);
	if (listen)
		CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	peer_wait(&p);
	plug_close();
}

static void freeze_receiver(void)
{
	freeze(true, 2000, "30000");
}

static void freeze_sender(void)
{
	freeze(false, 2000, "30000");
}

/* Longer than the time of a dead host: its kernel still answers, so it is none. */
static void freeze_receiver_long(void)
{
	freeze(true, 5000, "1000");
}

static void freeze_sender_long(void)
{
	freeze(false, 5000, "1000");
}

/* Another host on a veth that goes silent: no packet comes back any more. */
static void silent_peer(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	void *listen, *recv;
	struct side s;

	ns_enter();
	env_set("NCCL_DEVMEM_IFNAME", "ve");
	peer_put(fd, "n", 1);
	peer_get(fd, &c, 1);
	plug_open();
	if (c == 'r') {
		do_listen(handle, &listen);
		peer_put(fd, handle, sizeof(handle));
		CHECK_EQ(do_accept(listen, &recv, ERROR_MS), ncclSuccess);
	} else {
		peer_get(fd, handle, sizeof(handle));
		CHECK_EQ(do_connect(handle, &recv, ERROR_MS), ncclSuccess);
	}
	side_open(&s, recv, BIG);
	peer_get(fd, &c, 1); /* until killed */
}

static void silent_host(bool i_send)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	struct peer p = peer_start(silent_peer);
	void *listen = NULL, *comm, *req;
	struct side s;

	peer_get(p.fd, &c, 1);
	ns_enter();
	ns_veth(p.pid);
	env_set("NCCL_DEVMEM_IFNAME", "ve");
	env_set("NCCL_DEVMEM_PEER_TIMEOUT", "2000");
	plug_open();
	peer_put(p.fd, i_send ? "r" : "s", 1);
	if (i_send) {
		peer_get(p.fd, handle, sizeof(handle));
		CHECK_EQ(do_connect(handle, &comm, ERROR_MS), ncclSuccess);
	} else {
		do_listen(handle, &listen);
		peer_put(p.fd, handle, sizeof(handle));
		CHECK_EQ(do_accept(listen, &comm, ERROR_MS), ncclSuccess);
	}
	side_open(&s, comm, BIG);
	shell("nsenter -t %d -n ip link set ve1 address 02:00:00:00:00:99", (int)p.pid);
	shell("nsenter -t %d -n ip addr del 10.77.0.2/24 dev ve1", (int)p.pid);
	if (i_send)
		CHECK_EQ(do_isend(&s, 0, BIG, &req, ERROR_MS), ncclSuccess);
	else
		CHECK_EQ(do_irecv(&s, 0, BIG, &req, ERROR_MS), ncclSuccess);
	CHECK_EQ(wait_one(req, NULL, ERROR_MS), ncclRemoteError);
	plug_expect_log("the network between is down");
	side_close(&s, i_send);
	if (listen)
		CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	peer_kill(&p);
	plug_close();
}

static void silent_receiver(void)
{
	silent_host(true);
}

static void silent_sender(void)
{
	silent_host(false);
}

/* An error on one comm leaves its neighbours alone. */
static void others_live(void)
{
	struct pair good[3];
	struct raw_conn bad;
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	void *listen, *recv, *req;
	struct side s;
	int i;

	plug_open();
	for (i = 0; i < 3; i++)
		pair_open(&good[i], 1 << 20);
	do_listen(handle, &listen);
	raw_connect(&bad, handle, listen, 2, &recv);
	side_open(&s, recv, 4096);
	CHECK_EQ(do_irecv(&s, 0, 4096, &req, ERROR_MS), ncclSuccess);
	raw_close(&bad, true);
	CHECK_EQ(wait_one(req, NULL, ERROR_MS), ncclRemoteError);
	for (i = 0; i < 3; i++)
		pair_exchange(&good[i], 1 << 20, (uint32_t)i);
	side_close(&s, false);
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	for (i = 0; i < 3; i++) {
		pair_exchange(&good[i], 5000, (uint32_t)i);
		pair_close(&good[i]);
	}
	plug_close();
}

const struct fault_case cases_peer[] = {
	{ .name = "peer.kill_receiver", .run = kill_receiver },
	{ .name = "peer.kill_receiver_socks", .run = kill_receiver_socks },
	{ .name = "peer.kill_sender", .run = kill_sender },
	{ .name = "peer.kill_sender_socks", .run = kill_sender_socks },
	{ .name = "peer.receiver_resets", .run = receiver_resets },
	{ .name = "peer.receiver_closes", .run = receiver_closes },
	{ .name = "peer.receiver_resets_data", .run = receiver_resets_data },
	{ .name = "peer.receiver_closes_data", .run = receiver_closes_data },
	{ .name = "peer.freeze_receiver", .run = freeze_receiver },
	{ .name = "peer.freeze_sender", .run = freeze_sender },
	{ .name = "peer.freeze_receiver_long", .run = freeze_receiver_long },
	{ .name = "peer.freeze_sender_long", .run = freeze_sender_long },
	{ .name = "peer.silent_receiver", .run = silent_receiver },
	{ .name = "peer.silent_sender", .run = silent_sender },
	{ .name = "peer.others_live", .run = others_live },
	{ 0 },
};
