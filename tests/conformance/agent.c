// SPDX-License-Identifier: BSD-3-Clause
/* The calls of the application and the service thread. */
#include "agent.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "monotime.h"

/* Between two calls of connect() or accept(): the proxy has other things to do, too. */
#define POLL_NS 50000

/* Up to version 10 NCCL calls init() once per process, however many communicators there are (src/plugin/net.cc). */
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;
static int init_refs;

void agent_init(struct agent *a, const char *path, enum device_memory_kind memory)
{
	memset(a, 0, sizeof(*a));
	a->path = path;
	a->memory = memory;
	pthread_mutex_init(&a->lock, NULL);
}

void agent_free(struct agent *a)
{
	while (a->rxs)
		agent_rx_remove(a, a->rxs->comm, false);
	agent_free_buffers(a);
	pthread_mutex_destroy(&a->lock);
}

struct rx *agent_rx(struct agent *a, const void *comm)
{
	struct rx *rx;

	pthread_mutex_lock(&a->lock);
	for (rx = a->rxs; rx && rx->comm != comm; rx = rx->next)
		;
	pthread_mutex_unlock(&a->lock);
	return rx;
}

struct rx *agent_rx_add(struct agent *a, void *comm, const ncclNetDeviceHandle_v7_t *handle)
{
	struct rx *rx = calloc(1, sizeof(*rx));
	char why[96] = "";

	if (!rx)
		return NULL;
	rx->comm = comm;
	rx->view = rx_view_for(handle->netDeviceType);
	if (!rx->view || rx->view->open(handle, &rx->view_state, why)) {
		fprintf(stderr, "accept: device handle of type %d: %s\n", handle->netDeviceType,
			rx->view ? why : "the harness cannot see what arrives there");
		free(rx);
		return NULL;
	}
	pthread_mutex_lock(&a->lock);
	rx->next = a->rxs;
	a->rxs = rx;
	pthread_mutex_unlock(&a->lock);
	return rx;
}

int agent_rx_remove(struct agent *a, const void *comm, bool alive)
{
	struct rx **p, *rx = NULL;
	char why[96] = "";
	int err = 0;

	pthread_mutex_lock(&a->lock);
	for (p = &a->rxs; *p; p = &(*p)->next) {
		if ((*p)->comm == comm) {
			rx = *p;
			*p = rx->next;
			break;
		}
	}
	pthread_mutex_unlock(&a->lock);
	if (rx && alive && rx->head == rx->tail && rx->view->abandon)
		err = rx->view->abandon(rx->view_state, why);
	if (err)
		fprintf(stderr, "a kernel that is aborted now: %s\n", why);
	if (rx)
		rx->view->close(rx->view_state, alive);
	free(rx);
	return err;
}

uint32_t rx_posted(struct rx *rx, void *req, void *data)
{
	struct rx_post *post = &rx->posts[rx->tail % RX_POSTS];

	*post = (struct rx_post){ .req = req, .data = data };
	return rx->tail++;
}

ncclResult_t rx_take(struct agent *a, struct rx *rx, char *why)
{
	uint32_t due = 0;

	while (rx->head + due != rx->tail && rx->posts[(rx->head + due) % RX_POSTS].done)
		due++;
	for (; due > rx->lag; due--, rx->head++) {
		const struct rx_post *post = &rx->posts[rx->head % RX_POSTS];
		ncclResult_t res;

		if (rx->view->fetch(rx->view_state, post->data, post->size, why))
			return ncclInternalError;
		if (!a->calls.irecv_consumed)
			continue;
		res = a->calls.irecv_consumed(rx->comm, 1, post->req);
		if (res != ncclSuccess) {
			snprintf(why, 96, "irecvConsumed: %s", net_result_name(res));
			return res;
		}
	}
	return ncclSuccess;
}

ncclResult_t rx_finished(struct agent *a, struct rx *rx, void *req, size_t size, char *why)
{
	struct rx_post *post;
	uint32_t i;

	for (i = rx->head; i != rx->tail; i++) {
		post = &rx->posts[i % RX_POSTS];
		if (post->req == req && !post->done)
			break;
	}
	if (i == rx->tail) {
		snprintf(why, 96, "a request ended that was not posted");
		return ncclInternalError;
	}
	post->done = true;
	post->size = size;
	return rx_take(a, rx, why);
}

static void poll_pause(void)
{
	struct timespec ts = { .tv_nsec = POLL_NS };

	nanosleep(&ts, NULL);
}

static int load(struct agent *a, struct call *c)
{
	char symbol[32];

	a->api = (int)c->a[0];
	a->library = dlopen((const char *)c->data, RTLD_NOW | RTLD_LOCAL);
	if (!a->library) {
		fprintf(stderr, "%s\n", dlerror());
		return -ENOENT;
	}
	snprintf(symbol, sizeof(symbol), "ncclNetPlugin_v%d", a->api);
	a->table = dlsym(a->library, symbol);
	if (!a->table) {
		dlclose(a->library);
		a->library = NULL;
		return -ENOSYS;
	}
	net_calls_fill(a->api, a->table, &a->calls);
	return 0;
}

static ncclResult_t init(struct agent *a, struct call *c)
{
	ncclResult_t res = ncclSuccess;
	void *ctx = NULL;

	pthread_mutex_lock(&init_lock);
	if (a->api >= 11 || !init_refs)
		res = TIMED(c, a->calls.init(a->table, &ctx, 0x1234567890abcdefULL + c->a[1],
					     agent_log));
	if (res == ncclSuccess)
		init_refs++;
	pthread_mutex_unlock(&init_lock);
	c->a[0] = (uintptr_t)ctx;
	return res;
}

static ncclResult_t finalize(struct agent *a, struct call *c)
{
	pthread_mutex_lock(&init_lock);
	init_refs--;
	pthread_mutex_unlock(&init_lock);
	if (a->api < 11)
		return ncclSuccess;
	return TIMED(c, a->calls.finalize((void *)c->a[0]));
}

static bool same_device(const struct net_device *a, const struct net_device *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->pci_path, b->pci_path) &&
	       a->guid == b->guid && a->speed_mbps == b->speed_mbps &&
	       a->ptr_support == b->ptr_support && a->device_type == b->device_type &&
	       a->max_comms == b->max_comms && a->max_recvs == b->max_recvs &&
	       a->max_p2p_bytes == b->max_p2p_bytes;
}

static bool is_filled(const ncclNetDeviceHandle_v7_t *h)
{
	return h->netDeviceType || h->netDeviceVersion || h->handle || h->size ||
	       h->needsProxyProgress;
}

static ncclResult_t props_storm(struct agent *a, struct call *c)
{
	int64_t end = monotime_ns() + (int64_t)c->a[1] * NSEC_PER_MSEC;
	struct net_device first = { 0 };
	ncclResult_t res;

	res = a->calls.get_properties(a->table, (int)c->a[0], &first);
	while (res == ncclSuccess && monotime_ns() < end) {
		struct net_device again;

		memset(&again, 0, sizeof(again));
		res = TIMED(c, a->calls.get_properties(a->table, (int)c->a[0], &again));
		if (res == ncclSuccess && !same_device(&first, &again))
			return ncclNumResults;
	}
	return res;
}

/* A handle at an address that no struct would have; NCCL promises none (nccl/net.h). */
struct odd_handle {
	uint8_t room[NCCL_NET_HANDLE_MAXSIZE + 16];
};

static uint8_t *handle_at(struct odd_handle *h, const struct call *c)
{
	return h->room + (c->a[2] & 15);
}

static ncclResult_t listen_call(struct agent *a, struct call *c)
{
	struct odd_handle h;
	void *comm = NULL;
	ncclResult_t res;

	memset(&h, 0, sizeof(h));
	res = TIMED(c, a->calls.listen(a->table, (void *)c->a[0], (int)c->a[1], handle_at(&h, c),
				       &comm));
	memcpy(c->data, handle_at(&h, c), NCCL_NET_HANDLE_MAXSIZE);
	c->len = NCCL_NET_HANDLE_MAXSIZE;
	c->a[0] = (uintptr_t)comm;
	return res;
}

static ncclResult_t connect_call(struct agent *a, struct call *c)
{
	int64_t end = monotime_ns() + (int64_t)c->a[3] * NSEC_PER_MSEC;
	ncclNetDeviceHandle_v7_t *dev_handle = NULL;
	struct odd_handle h;
	void *comm = NULL;
	ncclResult_t res;
	uint64_t n = 0;

	memset(&h, 0, sizeof(h));
	memcpy(handle_at(&h, c), c->data, NCCL_NET_HANDLE_MAXSIZE);
	for (;;) {
		res = TIMED(c, a->calls.connect(a->table, (void *)c->a[0], (int)c->a[1],
						handle_at(&h, c), &comm, &dev_handle));
		n++;
		if (res != ncclSuccess || comm || monotime_ns() >= end)
			break;
		poll_pause();
	}
	memcpy(c->data, handle_at(&h, c), NCCL_NET_HANDLE_MAXSIZE);
	c->a[0] = (uintptr_t)comm;
	c->a[1] = n;
	if (dev_handle) {
		fprintf(stderr, "connect set *dev_handle, which NCCL would follow\n");
		return ncclNumResults;
	}
	return res;
}

/*
 * As NCCL has it: where the device type is not HOST, one zeroed object is handed to every call until there is a comm; else
 * *dev_handle is NULL (src/transport/net.cc).
 */
static ncclResult_t accept_call(struct agent *a, struct call *c)
{
	int64_t end = monotime_ns() + (int64_t)c->a[3] * NSEC_PER_MSEC;
	ncclNetDeviceHandle_v7_t device = { 0 }, *dev_handle = a->unpacks ? &device : NULL;
	void *comm = NULL, *listen = (void *)c->a[0];
	ncclResult_t res;
	uint64_t n = 0;

	for (;;) {
		res = TIMED(c, a->calls.accept(a->table, listen, &comm, &dev_handle));
		n++;
		if (!comm && is_filled(&device)) {
			fprintf(stderr, "accept filled the device handle without a comm\n");
			return ncclNumResults;
		}
		if (res != ncclSuccess || comm || monotime_ns() >= end)
			break;
		poll_pause();
	}
	c->a[0] = (uintptr_t)comm;
	c->a[1] = n;
	if (dev_handle != (a->unpacks ? &device : NULL)) {
		fprintf(stderr, "accept set *dev_handle instead of what it points to\n");
		return ncclNumResults;
	}
	if (comm && !agent_rx_add(a, comm, &device))
		return ncclNumResults;
	return res;
}

static ncclResult_t reg(struct agent *a, struct call *c)
{
	void *mhandle = NULL;
	ncclResult_t res;

	res = TIMED(c, a->calls.reg_mr(a->table, (void *)c->a[0], (void *)c->a[1], c->a[2],
				       (int)c->a[3], &mhandle));
	c->a[0] = (uintptr_t)mhandle;
	return res;
}

static ncclResult_t reg_dmabuf(struct agent *a, struct call *c)
{
	void *mhandle = NULL;
	ncclResult_t res;

	if (!a->calls.reg_mr_dmabuf)
		return ncclNumResults;
	res = TIMED(c, a->calls.reg_mr_dmabuf((void *)c->a[0], (void *)c->a[1], c->a[2],
					      NCCL_PTR_CUDA, c->a[3], (int)c->a[4], &mhandle));
	close((int)c->a[4]); /* as NCCL does, at once */
	c->a[0] = (uintptr_t)mhandle;
	return res;
}

static ncclResult_t reg_storm(struct agent *a, struct call *c)
{
	int64_t end = monotime_ns() + (int64_t)c->a[4] * NSEC_PER_MSEC;
	void *comm = (void *)c->a[0], *mhandle;
	uint64_t n = 0;
	ncclResult_t res;

	while (monotime_ns() < end) {
		mhandle = NULL;
		res = TIMED(c, a->calls.reg_mr(a->table, comm, (void *)c->a[1], c->a[2],
					       (int)c->a[3], &mhandle));
		if (res != ncclSuccess)
			return res;
		if (!mhandle)
			return ncclNumResults;
		res = TIMED(c, a->calls.dereg_mr(comm, mhandle));
		if (res != ncclSuccess)
			return res;
		n++;
	}
	c->a[0] = n;
	return ncclSuccess;
}

static ncclResult_t close_recv(struct agent *a, struct call *c)
{
	void *comm = (void *)c->a[0];

	int err = agent_rx_remove(a, comm, true);
	ncclResult_t res = TIMED(c, a->calls.close_recv(comm));

	return err ? ncclNumResults : res;
}

static ncclResult_t devices(struct agent *a, struct call *c)
{
	int n = -1;
	ncclResult_t res = TIMED(c, a->calls.devices(&n));

	c->a[0] = (uint64_t)n;
	return res;
}

static ncclResult_t props(struct agent *a, struct call *c)
{
	struct net_device device;
	ncclResult_t res;

	memset(&device, 0, sizeof(device));
	res = TIMED(c, a->calls.get_properties(a->table, (int)c->a[0], &device));
	if (c->a[0] == 0 && res == ncclSuccess)
		a->unpacks = device.device_type != NCCL_NET_DEVICE_HOST;
	memcpy(c->data, &device, sizeof(device));
	c->len = sizeof(device);
	return res;
}

static void run_net(struct agent *a, struct call *c)
{
	switch ((enum call_op)c->op) {
	case OP_LOAD:
		c->res = load(a, c);
		break;
	case OP_UNLOAD:
		c->res = a->library && dlclose(a->library) ? -EIO : 0;
		a->library = NULL;
		break;
	case OP_INIT:
		c->res = (int)init(a, c);
		break;
	case OP_FINALIZE:
		c->res = (int)finalize(a, c);
		break;
	case OP_DEVICES:
		c->res = (int)devices(a, c);
		break;
	case OP_PROPS:
		c->res = (int)props(a, c);
		break;
	case OP_PROPS_STORM:
		c->res = (int)props_storm(a, c);
		break;
	case OP_SET_ATTR:
		c->res = a->calls.set_net_attr
				 ? (int)TIMED(c, a->calls.set_net_attr(a->table, (void *)c->a[0]))
				 : -ENOSYS;
		break;
	case OP_LISTEN:
		c->res = (int)listen_call(a, c);
		break;
	case OP_CONNECT:
		c->res = (int)connect_call(a, c);
		break;
	case OP_ACCEPT:
		c->res = (int)accept_call(a, c);
		break;
	case OP_REG:
		c->res = (int)reg(a, c);
		break;
	case OP_REG_DMABUF:
		c->res = (int)reg_dmabuf(a, c);
		break;
	case OP_DEREG:
		c->res = (int)TIMED(c, a->calls.dereg_mr((void *)c->a[0], (void *)c->a[1]));
		break;
	case OP_REG_STORM:
		c->res = (int)reg_storm(a, c);
		break;
	case OP_CLOSE_SEND:
		c->res = (int)TIMED(c, a->calls.close_send((void *)c->a[0]));
		break;
	case OP_CLOSE_RECV:
		c->res = (int)close_recv(a, c);
		break;
	case OP_CLOSE_LISTEN:
		c->res = (int)TIMED(c, a->calls.close_listen((void *)c->a[0]));
		break;
	default:
		c->res = -ENOSYS;
	}
}

void agent_run(struct agent *a, struct call *c)
{
	c->ns = 0;
	switch ((enum call_op)c->op) {
	case OP_ISEND:
	case OP_IRECV:
	case OP_IRECV_N:
	case OP_FLUSH:
	case OP_WAIT:
		agent_run_data(a, c);
		break;
	case OP_STREAMS:
		agent_run_stream(a, c);
		break;
	case OP_FORK:
	case OP_ALLOC:
	case OP_DUP_DMABUF:
	case OP_FILL:
	case OP_CHECK:
	case OP_STATE:
	case OP_LOG:
	case OP_LOG_TEXT:
	case OP_ENV:
	case OP_EXIT:
		agent_run_host(a, c);
		break;
	default:
		run_net(a, c);
	}
}
