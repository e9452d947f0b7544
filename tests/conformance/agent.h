/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rank's side of calls: the plugin under test in this process, and what the harness keeps about it.
 */
#ifndef CONFORMANCE_AGENT_H
#define CONFORMANCE_AGENT_H

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "call.h"
#include "memory.h"
#include "net_driver.h"
#include "rx_view.h"

#define AGENT_BUFFERS 512

/* A receive that was posted, in order; @size and @done as test() told. */
struct rx_post {
	void *req;
	void *data;
	size_t size;
	bool done;
};

/*
 * A receive comm: posted receives from @head to @tail, at their number modulo RX_POSTS. @lag: so many that are done wait with being
 * consumed, as with a slow GPU.
 */
#define RX_POSTS 128
struct rx {
	void *comm;
	void *view_state;
	const struct rx_view *view;
	uint32_t head;
	uint32_t tail;
	uint32_t lag;
	struct rx_post posts[RX_POSTS];
	struct rx *next;
};

/*
 * @table, @calls: of the version that is tested. @rxs: under @lock; the comm itself belongs to the progress thread.
 * @unpacks: device 0's type is not HOST: accept() gets an object to fill. @memory: kind of the buffers. @buffers: until the agent ends.
 */
struct agent {
	void *library;
	const void *table;
	int api;
	const char *path;
	struct net_calls calls;
	enum device_memory_kind memory;
	bool unpacks;
	pthread_mutex_t lock;
	struct rx *rxs;
	struct memory buffers[AGENT_BUFFERS];
	int n_buffers;
};

void agent_init(struct agent *a, const char *path, enum device_memory_kind memory);
void agent_free(struct agent *a);
void agent_free_buffers(struct agent *a);

/* Carries out @c in the thread that it is for. Results go into @c. */
void agent_run(struct agent *a, struct call *c);

/* Parts of agent_run(). */
void agent_run_data(struct agent *a, struct call *c);
void agent_run_stream(struct agent *a, struct call *c);
void agent_run_host(struct agent *a, struct call *c);

/* NULL for a comm that is not known. */
struct rx *agent_rx(struct agent *a, const void *comm);
struct rx *agent_rx_add(struct agent *a, void *comm, const ncclNetDeviceHandle_v7_t *handle);
/*
 * @alive: the plugin still has it; then, if nothing is left to be consumed, a kernel that is aborted has to get to its end. 0 or
 * negative errno, said: it would not.
 */
int agent_rx_remove(struct agent *a, const void *comm, bool alive);

/* A receive was posted, and is the rx_posted()th of its comm; it has finished with @size bytes: in order, sees the bytes of what is complete and says so to the plugin.
 * The answer of irecvConsumed(), or ncclInternalError with @why (of 96 bytes) when the bytes cannot be seen. */
uint32_t rx_posted(struct rx *rx, void *req, void *data);
ncclResult_t rx_finished(struct agent *a, struct rx *rx, void *req, size_t size, char *why);

/* Sees and consumes what is due after @lag was changed. As rx_finished(). */
ncclResult_t rx_take(struct agent *a, struct rx *rx, char *why);
/* Has the bytes of the receive that rx_posted() gave this number been seen, and consumed? */
static inline bool rx_is_taken(const struct rx *rx, uint32_t number)
{
	return (int32_t)(rx->head - number) > 0;
}

/* ncclDebugLogger_t: keeps what the plugin says. */
void agent_log(ncclDebugLogLevel level, unsigned long flags, const char *file, int line,
	       const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Writes lines at once, with this number of a rank, where nobody can ask for them when a case fails; 0: not. */
extern int agent_log_live;
/* Lines that have @text, whatever case. The second: the last lines, at most @size. */
int agent_log_count(const char *text);
void agent_log_tail(char *buf, size_t size);

/*
 * Nothing moved: lets others run, who may be what is waited for. NCCL's thread yields for ever; where a GPU is threads of the same
 * process, on few processors, it would stand in their way. @idle counts, 0 after something moved.
 */
static inline void agent_idle(unsigned int *idle)
{
	struct timespec ts = { .tv_nsec = 100000 };

	if (++*idle < 64)
		sched_yield();
	else
		nanosleep(&ts, NULL);
}

/* Times one call of the plugin into @c. */
#define TIMED(c, call)                        \
	({                                    \
		int64_t _t = monotime_ns();   \
		__typeof__(call) _r = (call); \
		_t = monotime_ns() - _t;      \
		if (_t > (c)->ns)             \
			(c)->ns = _t;         \
		_r;                           \
	})

/* Bytes of message @seed: known to both sides. */
void pattern_fill(void *buf, size_t size, uint64_t seed);
/* The first wrong byte, or CHECK_RIGHT. */
uint64_t pattern_check(const void *buf, size_t size, uint64_t seed);
/* The same where messages are, which may be a GPU's memory. */
void buffer_fill(void *buf, size_t size, uint64_t seed);
uint64_t buffer_check(const void *buf, size_t size, uint64_t seed);

#endif
