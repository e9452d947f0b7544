// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/param.h"
#include "comm/comm.h"
#include "comm/sock_events.h"

/* For polls of all sockets, and for more events than mostly come between two looks; still more end the polls, which are begun anew. */
#define REQUESTS 32
#define RESULTS	 256
_Static_assert(REQUESTS > WIRE_MAX_SOCKS, "a poll for each, and the control socket's");

void sock_events_open(struct sock_events *e, const struct comm *comm)
{
	int i, r;

	*e = (struct sock_events){ .n = comm->n_socks + 1, .u.fd = -1 };
	for (i = 0; i < e->n; i++)
		e->socks[i] = (struct sock_state){
			.fd = i < comm->n_socks ? comm->socks[i].fd : comm->ctrl_fd,
			.may_send = true,
			.may_reap = true,
		};
	if (!param_bool(PARAM_IO_URING))
		return;
	r = uring_create(&e->u, REQUESTS, RESULTS);
	if (r < 0)
		uring_tell_missing(r);
	e->on = r == 0;
}

void sock_events_close(struct sock_events *e)
{
	int i;

	for (i = 0; i < e->n; i++)
		if (e->socks[i].standing)
			shutdown(e->socks[i].fd, SHUT_RDWR);
	uring_destroy(&e->u);
	e->on = false;
	e->n = 0;
}

/* Until a poll stands (again) nothing is known of the socket. */
static void forget(struct sock_state *s)
{
	s->standing = false;
	s->may_send = true;
	s->may_reap = true;
}

static void note(struct sock_events *e, const struct io_uring_cqe *cqe)
{
	struct sock_state *s = &e->socks[cqe->user_data];

	if (cqe->res > 0) {
		s->may_send |= (cqe->res & (POLLOUT | POLLHUP)) != 0;
		s->may_reap |= (cqe->res & (POLLERR | POLLHUP | POLLIN | POLLRDHUP)) != 0;
	}
	if (!(cqe->flags & IORING_CQE_F_MORE))
		forget(s);
	/* A kernel that has no such polls. */
	if (cqe->res == -EINVAL) {
		e->on = false;
		uring_tell_missing(cqe->res);
	}
}

static void begin(struct sock_events *e)
{
	int i;

	for (i = 0; i < e->n; i++) {
		const struct io_uring_sqe sqe = {
			.opcode = IORING_OP_POLL_ADD,
			.fd = e->socks[i].fd,
			.len = IORING_POLL_ADD_MULTI,
			/* A control socket that can be read has ended; nothing ever comes on a data socket. */
			.poll32_events = i < e->n - 1 ? POLLOUT : POLLIN | POLLRDHUP,
			.user_data = (uint64_t)i,
		};

		if (!e->socks[i].standing)
			e->socks[i].standing = uring_add(&e->u, &sqe);
	}
	/* What it does not take stays in line; meanwhile no call is held back for longer than always. */
	uring_submit(&e->u);
}

static void note_all(struct sock_events *e)
{
	const struct io_uring_cqe *cqe;

	while ((cqe = uring_peek(&e->u))) {
		note(e, cqe);
		uring_seen(&e->u);
	}
}

void sock_events_look(struct sock_events *e)
{
	bool standing = true;
	int i;

	if (!e->on)
		return;
	note_all(e);
	if (uring_is_due(&e->u)) {
		uring_flush(&e->u);
		note_all(e);
	}
	for (i = 0; i < e->n; i++)
		standing &= e->socks[i].standing;
	if (!standing && e->on)
		begin(e);
}
