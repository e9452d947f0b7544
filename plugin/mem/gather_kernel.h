/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a thread of the gather kernel does, step by step, in terms of a few primitives that the includer has defined: on the GPU (gather.cu)
 * instructions, in the tests C (tests/standin/kernels/gather.c), so that it is this text that runs there.
 *
 * The order in which bytes become visible matters: NCCL's LL and LL128 protocols watch the buffer for flags that come with the data, in each
 * 8 bytes, or in the last 8 of each line of 128. So an aligned unit of 16 bytes appears at once, a whole line is written by eight lanes of a
 * warp in one instruction, which is what NCCL's own LL128 relies on, and of a line that begins or ends inside the tile's, bytes at
 * higher addresses never appear before lower ones. What lies outside the tile is not touched.
 *
 * Loads read the aligned 16 bytes around what is wanted, and never beyond those.
 *
 * The includer's: GATHER_FN (how functions are declared), load16(), load1(), store16(), store_some(), fence(), and these types.
 */
#ifndef DEVMEM_GATHER_KERNEL_H
#define DEVMEM_GATHER_KERNEL_H

#include "gather_tile.h"

typedef unsigned long long u64;
typedef unsigned int u32;

struct unit {
	u64 lo;
	u64 hi;
};

GATHER_FN struct unit load16(u64 at);
GATHER_FN u64 load1(u64 at);
GATHER_FN void store16(u64 at, struct unit u);
/* @bytes is 8, 4, 2 or 1; @at a multiple of it. */
GATHER_FN void store_some(u64 at, u32 bytes, u64 v);
/* What this thread has written is visible to everybody before what it writes next. */
GATHER_FN void fence(void);

/*
 * A thread's unit: the aligned 16 bytes at @at, of which the tile has [@from, @to).
 * @whole: all of them; @head: it begins before the tile; @tail: it ends behind it, and does not begin before it.
 */
struct lane {
	struct unit u;
	u64 at;
	u32 from;
	u32 to;
	int whole;
	int head;
	int tail;
};

/* 16 bytes from any address. */
GATHER_FN struct unit load_unaligned(u64 src)
{
	u32 off = (u32)(src & 15);
	struct unit a = load16(src - off), b, r;
	u64 w0, w1, w2;
	u32 bits;

	if (!off)
		return a;
	b = load16(src - off + 16);
	w0 = off < 8 ? a.lo : a.hi;
	w1 = off < 8 ? a.hi : b.lo;
	w2 = off < 8 ? b.lo : b.hi;
	bits = (off & 7) * 8;
	r.lo = w0;
	r.hi = w1;
	if (bits) {
		r.lo = w0 >> bits | w1 << (64 - bits);
		r.hi = w1 >> bits | w2 << (64 - bits);
	}
	return r;
}

/* The source that byte @at of the tile comes from. */
GATHER_FN u32 find_source(const struct gather_source *s, u32 n, u32 at)
{
	u32 low = 0;

	while (n - low > 1) {
		u32 mid = (low + n) / 2;

		if (s[mid].at <= at)
			low = mid;
		else
			n = mid;
	}
	return low;
}

/* Bytes [@from, @to) of the tile, at their place in the unit that begins at @unit of it, which may be before its beginning. */
GATHER_FN struct unit collect(const struct gather_source *s, u32 n, u32 from, u32 to, int unit)
{
	struct unit u = { 0, 0 };
	u32 j = find_source(s, n, from);
	u32 at;

	for (at = from; at < to; at++) {
		u32 k = at - (u32)unit;
		u64 b;

		while (j + 1 < n && s[j + 1].at <= at)
			j++;
		b = load1(s[j].src + (at - s[j].at));
		if (k < 8)
			u.lo |= b << 8 * k;
		else
			u.hi |= b << 8 * (k - 8);
	}
	return u;
}

/* The unit that begins at @unit of tile @t. */
GATHER_FN struct lane lane_load(const struct gather_tile *t, const struct gather_source *s,
				int unit)
{
	u32 from = unit < 0 ? 0 : (u32)unit;
	u32 to = unit + 16 < 0 ? 0 : (u32)(unit + 16);
	struct lane l = { { 0, 0 }, 0, 0, 0, 0, 0, 0 };
	u32 j;

	if (to > t->len)
		to = t->len;
	if (from >= to)
		return l;
	l.at = t->dst + (u64)(long long)unit;
	l.from = from - (u32)unit;
	l.to = to - (u32)unit;
	l.whole = to - from == 16;
	l.head = !l.whole && unit < 0;
	l.tail = !l.whole && !l.head;
	j = find_source(s, t->n, from);
	if (l.whole && (j + 1 == t->n || s[j + 1].at >= to))
		l.u = load_unaligned(s[j].src + (from - s[j].at));
	else
		l.u = collect(s, t->n, from, to, unit);
	return l;
}

/* A part of a unit: in stores as large as their alignment allows, each visible before the next. */
GATHER_FN void lane_store_part(const struct lane *l)
{
	u32 from = l->from;

	while (from < l->to) {
		u32 size = from ? from & -from : 8;

		while (size > l->to - from)
			size /= 2;
		store_some(l->at + from, size,
			   from < 8 ? l->u.lo >> 8 * from : l->u.hi >> 8 * (from - 8));
		fence();
		from += size;
	}
}

#endif
