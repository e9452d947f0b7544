// SPDX-License-Identifier: BSD-3-Clause
/* Which addresses mean something, and the arena that they are taken from. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "state.h"

/* Address space only: nothing is behind it until it is given out. */
#define ARENA_SIZE (256ul << 30)

static uintptr_t arena, arena_next;
static struct range *ranges; /* by start */
static size_t n_ranges, room;

void arena_init(void)
{
	void *at;

	if (arena)
		return;
	at = mmap(NULL, ARENA_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		standin_die("no %lu GiB of address space: %s", ARENA_SIZE >> 30, strerror(errno));
	madvise(at, ARENA_SIZE, MADV_DONTDUMP);
	arena = (uintptr_t)at;
	arena_next = arena;
}

bool arena_has(uintptr_t address)
{
	return arena && address >= arena && address < arena + ARENA_SIZE;
}

void *arena_reserve(size_t size, size_t align)
{
	uintptr_t at;

	if (align < PAGE)
		align = PAGE;
	at = (arena_next + align - 1) & ~(align - 1);
	/* A page between neighbours catches what runs over the end. */
	if (at + size + PAGE > arena + ARENA_SIZE)
		return NULL;
	arena_next = at + size + PAGE;
	return (void *)at;
}

void arena_forbid(void *at, size_t size)
{
	if (mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		 0) == MAP_FAILED)
		standin_die("cannot take back %zu bytes at %p: %s", size, at, strerror(errno));
}

/* The first range that ends behind @address. */
static size_t range_index(uintptr_t address)
{
	size_t low = 0, high = n_ranges;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (ranges[middle].start + ranges[middle].span <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct range *range_find(uintptr_t address)
{
	size_t i = range_index(address);

	return i < n_ranges && ranges[i].start <= address ? &ranges[i] : NULL;
}

CUresult range_add(const struct range *range)
{
	static unsigned long long ids;
	size_t i;

	if (n_ranges == room) {
		size_t more = room ? 2 * room : 64;
		struct range *bigger = realloc(ranges, more * sizeof(*bigger));

		if (!bigger)
			return CUDA_ERROR_OUT_OF_MEMORY;
		ranges = bigger;
		room = more;
	}
	i = range_index(range->start);
	memmove(&ranges[i + 1], &ranges[i], (n_ranges - i) * sizeof(*ranges));
	ranges[i] = *range;
	ranges[i].id = ++ids;
	n_ranges++;
	standin.usage.allocs++;
	return CUDA_SUCCESS;
}

void range_remove(struct range *range)
{
	size_t i = (size_t)(range - ranges);

	memmove(&ranges[i], &ranges[i + 1], (n_ranges - i - 1) * sizeof(*ranges));
	n_ranges--;
	standin.usage.allocs--;
}

struct range *range_walk(bool (*f)(struct range *, void *), void *arg)
{
	size_t i;

	for (i = 0; i < n_ranges; i++)
		if (f(&ranges[i], arg))
			return &ranges[i];
	return NULL;
}

struct range *range_check(uintptr_t address, size_t size, bool host_ok, const char *who)
{
	struct range *range = range_find(address);

	if (!range) {
		if (arena_has(address))
			standin_die("%s: %#lx is freed memory, or was never allocated", who,
				    address);
		if (!host_ok)
			standin_die("%s: %#lx is no device memory", who, address);
		return NULL;
	}
	if (address + size > range->start + range->size)
		standin_die(
			"%s: %zu bytes at %#lx reach behind the end of an allocation (%zu bytes at %#lx)",
			who, size, address, range->size, range->start);
	if (!range->access)
		standin_die("%s: %#lx is mapped, but cuMemSetAccess() was not called", who,
			    address);
	if (!host_ok && !range->device)
		standin_die("%s: %#lx is host memory", who, address);
	return range;
}
