// SPDX-License-Identifier: BSD-3-Clause
/*
 * Sends from a dmabuf through io_uring, IORING_OP_SENDMSG_ZC, to a devmem-stream that listens and
 * checks each byte: for test-uring-send.
 *
 * A buffer is written again when its own request has completed (IORING_CQE_F_NOTIF), so a
 * completion that comes too early shows as a wrong byte.
 *
 * Exit: 0, 1 wrong, 77 this kernel cannot.
 */
#include "endpoint.h"
#include "uring.h"

enum { SLOTS = 16, CHUNK = 256 << 10 };

static struct slot {
	bool busy, sent;
	uint64_t at;
	size_t len;
	struct iovec iov[2];
	struct msghdr msg;
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint32_t))];
} slots[SLOTS];

static struct {
	struct dmabuf buf;
	struct binding bind;
	struct uring uring;
	uint64_t sent, requests, notifications, copied;
} s;

static void slot_prepare(struct slot *slot, unsigned int i, uint64_t at, size_t len)
{
	struct cmsghdr *cm = (struct cmsghdr *)slot->control;
	size_t offset = (size_t)i * CHUNK;

	slot->busy = true;
	slot->sent = false;
	slot->at = at;
	slot->len = len;
	pattern_fill(s.buf.mem + offset, 0, at, len);
	/* Two pieces, cut where no page ends. */
	slot->iov[0] = (struct iovec){ (void *)offset, len / 3 };
	slot->iov[1] = (struct iovec){ (void *)(offset + len / 3), len - len / 3 };
	slot->msg = (struct msghdr){ .msg_iov = slot->iov,
				     .msg_iovlen = 2,
				     .msg_control = slot->control,
				     .msg_controllen = sizeof(slot->control) };
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_DEVMEM_DMABUF;
	cm->cmsg_len = CMSG_LEN(sizeof(uint32_t));
	memcpy(CMSG_DATA(cm), &s.bind.id, sizeof(uint32_t));
}

/* MSG_WAITALL: without it a request may send less, and those behind it would follow too early. */
static struct io_uring_sqe slot_sqe(struct slot *slot, unsigned int i, int fd)
{
	return (struct io_uring_sqe){ .opcode = IORING_OP_SENDMSG_ZC,
				      .fd = fd,
				      .addr = (uintptr_t)&slot->msg,
				      .len = 1,
				      .msg_flags = MSG_WAITALL,
				      .user_data = i,
				      .ioprio = IORING_SEND_ZC_REPORT_USAGE };
}

static void complete(const struct io_uring_cqe *cqe)
{
	struct slot *slot = &slots[cqe->user_data % SLOTS];

	if (!slot->busy)
		die("completion of what is not under way");
	if (cqe->flags & IORING_CQE_F_NOTIF) {
		if (!slot->sent)
			die("notification before the result");
		s.notifications++;
		if ((uint32_t)cqe->res & IORING_NOTIF_USAGE_ZC_COPIED)
			s.copied++;
		slot->busy = false;
		return;
	}
	if (cqe->res < 0) {
		errno = -cqe->res;
		if (errno == EINVAL && !s.notifications) {
			printf("skip: this kernel does not send from a dmabuf through io_uring\n");
			exit(EXIT_SKIP);
		}
		die("send at %" PRIu64, slot->at);
	}
	if ((size_t)cqe->res != slot->len || !(cqe->flags & IORING_CQE_F_MORE))
		die("sent %d of %zu, flags %x", cqe->res, slot->len, cqe->flags);
	slot->sent = true;
}

static void reap(bool wait)
{
	struct io_uring_cqe cqe;

	while (uring_next(&s.uring, &cqe, wait)) {
		complete(&cqe);
		wait = false;
	}
}

static void stream_send(int fd, uint64_t bytes)
{
	unsigned int next = 0, left = 0;

	while (s.sent < bytes) {
		struct slot *slot = &slots[next % SLOTS];
		size_t len = bytes - s.sent < CHUNK ? bytes - s.sent : CHUNK;
		struct io_uring_sqe sqe;

		/* In order, one at a time until its result is known: so is the stream. */
		while (slot->busy)
			reap(true);
		slot_prepare(slot, next % SLOTS, s.sent, len);
		sqe = slot_sqe(slot, next % SLOTS, fd);
		uring_submit(&s.uring, &sqe, 1);
		s.requests++;
		while (!slot->sent && slot->busy)
			reap(true);
		s.sent += len;
		next++;
	}
	do {
		left = 0;
		for (unsigned int i = 0; i < SLOTS; i++)
			left += slots[i].busy;
		if (left)
			reap(true);
	} while (left);
}

/* One request that must fail; its notification must come, too.
 * Return: the positive errno, 0 if it was sent
 */
static int refusal(struct io_uring_sqe *sqe)
{
	struct io_uring_cqe cqe;
	int res = 0;

	sqe->user_data = 99;
	uring_submit(&s.uring, sqe, 1);
	do {
		uring_next(&s.uring, &cqe, true);
		if (!(cqe.flags & IORING_CQE_F_NOTIF))
			res = cqe.res;
	} while (cqe.flags & IORING_CQE_F_MORE);
	return res < 0 ? -res : 0;
}

static void expect_errno(const char *what, int have, int want)
{
	printf("%s: %s\n", what, strerror(have));
	if (have != want)
		die("%s: errno %d, expected %d", what, have, want);
}

/* Nothing of this may send a byte: devmem-stream would see it. */
static void misuse(int fd)
{
	static uint8_t memory[8192];
	struct iovec reg = { memory, sizeof(memory) };
	struct slot *slot = &slots[0];
	struct io_uring_sqe sqe;
	uint32_t wrong = s.bind.id + 1000;
	struct cmsghdr *cm = (struct cmsghdr *)slot->control;

	if (syscall(__NR_io_uring_register, s.uring.fd, IORING_REGISTER_BUFFERS, &reg, 1))
		die("IORING_REGISTER_BUFFERS");
	/* memory that is registered, as if it lay in the dmabuf */
	slot_prepare(slot, 0, 0, 4096);
	slot->iov[0] = (struct iovec){ memory, 4096 };
	slot->msg.msg_iovlen = 1;
	sqe = slot_sqe(slot, 0, fd);
	sqe.ioprio = IORING_RECVSEND_FIXED_BUF;
	sqe.buf_index = 0;
	expect_errno("registered buffer", refusal(&sqe), EINVAL);
	/* offsets of the dmabuf, as if they were registered */
	slot_prepare(slot, 0, 0, 4096);
	sqe = slot_sqe(slot, 0, fd);
	sqe.ioprio = IORING_RECVSEND_FIXED_BUF;
	sqe.buf_index = 0;
	expect_errno("offset that is not registered", refusal(&sqe), EFAULT);
	/* beyond the dmabuf; an address */
	slot_prepare(slot, 0, 0, 4096);
	slot->iov[0] = (struct iovec){ (void *)s.buf.size, 4096 };
	slot->msg.msg_iovlen = 1;
	sqe = slot_sqe(slot, 0, fd);
	expect_errno("offset beyond the dmabuf", refusal(&sqe), EFAULT);
	slot->iov[0].iov_base = memory;
	expect_errno("address of memory", refusal(&sqe), EFAULT);
	/* no such binding */
	slot_prepare(slot, 0, 0, 4096);
	memcpy(CMSG_DATA(cm), &wrong, sizeof(wrong));
	expect_errno("unknown binding", refusal(&sqe), EINVAL);
	slot->busy = false;
}

/* Whether the kernel can, told without a connection: one that cannot says EINVAL. */
static void probe(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct io_uring_sqe sqe;
	int err;

	slot_prepare(&slots[0], 0, 0, 1);
	sqe = slot_sqe(&slots[0], 0, fd);
	err = refusal(&sqe);
	slots[0].busy = false;
	close(fd);
	printf("probe: %s\n", strerror(err));
	if (err == EINVAL || err == EOPNOTSUPP) {
		printf("skip: this kernel does not send from a dmabuf through io_uring\n");
		exit(EXIT_SKIP);
	}
}

int main(int argc, char **argv)
{
	uint64_t bytes;
	int fd;

	if (argc != 4) {
		fputs("usage: uring-send interface bytes address\n", stderr);
		return 2;
	}
	bytes = strtoull(argv[2], NULL, 0);
	dmabuf_make(&s.buf, (size_t)SLOTS * CHUNK, false);
	if (binding_make(&s.bind, &s.buf, argv[1], -1, 0))
		return EXIT_WRONG;
	uring_make(&s.uring, 4 * SLOTS);
	probe();
	fd = connection_make(argv[1], argv[3], false);
	misuse(fd);
	stream_send(fd, bytes);
	printf("sent=%" PRIu64 " requests=%" PRIu64 " notifications=%" PRIu64 " copied=%" PRIu64
	       " enters=%" PRIu64 "\n",
	       s.sent, s.requests, s.notifications, s.copied, s.uring.enters);
	if (s.requests != s.notifications || s.copied)
		die("requests and notifications differ, or some were copied");
	/* The receiver ends when it has all. */
	shutdown(fd, SHUT_WR);
	while (recv(fd, slots, 1, 0) > 0)
		;
	return 0;
}
