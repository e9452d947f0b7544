/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An io_uring: requests that stand until something happens on a socket, whose results the kernel writes to memory that it shares with us.
 * Looking there costs no system call (io_uring_setup(2), io_uring_enter(2)).
 *
 * The kernel does its part in the thread that submitted, the next time that it comes back from a system call or an interrupt, whatever they
 * are for (NCCL's proxy yields when it is idle); that the kernel waits for this is told in the shared memory, and uring_flush() brings it about.
 * The event itself does not interrupt the thread (IORING_SETUP_COOP_TASKRUN): for one that runs, which is one that polls, that costs more
 * than the calls that are saved. Requests of a thread that ends are cancelled (-ECANCELED).
 *
 * One thread at a time. Nothing here logs but uring_tell_missing().
 */
#ifndef DEVMEM_URING_H
#define DEVMEM_URING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/io_uring.h>

#define URING_LOOKS 1024

/* Looks that a notice is left to the thread's own calls. A loop that polls mostly makes one between two looks: it sends, receives or yields. */
#define URING_GRACE 8

/* @looks: since the last flush or result. @noticed: of these, in a row that found a notice. @fd: -1 where there is none. @map, @sqes: what is shared, of @map_size and @sqes_size bytes; the rest points into it. */
struct uring {
	int fd;
	void *map;
	size_t map_size;
	struct io_uring_sqe *sqes;
	size_t sqes_size;
	uint32_t *sq_head, *sq_tail, *sq_flags, *sq_array;
	uint32_t *cq_head, *cq_tail;
	uint32_t sq_mask, cq_mask;
	uint32_t looks;
	uint32_t noticed;
	struct io_uring_cqe *cqes;
};

/*
 * Says that io_uring cannot be had for @err < 0, what that costs and what would help: the first time in a process, then nothing. Any thread.
 */
void uring_tell_missing(int err);

/* Room for @sq requests at a time and @cq results, powers of two. 0 or -errno: -ENOSYS and -EPERM where io_uring is not allowed, -EINVAL before Linux 5.19. */
int uring_create(struct uring *u, uint32_t sq, uint32_t cq);

/* Cancels what still stands, and is fine for one that is not there (fd -1). Requests of other threads end a little later. */
void uring_destroy(struct uring *u);

/* Puts a request in line; false when the line is full. */
bool uring_add(struct uring *u, const struct io_uring_sqe *sqe);

/* Hands over what is in line: one system call, counted (sys_uring), or none where nothing is. 0 or -errno; then it stays in line. */
int uring_submit(struct uring *u);

/* The next result, or NULL; it is the kernel's again after uring_seen(). */
const struct io_uring_cqe *uring_peek(const struct uring *u);
void uring_seen(struct uring *u);

/*
 * To be asked when uring_peek() has nothing: does the kernel wait for uring_flush(), a system call, counted, to go on with what has happened, or
 * to hand out results for which there was no room? The notice can be lost as another is taken back (io_uring/io_uring.c, io_req_task_work_add()
 * and ctx_flush_and_put()), so one look in URING_LOOKS says yes in any case. Otherwise the first
 * URING_GRACE looks that find a notice say no.
 */
bool uring_is_due(struct uring *u);
void uring_flush(struct uring *u);

/* Registers @n buffers' ring at @bufs as group 0, or takes it back: after that no buffer is written any more. 0 or -errno. */
int uring_register_buffers(struct uring *u, struct io_uring_buf_ring *bufs, uint32_t n);
int uring_unregister_buffers(struct uring *u);

#endif
