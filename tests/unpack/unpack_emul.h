/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NCCL's device unpack (NCCL_NET_DEVICE_UNPACK, version 0x7), done by the CPU: what the Simple protocol of a
 * kernel does with the bounce buffer and the queue that a net plugin fills. The layout and the order of
 * steps are those of NCCL's src/device/network/unpack/ (unpack_defs.h, unpack.h) and of waitPeer() and the
 * destructor in src/device/prims_simple.h; declared anew here, so that a mistake in the plugin's own
 * declaration shows.
 *
 * What a GPU would do wrongly in silence (a misaligned access, an entry outside the slice, two bounce bases
 * in one block) is refused here with a reason. The data is copied as the GPU copies it: through the offsets
 * alone, in units chosen by their alignment.
 */
#ifndef UNPACK_EMUL_H
#define UNPACK_EMUL_H

#include <stddef.h>
#include <stdint.h>

#define UNPACK_EMUL_VERSION 0x7
#define UNPACK_EMUL_SLOTS   16	 /* of a receive comm's queue; a slot is one irecv */
#define UNPACK_EMUL_ENTRIES 2048 /* of a slot: frags of one slice */
#define UNPACK_EMUL_PEERS   2	 /* receive connections with unpack in one group of a block */
#define UNPACK_EMUL_SLICE   (4u << 20)

/* One frag: len bytes from bounce + src_off to slice + dst_off. */
struct unpack_emul_entry {
	uint32_t src_off;
	uint32_t len;
	uint64_t dst_off;
} __attribute__((aligned(16)));

struct unpack_emul_meta {
	struct unpack_emul_entry mem[UNPACK_EMUL_SLOTS][UNPACK_EMUL_ENTRIES];
	uint64_t cnt[UNPACK_EMUL_SLOTS]; /* valid entries of each slot */
};

/* What ncclNetDeviceHandle.handle points to; the plugin's, in memory that the GPU may write. */
struct unpack_emul_handle {
	struct unpack_emul_meta *meta;
	void *bounce_buf;
	uint64_t head; /* slices taken so far - 1: (u64)-1 before the first */
};

/*
 * What the groups of one thread block share: the bounce base, and no more. NCCL lets each connection
 * overwrite it; so a second base means that one connection reads from the other's buffer. One object
 * per block and launch, zeroed before use; its groups may run on different threads.
 */
struct unpack_emul_block {
	void *bounce_buf;
};

/* One group (of warps) of a block: up to two receive connections. Used by one thread at a time. */
struct unpack_emul {
	struct unpack_emul_block *block;
	struct unpack_emul_meta *meta[UNPACK_EMUL_PEERS];
	uint64_t head[UNPACK_EMUL_PEERS];
	uint64_t n_slices;  /* heads advanced */
	uint64_t n_entries; /* copied */
	uint64_t n_bytes;   /* copied */
	uint64_t n_by_unit
		[5];   /* entries by log2 of the unit: 1, 2, 4, 8, 16 bytes; under 16 bytes: none */
	char why[160]; /* of the last failure; else empty */
};

/* @block must outlive the group. */
void unpack_emul_init(struct unpack_emul *emul, struct unpack_emul_block *block);

/*
 * Takes the connection's handle over, as a kernel does at its start. The handle is read, not kept.
 * -ERANGE: peer is not below UNPACK_EMUL_PEERS (NCCL would write past its array).
 * -EINVAL: a handle without a queue or a bounce buffer.
 * -EXDEV: another bounce base than the block's other connections.
 */
int unpack_emul_setup(struct unpack_emul *emul, int peer, const struct unpack_emul_handle *handle);

/*
 * The connection's next slice has arrived (its tail has moved; the caller's load of the tail is an acquire):
 * the head moves first, always, also for a slice of 0 bytes.
 */
void unpack_emul_advance(struct unpack_emul *emul, int peer);

/*
 * Puts the current slice of @nbytes together at @dst (the connection's slot in NCCL's receive buffer).
 * @nbytes is exact: what the entries cover must be each byte once, and none outside.
 * With 0 there must be no entries: a kernel that is aborted comes by with 0 bytes at slots that it has not waited for, and
 * then goes through a slot's entries by steps of 0 (unpack.h, PPW).
 * -E2BIG: more entries than a slot has. -EFAULT: an access that the GPU would fault on, being misaligned.
 * -ELOOP: entries for 0 bytes. -ERANGE: an entry past the end of the slice. -ENODATA: bytes that no entry covers, or two do.
 * On failure the slice's content is undefined.
 */
int unpack_emul_copy(struct unpack_emul *emul, int peer, void *dst, size_t nbytes);

/* unpack_emul_advance() and unpack_emul_copy(), for a group with one connection. */
int unpack_emul_step(struct unpack_emul *emul, int peer, void *dst, size_t nbytes);

/* The kernel's end: writes the head back to where the next kernel takes it up. */
void unpack_emul_finish(struct unpack_emul *emul, int peer, struct unpack_emul_handle *handle);

#endif
