/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copying or lending: which of two ways to hand host memory to a socket costs less, found out while messages go. Internal to plugin/comm.
 *
 * Lending leaves out the sender's copy but has a price for each page, on both sides, and the receiver's copy then reads what lies in
 * another processor's cache or in none. So it wins clearly where the sender's thread is what limits a connection, or where copies are
 * slow because the kernel's fresh pages are not in a cache; it wins nothing where each thread sends as much as it receives, and caches
 * are large. None of that can be known beforehand, so a little of each is tried, in processor time of this thread, and again now and then.
 */
#ifndef DEVMEM_SEND_CHOICE_H
#define DEVMEM_SEND_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum send_way { WAY_COPY, WAY_LEND };

/* What one way cost when it was last tried: processor time in ns for @bytes. */
struct way_cost {
	int64_t ns;
	uint64_t bytes;
};

/*
 * Zeroed at first, used by the thread that uses the comm. @way: of the next message. @trying: it is a trial; @tried: trials since the last
 * decision. @left: bytes until the trial ends, or the next begins. @sent, @received: of the process when the first of the two began.
 */
struct send_choice {
	enum send_way way;
	bool trying;
	unsigned int tried;
	int64_t left;
	uint64_t sent;
	uint64_t received;
	struct way_cost cost[2];
};

/* The way of a message of @size bytes that is about to be sent. */
enum send_way send_choice_next(struct send_choice *c, size_t size);

/* Before and after a system call that sends: what it cost is counted while there is a trial. @bytes: that it took, 0 or less for none. */
int64_t send_choice_begin(const struct send_choice *c);
void send_choice_end(struct send_choice *c, enum send_way way, int64_t begun, int64_t bytes);

/*
 * The decision alone: @both_ways, the process receives about as much as it sends. Lending has to be cheaper for the sender, and by so much
 * that the receiver's share in its price is paid where that is the same thread.
 */
enum send_way send_choice_decide(const struct way_cost cost[2], bool both_ways);

#endif
