// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/counter.h"
#include "base/kernel.h"
#include "base/trace.h"
#include "mem/token_ledger.h"
#include "uapi/series.h"

_Static_assert(sizeof(struct token_range) == sizeof(struct dmabuf_token), "passed as the kernel's");

void token_request_fill(struct cmsghdr *hdr, const struct token_range *batch, uint32_t n_ranges)
{
	hdr->cmsg_level = SOL_SOCKET;
	hdr->cmsg_type = SCM_DEVMEM_DONTNEED;
	hdr->cmsg_len = CMSG_LEN(n_ranges * sizeof(*batch));
	memcpy(CMSG_DATA(hdr), batch, n_ranges * sizeof(*batch));
}

bool token_request_answer(const struct cmsghdr *hdr, uint32_t *ret_freed)
{
	/* A request holds at least one range of 8 bytes, so one that still stands there is not taken for the answer. */
	if (hdr->cmsg_level != SOL_SOCKET || hdr->cmsg_type != SCM_DEVMEM_DONTNEED ||
	    hdr->cmsg_len != CMSG_LEN(sizeof(*ret_freed)))
		return false;
	memcpy(ret_freed, CMSG_DATA(hdr), sizeof(*ret_freed));
	return true;
}

void token_ledger_init(struct token_ledger *l)
{
	l->n_ranges = 0;
	l->held = 0;
	l->issued = 0;
	l->returned = 0;
}

int token_ledger_add(struct token_ledger *l, uint32_t token)
{
	return token_ledger_add_range(l, token, 1);
}

int token_ledger_add_range(struct token_ledger *l, uint32_t start, uint32_t count)
{
	struct token_range *last = l->n_ranges ? &l->ranges[l->n_ranges - 1] : NULL;

	/* The kernel gives out the lowest free id, so runs grow upwards. 64 bits: no run wraps. */
	if (last && (uint64_t)last->start + last->count == start) {
		last->count += count;
	} else {
		if (l->n_ranges == TOKEN_LEDGER_RANGES)
			return -ENOSPC;
		l->ranges[l->n_ranges++] = (struct token_range){ .start = start, .count = count };
	}
	l->held += count;
	l->issued += count;
	return 0;
}

/*
 * Copies tokens from range @first on to @batch, as much as one call may carry: *ret_ranges ranges.
 * Returns the number of tokens in them.
 */
static uint32_t batch_fill(const struct token_ledger *l, uint32_t first, struct token_range *batch,
			   uint32_t *ret_ranges)
{
	uint32_t tokens = 0;
	uint32_t n = 0;

	while (first + n < l->n_ranges && n < DEVMEM_DONTNEED_TOKENS &&
	       tokens < DEVMEM_DONTNEED_FRAGS) {
		batch[n] = l->ranges[first + n];
		if (batch[n].count > DEVMEM_DONTNEED_FRAGS - tokens)
			batch[n].count = DEVMEM_DONTNEED_FRAGS - tokens;
		tokens += batch[n].count;
		n++;
	}
	*ret_ranges = n;
	return tokens;
}

/* Takes the first @n tokens from range @first on off the ledger; returns the first range with some left. */
static uint32_t ledger_take(struct token_ledger *l, uint32_t first, uint32_t n)
{
	l->held -= n;
	l->returned += n;
	while (n) {
		struct token_range *r = &l->ranges[first];
		uint32_t k = n < r->count ? n : r->count;

		r->start += k;
		r->count -= k;
		n -= k;
		if (!r->count)
			first++;
	}
	return first;
}

/* Drops the ranges before @first, which are used up. */
static void ledger_shift(struct token_ledger *l, uint32_t first)
{
	l->n_ranges -= first;
	if (first)
		memmove(l->ranges, l->ranges + first, l->n_ranges * sizeof(l->ranges[0]));
}

uint32_t token_ledger_batch(const struct token_ledger *l, struct token_range *batch,
			    uint32_t *ret_ranges)
{
	return batch_fill(l, 0, batch, ret_ranges);
}

int token_ledger_freed(struct token_ledger *l, uint32_t asked, uint32_t freed)
{
	if (freed > asked)
		return -EPROTO;
	counter_add(tokens_in, freed);
	counter_add(tokens_in_recv, freed);
	TRACE3(tokens_returned, l, freed, true);
	ledger_shift(l, ledger_take(l, 0, freed));
	return freed == asked ? 0 : -EPROTO;
}

static int free_by_setsockopt(int fd, const struct token_range *batch, uint32_t n_ranges)
{
	int n = setsockopt(fd, SOL_SOCKET, SO_DEVMEM_DONTNEED, batch,
			   (socklen_t)(n_ranges * sizeof(batch[0])));

	counter_inc(sys_dontneed);
	return n < 0 ? -errno : n;
}

/*
 * An empty receive: it gives the tokens back and has no room for a byte. Whether it did stands in the control data,
 * whatever it returns.
 */
static int free_by_recvmsg(int fd, const struct token_range *batch, uint32_t n_ranges)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(DEVMEM_DONTNEED_TOKENS * sizeof(struct token_range))];
	} control;
	struct msghdr msg = { .msg_control = control.buf, .msg_controllen = sizeof(control.buf) };
	uint32_t freed;
	int err;

	token_request_fill(&control.hdr, batch, n_ranges);
	counter_inc(sys_recv);
	counter_inc(sys_recv_tokens);
	err = recvmsg(fd, &msg, MSG_SOCK_DEVMEM | MSG_SOCK_DEVMEM_DONTNEED | MSG_DONTWAIT) < 0
		      ? -errno
		      : -EPROTO;
	if (!token_request_answer(&control.hdr, &freed))
		return err;
	counter_add(tokens_in_recv, freed);
	return (int)freed;
}

/*
 * The kernel works through a batch in order. Should it stop early, what it freed is the head of the batch and the
 * next round goes on from there; had it skipped unknown tokens instead, the rounds run out of tokens that it can
 * free before the ledger is empty, and that shows as a round without progress. Each round frees at
 * least one token, which bounds the loop.
 */
int token_ledger_release(struct token_ledger *l, int fd)
{
	struct token_range batch[DEVMEM_DONTNEED_TOKENS];
	uint32_t first = 0;
	uint32_t n_ranges;
	uint32_t tokens;
	int err = 0;
	int n;

	while (first < l->n_ranges) {
		tokens = batch_fill(l, first, batch, &n_ranges);
		n = kernel_features()->recycle ? free_by_recvmsg(fd, batch, n_ranges)
					       : free_by_setsockopt(fd, batch, n_ranges);
		if (n < 0) {
			err = n;
			break;
		}
		if (!n || (uint32_t)n > tokens) {
			err = -EPROTO;
			break;
		}
		counter_add(tokens_in, n);
		TRACE3(tokens_returned, l, n, false);
		first = ledger_take(l, first, (uint32_t)n);
	}
	ledger_shift(l, first);
	return err;
}
