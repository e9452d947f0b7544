/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The token ledger of one data socket: every token the kernel handed out with a frag, until it is given back.
 *
 * Tokens are ids in the socket's own table (net/core/devmem.c, tcp_recvmsg_dmabuf), so a ledger belongs to one socket and
 * is used by one thread at a time. Neighbouring ids are kept as ranges. A token entered twice, or more given back than
 * entered, is a bug here or in the kernel and is reported as such, not papered over.
 */
#ifndef DEVMEM_TOKEN_LEDGER_H
#define DEVMEM_TOKEN_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#define TOKEN_LEDGER_RANGES 1024

/* Same layout as the kernel's struct dmabuf_token (include/uapi/linux/uio.h). */
struct token_range {
	uint32_t start;
	uint32_t count;
};

/*
 * @held: tokens in the ranges. @issued, @returned: totals since token_ledger_init(); issued - returned == held always.
 * No memory is allocated after init.
 */
struct token_ledger {
	uint32_t n_ranges;
	uint64_t held;
	uint64_t issued;
	uint64_t returned;
	struct token_range ranges[TOKEN_LEDGER_RANGES];
};

void token_ledger_init(struct token_ledger *l);

/*
 * Enters @token. O(1): joins the last range where it can, opens a new one otherwise.
 * -ENOSPC: ranges are full, call token_ledger_release() first (nothing was entered).
 */
int token_ledger_add(struct token_ledger *l, uint32_t token);
/* The same for the @count > 0 tokens from @start on. */
int token_ledger_add_range(struct token_ledger *l, uint32_t start, uint32_t count);

/*
 * The control message by which a receive gives tokens back (docs/kernel-interface.md), at the head of a control buffer: the
 * request, and the kernel's answer in its place. token_request_answer() is false when the request still stands: nothing
 * was freed.
 */
struct cmsghdr;
void token_request_fill(struct cmsghdr *hdr, const struct token_range *batch, uint32_t n_ranges);
bool token_request_answer(const struct cmsghdr *hdr, uint32_t *ret_freed);

/*
 * For receives that give tokens back: copies the oldest tokens, as many as one call may carry, to @batch (room for
 * DEVMEM_DONTNEED_TOKENS ranges). Returns their number, 0 when none is held; *ret_ranges ranges. The ledger stays as it is until
 * token_ledger_freed() is told how many of these @asked the kernel freed: 0, or -EPROTO if it was not all of them.
 */
uint32_t token_ledger_batch(const struct token_ledger *l, struct token_range *batch,
			    uint32_t *ret_ranges);
int token_ledger_freed(struct token_ledger *l, uint32_t asked, uint32_t freed);

/*
 * Gives every held token back to socket @fd with SO_DEVMEM_DONTNEED, or in the control data of an empty receive where the kernel
 * can do that, in calls of at most 128 ranges and 1024 frags
 * (the kernel's limits: more is silently ignored), using the count that each call returns.
 * 0, or -errno of setsockopt, or -EPROTO when the kernel freed fewer than it was given: then the tokens were not
 * the socket's. Counts into the process counters (tokens_in, sys_dontneed).
 */
int token_ledger_release(struct token_ledger *l, int fd);

#endif
