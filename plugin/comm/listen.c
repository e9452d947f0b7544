// SPDX-License-Identifier: BSD-3-Clause
/*
 * The listening side: takes connections, reads their hellos, drops strangers, and puts the sockets of one peer together.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/mutant.h"
#include "base/param.h"
#include "base/trace.h"
#include "comm/net_internal.h"
#include "comm/peer_mode.h"

/*
 * Accepted sockets whose hello is not complete. A stranger that says nothing goes when a newer one needs the place, but
 * not before a peer would have spoken; until then newer ones wait in the kernel's queue.
 */
#define INBOUND_MAX	 64
#define HELLO_TIMEOUT_MS 5000
#define HELLO_GRACE_MS	 250

/* Connections of which some sockets have arrived. NCCL makes one per listener; more happen only when peers retry. */
#define PARTIAL_MAX 8

/* A socket that has not introduced itself. fd -1: free. */
struct inbound {
	int fd;
	size_t pos;
	int64_t deadline;
	struct sockaddr_storage peer;
	struct wire_hello hello;
};

/* A connection on the way. n_socks 0: free. @flags: what the connecting side said of itself. */
struct partial {
	uint64_t conn;
	int n_socks;
	int n_got;
	uint32_t flags;
	int ctrl_fd;
	int socks[WIRE_MAX_SOCKS];
	int64_t deadline;
	struct sockaddr_storage peer;
};

struct listen_comm {
	int fd;
	const struct nic *nic;
	bool said_stranger;
	uint8_t nonce[WIRE_NONCE_LEN];
	struct inbound inbound[INBOUND_MAX];
	struct partial partial[PARTIAL_MAX];
	struct listen_comm *next, *prev;
};

static pthread_mutex_t listeners_lock = PTHREAD_MUTEX_INITIALIZER;
static struct listen_comm *listeners;

static void track(struct listen_comm *l)
{
	pthread_mutex_lock(&listeners_lock);
	l->next = listeners;
	if (listeners)
		listeners->prev = l;
	listeners = l;
	pthread_mutex_unlock(&listeners_lock);
}

static void untrack(struct listen_comm *l)
{
	pthread_mutex_lock(&listeners_lock);
	if (l->prev)
		l->prev->next = l->next;
	else
		listeners = l->next;
	if (l->next)
		l->next->prev = l->prev;
	pthread_mutex_unlock(&listeners_lock);
}

static void handle_fill(struct wire_handle *h, const struct sockaddr_storage *bound,
			const uint8_t *nonce)
{
	memset(h, 0, sizeof(*h));
	h->magic = WIRE_MAGIC;
	h->version = WIRE_VERSION;
	h->family = bound->ss_family;
	memcpy(h->nonce, nonce, WIRE_NONCE_LEN);
	if (bound->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)bound;

		memcpy(h->addr, &in->sin_addr, sizeof(in->sin_addr));
		h->port = in->sin_port;
	} else {
		const struct sockaddr_in6 *in6 = (const void *)bound;

		memcpy(h->addr, &in6->sin6_addr, sizeof(in6->sin6_addr));
		h->port = in6->sin6_port;
	}
	wire_handle_swap(h);
}

int listen_comm_create(const struct nic *nic, void *handle, struct listen_comm **ret)
{
	struct listen_comm *l = calloc(1, sizeof(*l));
	struct sockaddr_storage bound;
	char text[SOCK_ADDR_TEXT];
	struct wire_handle h;
	int i, r;

	if (!l)
		return -ENOMEM;
	for (i = 0; i < INBOUND_MAX; i++)
		l->inbound[i].fd = -1;
	l->nic = nic;
	if (getrandom(l->nonce, sizeof(l->nonce), 0) != sizeof(l->nonce)) {
		r = errno ? -errno : -EIO;
		goto free_listen;
	}
	r = sock_listen((const struct sockaddr *)&nic->addr, nic->addrlen, &bound);
	if (r < 0) {
		log_err("%s: listening on %s failed: %s", nic->name,
			sock_addr_text((const struct sockaddr *)&nic->addr, text), strerror(-r));
		goto free_listen;
	}
	l->fd = r;
	handle_fill(&h, &bound, l->nonce);
	memset(handle, 0, NET_HANDLE_SIZE);
	memcpy(handle, &h, sizeof(h));
	track(l);
	*ret = l;
	return 0;

free_listen:
	free(l);
	return r;
}

static void inbound_drop(struct inbound *in)
{
	if (in->fd >= 0)
		close(in->fd);
	in->fd = -1;
}

static void partial_drop(struct partial *p)
{
	int i;

	if (!p->n_socks)
		return;
	if (p->ctrl_fd >= 0)
		close(p->ctrl_fd);
	for (i = 0; i < p->n_socks; i++)
		if (p->socks[i] >= 0)
			close(p->socks[i]);
	p->n_socks = 0;
}

static void destroy(struct listen_comm *l)
{
	int i;

	for (i = 0; i < INBOUND_MAX; i++)
		inbound_drop(&l->inbound[i]);
	for (i = 0; i < PARTIAL_MAX; i++)
		partial_drop(&l->partial[i]);
	close(l->fd);
	free(l);
}

void listen_comm_destroy(struct listen_comm *l)
{
	untrack(l);
	destroy(l);
}

void listen_comm_sweep(void)
{
	while (listeners)
		listen_comm_destroy(listeners);
}

/* Drops a caller that is not who we were told of. Said once per listener: a port scan must not fill the log. */
static void drop_stranger(struct listen_comm *l, struct inbound *in, const char *what)
{
	char text[SOCK_ADDR_TEXT];

	counter_inc(strangers);
	if (!l->said_stranger) {
		l->said_stranger = true;
		log_warn("%s: dropped a connection from %s that %s; a port scan, or a job with a "
			 "stale handle?",
			 l->nic->name, sock_addr_text((const struct sockaddr *)&in->peer, text),
			 what);
	}
	inbound_drop(in);
}

/*
 * A place for one more: a free one, else the oldest socket's, which the caller has to drop. NULL when everybody in the table
 * is still within the grace time.
 */
static struct inbound *inbound_slot(struct listen_comm *l)
{
	struct inbound *oldest = &l->inbound[0];
	int i;

	for (i = 0; i < INBOUND_MAX; i++) {
		if (l->inbound[i].fd < 0)
			return &l->inbound[i];
		if (l->inbound[i].deadline < oldest->deadline)
			oldest = &l->inbound[i];
	}
	if (now_ms() < oldest->deadline - HELLO_TIMEOUT_MS + HELLO_GRACE_MS)
		return NULL;
	return oldest;
}

static int take_new(struct listen_comm *l)
{
	int i;

	for (i = 0; i < INBOUND_MAX; i++) {
		struct sockaddr_storage peer;
		socklen_t len = sizeof(peer);
		struct inbound *in = inbound_slot(l);
		int fd;

		if (!in)
			return 0;
		fd = accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EAGAIN)
				return 0;
			/* The caller went away again, or one of the network errors that accept(2) says to retry. */
			if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO ||
			    errno == ENETDOWN || errno == EHOSTUNREACH || errno == ENETUNREACH)
				continue;
			log_err("%s: accept failed: %s%s", l->nic->name, strerror(errno),
				errno == EMFILE ? "; raise the limit of open files (ulimit -n)"
						: "");
			return -errno;
		}
		if (in->fd >= 0)
			drop_stranger(l, in, "said nothing while many others waited");
		*in = (struct inbound){ .fd = fd,
					.deadline = now_ms() + HELLO_TIMEOUT_MS,
					.peer = peer };
	}
	return 0;
}

static struct partial *partial_find(struct listen_comm *l, const struct wire_hello *hello)
{
	struct partial *free_slot = NULL;
	int i;

	for (i = 0; i < PARTIAL_MAX; i++) {
		struct partial *p = &l->partial[i];

		if (p->n_socks && p->conn == hello->conn)
			return p->n_socks == hello->n_socks ? p : NULL;
		if (!p->n_socks && !free_slot)
			free_slot = p;
	}
	if (!free_slot)
		return NULL;
	*free_slot = (struct partial){
		.conn = hello->conn,
		.n_socks = hello->n_socks,
		.ctrl_fd = -1,
		.deadline = now_ms() + param_int(PARAM_CONNECT_TIMEOUT),
	};
	for (i = 0; i < WIRE_MAX_SOCKS; i++)
		free_slot->socks[i] = -1;
	return free_slot;
}

/* Tells a peer of another version why it is not served; best effort, it is a fresh socket with an empty buffer. */
static void refuse_version(struct inbound *in)
{
	struct wire_ready ready = { .magic = WIRE_MAGIC,
				    .version = WIRE_VERSION,
				    .status = EPROTO };
	size_t pos = 0;

	wire_ready_swap(&ready);
	sock_write_some(in->fd, &ready, sizeof(ready), &pos);
}

/* Constant time, so that answering tells a stranger nothing about how much of the nonce it guessed. */
static bool nonce_equal(const uint8_t *a, const uint8_t *b)
{
	uint8_t diff = 0;
	int i;

	for (i = 0; i < WIRE_NONCE_LEN; i++)
		diff |= a[i] ^ b[i];
	return diff == 0;
}

/* A hello is complete: the socket joins its connection, or goes. -EPROTO if the peer speaks another version. */
static int introduce(struct listen_comm *l, struct inbound *in)
{
	struct wire_hello *h = &in->hello;
	char text[SOCK_ADDR_TEXT];
	struct partial *p;
	int *slot;

	wire_hello_swap(h);
	if (h->magic != WIRE_MAGIC || !nonce_equal(h->nonce, l->nonce)) {
		drop_stranger(l, in,
			      h->magic != WIRE_MAGIC ? "does not speak this protocol"
						     : "does not know the nonce");
		return 0;
	}
	if (h->version != WIRE_VERSION && !DEVMEM_MUTANT(hello_version)) {
		log_err("%s: peer %s speaks wire version %u, this plugin %u: install the same "
			"version of libnccl-net-devmem.so "
			"on all hosts",
			l->nic->name, sock_addr_text((const struct sockaddr *)&in->peer, text),
			h->version, WIRE_VERSION);
		refuse_version(in);
		inbound_drop(in);
		return -EPROTO;
	}
	if (h->n_socks == 0 || h->n_socks > WIRE_MAX_SOCKS || h->index >= h->n_socks ||
	    (h->kind != WIRE_HELLO_CTRL && h->kind != WIRE_HELLO_DATA)) {
		drop_stranger(l, in, "sent a hello that makes no sense");
		return 0;
	}
	p = partial_find(l, h);
	slot = !p ? NULL : h->kind == WIRE_HELLO_CTRL ? &p->ctrl_fd : &p->socks[h->index];
	if (!slot || *slot >= 0) {
		drop_stranger(l, in, "came twice, or to too many connections at once");
		return 0;
	}
	*slot = in->fd;
	in->fd = -1;
	p->n_got++;
	if (h->kind == WIRE_HELLO_CTRL) {
		p->peer = in->peer;
		p->flags = h->flags;
	}
	return 0;
}

static int read_hellos(struct listen_comm *l)
{
	int64_t now = now_ms();
	int i, r;

	for (i = 0; i < INBOUND_MAX; i++) {
		struct inbound *in = &l->inbound[i];

		if (in->fd < 0)
			continue;
		r = sock_read_some(in->fd, &in->hello, sizeof(in->hello), &in->pos);
		if (r < 0)
			drop_stranger(l, in, "closed before it introduced itself");
		else if (r == 0 && now > in->deadline)
			drop_stranger(l, in, "did not introduce itself in time");
		else if (r == 1)
			r = introduce(l, in);
		if (r == -EPROTO)
			return r;
	}
	for (i = 0; i < PARTIAL_MAX; i++) {
		if (l->partial[i].n_socks && now > l->partial[i].deadline) {
			log_warn(
				"%s: gave up a connection of which %d of %d sockets came within %s",
				l->nic->name, l->partial[i].n_got, l->partial[i].n_socks + 1,
				param_env_name(PARAM_CONNECT_TIMEOUT));
			partial_drop(&l->partial[i]);
		}
	}
	return 0;
}

/* All sockets are there: makes the comm and tells the peer. The data sockets are silent until it hears that. */
static int finish(struct listen_comm *l, struct partial *p, struct comm **ret)
{
	struct wire_ready ready = { .magic = WIRE_MAGIC, .version = WIRE_VERSION };
	enum rung rung = RUNG_COPY;
	struct comm *comm = NULL;
	char text[SOCK_ADDR_TEXT];
	size_t pos = 0;
	/* create() closes it on failure, but the peer must hear why */
	int ctrl = fcntl(p->ctrl_fd, F_DUPFD_CLOEXEC, 0);
	int i, r = 0;

	if (ctrl < 0)
		r = -errno;
	for (i = 0; i < p->n_socks && r == 0; i++)
		r = sock_prepare(p->socks[i], true);
	if (r == 0)
		r = sock_prepare(p->ctrl_fd, false);
	sock_addr_text((const struct sockaddr *)&p->peer, text);
	if (r < 0)
		log_err("%s: preparing the connection from %s failed: %s", l->nic->name, text,
			strerror(-r));
	else
		r = peer_mode_check(l->nic, text, p->flags);
	if (r < 0) {
		partial_drop(p);
	} else {
		r = recv_comm_create(
			l->nic, p->ctrl_fd, p->socks, p->n_socks, (const struct sockaddr *)&p->peer,
			p->flags & WIRE_FRAMES && param_bool(PARAM_FRAMES), &comm, &rung);
		p->n_socks = 0; /* taken over, in either case */
	}

	ready.rung = (uint16_t)rung;
	ready.flags = peer_mode_flags();
	if (r == 0 && comm->frames)
		ready.flags |= WIRE_FRAMES | (p->flags & WIRE_ACKS);
	ready.status = -r;
	wire_ready_swap(&ready);
	if (ctrl >= 0) {
		int w = sock_write_some(ctrl, &ready, sizeof(ready), &pos);

		if (!DEVMEM_MUTANT(accept_fd_kept))
			close(ctrl);
		if (r == 0 && w != 1) {
			r = w < 0 ? w : -EIO;
			log_err("%s: peer %s went away during set-up: %s", l->nic->name, text,
				strerror(-r));
			comm->ops->destroy(comm);
		}
	}
	if (r < 0)
		return r;
	net_track_comm(comm);
	TRACE5(accepted, comm, comm->nic->name, comm->peer, comm->n_socks, rung);
	*ret = comm;
	return 0;
}

int listen_comm_accept(struct listen_comm *l, struct comm **ret)
{
	int i, r;

	*ret = NULL;
	if (DEVMEM_MUTANT(accept_blocks))
		poll(&(struct pollfd){ .fd = l->fd, .events = POLLIN }, 1, 2000);
	r = take_new(l);
	if (r == 0)
		r = read_hellos(l);
	if (r < 0)
		return r;
	for (i = 0; i < PARTIAL_MAX; i++) {
		struct partial *p = &l->partial[i];

		if (p->n_socks && p->n_got == p->n_socks + 1)
			return finish(l, p, ret);
	}
	return 0;
}
