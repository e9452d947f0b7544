/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * As much of io_uring as these tests need: a ring of one thread, polled by waiting. Raw, since
 * a distribution's liburing may be older than the operations.
 */
#ifndef SERIES_URING_H
#define SERIES_URING_H

#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "endpoint.h"

struct uring {
	int fd;
	uint32_t *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	uint64_t enters;
	unsigned int queued;
};

/* @flags: IORING_SETUP_* */
static inline void uring_make_with(struct uring *u, unsigned int entries, uint32_t flags)
{
	struct io_uring_params p = { .flags = flags };
	size_t sq, cq;
	uint8_t *ring;

	memset(u, 0, sizeof(*u));
	u->fd = (int)syscall(__NR_io_uring_setup, entries, &p);
	if (u->fd < 0)
		die("io_uring_setup");
	sq = p.sq_off.array + p.sq_entries * sizeof(uint32_t);
	cq = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	ring = mmap(NULL, sq > cq ? sq : cq, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		    u->fd, IORING_OFF_SQ_RING);
	u->sqes = mmap(NULL, p.sq_entries * sizeof(*u->sqes), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, u->fd, IORING_OFF_SQES);
	if (ring == MAP_FAILED || (void *)u->sqes == MAP_FAILED)
		die("mmap of the ring");
	u->sq_tail = (uint32_t *)(ring + p.sq_off.tail);
	u->sq_mask = (uint32_t *)(ring + p.sq_off.ring_mask);
	u->sq_array = (uint32_t *)(ring + p.sq_off.array);
	u->cq_head = (uint32_t *)(ring + p.cq_off.head);
	u->cq_tail = (uint32_t *)(ring + p.cq_off.tail);
	u->cq_mask = (uint32_t *)(ring + p.cq_off.ring_mask);
	u->cqes = (struct io_uring_cqe *)(ring + p.cq_off.cqes);
}

static inline void uring_make(struct uring *u, unsigned int entries)
{
	uring_make_with(u, entries, 0);
}

/* To be submitted by the next one. */
static inline void uring_queue(struct uring *u, const struct io_uring_sqe *sqe)
{
	uint32_t tail = *u->sq_tail, slot = tail & *u->sq_mask;

	u->sqes[slot] = *sqe;
	u->sq_array[slot] = slot;
	__atomic_store_n(u->sq_tail, tail + 1, __ATOMIC_RELEASE);
	u->queued++;
}

/* Submit one, behind what has been queued, and wait until there are @wait completions. */
static inline void uring_submit(struct uring *u, const struct io_uring_sqe *sqe, unsigned int wait)
{
	unsigned int n;

	uring_queue(u, sqe);
	n = u->queued;
	u->queued = 0;
	u->enters++;
	if (syscall(__NR_io_uring_enter, u->fd, n, wait, wait ? IORING_ENTER_GETEVENTS : 0, NULL,
		    0) != n)
		die("io_uring_enter");
}

/* What the ring has put off until it is entered is done now. */
static inline void uring_enter(struct uring *u)
{
	u->enters++;
	if (syscall(__NR_io_uring_enter, u->fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0) < 0 &&
	    errno != EINTR)
		die("io_uring_enter");
}

/* Return: whether there was a completion; it waits for one when @wait */
static inline bool uring_next(struct uring *u, struct io_uring_cqe *cqe, bool wait)
{
	uint32_t head = *u->cq_head;

	while (head == __atomic_load_n(u->cq_tail, __ATOMIC_ACQUIRE)) {
		if (!wait)
			return false;
		u->enters++;
		if (syscall(__NR_io_uring_enter, u->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) <
			    0 &&
		    errno != EINTR)
			die("io_uring_enter");
	}
	*cqe = u->cqes[head & *u->cq_mask];
	__atomic_store_n(u->cq_head, head + 1, __ATOMIC_RELEASE);
	return true;
}

#endif
