// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/kernel.h"
#include "base/log.h"
#include "base/param.h"
#include "path/data_sock.h"
#include "uapi/series.h"

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif

/*
 * A socket's share of the pool: from what lets a MiB be received in one call and its tokens given back in one, down to what still
 * keeps a flow moving. Unless NCCL_DEVMEM_RCVBUF says otherwise it is a twelfth of what is not promised yet, within these bounds: few
 * connections get large shares, and later ones do not go without. 64 MiB have room for 44 sockets at once, 512 MiB for 128.
 */
#define RESERVE_MAX  (4UL << 20)
#define RESERVE_PART 12

/* Half of a share is for tokens held, but where it is small the receive queue needs more of it. */
#define RESERVE_EVEN (1UL << 20)

static size_t bytes_for_tokens(size_t share)
{
	return share < RESERVE_EVEN ? share / 4 : share / 2;
}

int data_sock_enable_zerocopy(struct data_sock *ds)
{
	struct zc_tracker *zc;
	int one = 1;

	if (ds->zc)
		return 0;
	if (setsockopt(ds->fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)) < 0)
		return -errno;
	zc = malloc(sizeof(*zc));
	if (!zc)
		return -ENOMEM;
	zc_tracker_init(zc);
	ds->zc = zc;
	return 0;
}

int data_sock_enable_lending(struct data_sock *ds)
{
	return ds->lend ? 0 : lend_pipe_create(&ds->lend);
}

void data_sock_disable_lending(struct data_sock *ds)
{
	lend_pipe_destroy(ds->lend);
	ds->lend = NULL;
}

/*
 * Bounds the receive queue to @bytes of buffer memory (truesize: a frag counts the whole niov it lies
 * in, so this bounds the niovs and not only the payload). The kernel doubles the value it is given (socket(7)).
 */
static void bound_receive_buffer(int fd, size_t bytes)
{
	int half = (int)(bytes / 2);

	/* FORCE passes net.core.rmem_max and wants CAP_NET_ADMIN, which whoever made the binding mostly has. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &half, sizeof(half)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &half, sizeof(half));
}

static int reserve(struct pool *pool, size_t hold, size_t *ret_bytes, struct verdict *why)
{
	size_t bytes = (size_t)param_int(PARAM_RCVBUF);
	int r;

	if (bytes == 0)
		bytes = pool_unreserved(pool) / RESERVE_PART;
	if (bytes > RESERVE_MAX)
		bytes = RESERVE_MAX;
	if (bytes < POOL_RESERVE_MIN)
		bytes = POOL_RESERVE_MIN;
	for (;;) {
		r = pool_reserve(pool, bytes + hold, why);
		if (r == 0)
			break;
		if (bytes <= POOL_RESERVE_MIN)
			return r;
		bytes /= 2;
	}
	*ret_bytes = bytes;
	return 0;
}

int data_sock_steer(struct data_sock *ds, struct pool *pool, size_t hold, struct verdict *why)
{
	struct sockaddr_storage local, remote;
	socklen_t local_len = sizeof(local), remote_len = sizeof(remote);
	struct token_ledger *ledger;
	size_t bytes, tokens;
	int one = 1;
	int r;

	if (getsockname(ds->fd, (struct sockaddr *)&local, &local_len) < 0 ||
	    getpeername(ds->fd, (struct sockaddr *)&remote, &remote_len) < 0)
		return verdict_set(why, -errno, NULL, "data socket lost its peer during set-up: %s",
				   strerror(errno));

	ledger = malloc(sizeof(*ledger));
	if (!ledger)
		return verdict_set(why, -ENOMEM, NULL, "no memory for a token ledger");
	token_ledger_init(ledger);

	r = reserve(pool, hold, &bytes, why);
	if (r)
		goto free_ledger;
	tokens = bytes_for_tokens(bytes);
	bound_receive_buffer(ds->fd, bytes - tokens);

	r = nic_rx_steer(pool->rx, ds->fd, (struct sockaddr *)&local, (struct sockaddr *)&remote,
			 &ds->rule, why);
	if (r < 0)
		goto unreserve;

	/* Where it fails, frags go on having tokens of their own: receiving takes either, also mixed. */
	if (kernel_features()->token_runs &&
	    setsockopt(ds->fd, SOL_SOCKET, SO_DEVMEM_RUN, &one, sizeof(one)) < 0)
		log_warn("data socket: one token for a run of frags: %s", strerror(errno));

	ds->steered = true;
	ds->pool = pool;
	ds->ledger = ledger;
	ds->reserved = bytes + hold;
	/* A frag holds back a whole niov. */
	ds->run_most = 1;
	ds->niovs = 0;
	ds->batch = (uint32_t)(tokens / nic_rx_niov_size(pool->rx));
	ds->hold = ds->batch + (uint32_t)(hold / nic_rx_niov_size(pool->rx));
	return 0;

unreserve:
	pool_unreserve(pool, bytes + hold);
free_ledger:
	free(ledger);
	return r;
}

void data_sock_unsteer(struct data_sock *ds)
{
	int r;

	/* Tokens first: they are ids in the socket's own table. The rule next, while the flow still exists. */
	if (ds->ledger && ds->ledger->held && ds->fd >= 0) {
		r = token_ledger_release(ds->ledger, ds->fd);
		if (r < 0)
			log_warn("closing a data socket: giving back %llu tokens failed: %s",
				 (unsigned long long)ds->ledger->held, strerror(-r));
	}
	if (ds->steered)
		nic_rx_unsteer(ds->pool->rx, ds->rule);
	if (ds->pool)
		pool_unreserve(ds->pool, ds->reserved);
	free(ds->ledger);
	ds->ledger = NULL;
	ds->pool = NULL;
	ds->steered = false;
}

void data_sock_close(struct data_sock *ds)
{
	data_sock_unsteer(ds);
	if (ds->fd >= 0)
		close(ds->fd);
	free(ds->zc);
	data_sock_disable_lending(ds);
	memset(ds, 0, sizeof(*ds));
	ds->fd = -1;
}
