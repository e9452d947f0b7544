// SPDX-License-Identifier: BSD-3-Clause
/* Ranks: where their threads are, and how calls get there. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monotime.h"
#include "rank.h"

struct rank ranks[2];
int n_ranks;

static const char *const thread_names[CALL_THREADS] = { "app", "service", "progress" };

static void rank_spawn(struct rank *r)
{
	int sv[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0, "socketpair: %s",
	      strerror(errno));
	fflush(NULL);
	r->pid = fork();
	CHECK(r->pid >= 0, "fork: %s", strerror(errno));
	if (r->pid == 0) {
		close(sv[0]);
		conf_exec_rank(r->number, sv[1]);
		_exit(127);
	}
	close(sv[1]);
	r->fd = sv[0];
}

void ranks_start(int n, int n_processes)
{
	for (n_ranks = 0; n_ranks < n; n_ranks++) {
		struct rank *r = &ranks[n_ranks];

		r->number = n_ranks;
		r->fd = -1;
		if (n_ranks > 0 && n_processes > 1) {
			rank_spawn(r);
			continue;
		}
		agent_init(&r->agent, conf.plugin, conf.memory);
		for (int i = 0; i < CALL_THREADS; i++)
			CHECK(worker_start(&r->workers[i], &r->agent, thread_names[i], -1, NULL) ==
				      0,
			      "no thread");
	}
	for (int i = 0; i < n; i++)
		rank_state(&ranks[i], &ranks[i].before);
}

/* Its process has ended. */
static void rank_forget(struct rank *r)
{
	close(r->fd);
	ranks[0].before.fds--; /* counted with it */
	r->pid = 0;
	r->fd = -1;
	r->loaded = false;
	r->inited = false;
}

void rank_kill(struct rank *r)
{
	kill(r->pid, SIGKILL);
	waitpid(r->pid, NULL, 0);
	rank_forget(r);
}

/* The process of @r has to end by itself, with 0. */
static void rank_await(const struct rank *r)
{
	int64_t end = monotime_ns() + TIDY_MS * NSEC_PER_MSEC;
	int status = 0;

	while (waitpid(r->pid, &status, WNOHANG) == 0) {
		if (monotime_ns() > end)
			FAIL("the process of rank %d did not end", r->number);
		sleep_ms(2);
	}
	if (status)
		FAIL("the process of rank %d ended with wait status 0x%x", r->number,
		     (unsigned int)status);
}

void rank_exit(struct rank *r)
{
	struct call c = { .len = 0 };

	rank_begin(r, &c, ON_APP, OP_EXIT);
	rank_await(r);
	rank_forget(r);
}

void rank_env(struct rank *r, const char *name_value)
{
	struct call c = { .len = (uint32_t)strlen(name_value) + 1 };

	memcpy(c.data, name_value, c.len);
	rank_call(r, &c, ON_APP, OP_ENV);
	CHECK(c.res == 0, "putenv(%s) failed", name_value);
}

static void rank_lost(struct rank *r)
{
	int status = 0;

	if (waitpid(r->pid, &status, 0) == r->pid && WIFSIGNALED(status))
		FAIL("rank %d died of signal %d (%s)", r->number, WTERMSIG(status),
		     strsignal(WTERMSIG(status)));
	FAIL("rank %d ended with status %d", r->number, WEXITSTATUS(status));
}

void rank_begin(struct rank *r, struct call *c, enum call_thread thread, enum call_op op)
{
	c->op = op;
	c->thread = thread;
	r->pending[thread] = (struct pending){ .call = c };
	if (!r->pid)
		worker_post(&r->workers[thread], c);
	else if (call_write(r->fd, c))
		rank_lost(r);
}

/* Answers come as calls end; those of other threads are kept for when they are asked for. */
void rank_finish(struct rank *r, enum call_thread thread)
{
	static struct call in;

	if (!r->pid) {
		worker_wait(&r->workers[thread]);
		return;
	}
	while (!r->pending[thread].arrived) {
		struct pending *p;

		if (call_read(r->fd, &in))
			rank_lost(r);
		p = &r->pending[in.thread];
		memcpy(p->call, &in, CALL_HEAD + in.len);
		p->arrived = true;
	}
}

/* What NCCL polls, with its abort flag between two calls. The rest may take its time: NICs are looked at, memory is bound. */
static bool must_not_block(enum call_op op)
{
	return op == OP_CONNECT || op == OP_ACCEPT || op == OP_ISEND || op == OP_IRECV ||
	       op == OP_FLUSH || op == OP_WAIT;
}

void rank_call(struct rank *r, struct call *c, enum call_thread thread, enum call_op op)
{
	int64_t limit = conf.memory == MEMORY_CUDA ? CALL_GPU_MS : CALL_MS;

	limit *= conf.limit_factor * NSEC_PER_MSEC;
	rank_begin(r, c, thread, op);
	rank_finish(r, thread);
	if (must_not_block(op) && c->ns > limit)
		FAIL(BLOCKED_PREFIX "for %lld ms (op %u on the %s thread)",
		     (long long)(c->ns / NSEC_PER_MSEC), c->op, thread_names[thread]);
}

void rank_state(struct rank *r, struct process_state *ret)
{
	struct call c = { .len = 0 };

	rank_call(r, &c, ON_APP, OP_STATE);
	memcpy(ret, c.data, sizeof(*ret));
}

/* A thread that was joined leaves /proc a moment later; ThreadSanitizer has one of its own. */
void rank_check_state(struct rank *r, const struct process_state *before)
{
	int64_t end = monotime_ns() + TIDY_MS * NSEC_PER_MSEC;
	struct process_state now;

	for (;;) {
		rank_state(r, &now);
		if (now.fds == before->fds && now.threads == before->threads)
			return;
		if (monotime_ns() > end)
			break;
		sleep_ms(5);
	}
	if (now.fds != before->fds)
		FAIL("rank %d: %d descriptors before, %d after", r->number, before->fds, now.fds);
#if !defined(__SANITIZE_THREAD__)
	FAIL("rank %d: %d threads before, %d after", r->number, before->threads, now.threads);
#endif
}

int rank_log_count(struct rank *r, const char *text)
{
	struct call c = { 0 };

	c.len = (uint32_t)strlen(text) + 1;
	memcpy(c.data, text, c.len);
	rank_call(r, &c, ON_APP, OP_LOG);
	return (int)c.a[0];
}

uint64_t rank_alloc(struct rank *r, size_t size, size_t misalign)
{
	struct call c = { .a = { size, misalign } };

	rank_call(r, &c, ON_APP, OP_ALLOC);
	CHECK(c.res == 0, "no buffer of %zu bytes: %s", size, strerror(-c.res));
	return c.a[0];
}

void rank_load(struct rank *r)
{
	struct call c = { .a = { (uint64_t)conf.version } };

	c.len = (uint32_t)strlen(conf.plugin) + 1;
	memcpy(c.data, conf.plugin, c.len);
	rank_call(r, &c, ON_APP, OP_LOAD);
	if (c.res == -ENOSYS)
		SKIP("the plugin has no ncclNetPlugin_v%d", conf.version);
	CHECK(c.res == 0, "dlopen of %s failed", conf.plugin);
	r->loaded = true;
}

static void find_device(struct rank *r, int n)
{
	for (int i = 0; i < n; i++) {
		struct call c = { .a = { (uint64_t)i } };

		rank_call(r, &c, ON_APP, OP_PROPS);
		EXPECT(c.res, ncclSuccess, "getProperties");
		memcpy(&r->device, c.data, sizeof(r->device));
		r->dev = i;
		if (!conf.interface || !strcmp(r->device.name, conf.interface))
			return;
	}
	FAIL("no device called %s", conf.interface);
}

/* Kernels can unpack from version 7 on (nccl/net_v7.h). */
static bool has_device_handle(void)
{
	return conf.version >= 7;
}

void rank_init(struct rank *r)
{
	struct call c = { .a = { 0, 1 } };

	rank_call(r, &c, ON_APP, OP_INIT);
	if (c.res != ncclSuccess && conf.unpack && !has_device_handle()) {
		CHECK(rank_log_count(r, "unpack"), "init fails without a word on unpack");
		SKIP("version %d has no device handle to unpack by, and init refuses, saying so",
		     conf.version);
	}
	EXPECT(c.res, ncclSuccess, "init");
	r->ctx = c.a[0];
	r->inited = true;
	rank_call(r, &c, ON_APP, OP_DEVICES);
	EXPECT(c.res, ncclSuccess, "devices");
	CHECK((int)c.a[0] > 0, "devices: %d", (int)c.a[0]);
	find_device(r, (int)c.a[0]);
	CHECK(!conf.unpack || !has_device_handle() ||
		      r->device.device_type == NCCL_NET_DEVICE_UNPACK,
	      "the device's type is %d, not unpack", r->device.device_type);
	if (!rx_view_for(r->device.device_type))
		SKIP("receives of this device type (%d) cannot be seen here",
		     r->device.device_type);
}

void rank_finalize(struct rank *r)
{
	struct call c = { .a = { r->ctx } };

	rank_call(r, &c, ON_APP, OP_FINALIZE);
	EXPECT(c.res, ncclSuccess, "finalize");
	r->inited = false;
}

void rank_unload(struct rank *r)
{
	struct call c = { 0 };

	rank_call(r, &c, ON_APP, OP_UNLOAD);
	CHECK(c.res == 0, "dlclose failed");
	r->loaded = false;
}

static void rank_stop(struct rank *r)
{
	if (!r->pid) {
		if (!r->agent.path)
			return;
		/* Threads end after the library is gone: destructors it left behind would show. */
		for (int i = 0; i < CALL_THREADS; i++)
			worker_stop(&r->workers[i]);
		agent_free(&r->agent);
		return;
	}
	shutdown(r->fd, SHUT_RDWR);
	rank_await(r);
	close(r->fd);
}

void ranks_end(void)
{
	for (int i = 0; i < n_ranks; i++)
		if (ranks[i].inited)
			rank_finalize(&ranks[i]);
	for (int i = 0; i < n_ranks; i++)
		if (ranks[i].loaded)
			rank_unload(&ranks[i]);
	for (int i = 0; i < n_ranks; i++) {
		struct rank *r = &ranks[i];
		struct process_state now;

		if (!r->pid && !r->agent.path)
			continue;
		rank_check_state(r, &r->before);
		rank_state(r, &now);
		CHECK(now.mapped == 0, "rank %d: dlclose left the library mapped", r->number);
	}
	for (int i = 0; i < n_ranks; i++)
		rank_stop(&ranks[i]);
}
