// SPDX-License-Identifier: BSD-3-Clause
#include "rendezvous.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monotime.h"
#include "report.h"

#define HELLO_MAGIC	0x64766d72u /* "dvmr" */
#define HELLO_VERSION	1u
#define CONNECT_WAIT_MS 50
#define MAX_RANKS	1024

/* First bytes on a connection, and before each exchange. Host order: one kind of machine. */
struct hello {
	uint32_t magic, version, nranks, rank;
};

struct round {
	uint64_t sequence, size;
};

struct rendezvous {
	int rank, nranks, timeout_s;
	int *fds; /* rank 0: one for each rank, [0] unused; others: [0] leads to rank 0 */
	uint64_t sequence;
	uint8_t dummy[MAX_RANKS]; /* where barriers gather to */
};

static int fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static int fd_wait(int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	int n;

	do {
		n = poll(&p, 1, monotime_left_ms(deadline));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	} while (monotime_ns() < deadline);
	return -ETIMEDOUT;
}

static int fd_read_all(int fd, void *buf, size_t size, int64_t deadline)
{
	uint8_t *p = buf;
	ssize_t n;
	int err;

	while (size) {
		n = recv(fd, p, size, 0);
		if (n > 0) {
			p += n;
			size -= (size_t)n;
			continue;
		}
		if (n == 0)
			return -ECONNRESET;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		err = fd_wait(fd, POLLIN, deadline);
		if (err)
			return err;
	}
	return 0;
}

static int fd_write_all(int fd, const void *buf, size_t size, int64_t deadline)
{
	const uint8_t *p = buf;
	ssize_t n;
	int err;

	while (size) {
		n = send(fd, p, size, MSG_NOSIGNAL);
		if (n >= 0) {
			p += n;
			size -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		err = fd_wait(fd, POLLOUT, deadline);
		if (err)
			return err;
	}
	return 0;
}

static int report_peer(int err, int peer)
{
	if (err == -ECONNRESET || err == -EPIPE) {
		report_err("rendezvous: rank %d has gone", peer);
		return -ECONNRESET;
	}
	if (err == -ETIMEDOUT)
		report_err("rendezvous: rank %d did not come in time", peer);
	else if (err)
		report_err("rendezvous: rank %d: %s", peer, strerror(-err));
	return err;
}

/* "fd:3,4,5" */
static int open_inherited(struct rendezvous *rv, const char *list)
{
	int want = rv->rank ? 1 : rv->nranks - 1;
	int base = rv->rank ? 0 : 1;
	char *end;
	long fd;
	int err;

	for (int i = 0; i < want; i++) {
		errno = 0;
		fd = strtol(list, &end, 10);
		if (errno || end == list || fd < 0 || fd > INT32_MAX ||
		    *end != (i + 1 < want ? ',' : '\0')) {
			report_err("rendezvous: 'fd:' takes %d descriptors", want);
			return -EINVAL;
		}
		err = fd_set_nonblock((int)fd);
		if (!err && fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
			err = -errno;
		if (err) {
			report_err("rendezvous: descriptor %ld: %s", fd, strerror(-err));
			return err;
		}
		rv->fds[base + i] = (int)fd;
		list = end + 1;
	}
	return 0;
}

/* Splits at the last colon, and takes the brackets off an IPv6 address. */
static int resolve(const char *spec, bool passive, struct addrinfo **ret)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = passive ? AI_PASSIVE : 0,
	};
	char host[256];
	const char *colon = strrchr(spec, ':');
	size_t len;
	char *end;
	long port;
	int res;

	/* getaddrinfo() would take a port of 65537 for 1. */
	port = colon ? strtol(colon + 1, &end, 10) : 0;
	if (!colon || colon == spec || (size_t)(colon - spec) >= sizeof(host) || port < 1 ||
	    port > 65535 || *end || (spec[0] == '[') != (colon[-1] == ']')) {
		report_err("rendezvous: '%s' is not ADDR:PORT or [ADDR]:PORT", spec);
		return -EINVAL;
	}
	len = (size_t)(colon - spec);
	if (spec[0] == '[') {
		spec++;
		len -= 2;
	}
	memcpy(host, spec, len);
	host[len] = '\0';
	res = getaddrinfo(host, colon + 1, &hints, ret);
	if (res) {
		report_err("rendezvous: %s port %s: %s", host, colon + 1, gai_strerror(res));
		return -EINVAL;
	}
	return 0;
}

/* One stranger or misconfigured rank must not end the job: it is dropped, with a word about it. */
static void accept_rank(struct rendezvous *rv, int listen_fd, int64_t deadline, int *missing)
{
	struct hello hello;
	int64_t soon = monotime_ns() + NSEC_PER_SEC;
	int one = 1;
	int fd;

	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (fd_read_all(fd, &hello, sizeof(hello), soon < deadline ? soon : deadline) ||
	    hello.magic != HELLO_MAGIC || hello.version != HELLO_VERSION) {
		report_note("rendezvous: dropped a connection that is none of this job's");
		goto drop;
	}
	if (hello.nranks != (uint32_t)rv->nranks || !hello.rank ||
	    hello.rank >= (uint32_t)rv->nranks || rv->fds[hello.rank] >= 0) {
		report_note("rendezvous: dropped a rank %u of %u; this job has %d ranks%s",
			    hello.rank, hello.nranks, rv->nranks,
			    hello.rank && hello.rank < (uint32_t)rv->nranks
				    ? ", perhaps it was there already"
				    : "");
		goto drop;
	}
	rv->fds[hello.rank] = fd;
	(*missing)--;
	return;
drop:
	close(fd);
}

static int open_listening(struct rendezvous *rv, const char *spec, int64_t deadline)
{
	struct addrinfo *ai;
	int missing = rv->nranks - 1;
	int one = 1;
	int fd, err;

	err = resolve(spec, true, &ai);
	if (err)
		return err;
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		err = -errno;
		report_err("rendezvous: socket: %s", strerror(-err));
		goto free_ai;
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, MAX_RANKS) < 0) {
		err = -errno;
		report_err("rendezvous: listening on %s: %s; rank 0 must run on the machine with "
			   "that address",
			   spec, strerror(-err));
		goto close_fd;
	}
	while (missing && !err) {
		err = fd_wait(fd, POLLIN, deadline);
		if (!err)
			accept_rank(rv, fd, deadline, &missing);
	}
	if (err)
		report_err("rendezvous: %d of %d ranks did not come to %s within %d s", missing,
			   rv->nranks, spec, rv->timeout_s);
close_fd:
	close(fd);
free_ai:
	freeaddrinfo(ai);
	return err;
}

static int connect_once(const struct addrinfo *ai, int64_t deadline, int *ret_fd)
{
	socklen_t len = sizeof(int);
	int one = 1, err = 0;
	int fd;

	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
		err = -errno;
		if (err == -EINPROGRESS)
			err = fd_wait(fd, POLLOUT, deadline);
		if (!err) {
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
			err = -err;
		}
	}
	if (err) {
		close(fd);
		return err;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	*ret_fd = fd;
	return 0;
}

/* Rank 0 may start later than we do, so a refused connection is tried again. */
static int open_connecting(struct rendezvous *rv, const char *spec, int64_t deadline)
{
	struct hello hello = {
		.magic = HELLO_MAGIC,
		.version = HELLO_VERSION,
		.nranks = (uint32_t)rv->nranks,
		.rank = (uint32_t)rv->rank,
	};
	struct addrinfo *ai;
	int err;

	err = resolve(spec, false, &ai);
	if (err)
		return err;
	for (;;) {
		err = connect_once(ai, deadline, &rv->fds[0]);
		if (!err || monotime_ns() >= deadline)
			break;
		poll(NULL, 0, CONNECT_WAIT_MS);
	}
	freeaddrinfo(ai);
	if (err) {
		report_err("rendezvous: connecting to rank 0 at %s: %s", spec, strerror(-err));
		return err;
	}
	return report_peer(fd_write_all(rv->fds[0], &hello, sizeof(hello), deadline), 0);
}

int rendezvous_open(const char *spec, int rank, int nranks, int timeout_s, struct rendezvous **ret)
{
	int64_t deadline = monotime_ns() + timeout_s * NSEC_PER_SEC;
	struct rendezvous *rv;
	int err = 0;

	if (nranks < 1 || nranks > MAX_RANKS || rank < 0 || rank >= nranks) {
		report_err("rank %d of %d: not possible (at most %d ranks)", rank, nranks,
			   MAX_RANKS);
		return -EINVAL;
	}
	rv = calloc(1, sizeof(*rv));
	if (!rv)
		return -ENOMEM;
	rv->rank = rank;
	rv->nranks = nranks;
	rv->timeout_s = timeout_s;
	rv->fds = malloc((size_t)nranks * sizeof(*rv->fds));
	if (!rv->fds) {
		err = -ENOMEM;
		goto close_rv;
	}
	for (int i = 0; i < nranks; i++)
		rv->fds[i] = -1;
	if (nranks == 1)
		err = 0;
	else if (!spec)
		err = -EINVAL;
	else if (!strncmp(spec, "fd:", 3))
		err = open_inherited(rv, spec + 3);
	else if (rank == 0)
		err = open_listening(rv, spec, deadline);
	else
		err = open_connecting(rv, spec, deadline);
	if (err)
		goto close_rv;
	*ret = rv;
	return 0;

close_rv:
	rendezvous_close(rv);
	return err;
}

static int gather_as_root(struct rendezvous *rv, const struct round *round, uint8_t *all,
			  int64_t deadline)
{
	struct round theirs;
	size_t total = round->size * (size_t)rv->nranks;
	int err;

	for (int r = 1; r < rv->nranks; r++) {
		err = fd_read_all(rv->fds[r], &theirs, sizeof(theirs), deadline);
		if (err)
			return report_peer(err, r);
		if (theirs.sequence != round->sequence || theirs.size != round->size) {
			report_err("rendezvous: rank %d is out of step (exchange %llu of %llu "
				   "bytes, here %llu of %llu)",
				   r, (unsigned long long)theirs.sequence,
				   (unsigned long long)theirs.size,
				   (unsigned long long)round->sequence,
				   (unsigned long long)round->size);
			return -EPROTO;
		}
		err = fd_read_all(rv->fds[r], all + (size_t)r * round->size, round->size, deadline);
		if (err)
			return report_peer(err, r);
	}
	for (int r = 1; r < rv->nranks; r++) {
		err = fd_write_all(rv->fds[r], all, total, deadline);
		if (err)
			return report_peer(err, r);
	}
	return 0;
}

int rendezvous_all_gather(struct rendezvous *rv, const void *mine, size_t size, void *all)
{
	int64_t deadline = monotime_ns() + rv->timeout_s * NSEC_PER_SEC;
	struct round round = { .sequence = rv->sequence++, .size = size };
	int err;

	if (rv->rank == 0) {
		memcpy(all, mine, size);
		return gather_as_root(rv, &round, all, deadline);
	}
	err = fd_write_all(rv->fds[0], &round, sizeof(round), deadline);
	if (!err)
		err = fd_write_all(rv->fds[0], mine, size, deadline);
	if (!err)
		err = fd_read_all(rv->fds[0], all, size * (size_t)rv->nranks, deadline);
	return report_peer(err, 0);
}

int rendezvous_barrier(struct rendezvous *rv)
{
	const uint8_t here = 1;

	return rendezvous_all_gather(rv, &here, sizeof(here), rv->dummy);
}

void rendezvous_close(struct rendezvous *rv)
{
	if (!rv)
		return;
	for (int i = 0; rv->fds && i < rv->nranks; i++)
		if (rv->fds[i] >= 0)
			close(rv->fds[i]);
	free(rv->fds);
	free(rv);
}
