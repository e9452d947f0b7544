/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the devmem programs here have in common: the byte pattern of devmem-stream, dmabufs,
 * bindings, a connection. Each program is one file, so these are static functions. Errors end
 * the program: exit 1, or 77 where the kernel lacks the thing.
 */
#ifndef SERIES_ENDPOINT_H
#define SERIES_ENDPOINT_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <net/if.h>
#include <netdb.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../include/uapi/devmem.h"
#include "../../../include/uapi/netdev_genl.h"

/* Not uapi/series.h: some programs have the series' own linux/errqueue.h, with the same structs. */
#ifndef MSG_SOCK_DEVMEM_DONTNEED
#define MSG_SOCK_DEVMEM_DONTNEED 0x1000000
#endif
#ifndef SCM_DEVMEM_DONTNEED
#define SCM_DEVMEM_DONTNEED SO_DEVMEM_DONTNEED
#endif

enum { EXIT_WRONG = 1, EXIT_SKIP = 77, EXIT_REFUSED = 3 };

__attribute__((format(printf, 1, 2), noreturn)) static inline void die(const char *format, ...)
{
	int err = errno;
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " (errno %d, %s)\n", err, strerror(err));
	exit(EXIT_WRONG);
}

/* splitmix64, as devmem-stream has it */
static inline uint64_t pattern_word(uint64_t seed, uint64_t index)
{
	uint64_t z = seed + index * 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline uint8_t pattern_byte(uint64_t seed, uint64_t offset)
{
	return (uint8_t)(pattern_word(seed, offset / 8) >> (offset % 8 * 8));
}

static inline void pattern_fill(uint8_t *to, uint64_t seed, uint64_t offset, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = pattern_byte(seed, offset + i);
}

static inline void pattern_check(const uint8_t *data, uint64_t seed, uint64_t offset, size_t len)
{
	for (size_t i = 0; i < len;) {
		uint64_t want = pattern_word(seed, (offset + i) / 8), have;

		if ((offset + i) % 8 == 0 && len - i >= 8) {
			memcpy(&have, data + i, 8);
			if (have == want) {
				i += 8;
				continue;
			}
		}
		if (data[i] != pattern_byte(seed, offset + i)) {
			fprintf(stderr, "wrong byte at stream offset %" PRIu64 "\n", offset + i);
			exit(EXIT_WRONG);
		}
		i++;
	}
}

struct dmabuf {
	int fd;
	uint8_t *mem;
	size_t size;
};

/* @heap: from /dev/dma_heap/system, whose scatter list has entries of up to 1 MiB; else a
 * udmabuf, whose entries are pages.
 */
static inline void dmabuf_make(struct dmabuf *b, size_t size, bool heap)
{
	struct dma_heap_allocation_data alloc = { .len = size, .fd_flags = O_RDWR | O_CLOEXEC };
	struct udmabuf_create create = { .size = size };
	int dev = open(heap ? "/dev/dma_heap/system" : "/dev/udmabuf", O_RDWR | O_CLOEXEC);

	if (dev < 0) {
		fprintf(stderr, "skip: no %s\n", heap ? "dma_heap" : "udmabuf");
		exit(EXIT_SKIP);
	}
	if (heap) {
		if (ioctl(dev, DMA_HEAP_IOCTL_ALLOC, &alloc))
			die("DMA_HEAP_IOCTL_ALLOC");
		b->fd = (int)alloc.fd;
	} else {
		int mem = memfd_create("series", MFD_ALLOW_SEALING | MFD_CLOEXEC);

		if (mem < 0 || ftruncate(mem, (off_t)size) ||
		    fcntl(mem, F_ADD_SEALS, F_SEAL_SHRINK))
			die("memfd");
		create.memfd = (uint32_t)mem;
		b->fd = ioctl(dev, UDMABUF_CREATE, &create);
		if (b->fd < 0)
			die("UDMABUF_CREATE");
		close(mem);
	}
	close(dev);
	b->size = size;
	b->mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0);
	if (b->mem == MAP_FAILED)
		die("mmap of the dmabuf");
}

/* A binding lives as long as @nl. */
struct binding {
	struct nl_sock *nl;
	uint32_t id;
	uint32_t rx_page_size; /* as the kernel says it; 0 if it does not */
};

static inline int binding_reply(struct nl_msg *msg, void *arg)
{
	struct nlattr *tb[NDEV_A_DMABUF_RX_PAGE_SIZE + 1];
	struct binding *b = arg;

	if (genlmsg_parse(nlmsg_hdr(msg), 0, tb, NDEV_A_DMABUF_RX_PAGE_SIZE, NULL))
		return NL_OK;
	if (tb[NDEV_A_DMABUF_ID])
		b->id = nla_get_u32(tb[NDEV_A_DMABUF_ID]);
	if (tb[NDEV_A_DMABUF_RX_PAGE_SIZE])
		b->rx_page_size = nla_get_u32(tb[NDEV_A_DMABUF_RX_PAGE_SIZE]);
	return NL_OK;
}

static inline int binding_error(struct sockaddr_nl *who, struct nlmsgerr *err, void *arg)
{
	const struct nlmsghdr *hdr = (const struct nlmsghdr *)err - 1;
	size_t inner = (hdr->nlmsg_flags & NLM_F_CAPPED) ? 0 : err->msg.nlmsg_len - NLMSG_HDRLEN;
	const uint8_t *pos = (const uint8_t *)(err + 1) + NLMSG_ALIGN(inner);
	int left = (int)((const uint8_t *)hdr + hdr->nlmsg_len - pos);
	const struct nlattr *text = NULL;

	(void)who;
	if ((hdr->nlmsg_flags & NLM_F_ACK_TLVS) && left > 0)
		text = nla_find((const struct nlattr *)pos, left, NLMSGERR_ATTR_MSG);
	if (err->error)
		fprintf(stderr, "kernel: %s\n", text ? nla_get_string(text) : "no words");
	*(int *)arg = err->error;
	return NL_STOP;
}

/* @queue: -1 binds for sending. @rx_page_size: 0 leaves the attribute out.
 * Return: 0 or the kernel's negative error
 */
static inline int binding_make(struct binding *b, const struct dmabuf *buf, const char *ifname,
			       int queue, uint32_t rx_page_size)
{
	struct nl_msg *msg = nlmsg_alloc();
	int family, kernel_err = 0, one = 1;

	memset(b, 0, sizeof(*b));
	b->nl = nl_socket_alloc();
	if (!msg || !b->nl || genl_connect(b->nl))
		die("netlink socket");
	setsockopt(nl_socket_get_fd(b->nl), SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	family = genl_ctrl_resolve(b->nl, NDEV_FAMILY);
	if (family < 0) {
		fprintf(stderr, "skip: no netdev netlink family\n");
		exit(EXIT_SKIP);
	}
	genlmsg_put(msg, 0, 0, family, 0, 0, queue >= 0 ? NDEV_CMD_BIND_RX : NDEV_CMD_BIND_TX, 1);
	nla_put_u32(msg, NDEV_A_DMABUF_IFINDEX, if_nametoindex(ifname));
	nla_put_u32(msg, NDEV_A_DMABUF_FD, (uint32_t)buf->fd);
	if (rx_page_size)
		nla_put_u32(msg, NDEV_A_DMABUF_RX_PAGE_SIZE, rx_page_size);
	if (queue >= 0) {
		struct nlattr *nest = nla_nest_start(msg, NDEV_A_DMABUF_QUEUES | NLA_F_NESTED);

		nla_put_u32(msg, NDEV_A_QUEUE_ID, (uint32_t)queue);
		nla_put_u32(msg, NDEV_A_QUEUE_TYPE, NDEV_QUEUE_RX);
		nla_nest_end(msg, nest);
	}
	nl_socket_modify_cb(b->nl, NL_CB_VALID, NL_CB_CUSTOM, binding_reply, b);
	nl_socket_modify_err_cb(b->nl, NL_CB_CUSTOM, binding_error, &kernel_err);
	if (nl_send_auto(b->nl, msg) < 0)
		die("netlink send");
	nlmsg_free(msg);
	nl_recvmsgs_default(b->nl);
	if (!kernel_err && !b->id)
		die("netlink: no answer");
	if (kernel_err)
		nl_socket_free(b->nl);
	return kernel_err;
}

/* Return: a connected, blocking socket on @ifname */
static inline int connection_make(const char *ifname, const char *address, bool listening)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST }, *ai;
	int fd, conn, one = 1;

	if (getaddrinfo(address, "5000", &hints, &ai))
		die("address %s", address);
	for (int tries = 0; tries < 600; tries++) {
		fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
		    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, ifname, (socklen_t)strlen(ifname)))
			die("socket on %s", ifname);
		if (listening) {
			if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, 1))
				die("listen");
			alarm(60);
			conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
			if (conn < 0)
				die("accept");
			alarm(0);
			close(fd);
			freeaddrinfo(ai);
			return conn;
		}
		if (!connect(fd, ai->ai_addr, ai->ai_addrlen)) {
			freeaddrinfo(ai);
			return fd;
		}
		close(fd);
		usleep(100000);
	}
	die("no connection within 60 s");
}

/*
 * Whether recvmsg() frees devmem frags on this kernel; needs no device. The kernel answers by what it
 * writes, so neither an older kernel, which ignores the flag and leaves the request as it is, nor
 * one that gives the flag another meaning can be mistaken.
 */
static inline bool recycle_known(void)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct dmabuf_token))] = { 0 };
	struct msghdr msg = { .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *cm = (struct cmsghdr *)control;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint32_t freed = UINT32_MAX;

	if (fd < 0)
		die("socket");
	/* No token: nothing is freed. The data is { start = 1, count = 0 }. */
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_DEVMEM_DONTNEED;
	cm->cmsg_len = CMSG_LEN(sizeof(struct dmabuf_token));
	memcpy(CMSG_DATA(cm), &(struct dmabuf_token){ 1, 0 }, sizeof(struct dmabuf_token));
	if (recvmsg(fd, &msg, MSG_DONTWAIT | MSG_SOCK_DEVMEM_DONTNEED) != -1 || errno != ENOTCONN)
		die("recvmsg on a socket without a connection");
	close(fd);
	memcpy(&freed, CMSG_DATA(cm), sizeof(freed));
	return cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_DEVMEM_DONTNEED &&
	       cm->cmsg_len == CMSG_LEN(sizeof(freed)) && freed == 0;
}

#endif
