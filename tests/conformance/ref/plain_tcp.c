// SPDX-License-Identifier: BSD-3-Clause
/*
 * A plain net plugin, to run devmem-conformance on something else than the project's own: one TCP socket per connection, host memory,
 * no threads, a header before each message. It shares no code with the other one. PLAIN_TCP_IFNAME: the interface (lo).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "plain_tcp.h"

struct message {
	uint64_t size;
	uint64_t tag;
};

struct comm;

/* One isend or irecv, in its comm's ring from the call until it was reported done. */
struct request {
	struct comm *comm;
	bool used;
	bool done;
	uint8_t *data;
	size_t room;
	size_t pos; /* bytes of header and data that are through */
	struct message head;
};

/* @first, @next: the oldest request that is not done, the next one; they count up for ever. */
struct comm {
	int fd;
	bool sends;
	ncclResult_t failed;
	uint32_t first, next_seq;
	struct request reqs[NCCL_NET_MAX_REQUESTS];
	struct comm *next;
};

/* In the handle: where to, and on the connecting side the comm that is on its way. */
struct handle {
	struct sockaddr_in addr;
	uint64_t comm;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct comm *comms;
static struct sockaddr_in local;
static char name[IF_NAMESIZE];
static ncclDebugLogger_t logger;
static int refs;
static pid_t owner;

#define WARN(...) logger(NCCL_LOG_WARN, NCCL_NET, __FILE__, __LINE__, "NET/PlainTcp: " __VA_ARGS__)

static ncclResult_t result_of(int err)
{
	switch (err) {
	case ECONNRESET:
	case ECONNREFUSED:
	case EPIPE:
	case ETIMEDOUT:
		return ncclRemoteError;
	default:
		return ncclSystemError;
	}
}

static struct comm *comm_new(int fd, bool sends)
{
	struct comm *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return NULL;
	}
	c->fd = fd;
	c->sends = sends;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	pthread_mutex_lock(&lock);
	c->next = comms;
	comms = c;
	pthread_mutex_unlock(&lock);
	return c;
}

ncclResult_t plain_close(void *comm)
{
	struct comm **p, *c = comm;

	if (getpid() != owner)
		return ncclSuccess;
	pthread_mutex_lock(&lock);
	for (p = &comms; *p && *p != c; p = &(*p)->next)
		;
	if (*p)
		*p = c->next;
	pthread_mutex_unlock(&lock);
	close(c->fd);
	free(c);
	return ncclSuccess;
}

ncclResult_t plain_init(void **ctx, ncclDebugLogger_t log)
{
	const char *wanted = getenv("PLAIN_TCP_IFNAME");
	struct ifaddrs *all, *i;
	ncclResult_t res = ncclSystemError;

	if (getifaddrs(&all))
		return res;
	pthread_mutex_lock(&lock);
	logger = log;
	for (i = all; i; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
		    strcmp(i->ifa_name, wanted ? wanted : "lo") != 0)
			continue;
		memcpy(&local, i->ifa_addr, sizeof(local));
		strncpy(name, i->ifa_name, sizeof(name) - 1);
		owner = getpid();
		refs++;
		if (ctx)
			*ctx = &refs;
		res = ncclSuccess;
		break;
	}
	pthread_mutex_unlock(&lock);
	freeifaddrs(all);
	return res;
}

/* After an abort NCCL closes nothing. */
ncclResult_t plain_finalize(void *ctx)
{
	(void)ctx;
	if (--refs == 0)
		while (comms)
			plain_close(comms);
	return ncclSuccess;
}

/* Up to version 10 nobody finalizes. */
__attribute__((destructor)) static void unload(void)
{
	while (refs > 0 && owner == getpid())
		plain_finalize(NULL);
}

ncclResult_t plain_devices(int *ndev)
{
	*ndev = 1;
	return ncclSuccess;
}

void plain_props(struct plain_props *p)
{
	*p = (struct plain_props){ .name = name, .speed = 10000, .max_comms = 4096 };
}

ncclResult_t plain_listen(int dev, void *handle, void **listen_comm)
{
	struct handle h = { .addr = local };
	socklen_t len = sizeof(h.addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct comm *c;

	if (dev)
		return ncclInvalidArgument;
	h.addr.sin_port = 0;
	if (fd < 0)
		return ncclSystemError;
	if (bind(fd, (struct sockaddr *)&h.addr, len) || listen(fd, 16) ||
	    getsockname(fd, (struct sockaddr *)&h.addr, &len)) {
		close(fd);
		return ncclSystemError;
	}
	c = comm_new(fd, false);
	if (!c)
		return ncclSystemError;
	memset(handle, 0, NCCL_NET_HANDLE_MAXSIZE);
	memcpy(handle, &h, sizeof(h));
	*listen_comm = c;
	return ncclSuccess;
}

/*
 * The socket on its way is a comm from the start, so that finalize finds it; connecting again shows how far it is.
 */
ncclResult_t plain_connect(int dev, void *handle, void **send_comm)
{
	struct comm *c;
	struct handle h;
	int err = 0, fd;

	if (dev)
		return ncclInvalidArgument;
	*send_comm = NULL;
	memcpy(&h, handle, sizeof(h));
	c = (struct comm *)(uintptr_t)h.comm;
	if (!c) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		c = fd < 0 ? NULL : comm_new(fd, true);
		if (!c)
			return ncclSystemError;
		h.comm = (uintptr_t)c;
		memcpy(handle, &h, sizeof(h));
	}
	if (connect(c->fd, (struct sockaddr *)&h.addr, sizeof(h.addr)) < 0 && errno != EISCONN)
		err = errno;
	if (err == EINPROGRESS || err == EALREADY)
		return ncclSuccess;
	if (err) {
		WARN("connect: %s", strerror(err));
		plain_close(c);
		h.comm = 0;
		memcpy(handle, &h, sizeof(h));
		return result_of(err);
	}
	*send_comm = c;
	return ncclSuccess;
}

ncclResult_t plain_accept(void *listen_comm, void **recv_comm)
{
	struct comm *l = listen_comm, *c;
	int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	*recv_comm = NULL;
	if (fd < 0)
		return errno == EAGAIN || errno == ECONNABORTED ? ncclSuccess : ncclSystemError;
	c = comm_new(fd, false);
	if (!c)
		return ncclSystemError;
	*recv_comm = c;
	return ncclSuccess;
}

ncclResult_t plain_reg(void *comm, void *data, size_t size, int type, void **mhandle)
{
	(void)data;
	(void)size;
	if (type != NCCL_PTR_HOST)
		return ncclInvalidUsage;
	*mhandle = comm; /* nothing to keep, but NULL would mean a refusal */
	return ncclSuccess;
}

ncclResult_t plain_dereg(void *comm, void *mhandle)
{
	(void)comm;
	(void)mhandle;
	return ncclSuccess;
}

static ncclResult_t fail(struct comm *c, int err)
{
	c->failed = result_of(err);
	WARN("%s: %s", c->sends ? "send" : "receive", strerror(err));
	return c->failed;
}

/* Moves the oldest request on. 1 moved, 0 not, -1 failed. */
static int request_move(struct comm *c, struct request *r)
{
	const size_t head = sizeof(r->head);
	struct iovec iov[2] = { { (uint8_t *)&r->head + r->pos,
				  r->pos < head ? head - r->pos : 0 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 1 };
	size_t at = r->pos > head ? r->pos - head : 0;
	ssize_t n;

	if (c->sends || r->pos >= head) {
		iov[1] = (struct iovec){ r->data + at, (size_t)r->head.size - at };
		msg.msg_iovlen = 2;
	}
	n = c->sends ? sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL)
		     : recvmsg(c->fd, &msg, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		fail(c, n < 0 ? errno : ECONNRESET);
		return -1;
	}
	r->pos += (size_t)n;
	if (!c->sends && r->pos == head && r->head.size > r->room) {
		WARN("message of %llu bytes for a receive of %zu: mismatched collective?",
		     (unsigned long long)r->head.size, r->room);
		c->failed = ncclInvalidUsage;
		return -1;
	}
	return 1;
}

static ncclResult_t progress(struct comm *c)
{
	while (c->first != c->next_seq) {
		struct request *r = &c->reqs[c->first % NCCL_NET_MAX_REQUESTS];
		const size_t head = sizeof(r->head);
		int moved = request_move(c, r);

		if (moved < 0)
			return c->failed;
		if (r->pos >= head && r->pos == head + r->head.size) {
			r->done = true;
			c->first++;
		} else if (!moved) {
			break;
		}
	}
	return ncclSuccess;
}

static ncclResult_t post(struct comm *c, void *data, size_t size, int tag, void **request)
{
	struct request *r = &c->reqs[c->next_seq % NCCL_NET_MAX_REQUESTS];

	*request = NULL;
	if (getpid() != owner)
		return ncclInvalidUsage;
	if (c->failed)
		return c->failed;
	if (r->used)
		return progress(c);
	*r = (struct request){ .comm = c, .used = true, .data = data, .room = size };
	if (c->sends)
		r->head = (struct message){ .size = size, .tag = (uint64_t)(int64_t)tag };
	c->next_seq++;
	*request = r;
	return ncclSuccess;
}

ncclResult_t plain_isend(void *comm, void *data, size_t size, int tag, void **request)
{
	ncclResult_t res = post(comm, data, size, tag, request);

	return res == ncclSuccess && *request ? progress(comm) : res;
}

ncclResult_t plain_irecv(void *comm, int n, void **data, size_t size, int tag, void **request)
{
	return n == 1 ? post(comm, data[0], size, tag, request) : ncclInvalidUsage;
}

ncclResult_t plain_iflush(void *comm, int n, void **data, int *sizes, void **mhandles,
			  void **request)
{
	(void)comm;
	(void)n;
	(void)data;
	(void)sizes;
	(void)mhandles;
	*request = NULL;
	return ncclSuccess;
}

ncclResult_t plain_test(void *request, int *done, int *sizes)
{
	struct request *r = request;
	ncclResult_t res;

	*done = 0;
	if (getpid() != owner)
		return ncclInvalidUsage;
	if (!r->done && r->comm->failed)
		return r->comm->failed;
	res = r->done ? ncclSuccess : progress(r->comm);
	if (res != ncclSuccess && !r->done)
		return res;
	if (!r->done)
		return ncclSuccess;
	if (sizes)
		*sizes = (int)r->head.size;
	r->used = false;
	*done = 1;
	return ncclSuccess;
}
