// SPDX-License-Identifier: BSD-3-Clause
#include <time.h>

#include "base/counter.h"
#include "base/log.h"
#include "comm/send_choice.h"

/* A trial is long enough for some calls of each kind, and what lies between trials so long that the worse way does not count. */
#define TRIAL_BYTES  (4L << 20)
#define SETTLE_BYTES (512L << 20)

/*
 * Measured on two cores of an EPYC with its caches to itself: a MiB costs the sender 160 us copied and 95 us lent, and the receiver 50 us
 * more if it was lent. With memory that is touched for the first time the copy is 500 us. Between the two lies this, in percent.
 */
#define BOTH_WAYS_PERCENT 220

static uint64_t bytes_sent(void)
{
	return counter_read(sent_copy) + counter_read(sent_zerocopy);
}

enum send_way send_choice_decide(const struct way_cost cost[2], bool both_ways)
{
	double copy = (double)cost[WAY_COPY].ns / (double)(cost[WAY_COPY].bytes + 1);
	double lend = (double)cost[WAY_LEND].ns / (double)(cost[WAY_LEND].bytes + 1);

	return copy * 100 > lend * (both_ways ? BOTH_WAYS_PERCENT : 100) ? WAY_LEND : WAY_COPY;
}

static void start_trial(struct send_choice *c, enum send_way way)
{
	c->way = way;
	c->trying = true;
	c->left = TRIAL_BYTES;
	c->cost[way] = (struct way_cost){ 0 };
}

static long long us_per_mib(const struct way_cost *cost)
{
	return cost->ns * 1049 / (int64_t)(cost->bytes + 1);
}

static void settle(struct send_choice *c)
{
	uint64_t sent = bytes_sent() - c->sent;
	uint64_t received = counter_read(recv_copy) - c->received;
	bool both_ways = received > sent / 2;
	enum send_way way = send_choice_decide(c->cost, both_ways);
	static bool said;

	if (!__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
		log_info(
			"host memory is %s: this thread needs %lld us for a MiB copied, %lld us for one lent to a peer on this host%s",
			way == WAY_LEND ? "lent to sockets" : "copied to sockets",
			us_per_mib(&c->cost[WAY_COPY]), us_per_mib(&c->cost[WAY_LEND]),
			both_ways ? ", and receives as well" : "");
	c->way = way;
	c->trying = false;
	c->tried = 0;
	c->left = SETTLE_BYTES;
}

enum send_way send_choice_next(struct send_choice *c, size_t size)
{
	if (c->left <= 0) {
		if (c->tried == 2) {
			settle(c);
		} else {
			if (!c->tried) {
				c->sent = bytes_sent();
				c->received = counter_read(recv_copy);
			}
			c->tried++;
			start_trial(c, c->way == WAY_COPY ? WAY_LEND : WAY_COPY);
		}
	}
	/* A trial ends when so much has been sent that way, which may be well after it was queued. */
	if (!c->trying)
		c->left -= (int64_t)size;
	return c->way;
}

/* Processor time, not the clock: with more ranks than processors, others run in between. */
static int64_t thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t send_choice_begin(const struct send_choice *c)
{
	return c->trying ? thread_ns() : 0;
}

void send_choice_end(struct send_choice *c, enum send_way way, int64_t begun, int64_t bytes)
{
	if (!c->trying || !begun)
		return;
	c->cost[way].ns += thread_ns() - begun;
	if (bytes <= 0)
		return;
	c->cost[way].bytes += (uint64_t)bytes;
	if (way == c->way)
		c->left -= bytes;
}
