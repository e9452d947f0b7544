// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/counter.h"
#include "base/uring.h"
#include "comm/ctrl_ring.h"

/* As much as a control buffer holds. A record that comes alone takes a buffer, so there are as many as messages can be under way. */
#define BUFS	 32
#define BUF_SIZE (4U << 10)

/* Each result but the last of a receive has a buffer, so these never run over. */
#define RESULTS (2 * BUFS)

/*
 * @armed: a receive stands. @queued: one is in line that the kernel did not take. @ended: the stream has, with @err, 0 in good order.
 * @cur, @cur_at, @cur_end: the buffer that is being emptied, and what is left in it.
 * @shared: the ring of free buffers, on a page of its own.
 */
struct ctrl_ring {
	int fd;
	bool armed;
	bool queued;
	bool ended;
	int err;
	uint16_t cur;
	size_t cur_at;
	size_t cur_end;
	struct uring u;
	struct io_uring_buf_ring *shared;
	uint16_t tail;
	uint8_t bufs[BUFS][BUF_SIZE];
};

#define SHARED_SIZE (BUFS * sizeof(struct io_uring_buf))

static void give_buffer(struct ctrl_ring *r, uint16_t id)
{
	struct io_uring_buf *b = &r->shared->bufs[r->tail % BUFS];

	/* Not ->resv: the first one's is the tail. */
	b->addr = (uint64_t)(uintptr_t)r->bufs[id];
	b->len = BUF_SIZE;
	b->bid = id;
	r->tail++;
	__atomic_store_n(&r->shared->tail, r->tail, __ATOMIC_RELEASE);
}

int ctrl_ring_create(int fd, struct ctrl_ring **ret)
{
	struct ctrl_ring *r = calloc(1, sizeof(*r));
	uint16_t i;
	int flags, err;

	if (!r)
		return -ENOMEM;
	r->fd = fd;
	err = uring_create(&r->u, 1, RESULTS);
	if (err < 0)
		goto free;
	r->shared =
		mmap(NULL, SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (r->shared == MAP_FAILED) {
		err = -errno;
		goto destroy;
	}
	err = uring_register_buffers(&r->u, r->shared, BUFS);
	if (err < 0)
		goto unmap;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) {
		err = -errno;
		goto unmap;
	}
	for (i = 0; i < BUFS; i++)
		give_buffer(r, i);
	*ret = r;
	return 0;

unmap:
	munmap(r->shared, SHARED_SIZE);
destroy:
	uring_destroy(&r->u);
free:
	free(r);
	return err;
}

void ctrl_ring_destroy(struct ctrl_ring *r)
{
	int err;

	if (!r)
		return;
	shutdown(r->fd, SHUT_RDWR);
	/* The receive may outlive the ring's descriptor, but without buffers it has nothing left to write to. */
	err = uring_unregister_buffers(&r->u);
	uring_destroy(&r->u);
	if (err < 0)
		return;
	munmap(r->shared, SHARED_SIZE);
	free(r);
}

/* Has the kernel receive. */
static int arm(struct ctrl_ring *r)
{
	const struct io_uring_sqe sqe = {
		.opcode = IORING_OP_RECV,
		.flags = IOSQE_BUFFER_SELECT,
		.ioprio = IORING_RECV_MULTISHOT,
		.fd = r->fd,
	};
	int err;

	if (!r->queued)
		r->queued = uring_add(&r->u, &sqe);
	err = uring_submit(&r->u);
	if (err < 0)
		return err == -EINTR || err == -EBUSY ? -EAGAIN : err;
	r->queued = false;
	r->armed = true;
	return 0;
}

/* Some of these are of the receive and not of the stream: it is begun anew. */
static void note_end(struct ctrl_ring *r, int res)
{
	if (res == -ENOBUFS || res == -ECANCELED || res == -EINTR || res == -EAGAIN || r->ended)
		return;
	r->ended = true;
	r->err = res == -EINVAL ? -EOPNOTSUPP : res;
}

/* Takes the next result. False: there is none. */
static bool next_result(struct ctrl_ring *r)
{
	const struct io_uring_cqe *cqe = uring_peek(&r->u);

	if (!cqe)
		return false;
	if (!(cqe->flags & IORING_CQE_F_MORE))
		r->armed = false;
	if (cqe->res > 0) {
		r->cur = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
		r->cur_at = 0;
		r->cur_end = (size_t)cqe->res;
		counter_inc(ctrl_delivered);
	} else {
		if (cqe->flags & IORING_CQE_F_BUFFER)
			give_buffer(r, (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT));
		note_end(r, cqe->res);
	}
	uring_seen(&r->u);
	return true;
}

static size_t copy_out(struct ctrl_ring *r, uint8_t *dst, size_t room)
{
	size_t n = r->cur_end - r->cur_at < room ? r->cur_end - r->cur_at : room;

	memcpy(dst, r->bufs[r->cur] + r->cur_at, n);
	r->cur_at += n;
	if (r->cur_at == r->cur_end) {
		r->cur_at = 0;
		r->cur_end = 0;
		give_buffer(r, r->cur);
	}
	return n;
}

ssize_t ctrl_ring_take(struct ctrl_ring *r, uint8_t *dst, size_t room)
{
	bool called = false;
	size_t n = 0;
	int err;

	for (;;) {
		while (n < room && (r->cur_end || next_result(r)))
			if (r->cur_end)
				n += copy_out(r, dst + n, room - n);
		if (n || r->ended || called)
			break;
		if (!r->armed) {
			/* What is there already is received by the call that begins it. */
			err = arm(r);
			if (err < 0)
				return err;
		} else if (uring_is_due(&r->u)) {
			uring_flush(&r->u);
		} else {
			break;
		}
		called = true;
	}
	if (called && n)
		counter_inc(sys_uring_ctrl);
	if (n)
		return (ssize_t)n;
	return r->ended ? r->err : -EAGAIN;
}
