// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/uring.h"

static const char *remedy_for(int err)
{
	switch (err) {
	case -EPERM:
	case -EACCES:
	case -ENOSYS:
		return "a sandbox (seccomp) or kernel.io_uring_disabled forbids it, or the kernel is without CONFIG_IO_URING";
	case -ENOMEM:
		return "raise RLIMIT_MEMLOCK (ulimit -l)";
	case -EMFILE:
		return "raise RLIMIT_NOFILE (ulimit -n)";
	default:
		return "Linux 6.0 and later have what is needed";
	}
}

void uring_tell_missing(int err)
{
	static bool told;

	if (!__atomic_exchange_n(&told, true, __ATOMIC_RELAXED))
		log_info("sockets are looked at by system calls and not by io_uring: %s; %s",
			 strerror(-err), remedy_for(err));
}

static uint32_t *at(const struct uring *u, uint32_t offset)
{
	return (uint32_t *)(void *)((uint8_t *)u->map + offset);
}

int uring_create(struct uring *u, uint32_t sq, uint32_t cq)
{
	struct io_uring_params p = {
		.flags =
			IORING_SETUP_CQSIZE | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		.cq_entries = cq,
	};
	size_t sq_end, cq_end;
	int err;

	*u = (struct uring){ .fd = -1 };
	u->fd = (int)syscall(__NR_io_uring_setup, sq, &p);
	if (u->fd < 0)
		return -errno;
	if (!(p.features & IORING_FEAT_SINGLE_MMAP) || !(p.features & IORING_FEAT_NODROP)) {
		err = -ENOSYS;
		goto destroy;
	}
	sq_end = p.sq_off.array + p.sq_entries * sizeof(uint32_t);
	cq_end = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	u->map_size = sq_end > cq_end ? sq_end : cq_end;
	u->map = mmap(NULL, u->map_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u->fd,
		      IORING_OFF_SQ_RING);
	if (u->map == MAP_FAILED) {
		err = -errno;
		u->map = NULL;
		goto destroy;
	}
	u->sqes_size = p.sq_entries * sizeof(*u->sqes);
	u->sqes = mmap(NULL, u->sqes_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u->fd,
		       IORING_OFF_SQES);
	if ((void *)u->sqes == MAP_FAILED) {
		err = -errno;
		u->sqes = NULL;
		goto destroy;
	}
	u->sq_head = at(u, p.sq_off.head);
	u->sq_tail = at(u, p.sq_off.tail);
	u->sq_flags = at(u, p.sq_off.flags);
	u->sq_array = at(u, p.sq_off.array);
	u->sq_mask = *at(u, p.sq_off.ring_mask);
	u->cq_head = at(u, p.cq_off.head);
	u->cq_tail = at(u, p.cq_off.tail);
	u->cq_mask = *at(u, p.cq_off.ring_mask);
	u->cqes = (struct io_uring_cqe *)(void *)at(u, p.cq_off.cqes);
	return 0;

destroy:
	uring_destroy(u);
	return err;
}

static void cancel_all(struct uring *u)
{
	/* It waits for nothing: what stands on sockets ends at once. Linux 6.0; before, closing the ring does it. */
	struct io_uring_sync_cancel_reg reg = {
		.fd = -1,
		.flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY,
	};

	syscall(__NR_io_uring_register, u->fd, IORING_REGISTER_SYNC_CANCEL, &reg, 1);
}

void uring_destroy(struct uring *u)
{
	if (u->fd >= 0)
		cancel_all(u);
	if (u->sqes)
		munmap(u->sqes, u->sqes_size);
	if (u->map)
		munmap(u->map, u->map_size);
	if (u->fd >= 0)
		close(u->fd);
	*u = (struct uring){ .fd = -1 };
}

bool uring_add(struct uring *u, const struct io_uring_sqe *sqe)
{
	uint32_t tail = *u->sq_tail, slot = tail & u->sq_mask;

	if (tail - __atomic_load_n(u->sq_head, __ATOMIC_ACQUIRE) > u->sq_mask)
		return false;
	u->sqes[slot] = *sqe;
	u->sq_array[slot] = slot;
	/* The kernel reads up to the tail: what lies before it has to be there first. */
	__atomic_store_n(u->sq_tail, tail + 1, __ATOMIC_RELEASE);
	return true;
}

int uring_submit(struct uring *u)
{
	uint32_t n = *u->sq_tail - __atomic_load_n(u->sq_head, __ATOMIC_ACQUIRE);

	if (!n)
		return 0;
	counter_inc(sys_uring);
	return syscall(__NR_io_uring_enter, u->fd, n, 0, 0, NULL, 0) < 0 ? -errno : 0;
}

const struct io_uring_cqe *uring_peek(const struct uring *u)
{
	uint32_t head = *u->cq_head;

	/* The kernel moves the tail after it has written what lies before it. */
	if (head == __atomic_load_n(u->cq_tail, __ATOMIC_ACQUIRE))
		return NULL;
	return &u->cqes[head & u->cq_mask];
}

void uring_seen(struct uring *u)
{
	__atomic_store_n(u->cq_head, *u->cq_head + 1, __ATOMIC_RELEASE);
	u->looks = 0;
	u->noticed = 0;
}

bool uring_is_due(struct uring *u)
{
	uint32_t flags = __atomic_load_n(u->sq_flags, __ATOMIC_RELAXED);

	if (flags & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN))
		u->noticed++;
	else
		u->noticed = 0;
	return u->noticed > URING_GRACE || ++u->looks >= URING_LOOKS;
}

void uring_flush(struct uring *u)
{
	u->looks = 0;
	u->noticed = 0;
	counter_inc(sys_uring);
	syscall(__NR_io_uring_enter, u->fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0);
}

int uring_register_buffers(struct uring *u, struct io_uring_buf_ring *bufs, uint32_t n)
{
	struct io_uring_buf_reg reg = { .ring_addr = (uint64_t)(uintptr_t)bufs, .ring_entries = n };

	return syscall(__NR_io_uring_register, u->fd, IORING_REGISTER_PBUF_RING, &reg, 1) < 0
		       ? -errno
		       : 0;
}

int uring_unregister_buffers(struct uring *u)
{
	struct io_uring_buf_reg reg = { 0 };

	return syscall(__NR_io_uring_register, u->fd, IORING_UNREGISTER_PBUF_RING, &reg, 1) < 0
		       ? -errno
		       : 0;
}
