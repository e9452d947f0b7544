// SPDX-License-Identifier: BSD-3-Clause
/*
 * Preloaded library that leaves out copies from dmabufs: gathering, which on a machine with a GPU is not the CPU's work. For
 * measuring what is left: what should have been copied is not there. Only what is mapped from a dmabuf is a source that
 * is left out; all other copies are made.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_RANGES = 8 };

/* Where dmabufs are mapped; one with no length is free. Written by one thread at a time: setting up is. */
static struct range {
	uintptr_t start;
	size_t len;
} ranges[MAX_RANGES];

/* Set before main(), and before any thread. */
static void *(*real_memcpy)(void *, const void *, size_t);

__attribute__((constructor)) static void find(void)
{
	real_memcpy = (void *(*)(void *, const void *, size_t))dlsym(RTLD_NEXT, "memcpy");
}

static int is_dmabuf(int fd)
{
	char link[64], target[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return 0;
	target[n] = '\0';
	return !strncmp(target, "/dmabuf:", 8);
}

static void add(void *p, size_t len)
{
	for (struct range *r = ranges; r < ranges + MAX_RANGES; r++) {
		if (r->len)
			continue;
		r->start = (uintptr_t)p;
		__atomic_store_n(&r->len, len, __ATOMIC_RELEASE);
		return;
	}
	fputs("no-gather: more dmabufs than there is room for\n", stderr);
	abort();
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	static void *(*real)(void *, size_t, int, int, int, off_t);
	void *p;

	if (!real)
		real = (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
	p = real(addr, len, prot, flags, fd, offset);
	if (p != MAP_FAILED && fd >= 0 && is_dmabuf(fd))
		add(p, len);
	return p;
}

void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t offset)
{
	return mmap(addr, len, prot, flags, fd, offset);
}

int munmap(void *addr, size_t len)
{
	static int (*real)(void *, size_t);

	if (!real)
		real = (int (*)(void *, size_t))dlsym(RTLD_NEXT, "munmap");
	for (struct range *r = ranges; r < ranges + MAX_RANGES; r++) {
		if (r->start == (uintptr_t)addr)
			__atomic_store_n(&r->len, 0, __ATOMIC_RELEASE);
	}
	return real(addr, len);
}

void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
	for (const struct range *r = ranges; r < ranges + MAX_RANGES; r++) {
		if ((uintptr_t)from - r->start < __atomic_load_n(&r->len, __ATOMIC_ACQUIRE))
			return to;
	}
	if (real_memcpy)
		return real_memcpy(to, from, len);
	for (size_t i = 0; i < len; i++)
		((volatile char *)to)[i] = ((const char *)from)[i];
	return to;
}
