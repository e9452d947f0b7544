// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/counter.h"
#include "base/param.h"
#include "comm/comm.h"
#include "comm/sock_events.h"

/* For polls of all sockets, and for more events than mostly come between two looks; still more end the polls, which are begun anew. */
#define REQUESTS 32
#define RESULTS	 256
_Static_assert(REQUESTS > WIRE_MAX_SOCKS, "a poll for each, and the control socket's");

static void open_on(struct sock_events *e, const struct comm *comm, bool receives)
{
	int i, r;

	*e = (struct sock_events){
		.receives = receives,
		.n = comm->n_socks + !receives,
		.u.fd = -1,
	};
	for (i = 0; i < e->n; i++)
		e->socks[i] = (struct sock_state){
			.fd = i < comm->n_socks ? comm->socks[i].fd : comm->ctrl_fd,
			.may_send = true,
			.may_read = true,
		};
	if (!param_bool(PARAM_IO_URING))
		return;
	r = uring_create(&e->u, REQUESTS, RESULTS);
	if (r < 0)
		uring_tell_missing(r);
	e->on = r == 0;
}

void sock_events_open(struct sock_events *e, const struct comm *comm)
{
	open_on(e, comm, false);
}

void sock_events_open_recv(struct sock_events *e, const struct comm *comm)
{
	open_on(e, comm, true);
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
	s->may_read = true;
}

static void note(struct sock_events *e, const struct io_uring_cqe *cqe)
{
	struct sock_state *s = &e->socks[cqe->user_data];

	if (cqe->res > 0) {
		s->may_send |= (cqe->res & (POLLOUT | POLLHUP)) != 0;
		s->may_read |= (cqe->res & (POLLERR | POLLHUP | POLLIN | POLLRDHUP)) != 0;
	}
	if (!(cqe->flags & IORING_CQE_F_MORE))
		forget(s);
	/* A kernel that has no such polls. */
	if (cqe->res == -EINVAL) {
		e->on = false;
		uring_tell_missing(cqe->res);
	}
}

/* On the sending side a control socket that can be read has ended, and nothing ever comes on a data socket. */
static uint32_t events_of(const struct sock_events *e, int i)
{
	return !e->receives && i < e->n - 1 ? POLLOUT : POLLIN | POLLRDHUP;
}

static void begin(struct sock_events *e)
{
	int i;

	for (i = 0; i < e->n; i++) {
		const struct io_uring_sqe sqe = {
			.opcode = IORING_OP_POLL_ADD,
			.fd = e->socks[i].fd,
			.len = IORING_POLL_ADD_MULTI,
			.poll32_events = events_of(e, i),
			.user_data = (uint64_t)i,
		};

		if (!e->socks[i].standing)
			e->socks[i].standing = uring_add(&e->u, &sqe);
	}
	/* What it does not take stays in line; meanwhile no call is held back for longer than always. */
	uring_submit(&e->u);
}

/* True: there was something. */
static bool note_all(struct sock_events *e)
{
	const struct io_uring_cqe *cqe;
	bool any = false;

	while ((cqe = uring_peek(&e->u))) {
		note(e, cqe);
		uring_seen(&e->u);
		any = true;
	}
	return any;
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
		if (note_all(e) && e->receives)
			counter_inc(sys_uring_data);
	}
	for (i = 0; i < e->n; i++)
		standing &= e->socks[i].standing;
	if (!standing && e->on)
		begin(e);
}
