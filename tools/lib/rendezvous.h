/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the ranks find each other and exchange small things: a star of stream sockets around rank 0.
 * Two ways to make it:
 *
 * - "ADDR:PORT" ("[ADDR]:PORT" for IPv6): rank 0 listens there, the others connect to it. Several
 *   machines. Unauthenticated, as nccl-tests' mpirun within a cluster: for trusted networks.
 * - "fd:N,N,...": sockets made by the launcher and inherited; the descriptors are taken over.
 *   Rank 0 has one for each other rank, in order; every other rank has one.
 */
#ifndef PERF_RENDEZVOUS_H
#define PERF_RENDEZVOUS_H

#include <stddef.h>

struct rendezvous;

/*
 * Waits at most @timeout_s seconds for all @nranks ranks, and later as long in each exchange.
 * Reports what failed. -EINVAL @spec makes no sense, -ETIMEDOUT not all ranks came, -EPROTO a rank
 * has other ideas about the job, else errno. *ret is to be closed.
 */
int rendezvous_open(const char *spec, int rank, int nranks, int timeout_s, struct rendezvous **ret);

/*
 * All ranks call it with the same @size; @all has room for @nranks blobs and gets them in order of
 * rank. One thread at a time. -ECONNRESET a rank has gone, -ETIMEDOUT a rank did not come,
 * -EPROTO the ranks are out of step. After an error the rendezvous can only be closed.
 */
int rendezvous_all_gather(struct rendezvous *rv, const void *mine, size_t size, void *all);

/* Returns when all ranks have called it. Errors as above. */
int rendezvous_barrier(struct rendezvous *rv);

/* NULL is fine. */
void rendezvous_close(struct rendezvous *rv);

#endif
