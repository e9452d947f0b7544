/* SPDX-License-Identifier: BSD-3-Clause */
/* The three threads of a rank in this process. */
#ifndef CONFORMANCE_WORKER_H
#define CONFORMANCE_WORKER_H

#include <pthread.h>

#include "agent.h"

/*
 * @call: what it is at, NULL when idle. @reply_fd: where finished calls go, -1: whoever waits in worker_wait() has them.
 */
struct worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct agent *agent;
	struct call *call;
	bool done;
	bool stop;
	int reply_fd;
	pthread_mutex_t *reply_lock;
	struct call own; /* where calls that came over a socket are kept */
};

/* 0 or negative errno. @reply_lock: for writing to @reply_fd. */
int worker_start(struct worker *w, struct agent *agent, const char *name, int reply_fd,
		 pthread_mutex_t *reply_lock);
void worker_stop(struct worker *w);
/* @c stays the caller's, and is in use until worker_wait(). */
void worker_post(struct worker *w, struct call *c);
void worker_wait(struct worker *w);

/* Whole messages over a stream socket. 0, -ECONNRESET at its end, other negative errno. */
int call_write(int fd, const struct call *c);
int call_read(int fd, struct call *c);

/* Serves the calls that come from @fd until it is closed; the process of a rank. */
int worker_serve(struct agent *agent, int fd);

#endif
