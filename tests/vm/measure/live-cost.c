// SPDX-License-Identifier: BSD-3-Clause
/*
 * What the live view adds to a connection's calls, in user space: instructions, with the counters shown in shared memory and without.
 *	live-cost
 * Its own comm and requests go through the very functions that plugin/comm/net.c calls; nothing is sent. Lines: "message", an isend() or
 * irecv() and the test() that says done, of which one in 32 is timed; "poll", a fruitless test(), of which one in 16 is looked at; "tcp",
 * reading TCP_INFO once, kernel included, which happens twice a second.
 */
#include "measure.h"

#include "base/param.h"
#include "base/stats.h"
#include "comm/comm_stats.h"

#define ROUNDS 64
#define EVENTS 1024

struct bench {
	struct comm comm;
	struct nic nic;
	struct request req;
};

/* As in net_isend() and net_test(), which the compiler must not merge over rounds. */
static void message(struct bench *b)
{
	int64_t begin = comm_stats_begin(&b->comm);

	b->req.counted = false;
	__asm__ volatile("" : : "r"(b) : "memory");
	comm_stats_posted(&b->comm, &b->req, begin);
	__asm__ volatile("" : : "r"(b) : "memory");
	comm_stats_done(&b->comm, &b->req);
}

static void poll_once(struct bench *b)
{
	__asm__ volatile("" : : "r"(b) : "memory");
	comm_stats_waits(&b->comm, &b->req);
}

/* Instructions of one @event, over many: the least of the rounds, since interrupts fall into some. */
static double cost(struct bench *b, void (*event)(struct bench *))
{
	uint64_t samples[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t start = count_now();

		for (int k = 0; k < EVENTS; k++)
			event(b);
		samples[i] = count_now() - start;
	}
	return (double)samples_least(samples, ROUNDS) / EVENTS;
}

static void tcp_once(struct bench *b)
{
	b->comm.stats.tcp_due = 0;
	comm_stats_timed(&b->comm, &b->req);
}

static void bench_open(struct bench *b, enum comm_kind kind, int fd, int ctrl)
{
	memset(b, 0, sizeof(*b));
	strcpy(b->nic.name, "none");
	b->comm.kind = kind;
	b->comm.nic = &b->nic;
	b->comm.n_socks = 1;
	b->comm.socks[0].fd = fd;
	b->comm.ctrl_fd = ctrl;
	b->req.comm = &b->comm;
	b->req.size = 8192;
	b->req.total = 8192;
	b->req.posted_ns = 1;
}

int main(void)
{
	static struct bench on[2], off[2];
	static const char *const names[] = { "send", "receive" };
	int fd[4];

	stream_make("127.0.0.1", &fd[0], &fd[1]);
	stream_make("127.0.0.1", &fd[2], &fd[3]);
	param_load();
	stats_open();
	for (int kind = COMM_SEND; kind <= COMM_RECV; kind++) {
		struct bench *with = &on[kind], *without = &off[kind];

		bench_open(with, kind, fd[kind], fd[2 + kind]);
		bench_open(without, kind, fd[kind], fd[2 + kind]);
		comm_stats_attach(&with->comm);
		if (!with->comm.stats.shown) {
			errno = 0;
			die("nothing is shown: see NCCL_DEVMEM_STATS_DIR");
		}
		printf("message.%s %.1f\n", names[kind],
		       cost(with, message) - cost(without, message));
		printf("poll.%s %.1f\n", names[kind],
		       cost(with, poll_once) - cost(without, poll_once));
		printf("tcp.%s %.1f\n", names[kind], cost(with, tcp_once));
		comm_stats_detach(&with->comm);
	}
	stats_close();
	return 0;
}
