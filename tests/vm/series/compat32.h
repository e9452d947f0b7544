/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * System calls as a 32-bit program makes them, from a 64-bit one by int 0x80: no 32-bit compiler
 * or C library is needed. The kernel takes the layouts of i386, whatever the program is.
 */
#ifndef SERIES_COMPAT32_H
#define SERIES_COMPAT32_H

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* arch/x86/entry/syscalls/syscall_32.tbl */
enum { NR32_SENDMMSG = 345, NR32_SENDMSG = 370, NR32_RECVMSG = 372 };

struct iovec_32 {
	uint32_t base, len;
};

struct msghdr_32 {
	uint32_t name;
	int32_t namelen;
	uint32_t iov, iovlen, control, controllen, flags;
};

struct mmsghdr_32 {
	struct msghdr_32 hdr;
	uint32_t len;
};

/* Payload follows at once; the next header is aligned to 4 bytes. */
struct cmsghdr_32 {
	uint32_t len;
	int32_t level, type;
	uint32_t data[];
};

static inline void on_no_syscalls_32(int sig)
{
	static const char text[] = "skip: no 32-bit system calls\n";

	(void)sig;
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(1);
	_exit(77);
}

/* Memory that a 32-bit pointer reaches; never freed. A kernel without int 0x80 answers it with
 * SIGSEGV, which becomes a skip.
 */
static inline void *low_alloc(size_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (mem == MAP_FAILED) {
		perror("memory below 4 GiB");
		exit(1);
	}
	signal(SIGSEGV, on_no_syscalls_32);
	return mem;
}

static inline uint32_t low_ptr(const void *mem)
{
	return (uint32_t)(uintptr_t)mem;
}

/* Return: the result, or a negative errno */
static inline int syscall_32(int nr, int fd, const void *arg, uint32_t arg2, uint32_t arg3)
{
	int ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(nr), "b"(fd), "c"(low_ptr(arg)), "d"(arg2), "S"(arg3)
			 : "memory", "r8", "r9", "r10", "r11");
	if (ret == -ENOSYS)
		on_no_syscalls_32(0);
	return ret;
}

#endif
