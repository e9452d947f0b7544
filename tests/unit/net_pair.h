/* SPDX-License-Identifier: BSD-3-Clause */
/* Both ends of a connection in one program, and requests that are waited for. */
#ifndef NET_PAIR_H
#define NET_PAIR_H

#include "unit.h"

#include <stdbool.h>

#include "comm/net.h"
#include "comm/sock.h"

/* Longer than any stall of the machine. */
#define WAIT_MS 60000

/* After net_init(). Both ends are the caller's to close. */
static inline void net_pair_open(struct comm **ret_tx, struct comm **ret_rx)
{
	uint8_t handle[NET_HANDLE_SIZE] __attribute__((aligned(8)));
	int64_t end = now_ms() + WAIT_MS;
	struct listen_comm *listen = NULL;

	*ret_tx = *ret_rx = NULL;
	assert_ok(net_listen(0, handle, &listen));
	while (!*ret_tx || !*ret_rx) {
		if (!*ret_tx)
			assert_ok(net_connect(0, handle, ret_tx));
		if (!*ret_rx)
			assert_ok(net_accept(listen, ret_rx));
		assert_true(now_ms() < end);
	}
	assert_ok(net_close_listen(listen));
}

static inline bool is_done(struct request *req)
{
	size_t size = 0;
	int done = 0;

	assert_ok(net_test(req, &done, &size));
	return done;
}

static inline void finish(struct request *req)
{
	int64_t end = now_ms() + WAIT_MS;

	while (!is_done(req))
		assert_true(now_ms() < end);
}

#endif
