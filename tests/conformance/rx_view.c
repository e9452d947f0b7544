// SPDX-License-Identifier: BSD-3-Clause
#include "rx_view.h"

static int direct_open(const ncclNetDeviceHandle_v7_t *handle, void **ret_state, char *why)
{
	(void)handle;
	(void)why;
	*ret_state = NULL;
	return 0;
}

static int direct_fetch(void *state, void *data, size_t size, char *why)
{
	(void)state;
	(void)data;
	(void)size;
	(void)why;
	return 0;
}

static void direct_close(void *state, bool alive)
{
	(void)alive;
	(void)state;
}

const struct rx_view rx_view_direct = {
	.name = "direct",
	.open = direct_open,
	.fetch = direct_fetch,
	.close = direct_close,
};

const struct rx_view *rx_view_for(ncclNetDeviceType type)
{
	switch (type) {
	case NCCL_NET_DEVICE_HOST:
		return &rx_view_direct;
	case NCCL_NET_DEVICE_UNPACK:
		return &rx_view_unpack;
	default:
		return NULL;
	}
}
