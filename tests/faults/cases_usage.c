// SPDX-License-Identifier: BSD-3-Clause
/* Wrong calls: the right result, a text that helps, and the comm lives on where it can. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cases.h"
#include "plug.h"

static struct pair p;

static void begin(void)
{
	plug_open();
	pair_open(&p, 1 << 20);
}

static void end(void)
{
	pair_close(&p);
	plug_close();
}

static void oversize(size_t posted, size_t sent)
{
	void *req[2];
	int done;

	begin();
	CHECK_EQ(do_irecv(&p.rx, 0, posted, &req[0], ERROR_MS), ncclSuccess);
	CHECK_EQ(do_isend(&p.tx, 0, sent, &req[1], ERROR_MS), ncclSuccess);
	CHECK_EQ(wait_one(req[0], NULL, ERROR_MS), ncclInvalidUsage);
	plug_expect_log("mismatched collective");
	CHECK_EQ(plug.net->test(req[0], &done, NULL), ncclInvalidUsage);
	CHECK_EQ(p.rx.buf[posted], 0xee);
	end();
}

static void oversize_inline(void)
{
	oversize(100, 101);
}

static void oversize_chunks(void)
{
	oversize(100000, 100001);
}

static void oversize_empty(void)
{
	oversize(0, 1);
}

/* The sender hears of it when the receiver, in error, closes. */
static void oversize_sender_hears(void)
{
	void *req[2];

	plug_open();
	pair_open(&p, 64 << 20);
	CHECK_EQ(do_irecv(&p.rx, 0, 1000, &req[0], ERROR_MS), ncclSuccess);
	CHECK_EQ(do_isend(&p.tx, 0, 64 << 20, &req[1], ERROR_MS), ncclSuccess);
	CHECK_EQ(wait_one(req[0], NULL, ERROR_MS), ncclInvalidUsage);
	side_close(&p.rx, false);
	CHECK_EQ(wait_one(req[1], NULL, ERROR_MS), ncclRemoteError);
	end();
}

/* isend or irecv of [@data, @data + @size); refused, and the comm still works. */
static void outside(bool send, void *data, size_t size, void *mh)
{
	void *req = NULL;
	int tag = 0;
	ncclResult_t r;

	if (send)
		r = plug.net->isend(p.tx.comm, data, size, tag, mh, NULL, &req);
	else
		r = plug.net->irecv(p.rx.comm, 1, &data, &size, &tag, &mh, NULL, &req);
	CHECK_EQ(r, ncclInvalidArgument);
	CHECK(!req);
	pair_exchange(&p, 1000, 1);
	pair_exchange(&p, 1 << 20, 2);
}

static void unregistered(bool send)
{
	struct side *s = send ? &p.tx : &p.rx;
	char other[64];

	begin();
	outside(send, other, sizeof(other), s->mh);
	plug_expect_log("outside its registered memory");
	outside(send, s->buf - 1, 100, s->mh);
	outside(send, s->buf, s->size + 1, s->mh);
	outside(send, s->buf + s->size, 1, s->mh);
	outside(send, s->buf + 1, SIZE_MAX, s->mh);
	outside(send, s->buf, (size_t)1 << 41, s->mh);
	outside(send, NULL, 16, s->mh);
	end();
}

static void isend_outside(void)
{
	unregistered(true);
}

static void irecv_outside(void)
{
	unregistered(false);
}

static void no_registration(void)
{
	begin();
	outside(true, p.tx.buf, 100, NULL);
	outside(false, p.rx.buf, 100, NULL);
	end();
}

/* An empty message needs neither memory nor registration. */
static void empty_without_memory(void)
{
	struct wait w[2];
	size_t size = 0;
	void *data = NULL, *mh = NULL;
	int tag = 0;

	begin();
	w[0].req = NULL;
	CHECK_EQ(plug.net->irecv(p.rx.comm, 1, &data, &size, &tag, &mh, NULL, &w[0].req),
		 ncclSuccess);
	CHECK_EQ(plug.net->isend(p.tx.comm, NULL, 0, 0, NULL, NULL, &w[1].req), ncclSuccess);
	wait_all(w, 2, ERROR_MS);
	CHECK_EQ(w[0].res, ncclSuccess);
	CHECK_EQ(w[1].res, ncclSuccess);
	CHECK_EQ(w[0].size, 0);
	end();
}

static void wrong_direction(void)
{
	void *req = NULL, *data;
	size_t size = 100;
	int tag = 0;

	begin();
	CHECK_EQ(plug.net->isend(p.rx.comm, p.rx.buf, 100, 0, p.rx.mh, NULL, &req),
		 ncclInvalidArgument);
	data = p.tx.buf;
	CHECK_EQ(plug.net->irecv(p.tx.comm, 1, &data, &size, &tag, &p.tx.mh, NULL, &req),
		 ncclInvalidArgument);
	pair_exchange(&p, 5000, 1);
	end();
}

static void many_buffers(void)
{
	void *data[2], *mh[2], *req = NULL;
	size_t sizes[2] = { 100, 100 };
	int tags[2] = { 0, 0 };

	begin();
	data[0] = data[1] = p.rx.buf;
	mh[0] = mh[1] = p.rx.mh;
	CHECK_EQ(plug.net->irecv(p.rx.comm, 2, data, sizes, tags, mh, NULL, &req),
		 ncclInvalidUsage);
	CHECK_EQ(plug.net->irecv(p.rx.comm, 0, data, sizes, tags, mh, NULL, &req),
		 ncclInvalidUsage);
	plug_expect_log("maxRecvs");
	pair_exchange(&p, 5000, 1);
	end();
}

static void no_such_device(void)
{
	static const int devs[] = { -1, 1, 99, INT32_MAX, INT32_MIN };
	char handle[NCCL_NET_HANDLE_MAXSIZE] = { 0 };
	ncclNetProperties_v12_t props;
	void *comm = NULL;
	int n = 0;
	size_t i;

	plug_open();
	CHECK_EQ(plug.net->devices(&n), ncclSuccess);
	CHECK_EQ(n, 1);
	for (i = 0; i < sizeof(devs) / sizeof(devs[0]); i++) {
		CHECK_EQ(plug.net->getProperties(devs[i], &props), ncclInvalidArgument);
		CHECK_EQ(plug.net->listen(plug.ctx, devs[i], handle, &comm), ncclInvalidArgument);
		CHECK_EQ(plug.net->connect(plug.ctx, devs[i], handle, &comm, NULL),
			 ncclInvalidArgument);
		CHECK(!comm);
	}
	plug_close();
}

static void reg_cuda(void)
{
	void *mh = NULL;

	begin();
	CHECK(plug.net->regMr(p.rx.comm, p.rx.buf, 4096, NCCL_PTR_CUDA, &mh) != ncclSuccess);
	CHECK(!mh);
	plug_expect_log("NCCL_DMABUF_ENABLE=1");
	pair_exchange(&p, 5000, 1);
	end();
}

/* regMrDmaBuf() with descriptors that are no dmabuf. */
static void reg_no_dmabuf(void)
{
	void *mh = NULL;
	int fd, fds;

	begin();
	fds = count_fds();
	CHECK(plug.net->regMrDmaBuf(p.rx.comm, p.rx.buf, 4096, NCCL_PTR_CUDA, 0, -1, &mh) !=
	      ncclSuccess);
	plug_expect_log("registering a dmabuf of 4096 bytes failed");
	CHECK(plug.net->regMrDmaBuf(p.rx.comm, p.rx.buf, 4096, NCCL_PTR_CUDA, 0, 9999, &mh) !=
	      ncclSuccess);
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	CHECK(plug.net->regMrDmaBuf(p.rx.comm, p.rx.buf, 4096, NCCL_PTR_CUDA, 0, fd, &mh) !=
	      ncclSuccess);
	plug_expect_log("no dmabuf");
	close(fd);
	CHECK(!mh);
	CHECK_EQ(count_fds(), fds);
	pair_exchange(&p, 5000, 1);
	end();
}

/* deregMr() of memory that requests in flight still use. */
static void dereg_in_flight(void)
{
	struct wait w[2];

	begin();
	pattern_fill(p.tx.buf, 1 << 20, 6);
	CHECK_EQ(do_isend(&p.tx, 0, 1 << 20, &w[1].req, ERROR_MS), ncclSuccess);
	CHECK_EQ(do_irecv(&p.rx, 0, 1 << 20, &w[0].req, ERROR_MS), ncclSuccess);
	CHECK_EQ(plug.net->deregMr(p.tx.comm, p.tx.mh), ncclSuccess);
	CHECK_EQ(plug.net->deregMr(p.rx.comm, p.rx.mh), ncclSuccess);
	p.tx.mh = NULL;
	p.rx.mh = NULL;
	wait_all(w, 2, ERROR_MS);
	CHECK_EQ(w[0].res, ncclSuccess);
	CHECK_EQ(w[1].res, ncclSuccess);
	pattern_check(p.rx.buf, 1 << 20, 6);
	end();
}

static void null_pointers(void)
{
	void *out = NULL;
	int done;

	begin();
	CHECK_EQ(plug.net->devices(NULL), ncclInvalidArgument);
	CHECK_EQ(plug.net->listen(plug.ctx, 0, NULL, &out), ncclInvalidArgument);
	CHECK_EQ(plug.net->connect(plug.ctx, 0, NULL, &out, NULL), ncclInvalidArgument);
	CHECK_EQ(plug.net->accept(NULL, &out, NULL), ncclInvalidArgument);
	CHECK_EQ(plug.net->test(NULL, &done, NULL), ncclInvalidArgument);
	CHECK_EQ(plug.net->isend(NULL, p.tx.buf, 1, 0, p.tx.mh, NULL, &out), ncclInvalidArgument);
	CHECK_EQ(plug.net->closeSend(NULL), ncclSuccess);
	CHECK_EQ(plug.net->closeRecv(NULL), ncclSuccess);
	CHECK_EQ(plug.net->closeListen(NULL), ncclSuccess);
	CHECK_EQ(plug.net->deregMr(p.tx.comm, NULL), ncclSuccess);
	CHECK_EQ(plug.net->finalize(NULL), ncclInvalidArgument);
	pair_exchange(&p, 5000, 1);
	end();
}

/* The 33rd request in a direction is put off, not refused and not lost. */
static void too_many_requests(void)
{
	struct wait w[64];
	void *more;
	int i;

	begin();
	for (i = 0; i < 32; i++)
		CHECK_EQ(do_irecv(&p.rx, (size_t)i * 1000, 1000, &w[i].req, ERROR_MS), ncclSuccess);
	CHECK_EQ(do_irecv(&p.rx, 0, 1000, &more, 50), ncclInProgress);
	for (i = 0; i < 32; i++)
		CHECK_EQ(do_isend(&p.tx, (size_t)i * 1000, 1000, &w[32 + i].req, ERROR_MS),
			 ncclSuccess);
	CHECK_EQ(do_isend(&p.tx, 0, 1000, &more, 50), ncclInProgress);
	wait_all(w, 64, ERROR_MS);
	for (i = 0; i < 64; i++)
		CHECK_EQ(w[i].res, ncclSuccess);
	pair_exchange(&p, 5000, 1);
	end();
}

#define U(fn)                                   \
	{                                       \
		.name = "usage." #fn, .run = fn \
	}
const struct fault_case cases_usage[] = {
	U(oversize_inline),
	U(oversize_chunks),
	U(oversize_empty),
	U(oversize_sender_hears),
	U(isend_outside),
	U(irecv_outside),
	U(no_registration),
	U(empty_without_memory),
	U(wrong_direction),
	U(many_buffers),
	U(no_such_device),
	U(reg_cuda),
	U(reg_no_dmabuf),
	U(dereg_in_flight),
	U(null_pointers),
	U(too_many_requests),
	{ 0 },
};
