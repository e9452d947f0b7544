// SPDX-License-Identifier: BSD-3-Clause
/*
 * Device unpack, with the CPU in the GPU's place (tests/unpack): for memory that both see, as that of tests/standin is.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "memory.h"
#include "rx_view.h"
#include "unpack/unpack_emul.h"

/*
 * One kernel that runs as long as the comm lives. The block's bounce base is shared by all connections of the process, as
 * NCCL's kernels may put any of them into one block: a second base shows at once.
 */
struct unpack_state {
	struct unpack_emul emul;
	struct unpack_emul_handle *handle;
};

static struct unpack_emul_block block;
static unsigned int users;

static int unpack_open(const ncclNetDeviceHandle_v7_t *h, void **ret_state, char *why)
{
	struct unpack_state *u;
	int err;

	if (h->netDeviceVersion != NCCL_NET_DEVICE_UNPACK_VERSION || !h->handle ||
	    !h->needsProxyProgress) {
		snprintf(why, 96, "version 0x%x, handle %p, needsProxyProgress %d",
			 h->netDeviceVersion, h->handle, h->needsProxyProgress);
		return -EINVAL;
	}
	if (h->size < sizeof(struct unpack_emul_handle)) {
		snprintf(why, 96, "a handle of %zu bytes", h->size);
		return -EINVAL;
	}
	u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	/* Nobody receives any more: another pool may come with another base. */
	if (__atomic_fetch_add(&users, 1, __ATOMIC_ACQ_REL) == 0)
		block.bounce_buf = NULL;
	u->handle = h->handle;
	unpack_emul_init(&u->emul, &block);
	err = unpack_emul_setup(&u->emul, 0, u->handle);
	if (err) {
		snprintf(why, 96, "%.95s", u->emul.why);
		__atomic_fetch_sub(&users, 1, __ATOMIC_ACQ_REL);
		free(u);
		return err;
	}
	*ret_state = u;
	return 0;
}

static int unpack_fetch(void *state, void *data, size_t size, char *why)
{
	struct unpack_state *u = state;
	int err;

	err = unpack_emul_step(&u->emul, 0, data, size);
	if (err)
		snprintf(why, 96, "unpacking %zu bytes: %.70s", size, u->emul.why);
	return err;
}

/* The slots of a whole turn of the queue, none of which holds anything now, and none of which is waited for. */
static int unpack_abandon(void *state, char *why)
{
	struct unpack_state *u = state;
	int err = 0;

	for (int i = 0; i < UNPACK_EMUL_SLOTS && !err; i++)
		err = unpack_emul_step(&u->emul, 0, NULL, 0);
	if (err)
		snprintf(why, 96, "%.95s", u->emul.why);
	return err;
}

static void unpack_close(void *state, bool alive)
{
	struct unpack_state *u = state;

	if (alive)
		unpack_emul_finish(&u->emul, 0, u->handle);
	__atomic_fetch_sub(&users, 1, __ATOMIC_ACQ_REL);
	free(u);
}

const struct rx_view rx_view_unpack = {
	.name = "unpack",
	.open = unpack_open,
	.fetch = unpack_fetch,
	.abandon = unpack_abandon,
	.close = unpack_close,
};
