// SPDX-License-Identifier: BSD-3-Clause
/* Ends in mid-stream on devmem, of a process, a connection, or a device: nothing may be left of bindings, tokens and rules. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

#define NETNS "faults-peer"

/* The receiver's device goes away under the binding; both sides end with an error. */
static void unbound_receiver(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	void *listen, *recv;
	ncclResult_t r;
	struct side s;

	ns_enter();
	peer_put(fd, "n", 1);
	peer_get(fd, &c, 1);
	env_set("NCCL_DEVMEM_IFNAME", "=sdm1");
	plug_open();
	do_listen(handle, &listen);
	peer_put(fd, handle, sizeof(handle));
	CHECK_EQ(do_accept(listen, &recv, ERROR_MS), ncclSuccess);
	plug_expect_log("receive path devmem");
	side_open(&s, recv, MSG);
	r = stream(&s, false, fd);
	CHECK(r != ncclInProgress && r != ncclSuccess);
	peer_put(fd, "e", 1);
	side_close(&s, false);
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	plug_close();
	CHECK_EQ(count_records(), 0);
}

static void device_removed(void)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	struct side s;
	struct peer p;
	void *send;
	pid_t remover;

	env_set("NCCL_DEVMEM_REQUIRE", "devmem");
	env_set("NCCL_DEVMEM_PEER_TIMEOUT", "1000");
	p = peer_start(unbound_receiver);
	peer_get(p.fd, &c, 1);
	ns_enter();
	sdm_up(p.pid);
	peer_put(p.fd, "g", 1);
	env_set("NCCL_DEVMEM_IFNAME", "=sdm0");
	plug_open();
	peer_get(p.fd, handle, sizeof(handle));
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), ncclSuccess);
	side_open(&s, send, MSG);
	remover = fork();
	if (remover == 0) {
		peer_get(p.fd, &c, 1);
		shell("nsenter -t %d -n ip link del sdm1", (int)p.pid);
		_exit(0);
	}
	CHECK_EQ(stream(&s, true, -1), ncclRemoteError);
	peer_get(p.fd, &c, 1);
	side_close(&s, true);
	peer_wait(&p);
	plug_close();
}

/* How the receiver of the next cases ends. */
enum ending { END_BY_ERROR, END_BY_CLOSE, END_BY_ABORT };
static enum ending ending;

/* Receives by devmem while the sender streams, and ends in mid-stream: nothing may be left, in whatever way. */
static void ending_receiver(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	struct nccl_devmem_counters k;
	struct settings before;
	void *listen, *recv, *req;
	struct side s;
	uint8_t *buf;

	ns_enter();
	peer_put(fd, "n", 1);
	peer_get(fd, &c, 1);
	env_set("NCCL_DEVMEM_IFNAME", "=sdm1");
	settings_get("sdm1", &before);
	plug_open();
	do_listen(handle, &listen);
	peer_put(fd, handle, sizeof(handle));
	CHECK_EQ(do_accept(listen, &recv, ERROR_MS), ncclSuccess);
	plug_expect_log("receive path devmem");
	side_open(&s, recv, MSG);
	if (ending == END_BY_ERROR) {
		CHECK_EQ(stream(&s, false, fd), ncclRemoteError);
	} else {
		receive(&s, 3);
		/* Half a message: frags are in the queue, tokens are held. */
		CHECK_EQ(do_irecv(&s, 0, MSG, &req, ERROR_MS), ncclSuccess);
		wait_one(req, NULL, 1);
	}
	buf = s.buf;
	if (ending != END_BY_ABORT) {
		side_close(&s, false);
		buf = NULL;
		CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	}
	CHECK_EQ(plug.net->finalize(plug.ctx), ncclSuccess);
	plug.ctx = NULL;
	plug_counters(&k);
	CHECK(k.recv_devmem > 0);
	CHECK_EQ(k.tokens_out, k.tokens_in);
	CHECK_EQ(k.rules, k.rules_removed);
	plug_close();
	free(buf);
	settings_same("sdm1", &before);
	CHECK_EQ(count_records(), 0);
}

/* In the main process's namespace, but not in that process, so that it can be killed. */
static void streaming_sender(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c, path[64];
	struct side s;
	void *send;
	int ns, fds;

	peer_get(fd, &c, 1);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)getppid());
	ns = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(ns >= 0 && setns(ns, CLONE_NEWNET) == 0);
	close(ns);
	env_set("NCCL_DEVMEM_IFNAME", "=sdm0");
	fds = count_fds();
	plug_open();
	peer_get(fd, handle, sizeof(handle));
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), ncclSuccess);
	side_open_dmabuf(&s, send, MSG);
	/* The first three have the bytes that receive() looks for. */
	if (ending != END_BY_ERROR)
		send_messages(&s, 3);
	CHECK_EQ(stream(&s, true, -1), ncclRemoteError);
	/* An abort: the send binding and its netlink socket are finalize()'s to end. */
	if (ending == END_BY_ABORT)
		munmap(s.buf, s.size);
	else
		side_close_dmabuf(&s);
	plug_close();
	CHECK_EQ(count_fds(), fds);
}

static void ends(enum ending how)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	struct peer rx, tx;

	env_set("NCCL_DEVMEM_REQUIRE", "devmem");
	env_set("NCCL_DEVMEM_SOCKETS", "3");
	ending = how;
	rx = peer_start(ending_receiver);
	tx = peer_start(streaming_sender);
	peer_get(rx.fd, &c, 1);
	ns_enter();
	sdm_up(rx.pid);
	peer_put(rx.fd, "g", 1);
	peer_put(tx.fd, "g", 1);
	peer_get(rx.fd, handle, sizeof(handle));
	peer_put(tx.fd, handle, sizeof(handle));
	if (how == END_BY_ERROR) {
		peer_get(rx.fd, &c, 1);
		peer_kill(&tx);
	} else {
		peer_wait(&tx);
	}
	peer_wait(&rx);
}

static void sender_killed(void)
{
	ends(END_BY_ERROR);
}

static void receiver_closes(void)
{
	ends(END_BY_CLOSE);
}

static void receiver_aborts(void)
{
	ends(END_BY_ABORT);
}

static void enter_named(void)
{
	int fd = open("/run/netns/" NETNS, O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0 && setns(fd, CLONE_NEWNET) == 0);
	close(fd);
}

/* Killed with binding and rules in place. */
static void killed_receiver(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	struct settings before;
	void *listen, *recv;
	struct side s;

	enter_named();
	peer_put(fd, "n", 1);
	peer_get(fd, &c, 1);
	env_set("NCCL_DEVMEM_IFNAME", "=sdm1");
	settings_get("sdm1", &before);
	peer_put(fd, &before, sizeof(before));
	plug_open();
	do_listen(handle, &listen);
	peer_put(fd, handle, sizeof(handle));
	CHECK_EQ(do_accept(listen, &recv, ERROR_MS), ncclSuccess);
	side_open(&s, recv, MSG);
	stream(&s, false, fd);
	FAIL("was to be killed");
}

/* The next start on that host: finds what is left, restores it, and works. */
static void successor(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	struct settings before, now;
	void *listen, *recv;
	struct side s;

	peer_get(fd, &before, sizeof(before));
	enter_named();
	env_set("NCCL_DEVMEM_IFNAME", "=sdm1");
	settings_get("sdm1", &now);
	/* Else this would test nothing. */
	CHECK(strcmp(before.text, now.text) != 0);
	CHECK_EQ(count_records(), 1);
	plug_open();
	settings_same("sdm1", &before);
	CHECK_EQ(count_records(), 0);
	do_listen(handle, &listen);
	peer_put(fd, handle, sizeof(handle));
	CHECK_EQ(do_accept(listen, &recv, ERROR_MS), ncclSuccess);
	plug_expect_log("receive path devmem");
	side_open(&s, recv, MSG);
	receive(&s, 5);
	peer_put(fd, "d", 1);
	peer_get(fd, &c, 1);
	side_close(&s, false);
	check_counters(5, true);
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	plug_close();
	settings_same("sdm1", &before);
}

static void killed_then_fresh(void)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	struct peer victim, next;
	struct settings before;
	struct side s;
	void *send;
	pid_t killer;

	env_set("NCCL_DEVMEM_REQUIRE", "devmem");
	shell("ip netns add " NETNS);
	victim = peer_start(killed_receiver);
	next = peer_start(successor);
	peer_get(victim.fd, &c, 1);
	ns_enter();
	sdm_up(victim.pid);
	peer_put(victim.fd, "g", 1);
	peer_get(victim.fd, &before, sizeof(before));
	env_set("NCCL_DEVMEM_IFNAME", "=sdm0");
	plug_open();
	peer_get(victim.fd, handle, sizeof(handle));
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), ncclSuccess);
	side_open(&s, send, MSG);
	killer = fork();
	if (killer == 0) {
		peer_get(victim.fd, &c, 1);
		kill(victim.pid, SIGKILL);
		_exit(0);
	}
	CHECK_EQ(stream(&s, true, -1), ncclRemoteError);
	side_close(&s, true);
	peer_kill(&victim);
	peer_put(next.fd, &before, sizeof(before));
	peer_get(next.fd, handle, sizeof(handle));
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), ncclSuccess);
	side_open(&s, send, MSG);
	send_messages(&s, 5);
	peer_get(next.fd, &c, 1);
	peer_put(next.fd, "x", 1);
	side_close(&s, true);
	peer_wait(&next);
	plug_close();
	shell("ip netns del " NETNS);
}

#define G(fn)                                   \
	{                                       \
		.name = "guest." #fn, .run = fn \
	}
const struct fault_case cases_ending[] = {
	G(sender_killed),  G(receiver_closes),	 G(receiver_aborts),
	G(device_removed), G(killed_then_fresh), { 0 },
};
