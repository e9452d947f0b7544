// SPDX-License-Identifier: BSD-3-Clause
/*
 * The connecting side: a state machine that NCCL steps by calling connect() again and again with the same handle. Its address
 * is kept in the handle, which is NCCL's advice for such state.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mutant.h"
#include "base/param.h"
#include "base/trace.h"
#include "comm/net_internal.h"
#include "comm/peer_mode.h"

/* The control socket is number 0, data socket i is number i + 1. */
#define FDS_MAX (WIRE_MAX_SOCKS + 1)

/*
 * @said[i]: bytes of its hello that socket i has sent; @up: sockets that are connected and have sent all of it.
 */
struct connect_op {
	const struct nic *nic;
	int n_fds;
	int fds[FDS_MAX];
	size_t said[FDS_MAX];
	bool up[FDS_MAX];
	uint64_t conn;
	uint8_t nonce[WIRE_NONCE_LEN];
	int64_t deadline;
	struct sockaddr_storage remote;
	struct wire_ready ready;
	size_t ready_pos;
	struct connect_op *next, *prev;
};

static pthread_mutex_t ops_lock = PTHREAD_MUTEX_INITIALIZER;
static struct connect_op *ops;

static void track(struct connect_op *op)
{
	pthread_mutex_lock(&ops_lock);
	op->next = ops;
	if (ops)
		ops->prev = op;
	ops = op;
	pthread_mutex_unlock(&ops_lock);
}

static void op_destroy(struct connect_op *op)
{
	int i;

	pthread_mutex_lock(&ops_lock);
	if (op->prev)
		op->prev->next = op->next;
	else
		ops = op->next;
	if (op->next)
		op->next->prev = op->prev;
	pthread_mutex_unlock(&ops_lock);
	for (i = 0; i < op->n_fds; i++)
		if (op->fds[i] >= 0)
			close(op->fds[i]);
	free(op);
}

/*
 * The operation that a handle's state names, or NULL. A handle comes from outside: its pointer is only followed if it is
 * one of ours.
 */
static struct connect_op *op_find(uint64_t state)
{
	struct connect_op *op;

	pthread_mutex_lock(&ops_lock);
	for (op = ops; op; op = op->next)
		if ((uintptr_t)op == state)
			break;
	pthread_mutex_unlock(&ops_lock);
	return op;
}

void connect_sweep(void)
{
	while (ops)
		op_destroy(ops);
}

/* How many data sockets pay: one does where no link is involved, more share the work of a fast one. Said once for each number. */
static int socket_count(const struct nic *nic, bool peer_is_local)
{
	int n = (int)param_int(PARAM_SOCKETS);
	static uint32_t said;
	char why[64];

	if (n) {
		snprintf(why, sizeof(why), "as %s says", param_env_name(PARAM_SOCKETS));
	} else if (nic->is_loopback || peer_is_local) {
		n = 1;
		snprintf(why, sizeof(why), "the peer is on this host, no link is to be shared");
	} else if (nic->speed_mbps >= 50000) {
		n = nic->speed_mbps >= 100000 ? 8 : 4;
		snprintf(why, sizeof(why), "for a link of %d Mbit/s", nic->speed_mbps);
	} else {
		/* One flow of devmem, which copies nothing, fills such a link, and each further one only adds calls. */
		n = net_nic_caps(nic)->rx_devmem.err ? 2 : 1;
		snprintf(why, sizeof(why), "for a link of %d Mbit/s%s", nic->speed_mbps,
			 n == 1 ? " received by devmem" : "");
	}
	if (!(__atomic_fetch_or(&said, 1U << n, __ATOMIC_RELAXED) & 1U << n))
		log_info("%s: %d data socket%s a connection: %s", nic->name, n, n > 1 ? "s" : "",
			 why);
	return n;
}

static int handle_check(const struct nic *nic, struct wire_handle *h)
{
	wire_handle_swap(h);
	if (h->magic != WIRE_MAGIC) {
		log_err("%s: the peer's handle is not from this plugin: every rank needs "
			"NCCL_NET_PLUGIN=devmem",
			nic->name);
		return -EPROTO;
	}
	if (h->version != WIRE_VERSION && !DEVMEM_MUTANT(handle_version)) {
		log_err("%s: the peer speaks wire version %u, this plugin %u: install the same "
			"version of libnccl-net-devmem.so on "
			"all hosts",
			nic->name, h->version, WIRE_VERSION);
		return -EPROTO;
	}
	if (h->family != nic->addr.ss_family) {
		log_err("%s: the peer listens on IPv%c, this interface has IPv%c: set %s to the "
			"same value on all hosts",
			nic->name, h->family == AF_INET ? '4' : '6',
			nic->addr.ss_family == AF_INET ? '4' : '6', param_env_name(PARAM_FAMILY));
		return -EAFNOSUPPORT;
	}
	return 0;
}

static void handle_addr(const struct nic *nic, const struct wire_handle *h,
			struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->ss_family = h->family;
	if (h->family == AF_INET) {
		struct sockaddr_in *in = (void *)ret;

		memcpy(&in->sin_addr, h->addr, sizeof(in->sin_addr));
		in->sin_port = h->port;
	} else {
		struct sockaddr_in6 *in6 = (void *)ret;

		memcpy(&in6->sin6_addr, h->addr, sizeof(in6->sin6_addr));
		in6->sin6_port = h->port;
		/* A scope id means something on one host only: link-local traffic goes out of our own interface. */
		if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
			in6->sin6_scope_id = (uint32_t)nic->ifindex;
	}
}

static int op_create(const struct nic *nic, const struct wire_handle *h, struct connect_op **ret)
{
	struct connect_op *op = calloc(1, sizeof(*op));
	char text[SOCK_ADDR_TEXT];
	int i, r = 0;

	if (!op)
		return -ENOMEM;
	op->nic = nic;
	memcpy(op->nonce, h->nonce, WIRE_NONCE_LEN);
	handle_addr(nic, h, &op->remote);
	op->deadline = now_ms() + param_int(PARAM_CONNECT_TIMEOUT);
	op->n_fds = 1 + socket_count(nic, nic_addr_is_local((struct sockaddr *)&op->remote));
	for (i = 0; i < op->n_fds; i++)
		op->fds[i] = -1;
	track(op);
	if (getrandom(&op->conn, sizeof(op->conn), 0) != sizeof(op->conn))
		r = -EIO;
	for (i = 0; i < op->n_fds && r == 0; i++)
		r = sock_connect((const struct sockaddr *)&nic->addr,
				 (struct sockaddr *)&op->remote, nic->addrlen, i > 0, &op->fds[i]);
	if (r < 0) {
		log_err("%s: connecting to %s failed: %s", nic->name,
			sock_addr_text((struct sockaddr *)&op->remote, text), strerror(-r));
		op_destroy(op);
		return r;
	}
	*ret = op;
	return 0;
}

/* Moves socket @i on: connected? hello sent? 1 when both, 0 not yet, -errno. */
static int step_sock(struct connect_op *op, int i)
{
	struct wire_hello hello = {
		.magic = WIRE_MAGIC,
		.version = WIRE_VERSION,
		.kind = i ? WIRE_HELLO_DATA : WIRE_HELLO_CTRL,
		.conn = op->conn,
		.n_socks = (uint16_t)(op->n_fds - 1),
		.index = (uint16_t)(i ? i - 1 : 0),
	};
	int r;

	if (op->up[i])
		return 1;
	if (op->said[i] == 0) {
		r = sock_connected(op->fds[i]);
		if (r <= 0)
			return r;
		r = sock_prepare(op->fds[i], i > 0);
		if (r < 0)
			return r;
	}
	if (i == 0)
		hello.flags = peer_mode_flags() |
			      (param_bool(PARAM_FRAMES) ? WIRE_FRAMES | WIRE_ACKS : 0);
	memcpy(hello.nonce, op->nonce, WIRE_NONCE_LEN);
	wire_hello_swap(&hello);
	r = sock_write_some(op->fds[i], &hello, sizeof(hello), &op->said[i]);
	op->up[i] = r == 1;
	return r;
}

static int step(struct connect_op *op)
{
	int i, r, up = 0;

	for (i = 0; i < op->n_fds; i++) {
		r = step_sock(op, i);
		if (r < 0)
			return r;
		up += r;
	}
	if (up < op->n_fds)
		return 0;
	if (DEVMEM_MUTANT(connect_blocks))
		poll(&(struct pollfd){ .fd = op->fds[0], .events = POLLIN }, 1, 2000);
	return sock_read_some(op->fds[0], &op->ready, sizeof(op->ready), &op->ready_pos);
}

static int check_ready(struct connect_op *op, const char *peer)
{
	int r;

	wire_ready_swap(&op->ready);
	if (op->ready.magic != WIRE_MAGIC || op->ready.version != WIRE_VERSION) {
		log_err("%s: %s answered in wire version %u, this plugin speaks %u", op->nic->name,
			peer, op->ready.version, WIRE_VERSION);
		return -EPROTO;
	}
	r = peer_mode_check(op->nic, peer, op->ready.flags);
	if (r < 0)
		return r;
	if (op->ready.status) {
		log_err("%s: %s refused the connection: %s; its own log says why", op->nic->name,
			peer, strerror(op->ready.status));
		return -ECONNREFUSED;
	}
	return 0;
}

/* The connection stands: its sockets pass from the operation to a send comm. */
static int finish(struct connect_op *op, const char *peer, struct comm **ret)
{
	struct comm *comm;
	int r;

	r = check_ready(op, peer);
	if (r == 0) {
		int n_socks = op->n_fds - 1;

		op->n_fds = 0;
		if (op->ready.flags & WIRE_FRAMES)
			r = frame_send_create(op->nic, op->fds[0], op->fds + 1, n_socks,
					      (struct sockaddr *)&op->remote,
					      op->ready.flags & WIRE_ACKS, &comm);
		else
			r = send_comm_create(op->nic, op->fds[0], op->fds + 1, n_socks,
					     (struct sockaddr *)&op->remote, &comm);
	}
	op_destroy(op);
	if (r < 0)
		return r;
	net_track_comm(comm);
	TRACE4(connected, comm, comm->nic->name, comm->peer, comm->n_socks);
	*ret = comm;
	return 0;
}

int connect_step(const struct nic *nic, void *handle, struct comm **ret)
{
	char text[SOCK_ADDR_TEXT];
	struct connect_op *op;
	struct wire_handle h;
	uint64_t state;
	int r;

	*ret = NULL;
	memcpy(&h, handle, sizeof(h)); /* may be unaligned */
	op = op_find(h.state);
	if (!op) {
		r = handle_check(nic, &h);
		if (r == 0)
			r = op_create(nic, &h, &op);
		if (r < 0)
			return r;
		state = (uintptr_t)op;
		memcpy((uint8_t *)handle + offsetof(struct wire_handle, state), &state,
		       sizeof(state));
	}

	r = step(op);
	if (r == 0 && now_ms() <= op->deadline)
		return 0;

	/* Done, one way or the other: a later call with this handle would start afresh. */
	state = 0;
	memcpy((uint8_t *)handle + offsetof(struct wire_handle, state), &state, sizeof(state));
	sock_addr_text((struct sockaddr *)&op->remote, text);
	if (r == 1)
		return finish(op, text, ret);
	if (r == 0) {
		r = -ETIMEDOUT;
		log_err("%s: connection to %s did not come up within %lld ms (%s); is a firewall "
			"in the way?",
			nic->name, text, (long long)param_int(PARAM_CONNECT_TIMEOUT),
			param_env_name(PARAM_CONNECT_TIMEOUT));
	} else {
		log_err("%s: connecting to %s failed: %s", nic->name, text, strerror(-r));
	}
	op_destroy(op);
	return r;
}
