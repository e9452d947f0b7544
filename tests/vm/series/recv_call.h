/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ways to make a recvmsg(): the system call, io_uring, and the system call as a 32-bit program
 * makes it. To the caller they are the same.
 */
#ifndef SERIES_RECV_CALL_H
#define SERIES_RECV_CALL_H

#include "compat32.h"
#include "endpoint.h"
#include "uring.h"

enum recv_how { RECV_SYSCALL, RECV_URING, RECV_32 };

static inline ssize_t recv_by_uring(struct uring *u, int fd, struct msghdr *msg, int flags)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_RECVMSG,
		.fd = fd,
		.addr = (uintptr_t)msg,
		.len = 1,
		.msg_flags = (uint32_t)flags,
	};
	struct io_uring_cqe cqe;

	uring_submit(u, &sqe, 0);
	uring_next(u, &cqe, true);
	return cqe.res;
}

#if defined(__x86_64__)

enum { RECV_32_CONTROL = 256 << 10, RECV_32_DATA = 1 << 20, RECV_32_HEADER = 12 };

static struct recv_low {
	struct msghdr_32 msg;
	struct iovec_32 iov;
	_Alignas(8) uint8_t control[RECV_32_CONTROL];
	uint8_t data[RECV_32_DATA];
} * recv_low;

/* The message at the head of @msg's control data, for a 32-bit caller. */
static inline void recv_32_request(const struct msghdr *msg)
{
	const struct cmsghdr *cm = msg->msg_control;
	size_t len = cm->cmsg_len - CMSG_LEN(0);
	struct cmsghdr_32 *cm32 = (struct cmsghdr_32 *)recv_low->control;

	*cm32 = (struct cmsghdr_32){ RECV_32_HEADER + (uint32_t)len, cm->cmsg_level,
				     cm->cmsg_type };
	memcpy(cm32->data, CMSG_DATA(cm), len);
}

/* The other way round: @len bytes of messages into the caller's control data. */
static inline void recv_32_answer(struct msghdr *msg, size_t len)
{
	struct cmsghdr_32 cm32;
	size_t to = 0;

	for (size_t from = 0; from + RECV_32_HEADER <= len; from += (cm32.len + 3u) & ~3u) {
		struct cmsghdr *cm = (struct cmsghdr *)((uint8_t *)msg->msg_control + to);
		size_t payload;

		memcpy(&cm32, recv_low->control + from, RECV_32_HEADER);
		if (cm32.len < RECV_32_HEADER || cm32.len > len - from)
			die("a control message of %u bytes, %zu are left", cm32.len, len - from);
		payload = cm32.len - RECV_32_HEADER;
		if (to + CMSG_SPACE(payload) > msg->msg_controllen)
			die("no room for the control messages of a 32-bit program");
		*cm = (struct cmsghdr){ CMSG_LEN(payload), cm32.level, cm32.type };
		memcpy(CMSG_DATA(cm), recv_low->control + from + RECV_32_HEADER, payload);
		to += CMSG_SPACE(payload);
	}
	msg->msg_controllen = to;
}

/* @msg: one iovec, and control data of the size that a receive may use. */
static inline ssize_t recv_by_32(int fd, struct msghdr *msg, int flags)
{
	const bool request = flags & MSG_SOCK_DEVMEM_DONTNEED;
	size_t control = msg->msg_controllen;
	int n;

	if (!recv_low)
		recv_low = low_alloc(sizeof(*recv_low));
	if (msg->msg_iov->iov_len > RECV_32_DATA || control > RECV_32_CONTROL)
		die("a receive of %zu bytes, %zu of control data", msg->msg_iov->iov_len, control);
	if (request)
		recv_32_request(msg);
	/* A run of one entry takes 36 bytes here and 40 in the caller's buffer; all others differ less. */
	recv_low->iov =
		(struct iovec_32){ low_ptr(recv_low->data), (uint32_t)msg->msg_iov->iov_len };
	recv_low->msg = (struct msghdr_32){ .iov = low_ptr(&recv_low->iov),
					    .iovlen = 1,
					    .control = low_ptr(recv_low->control),
					    .controllen = (uint32_t)control * 9 / 10 };
	n = syscall_32(NR32_RECVMSG, fd, &recv_low->msg, (uint32_t)flags, 0);
	if (n < 0) {
		/* the answer to the request is there, whatever else failed */
		if (request)
			recv_32_answer(msg, RECV_32_HEADER + sizeof(uint32_t));
		return n;
	}
	memcpy(msg->msg_iov->iov_base, recv_low->data, (size_t)n);
	recv_32_answer(msg, recv_low->msg.controllen);
	msg->msg_flags = (int)recv_low->msg.flags;
	return n;
}

#else

static inline ssize_t recv_by_32(int fd, struct msghdr *msg, int flags)
{
	(void)fd, (void)msg, (void)flags;
	on_no_syscalls_32(0);
	return -ENOSYS;
}

#endif

/* @u: for RECV_URING. Return: bytes, or negative errno */
static inline ssize_t recv_call(enum recv_how how, struct uring *u, int fd, struct msghdr *msg,
				int flags)
{
	ssize_t n;

	switch (how) {
	case RECV_URING:
		return recv_by_uring(u, fd, msg, flags);
	case RECV_32:
		return recv_by_32(fd, msg, flags);
	default:
		n = recvmsg(fd, msg, flags);
		return n < 0 ? -errno : n;
	}
}

#endif
