// SPDX-License-Identifier: BSD-3-Clause
/*
 * recvmsg() with MSG_SOCK_DEVMEM_DONTNEED as a 32-bit program calls it: its control messages have
 * headers of 12 bytes. The tokens name nothing.
 *
 * Exit: 0, 1, 77 where the kernel has no 32-bit system calls, or does not know the flag.
 */
#include <netinet/in.h>

#include "endpoint.h"

#if defined(__x86_64__)

#include "compat32.h"

static struct low {
	struct msghdr_32 msg;
	struct iovec_32 iov;
	union {
		struct cmsghdr_32 control;
		char control_buf[76];
	};
	char data[64];
} * low;

static int recvmsg_32(int fd, int flags)
{
	low->iov = (struct iovec_32){ low_ptr(low->data), sizeof(low->data) };
	low->msg = (struct msghdr_32){ .iov = low_ptr(&low->iov),
				       .iovlen = 1,
				       .control = low_ptr(&low->control),
				       .controllen = sizeof(low->control_buf) };
	return syscall_32(NR32_RECVMSG, fd, &low->msg, (uint32_t)flags, 0);
}

static void request(unsigned int n)
{
	memset(low->control_buf, 0xa5, sizeof(low->control_buf));
	low->control.len = 12 + n * (uint32_t)sizeof(struct dmabuf_token);
	low->control.level = SOL_SOCKET;
	low->control.type = SCM_DEVMEM_DONTNEED;
	for (unsigned int i = 0; i < 2 * n; i++)
		low->control.data[i] = i + 1;
}

static bool answered(void)
{
	return low->control.len == 16 && low->control.level == SOL_SOCKET &&
	       low->control.type == SCM_DEVMEM_DONTNEED && low->control.data[0] == 0;
}

static void expect(const char *what, int have, int want, bool answer)
{
	printf("%s: %d, %s\n", what, have, answered() ? "answered" : "not answered");
	if (have != want || answered() != answer)
		die("%s: expected %d, %s", what, want, answer ? "answered" : "not answered");
}

int main(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM, 0), tx = socket(AF_INET, SOCK_STREAM, 0), rx;
	socklen_t len = sizeof(addr);

	low = low_alloc(sizeof(*low));
	request(1);
	rx = recvmsg_32(tx, MSG_DONTWAIT | MSG_SOCK_DEVMEM_DONTNEED);
	if (rx == -ENOTCONN && !answered()) {
		printf("skip: this kernel does not know MSG_SOCK_DEVMEM_DONTNEED\n");
		return EXIT_SKIP;
	}
	expect("not connected", rx, -ENOTCONN, true);

	if (bind(listener, (void *)&addr, len) || listen(listener, 1) ||
	    getsockname(listener, (void *)&addr, &len) || connect(tx, (void *)&addr, len))
		die("connection");
	rx = accept(listener, NULL, NULL);
	request(3);
	expect("nothing there", recvmsg_32(rx, MSG_DONTWAIT | MSG_SOCK_DEVMEM_DONTNEED), -EAGAIN,
	       true);
	expect("repeated", recvmsg_32(rx, MSG_DONTWAIT | MSG_SOCK_DEVMEM_DONTNEED), -EAGAIN, true);
	/* the length that this would have with a 64-bit header */
	request(1);
	low->control.len = CMSG_LEN(sizeof(struct dmabuf_token));
	expect("a 64-bit header", recvmsg_32(rx, MSG_DONTWAIT | MSG_SOCK_DEVMEM_DONTNEED), -EINVAL,
	       false);
	if (send(tx, "data", 4, 0) != 4)
		die("send");
	request(3);
	expect("with data", recvmsg_32(rx, MSG_SOCK_DEVMEM_DONTNEED), 4, true);
	if (low->msg.controllen != 16)
		die("%u bytes of control data, expected 16", low->msg.controllen);
	return 0;
}

#else

int main(void)
{
	printf("skip: only for x86-64\n");
	return EXIT_SKIP;
}

#endif
