// SPDX-License-Identifier: BSD-3-Clause
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unpack/unpack_emul.h"

/* A load or store of the widest kind. Entries at least this long are copied in units. */
#define LINE 16

static_assert(sizeof(struct unpack_emul_entry) == 16, "loadMeta");
static_assert(sizeof(struct unpack_emul_meta) == (512u << 10) + 128, "netUnpackMeta");
static_assert(sizeof(struct unpack_emul_handle) == 24, "unpackNetDeviceHandle");

/* The same bytes are read in other units than they were written in. */
typedef uint16_t __attribute__((may_alias)) unit2;
typedef uint32_t __attribute__((may_alias)) unit4;
typedef uint64_t __attribute__((may_alias)) unit8;
struct unit16 {
	unit8 lo, hi;
} __attribute__((aligned(16), may_alias));

__attribute__((format(printf, 3, 4))) static int fail(struct unpack_emul *emul, int err,
						      const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(emul->why, sizeof(emul->why), fmt, ap);
	va_end(ap);
	return err;
}

void unpack_emul_init(struct unpack_emul *emul, struct unpack_emul_block *block)
{
	memset(emul, 0, sizeof(*emul));
	emul->block = block;
}

int unpack_emul_setup(struct unpack_emul *emul, int peer, const struct unpack_emul_handle *handle)
{
	void *none = NULL;

	if (peer < 0 || peer >= UNPACK_EMUL_PEERS)
		return fail(emul, -ERANGE,
			    "peer %d: a group has room for %d connections with unpack", peer,
			    UNPACK_EMUL_PEERS);
	if (!handle->meta || !handle->bounce_buf)
		return fail(emul, -EINVAL, "a handle with meta %p and bounce_buf %p",
			    (void *)handle->meta, handle->bounce_buf);
	if (!__atomic_compare_exchange_n(&emul->block->bounce_buf, &none, handle->bounce_buf, false,
					 __ATOMIC_RELAXED, __ATOMIC_RELAXED) &&
	    none != handle->bounce_buf)
		return fail(emul, -EXDEV, "two bounce bases in one block: %p and %p", none,
			    handle->bounce_buf);
	emul->meta[peer] = handle->meta;
	emul->head[peer] = handle->head;
	return 0;
}

void unpack_emul_advance(struct unpack_emul *emul, int peer)
{
	emul->head[peer]++;
	emul->n_slices++;
}

/* Copies the whole lines of an entry in units of @unit bytes. Volatile: another agent wrote the bounce buffer. */
static void copy_lines(uint8_t *dst, const uint8_t *src, size_t len, unsigned int unit)
{
	size_t n = len / LINE * LINE;

	switch (unit) {
	case 16:
		for (size_t i = 0; i < n; i += 16)
			*(struct unit16 *)(dst + i) = *(const volatile struct unit16 *)(src + i);
		break;
	case 8:
		for (size_t i = 0; i < n; i += 8)
			*(unit8 *)(dst + i) = *(const volatile unit8 *)(src + i);
		break;
	case 4:
		for (size_t i = 0; i < n; i += 4)
			*(unit4 *)(dst + i) = *(const volatile unit4 *)(src + i);
		break;
	case 2:
		for (size_t i = 0; i < n; i += 2)
			*(unit2 *)(dst + i) = *(const volatile unit2 *)(src + i);
		break;
	default:
		for (size_t i = 0; i < n; i++)
			dst[i] = ((const volatile uint8_t *)src)[i];
	}
}

/* The largest unit that both offsets allow. The bases are taken to be aligned: the kernel does not look. */
static unsigned int entry_unit(const struct unpack_emul_entry *e)
{
	uint64_t off = (e->src_off | e->dst_off) % LINE;

	return off ? (unsigned int)(off & -off) : LINE;
}

static int copy_entry(struct unpack_emul *emul, const struct unpack_emul_entry *e, uint64_t i,
		      uint8_t *dst)
{
	/* Another group of the block may be at its setup. */
	const uint8_t *src = __atomic_load_n(&emul->block->bounce_buf, __ATOMIC_RELAXED);
	size_t tail = e->len % LINE;

	src += e->src_off;
	dst += e->dst_off;
	if (e->len >= LINE) {
		unsigned int unit = entry_unit(e);

		if ((uintptr_t)src % unit || (uintptr_t)dst % unit)
			return fail(emul, -EFAULT,
				    "entry %" PRIu64
				    ": %u-byte access from %p to %p; a base is not aligned",
				    i, unit, (const void *)src, (void *)dst);
		copy_lines(dst, src, e->len, unit);
		emul->n_by_unit[__builtin_ctz(unit)]++;
	}
	for (size_t k = e->len - tail; k < e->len; k++)
		dst[k] = ((const volatile uint8_t *)src)[k];
	emul->n_entries++;
	emul->n_bytes += e->len;
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct unpack_emul_entry *x = a, *y = b;

	return x->dst_off < y->dst_off ? -1 : x->dst_off > y->dst_off;
}

/* Do the entries, in whatever order, cover [0, nbytes) each byte once? An overlap also shows as an entry that
 * does not begin where the one before it has ended. */
static int check_cover(struct unpack_emul *emul, const struct unpack_emul_entry *entries,
		       uint64_t n, size_t nbytes)
{
	struct unpack_emul_entry *sorted = calloc(n ? n : 1, sizeof(*sorted));
	size_t used = 0;
	uint64_t at = 0;
	int err = 0;

	if (!sorted)
		return fail(emul, -ENOMEM, "no memory for %" PRIu64 " entries", n);
	for (uint64_t i = 0; i < n; i++) {
		if (entries[i].len)
			sorted[used++] = entries[i];
	}
	qsort(sorted, used, sizeof(*sorted), by_place);
	for (size_t i = 0; i < used && !err; at += sorted[i].len, i++) {
		if (sorted[i].dst_off != at)
			err = fail(emul, -ENODATA,
				   "a slice of %zu bytes: %s at %" PRIu64 " (an entry for %" PRIu64
				   " + %" PRIu32 " of %" PRIu64 " entries)",
				   nbytes, sorted[i].dst_off < at ? "covered twice" : "not covered",
				   sorted[i].dst_off < at ? sorted[i].dst_off : at,
				   sorted[i].dst_off, sorted[i].len, n);
	}
	free(sorted);
	if (!err && at != nbytes)
		err = fail(emul, -ENODATA,
			   "a slice of %zu bytes: %" PRIu64 " entries cover %" PRIu64, nbytes, n,
			   at);
	return err;
}

int unpack_emul_copy(struct unpack_emul *emul, int peer, void *dst, size_t nbytes)
{
	uint64_t slot = emul->head[peer] % UNPACK_EMUL_SLOTS;
	const struct unpack_emul_entry *entries = emul->meta[peer]->mem[slot];
	bool in_order = true;
	uint64_t at = 0;
	uint64_t n;

	emul->why[0] = '\0';
	/* Nothing orders this load but the acquire of the tail, just as on the GPU. */
	n = __atomic_load_n(&emul->meta[peer]->cnt[slot], __ATOMIC_RELAXED);
	if (!nbytes)
		return n ? fail(emul, -ELOOP,
				"slot %" PRIu64 ": %" PRIu64
				" entries for 0 bytes: the kernel would not end",
				slot, n)
			 : 0;
	if (n > UNPACK_EMUL_ENTRIES)
		return fail(emul, -E2BIG, "slot %" PRIu64 ": %" PRIu64 " entries", slot, n);
	for (uint64_t i = 0; i < n; i++) {
		struct unpack_emul_entry e = entries[i];
		int err;

		if (e.dst_off > nbytes || e.len > nbytes - e.dst_off)
			return fail(emul, -ERANGE,
				    "slot %" PRIu64 ", entry %" PRIu64 ": %" PRIu64 " + %" PRIu32
				    " in a slice of %zu bytes",
				    slot, i, e.dst_off, e.len, nbytes);
		err = copy_entry(emul, &e, i, dst);
		if (err)
			return err;
		in_order = in_order && e.dst_off == at;
		at += e.len;
	}
	return in_order && at == nbytes ? 0 : check_cover(emul, entries, n, nbytes);
}

int unpack_emul_step(struct unpack_emul *emul, int peer, void *dst, size_t nbytes)
{
	unpack_emul_advance(emul, peer);
	return unpack_emul_copy(emul, peer, dst, nbytes);
}

void unpack_emul_finish(struct unpack_emul *emul, int peer, struct unpack_emul_handle *handle)
{
	handle->head = emul->head[peer];
}
