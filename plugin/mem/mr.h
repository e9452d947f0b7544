/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registered memory: what regMr and regMrDmaBuf make, and what isend and irecv are given.
 *
 * NCCL registers on its service thread while its progress thread sends; an mr is immutable once made, so the data
 * path reads it without a lock. Creation and destruction serialise on the registration cache's lock.
 */
#ifndef DEVMEM_MR_H
#define DEVMEM_MR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/verdict.h"
#include "nic/nic.h"

enum mr_type { MR_HOST, MR_DMABUF, MR_CUDA };

/*
 * @base, @size: NCCL's pointer and length. @base need not be readable by the CPU (a CUDA pointer).
 * @cpu:    CPU's view of @base, NULL where there is none. For dmabufs it is a mapping of our own (mmap of the dmabuf), never @base.
 * @offset: of @base inside the dmabuf.
 * @tx:     send binding on the comm's NIC, or NULL; then @tx_why says why not.
 * @gpu:    whose memory it is; NULL for memory of the host. @pinned: of the host, and GPUs reach it under @base.
 * @refs:   mr.c's own, atomic.
 * @next, @prev: mr.c's own, the list of live ones.
 */
struct mr {
	enum mr_type type;
	uint8_t *base;
	size_t size;
	uint8_t *cpu;
	uint64_t offset;
	struct nic_tx *tx;
	uint32_t tx_id;
	struct verdict tx_why;
	struct gpu *gpu;
	bool pinned;
	struct mr_dmabuf *dmabuf; /* shared, cached by the dmabuf's inode and NIC */
	unsigned int refs;
	struct mr *next, *prev;
};

/* Host memory; never fails but for -ENOMEM. */
int mr_register_host(void *base, size_t size, struct mr **ret);

/* GPU memory without a dmabuf. -ENOTSUP when it is not the memory of a GPU, -ENOMEM. */
int mr_register_cuda(void *base, size_t size, struct mr **ret);

/*
 * A dmabuf. NCCL closes @fd right after the call; the mapping and the binding hold the memory from then on. @nic: where to
 * bind for sending, or NULL when only receiving. A failure to bind is no error (the ladder goes on, see ->tx_why);
 * -ENOTSUP is returned only when there is neither a binding nor a CPU mapping and it is not the memory of a GPU, because
 * then nothing could move the bytes. GPU memory is never mapped for the CPU. -EINVAL: offset/size outside the dmabuf, or @fd is no dmabuf; -EBADF; -ENOMEM.
 * A buffer that several comms register is mapped once, and bound once for each NIC.
 */
int mr_register_dmabuf(void *base, size_t size, uint64_t offset, int fd, const struct nic *nic,
		       struct mr **ret, struct verdict *why);

/* May come while requests that use @mr are in flight: the caller drops its own reference, see mr_get(). NULL is fine. Any thread. */
void mr_put(struct mr *mr);
struct mr *mr_get(struct mr *mr);

/* Ends every registration that is left, whoever holds it; at plugin finalize, when nobody will use them any more. */
void mr_sweep(void);

/* CPU address of NCCL's pointer @p inside @mr, or NULL. Inline so that the data path pays nothing. */
static inline uint8_t *mr_cpu(const struct mr *mr, const void *p)
{
	return mr->cpu ? mr->cpu + ((const uint8_t *)p - mr->base) : NULL;
}

/* Does [p, p+len) lie in @mr? */
static inline int mr_contains(const struct mr *mr, const void *p, size_t len)
{
	const uint8_t *q = p;

	return q >= mr->base && len <= mr->size && (size_t)(q - mr->base) <= mr->size - len;
}

#endif
