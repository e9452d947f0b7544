/* SPDX-License-Identifier: BSD-3-Clause */
/* comm/net.h for tests of plugin/abi: answers what `net` says, and notes what it was asked. */
#ifndef PLAYED_NET_H
#define PLAYED_NET_H

#include <stdbool.h>

#include "unit.h"
#include "comm/net.h"

/* What the played layer answers, and what it was asked. */
static struct {
	int err;
	int inits, finals, closed;
	size_t size;
	int tag, type, fd, dev;
	uint64_t offset;
	void *data, *mr;
	bool again;
	bool ll;
	bool unpack, needs_simple;
	void *device; /* net_device_handle() */
	int consumed;
	bool no_mr;
	size_t test_size;
	int test_done;
	void *cookie; /* net_request_cookie() */
} net;

/* Objects that are only passed through. */
#define COMM	((struct comm *)(uintptr_t)0xc0)
#define LISTEN	((struct listen_comm *)(uintptr_t)0x70)
#define MR	((struct mr *)(uintptr_t)0x30)
#define REQUEST ((struct request *)(uintptr_t)0x50)

int net_init(void)
{
	net.inits++;
	return net.err;
}

int net_finalize(void)
{
	net.finals++;
	return net.err;
}

int net_devices(int *ret_n)
{
	*ret_n = 3;
	return net.err;
}

int net_props_get(int dev, struct net_props *ret)
{
	net.dev = dev;
	if (net.err)
		return net.err;
	*ret = (struct net_props){
		.name = "eth0",
		.pci_path = NULL,
		.guid = 0x1234567890ULL,
		.ptr_support = NET_PTR_HOST | NET_PTR_DMABUF,
		.speed_mbps = 100000,
		.max_comms = 4096,
		.unpack = net.unpack,
	};
	return 0;
}

int net_listen(int dev, void *handle, struct listen_comm **ret)
{
	(void)handle;
	net.dev = dev;
	if (!net.err)
		*ret = LISTEN;
	return net.err;
}

int net_connect(int dev, void *handle, struct comm **ret)
{
	(void)handle;
	net.dev = dev;
	if (!net.err && !net.again)
		*ret = COMM;
	return net.err;
}

int net_accept(struct listen_comm *listen, struct comm **ret)
{
	assert_ptr_equal(listen, LISTEN);
	if (!net.err && !net.again)
		*ret = COMM;
	return net.err;
}

int net_close_listen(struct listen_comm *listen)
{
	assert_ptr_equal(listen, LISTEN);
	return net.err;
}

int net_close(struct comm *comm)
{
	assert_ptr_equal(comm, COMM);
	net.closed++;
	return net.err;
}

int net_reg_mr(struct comm *comm, void *data, size_t size, int type, struct mr **ret)
{
	return net_reg_mr_dmabuf(comm, data, size, type, 0, -1, ret);
}

int net_reg_mr_dmabuf(struct comm *comm, void *data, size_t size, int type, uint64_t offset, int fd,
		      struct mr **ret)
{
	assert_ptr_equal(comm, COMM);
	net.data = data;
	net.size = size;
	net.type = type;
	net.offset = offset;
	net.fd = fd;
	if (!net.err)
		*ret = net.no_mr ? NULL : MR;
	return net.err;
}

int net_dereg_mr(struct comm *comm, struct mr *mr)
{
	assert_ptr_equal(comm, COMM);
	assert_ptr_equal(mr, MR);
	return net.err;
}

static int io(const void *data, size_t size, int tag, struct mr *mr, struct request **ret)
{
	net.data = (void *)data;
	net.size = size;
	net.tag = tag;
	net.mr = mr;
	if (!net.err && !net.again)
		*ret = REQUEST;
	return net.err;
}

int net_isend(struct comm *comm, const void *data, size_t size, int tag, struct mr *mr,
	      struct request **ret)
{
	assert_ptr_equal(comm, COMM);
	return io(data, size, tag, mr, ret);
}

int net_irecv(struct comm *comm, void *data, size_t size, int tag, struct mr *mr, bool ll,
	      struct request **ret)
{
	net.ll = ll;
	assert_ptr_equal(comm, COMM);
	return io(data, size, tag, mr, ret);
}

int net_test(struct request *req, int *ret_done, size_t *ret_size)
{
	assert_ptr_equal(req, REQUEST);
	if (net.err)
		return net.err;
	*ret_done = net.test_done;
	*ret_size = net.test_size;
	return 0;
}

int net_request_fd(const struct request *req)
{
	assert_ptr_equal(req, REQUEST);
	return 9;
}

void **net_request_cookie(struct request *req)
{
	assert_ptr_equal(req, REQUEST);
	return &net.cookie;
}

int net_iflush(struct comm *comm, struct request **ret)
{
	assert_ptr_equal(comm, COMM);
	*ret = NULL;
	return net.err;
}

int net_consumed(struct comm *comm, struct request *req)
{
	assert_ptr_equal(comm, COMM);
	assert_ptr_equal(req, REQUEST);
	net.consumed++;
	return net.err;
}

void *net_device_handle(struct comm *comm)
{
	assert_ptr_equal(comm, COMM);
	return net.device;
}

bool net_needs_simple(void)
{
	return net.needs_simple;
}

static int setup(void **state)
{
	(void)state;
	memset(&net, 0, sizeof(net));
	return 0;
}

#endif
