// SPDX-License-Identifier: BSD-3-Clause
/*
 * Preloaded library that counts allocations of a process and, when it exits, writes the number to
 * $ALLOC_COUNT_DIR/<pid>.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned long count;

static void counted(void)
{
	__atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
}

/* glibc's own names for the functions that are replaced here. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);

void *malloc(size_t size)
{
	counted();
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	counted();
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	counted();
	return __libc_realloc(p, size);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	static void *(*real)(void *, size_t, int, int, int, off_t);

	if (!real)
		real = (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
	counted();
	return real(addr, len, prot, flags, fd, offset);
}

__attribute__((destructor)) static void report(void)
{
	unsigned long n = __atomic_load_n(&count, __ATOMIC_RELAXED);
	const char *dir = getenv("ALLOC_COUNT_DIR");
	char path[256];
	FILE *f;

	if (!dir)
		return;
	snprintf(path, sizeof(path), "%s/%d", dir, (int)getpid());
	f = fopen(path, "we");
	if (!f)
		return;
	fprintf(f, "%lu\n", n);
	fclose(f);
}
