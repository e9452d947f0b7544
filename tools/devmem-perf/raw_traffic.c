// SPDX-License-Identifier: BSD-3-Clause
#include "raw_traffic.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "competitor.h"
#include "device_memory.h"
#include "monotime.h"
#include "report.h"

/* A connection in one direction and the slots of its messages, used in turn. */
struct stream {
	int fd;
	bool sending;
	struct device_memory buffer;
	struct traffic_shape shape;
	size_t size; /* of a message */
	uint64_t count, done;
	int err;
};

struct raw_traffic {
	struct traffic base;
	struct stream out[COMPETITOR_MAX_STREAMS], in[COMPETITOR_MAX_STREAMS];
	int streams;
	int nout, nin; /* that this rank has */
};

static struct raw_traffic *from_base(struct traffic *t)
{
	return (struct raw_traffic *)t;
}

static int report_call(const char *what)
{
	int err = -errno;

	report_err("%s: %s", what, strerror(-err));
	return err;
}

/* Moves one message. */
static int stream_message(struct stream *s)
{
	unsigned int slot = s->done % s->shape.nslots;
	uint8_t *p = (uint8_t *)s->buffer.addr + slot * s->shape.slot_size;
	size_t left = s->size;
	ssize_t n;

	while (left) {
		n = s->sending ? send(s->fd, p, left, MSG_NOSIGNAL) : recv(s->fd, p, left, 0);
		if (n == 0 && !s->sending) {
			report_err("recv: the peer has closed the connection");
			return -ECONNRESET;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return report_call(s->sending ? "send" : "recv");
		p += n;
		left -= (size_t)n;
	}
	s->done++;
	return 0;
}

/* Without framing a receiver need not know where messages end: what is there is read at once. */
static int stream_drain(struct stream *s)
{
	size_t at = s->done % s->shape.nslots * s->size, length = s->shape.nslots * s->size;
	uint64_t left = s->count * s->size;
	ssize_t n;

	while (left) {
		n = recv(s->fd, (uint8_t *)s->buffer.addr + at,
			 left < length - at ? left : length - at, 0);
		if (n == 0) {
			report_err("recv: the peer has closed the connection");
			return -ECONNRESET;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return report_call("recv");
		at = (at + (size_t)n) % length;
		left -= (uint64_t)n;
	}
	s->done += s->count;
	return 0;
}

static void *stream_main(void *arg)
{
	struct stream *s = arg;

	/* Where slots have no gaps between them. */
	if (!s->sending && s->shape.slot_size == s->size) {
		s->err = stream_drain(s);
		return NULL;
	}
	for (uint64_t i = 0; i < s->count && !s->err; i++)
		s->err = stream_message(s);
	return NULL;
}

/* @count messages each way, dealt out to the streams. */
static int raw_stream(struct traffic *t, uint64_t count)
{
	struct raw_traffic *rt = from_base(t);
	struct stream *all[2 * COMPETITOR_MAX_STREAMS];
	pthread_t threads[2 * COMPETITOR_MAX_STREAMS];
	int n = 0, started, err = 0;

	for (int i = 0; i < rt->nout; i++)
		all[n++] = &rt->out[i];
	for (int i = 0; i < rt->nin; i++)
		all[n++] = &rt->in[i];
	for (int i = 0; i < n; i++) {
		uint64_t number = (uint64_t)i % (uint64_t)rt->streams;

		all[i]->count =
			(count + (uint64_t)rt->streams - 1 - number) / (uint64_t)rt->streams;
	}
	for (started = 0; started < n; started++) {
		err = -pthread_create(&threads[started], NULL, stream_main, all[started]);
		if (err) {
			report_err("starting a thread: %s", strerror(-err));
			/* The peer waits for messages that will not come. */
			for (int i = 0; i < n; i++)
				shutdown(all[i]->fd, SHUT_RDWR);
			break;
		}
	}
	for (int i = 0; i < started; i++) {
		pthread_join(threads[i], NULL);
		if (all[i]->err)
			err = all[i]->err;
	}
	return err;
}

/* A connection for each direction, as a plugin has them. */
static int raw_ping(struct traffic *t, uint64_t count, uint32_t *samples)
{
	struct raw_traffic *rt = from_base(t);
	int64_t start = monotime_ns(), now;
	int err = 0;

	for (uint64_t i = 0; i < count && !err; i++) {
		if (t->rank != 0)
			err = stream_message(&rt->in[0]);
		if (!err)
			err = stream_message(&rt->out[0]);
		if (!err && t->rank == 0) {
			err = stream_message(&rt->in[0]);
			now = monotime_ns();
			samples[i] = traffic_sample(now - start);
			start = now;
		}
	}
	return err;
}

static int raw_verify(struct traffic *t)
{
	struct raw_traffic *rt = from_base(t);
	int err = 0;

	for (int i = 0; i < rt->nin; i++) {
		const struct stream *s = &rt->in[i];

		for (unsigned int j = 0; j < s->shape.nslots && j < s->done && !err; j++)
			err = traffic_check((uint8_t *)s->buffer.addr + j * s->shape.slot_size,
					    s->size, j);
	}
	return err;
}

static void raw_close(struct traffic *t)
{
	struct raw_traffic *rt = from_base(t);

	for (int i = 0; i < COMPETITOR_MAX_STREAMS; i++) {
		if (rt->out[i].fd >= 0)
			close(rt->out[i].fd);
		if (rt->in[i].fd >= 0)
			close(rt->in[i].fd);
		device_memory_free(&rt->out[i].buffer);
		device_memory_free(&rt->in[i].buffer);
	}
	rendezvous_close(t->rendezvous);
	free(rt);
}

static const struct traffic_ops raw_ops = {
	.stream = raw_stream,
	.ping = raw_ping,
	.verify = raw_verify,
	.close = raw_close,
};

static bool address_fits(const struct ifaddrs *a, const char *ifname)
{
	const struct sockaddr_in6 *in6;

	if (!a->ifa_addr || !(a->ifa_flags & IFF_UP))
		return false;
	if (ifname ? strcmp(a->ifa_name, ifname) != 0 : (a->ifa_flags & IFF_LOOPBACK) != 0)
		return false;
	if (a->ifa_addr->sa_family == AF_INET)
		return true;
	in6 = (const struct sockaddr_in6 *)(const void *)a->ifa_addr;
	return a->ifa_addr->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr);
}

static int own_address(const char *ifname, struct sockaddr_storage *ret)
{
	struct ifaddrs *list;
	size_t len;

	if (getifaddrs(&list) < 0)
		return report_call("getifaddrs");
	memset(ret, 0, sizeof(*ret));
	for (const struct ifaddrs *a = list; a && !ret->ss_family; a = a->ifa_next) {
		if (!address_fits(a, ifname))
			continue;
		len = a->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
							: sizeof(struct sockaddr_in6);
		memcpy(ret, a->ifa_addr, len);
	}
	freeifaddrs(list);
	if (ret->ss_family)
		return 0;
	report_err("%s: no interface that is up and has an address; --ifname names another",
		   ifname ? ifname : "raw");
	return -ENODEV;
}

static int set_congestion(int fd, const char *name)
{
	int err;

	if (!name ||
	    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) == 0)
		return 0;
	err = -errno;
	report_err("congestion control %s: %s", name, strerror(-err));
	return err;
}

static int set_nodelay(int fd)
{
	int one = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		return report_call("TCP_NODELAY");
	return 0;
}

/* Returns the listening socket; *ret_addr is where it listens. */
static int listen_open(const char *ifname, const char *congestion,
		       struct sockaddr_storage *ret_addr)
{
	socklen_t len = sizeof(*ret_addr);
	int fd, err;

	*ret_addr = (struct sockaddr_storage){ 0 };
	err = own_address(ifname, ret_addr);
	if (err)
		return err;
	fd = socket(ret_addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return report_call("socket");
	/* Accepted sockets inherit it. */
	err = set_congestion(fd, congestion);
	if (!err && (bind(fd, (struct sockaddr *)ret_addr, sizeof(*ret_addr)) < 0 ||
		     listen(fd, COMPETITOR_MAX_STREAMS) < 0 ||
		     getsockname(fd, (struct sockaddr *)ret_addr, &len) < 0))
		err = report_call("listening");
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static int stream_open(struct stream *s, bool sending, int fd, const struct raw_traffic *rt,
		       struct traffic_shape shape)
{
	int err;

	s->fd = fd;
	s->sending = sending;
	s->size = rt->base.cell->size;
	/* All streams together have as many slots as a plugin's connection. */
	s->shape = shape;
	s->shape.nslots = shape.nslots / (unsigned int)rt->streams;
	if (!s->shape.nslots)
		s->shape.nslots = 1;
	err = device_memory_alloc(DEVICE_MEMORY_HOST, s->shape.nslots * shape.slot_size,
				  &s->buffer);
	if (err)
		return err;
	for (unsigned int i = 0; sending && i < s->shape.nslots; i++)
		traffic_fill((uint8_t *)s->buffer.addr + i * shape.slot_size, shape.slot_size, i);
	return set_nodelay(fd);
}

static int connect_stream(struct raw_traffic *rt, int i, const struct sockaddr_storage *peer,
			  const char *congestion, struct traffic_shape shape)
{
	int fd, err;

	fd = socket(peer->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return report_call("socket");
	err = set_congestion(fd, congestion);
	if (!err && connect(fd, (const struct sockaddr *)peer, sizeof(*peer)) < 0)
		err = report_call("connect");
	if (err) {
		close(fd);
		return err;
	}
	return stream_open(&rt->out[i], true, fd, rt, shape);
}

static int connect_all(struct raw_traffic *rt, int listener, const struct sockaddr_storage *peer,
		       const char *congestion, struct traffic_shape shape)
{
	int fd, err = 0;

	for (int i = 0; i < rt->nout && !err; i++)
		err = connect_stream(rt, i, peer, congestion, shape);
	for (int i = 0; i < rt->nin && !err; i++) {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		err = fd < 0 ? report_call("accept")
			     : stream_open(&rt->in[i], false, fd, rt, shape);
	}
	return err;
}

/* The directions this rank has. */
static void choose_directions(struct raw_traffic *rt)
{
	bool both = rt->base.cell->kind != CELL_UNI;

	rt->nout = both || rt->base.rank == 0 ? rt->streams : 0;
	rt->nin = both || rt->base.rank == 1 ? rt->streams : 0;
}

static struct raw_traffic *raw_alloc(const struct compare_cell *cell, int streams, int rank)
{
	struct raw_traffic *rt;

	rt = calloc(1, sizeof(*rt));
	if (!rt)
		return NULL;
	for (int i = 0; i < COMPETITOR_MAX_STREAMS; i++) {
		rt->out[i] = (struct stream){ .fd = -1, .buffer = DEVICE_MEMORY_NONE };
		rt->in[i] = rt->out[i];
	}
	rt->streams = streams;
	rt->base.ops = &raw_ops;
	rt->base.cell = cell;
	rt->base.rank = rank;
	snprintf(rt->base.name, sizeof(rt->base.name), "TCP");
	choose_directions(rt);
	return rt;
}

int raw_traffic_open(const struct compare_cell *cell, const struct raw_setting *setting, int rank,
		     const char *rendezvous, unsigned int nslots, int timeout_s,
		     struct traffic **ret)
{
	struct sockaddr_storage mine, all[2];
	struct raw_traffic *rt;
	int listener, err;

	if (cell->nranks != 2 || cell->kind == CELL_RING ||
	    setting->streams > COMPETITOR_MAX_STREAMS)
		return -EINVAL;
	rt = raw_alloc(cell, setting->streams, rank);
	if (!rt)
		return -ENOMEM;
	err = rendezvous_open(rendezvous, rank, cell->nranks, timeout_s, &rt->base.rendezvous);
	if (err)
		goto close_traffic;
	listener = listen_open(setting->ifname, setting->congestion, &mine);
	err = listener < 0 ? listener : 0;
	if (!err)
		err = rendezvous_all_gather(rt->base.rendezvous, &mine, sizeof(mine), all);
	if (!err)
		err = connect_all(rt, listener, &all[!rank], setting->congestion,
				  traffic_shape_of(cell, nslots));
	if (listener >= 0)
		close(listener);
	if (err)
		goto close_traffic;
	*ret = &rt->base;
	return 0;

close_traffic:
	raw_close(&rt->base);
	return err;
}
