/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A signal storm: SIGUSR1 to one thread, thousands a second, while it is in blocking calls.
 */
#ifndef SERIES_STORM_H
#define SERIES_STORM_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "fault.h"

/* @us: between two signals. */
struct storm {
	pthread_t thread;
	pid_t tid;
	unsigned int us;
	atomic_bool over;
};

static atomic_uint storm_signals;

static void storm_on_signal(int sig)
{
	(void)sig;
	atomic_fetch_add(&storm_signals, 1);
}

static void *storm_thread(void *arg)
{
	struct storm *s = arg;

	while (!atomic_load(&s->over)) {
		syscall(SYS_tgkill, getpid(), s->tid, SIGUSR1);
		usleep(s->us);
	}
	return NULL;
}

/* Upon the calling thread. @flags: of sigaction(). @s stays until storm_end(). */
static inline void storm_begin(struct storm *s, int flags, unsigned int us)
{
	struct sigaction sa = { .sa_handler = storm_on_signal, .sa_flags = flags };

	sigaction(SIGUSR1, &sa, NULL);
	s->tid = (pid_t)syscall(SYS_gettid);
	s->us = us;
	atomic_store(&s->over, false);
	atomic_store(&storm_signals, 0);
	check(!pthread_create(&s->thread, NULL, storm_thread, s), "thread");
}

/* Return: signals that came */
static inline unsigned int storm_end(struct storm *s)
{
	atomic_store(&s->over, true);
	pthread_join(s->thread, NULL);
	return atomic_load(&storm_signals);
}

#endif
