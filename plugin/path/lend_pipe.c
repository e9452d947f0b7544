// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/counter.h"
#include "path/lend_pipe.h"

/*
 * What goes through at once: several packets of loopback's, so that the calls do not count, and the most that a user without privileges may
 * ask for (fs.pipe-max-size). Together such a user's pipes have 64 MiB (fs.pipe-user-pages-soft); behind that it is the least, which is one
 * packet, until that is refused, too.
 */
#define PIPE_BYTES (1 << 20)
#define PIPE_LEAST (64 << 10)

int lend_pipe_create(struct lend_pipe **ret)
{
	_cleanup_close_ int rd = -1, wr = -1;
	struct lend_pipe *lp;
	int fds[2];
	int size;

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	rd = fds[0];
	wr = fds[1];
	size = fcntl(wr, F_SETPIPE_SZ, PIPE_BYTES);
	if (size < 0)
		size = fcntl(wr, F_SETPIPE_SZ, PIPE_LEAST);
	if (size < PIPE_LEAST)
		return -EPERM;
	lp = malloc(sizeof(*lp));
	if (!lp)
		return -ENOMEM;
	*lp = (struct lend_pipe){ .size = (size_t)size };
	lp->rd = TAKE_FD(rd);
	lp->wr = TAKE_FD(wr);
	*ret = lp;
	return 0;
}

void lend_pipe_destroy(struct lend_pipe *lp)
{
	if (!lp)
		return;
	close(lp->rd);
	close(lp->wr);
	free(lp);
}

/*
 * splice() has no MSG_NOSIGNAL: a socket whose peer is gone raises SIGPIPE in this thread, which kills programs that do not expect it. It does so
 * even behind bytes that it took, when the peer goes in the midst of the call (fs/splice.c, splice_to_socket()).
 * One that was pending before is the program's.
 */
static ssize_t splice_quietly(struct lend_pipe *lp, int fd)
{
	sigset_t pipe_only, before, pending;
	bool ours = true;
	ssize_t n;
	int err;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
	if (sigismember(&before, SIGPIPE) && sigpending(&pending) == 0)
		ours = !sigismember(&pending, SIGPIPE);
	counter_inc(sys_send);
	n = splice(lp->rd, NULL, fd, NULL, lp->held, SPLICE_F_NONBLOCK);
	err = errno;
	if (n < (ssize_t)lp->held && ours)
		sigtimedwait(&pipe_only, NULL, &(struct timespec){ 0 });
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = err;
	return n;
}

ssize_t lend_pipe_send(struct lend_pipe *lp, int fd, const void *p, size_t len)
{
	ssize_t n;

	if (!lp->held) {
		struct iovec iov = { .iov_base = (void *)p, /* only ever read */
				     .iov_len = len < lp->size ? len : lp->size };

		counter_inc(sys_send);
		n = vmsplice(lp->wr, &iov, 1, SPLICE_F_NONBLOCK);
		if (n < 0)
			return errno == EINTR ? -EAGAIN : errno == EAGAIN ? -ENOMEM : -errno;
		lp->held = (size_t)n;
	}
	n = splice_quietly(lp, fd);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	/* The pipe cannot have ended: its other end is ours. */
	if (n == 0)
		return -EIO;
	lp->held -= (size_t)n;
	return n;
}
