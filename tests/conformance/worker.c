// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker.h"

static const char *const worker_names[CALL_THREADS] = { "app", "service", "progress" };

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	memory_thread_init();
	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		struct call *c = w->call;

		if (!c || w->done) {
			pthread_cond_wait(&w->cond, &w->lock);
			continue;
		}
		pthread_mutex_unlock(&w->lock);
		agent_run(w->agent, c);
		if (w->reply_fd >= 0) {
			pthread_mutex_lock(w->reply_lock);
			call_write(w->reply_fd, c);
			pthread_mutex_unlock(w->reply_lock);
		}
		pthread_mutex_lock(&w->lock);
		w->done = true;
		pthread_cond_broadcast(&w->cond);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

int worker_start(struct worker *w, struct agent *agent, const char *name, int reply_fd,
		 pthread_mutex_t *reply_lock)
{
	int err;

	w->agent = agent;
	w->call = NULL;
	w->done = false;
	w->stop = false;
	w->reply_fd = reply_fd;
	w->reply_lock = reply_lock;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
	err = pthread_create(&w->thread, NULL, worker_main, w);
	if (err)
		return -err;
	pthread_setname_np(w->thread, name);
	return 0;
}

void worker_stop(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->cond);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->cond);
	pthread_mutex_destroy(&w->lock);
}

void worker_post(struct worker *w, struct call *c)
{
	pthread_mutex_lock(&w->lock);
	w->call = c;
	w->done = false;
	pthread_cond_broadcast(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

void worker_wait(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	while (!w->done)
		pthread_cond_wait(&w->cond, &w->lock);
	w->call = NULL;
	pthread_mutex_unlock(&w->lock);
}

static int put(int fd, const void *buf, size_t size)
{
	const uint8_t *p = buf;

	while (size) {
		ssize_t n = send(fd, p, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

static int get(int fd, void *buf, size_t size)
{
	uint8_t *p = buf;

	while (size) {
		ssize_t n = recv(fd, p, size, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

int call_write(int fd, const struct call *c)
{
	return put(fd, c, CALL_HEAD + c->len);
}

int call_read(int fd, struct call *c)
{
	int err = get(fd, c, CALL_HEAD);

	if (err)
		return err;
	if (c->len > CALL_DATA || c->thread >= CALL_THREADS)
		return -EPROTO;
	return get(fd, c->data, c->len);
}

int worker_serve(struct agent *agent, int fd)
{
	pthread_mutex_t reply_lock = PTHREAD_MUTEX_INITIALIZER;
	static struct worker workers[CALL_THREADS];
	static struct call c;
	int err = 0;

	for (int i = 0; i < CALL_THREADS; i++) {
		err = worker_start(&workers[i], agent, worker_names[i], fd, &reply_lock);
		if (err)
			return err;
	}
	while (!(err = call_read(fd, &c))) {
		struct worker *w = &workers[c.thread];

		/*
		 * Other threads' answers may be why this call comes, and what they did to memory has to be seen by it. The socket
		 * orders that, but nothing that a checker of memory order would know of: this does, as answers are written under it.
		 */
		pthread_mutex_lock(&reply_lock);
		pthread_mutex_unlock(&reply_lock);
		/*
		 * The other side has one call per thread under way, at most; but its next one may be here before the worker
		 * is back from writing the answer, and that is done with @own only then.
		 */
		if (w->call)
			worker_wait(w);
		memcpy(&w->own, &c, CALL_HEAD + c.len);
		worker_post(w, &w->own);
	}
	for (int i = 0; i < CALL_THREADS; i++)
		worker_stop(&workers[i]);
	return err == -ECONNRESET ? 0 : err;
}
