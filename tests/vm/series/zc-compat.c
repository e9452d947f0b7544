// SPDX-License-Identifier: BSD-3-Clause
/*
 * SCM_ZC_NOTIFICATION as a 32-bit program passes it: the kernel lays such control data out anew
 * and has to write the answer back to where the caller has it. Sends over loopback, TCP and UDP,
 * IPv4 and IPv6; there each zerocopy send finishes as a copied one.
 *
 * Exit: 0, 1, 77 where the kernel has no 32-bit system calls, or does not know the message.
 */
#include <netinet/in.h>
#include <poll.h>

#include "endpoint.h"

#if defined(__x86_64__)

#include <linux/errqueue.h>

#include "compat32.h"

#ifdef SCM_ZC_NOTIFICATION

enum { SLOTS = 3, PAYLOAD = 1024, GUARD = 0xa5 };

static struct low {
	struct mmsghdr_32 msgs[2];
	struct iovec_32 iov;
	uint8_t control[2][128];
	char data[PAYLOAD];
} * low;

/* A control message that stands before or after, and the length of its payload. */
struct other {
	const char *name;
	int level, type;
	uint32_t len;
	uint32_t value;
};

/* Appends one at *@used. Return: its payload */
static uint32_t *cmsg_put(uint8_t *control, uint32_t *used, int level, int type, uint32_t len)
{
	struct cmsghdr_32 *cmsg = (void *)(control + *used);

	cmsg->len = sizeof(*cmsg) + len;
	cmsg->level = level;
	cmsg->type = type;
	*used += (cmsg->len + 3) & ~3U;
	return cmsg->data;
}

static struct zc_notification *ask_put(uint8_t *control, uint32_t *used)
{
	struct zc_notification *zcn =
		(void *)cmsg_put(control, used, SOL_SOCKET, SCM_ZC_NOTIFICATION,
				 sizeof(*zcn) + SLOTS * (uint32_t)sizeof(zcn->ranges[0]));

	zcn->state = ZC_NOTIFICATION_ASK;
	zcn->nr = 0;
	return zcn;
}

static void other_put(uint8_t *control, uint32_t *used, const struct other *o)
{
	memcpy(cmsg_put(control, used, o->level, o->type, o->len), &o->value, o->len);
}

static void msg_fill(unsigned int i, uint32_t controllen, uint32_t len)
{
	low->iov = (struct iovec_32){ low_ptr(low->data), len };
	low->msgs[i].hdr = (struct msghdr_32){ .iov = low_ptr(&low->iov),
					       .iovlen = 1,
					       .control = low_ptr(low->control[i]),
					       .controllen = controllen };
	low->msgs[i].len = 0;
}

static int sendmsg_32(int fd, uint32_t controllen, uint32_t len, int flags)
{
	msg_fill(0, controllen, len);
	return syscall_32(NR32_SENDMSG, fd, &low->msgs[0].hdr, (uint32_t)flags | MSG_NOSIGNAL, 0);
}

/* Bytes from @used on still are what they were: nothing was written past the message. */
static void guard_check(const char *what, unsigned int i, uint32_t used)
{
	for (; used < sizeof(low->control[i]); used++)
		if (low->control[i][used] != GUARD)
			die("%s: byte %u of the control buffer was written", what, used);
}

static void range_check(const char *what, const struct zc_notification *zcn, uint32_t lo,
			uint32_t hi)
{
	const struct zc_range *r = &zcn->ranges[0];

	printf("%s: state %#x, %u ranges, %u to %u, code %u\n", what, zcn->state, zcn->nr, r->lo,
	       r->hi, r->code);
	if (zcn->state != ZC_NOTIFICATION_DONE || zcn->nr != 1 || r->lo != lo || r->hi != hi ||
	    r->code != SO_EE_CODE_ZEROCOPY_COPIED)
		die("%s: expected one range, %u to %u, copied", what, lo, hi);
}

/* A zerocopy send of @fd, finished: POLLERR tells. */
static void send_finished(int fd)
{
	struct pollfd pfd = { .fd = fd };

	if (send(fd, low->data, PAYLOAD, MSG_ZEROCOPY) != PAYLOAD)
		die("MSG_ZEROCOPY");
	if (poll(&pfd, 1, 60000) != 1 || !(pfd.revents & POLLERR))
		die("no notification within 60 s");
}

/* Alone, and beside one other message of which the length in the kernel's layout differs. */
static void layouts(int fd, const struct other *others, unsigned int n)
{
	uint32_t next = 0;
	char what[64];

	for (unsigned int i = 0; i < 1 + 2 * n; i++) {
		const struct other *o = i ? &others[(i - 1) / 2] : NULL;
		struct zc_notification *zcn;
		uint32_t used = 0;
		int ret;

		send_finished(fd);
		memset(low->control, GUARD, sizeof(low->control));
		if (o && i % 2)
			other_put(low->control[0], &used, o);
		zcn = ask_put(low->control[0], &used);
		if (o && i % 2 == 0)
			other_put(low->control[0], &used, o);
		snprintf(what, sizeof(what), "%s%s",
			 !o	 ? "alone"
			 : i % 2 ? "after "
				 : "before ",
			 o ? o->name : "");
		ret = sendmsg_32(fd, used, PAYLOAD, 0);
		if (ret != PAYLOAD)
			die("%s: sendmsg: %d", what, ret);
		range_check(what, zcn, next, next);
		guard_check(what, 0, used);
		next++;
	}
}

/* Each message of a sendmmsg() has an answer of its own. */
static void several(int fd, uint32_t next)
{
	struct zc_notification *zcn[2];
	uint32_t used[2] = { 0, 0 };
	int ret;

	send_finished(fd);
	memset(low->control, GUARD, sizeof(low->control));
	for (unsigned int i = 0; i < 2; i++) {
		zcn[i] = ask_put(low->control[i], &used[i]);
		msg_fill(i, used[i], PAYLOAD);
	}
	ret = syscall_32(NR32_SENDMMSG, fd, low->msgs, 2, MSG_NOSIGNAL);
	if (ret != 2 || low->msgs[0].len != PAYLOAD || low->msgs[1].len != PAYLOAD)
		die("sendmmsg: %d", ret);
	range_check("sendmmsg, first", zcn[0], next, next);
	if (zcn[1]->state != ZC_NOTIFICATION_DONE || zcn[1]->nr != 0)
		die("sendmmsg, second: state %#x, %u ranges", zcn[1]->state, zcn[1]->nr);
	guard_check("sendmmsg, first", 0, used[0]);
	guard_check("sendmmsg, second", 1, used[1]);
}

/* Refused, and left as it is. */
static void malformed(int fd)
{
	static const uint32_t lengths[] = { 12, 12 + 4, 12 + 7 };
	uint32_t used = 0;
	struct zc_notification *zcn = ask_put(low->control[0], &used);
	struct cmsghdr_32 *cmsg = (void *)low->control[0];
	int ret;

	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		cmsg->len = lengths[i];
		ret = sendmsg_32(fd, (cmsg->len + 3) & ~3U, PAYLOAD, 0);
		if (ret != -EINVAL || zcn->state != ZC_NOTIFICATION_ASK)
			die("length %u: %d, state %#x", lengths[i], ret, zcn->state);
	}
	printf("too short: refused\n");
}

/* Return: whether the kernel has it; a socket that is not connected sends nothing */
static bool probe(int fd)
{
	uint32_t used = 0;
	struct zc_notification *zcn = ask_put(low->control[0], &used);
	int ret = sendmsg_32(fd, used, PAYLOAD, 0);

	if (ret >= 0)
		die("probe: sent %d bytes", ret);
	return zcn->state == ZC_NOTIFICATION_DONE;
}

static int socket_zerocopy(int family, int type)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		die("socket with SO_ZEROCOPY");
	return fd;
}

static void family_run(int family, int type)
{
	/* What the kernel makes of it is of no interest, where in its copy it stands is. */
	const struct other others[] = {
		{ "a u32", SOL_SOCKET, SO_MARK, 4, 0 },
		{ "a byte", family == AF_INET ? SOL_IP : SOL_IPV6,
		  family == AF_INET ? IP_TOS : IPV6_TCLASS, family == AF_INET ? 1 : 4, 0 },
	};
	struct sockaddr_storage addr = { .ss_family = (sa_family_t)family };
	int peer = socket(family, type, 0), fd = socket_zerocopy(family, type), conn = -1;
	/* TCP has an opinion on messages of its own level only. */
	unsigned int n = type == SOCK_DGRAM ? 2 : 1;
	socklen_t len = sizeof(addr);

	printf("%s over IPv%d\n", type == SOCK_DGRAM ? "UDP" : "TCP", family == AF_INET ? 4 : 6);
	if (family == AF_INET)
		((struct sockaddr_in *)&addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&addr)->sin6_addr = in6addr_loopback;
	if (bind(peer, (void *)&addr, sizeof(addr)) || getsockname(peer, (void *)&addr, &len) ||
	    (type == SOCK_STREAM && listen(peer, 1)) || connect(fd, (void *)&addr, len))
		die("connection");
	if (type == SOCK_STREAM)
		conn = accept(peer, NULL, NULL);
	layouts(fd, others, n);
	several(fd, 1 + 2 * n);
	malformed(fd);
	close(conn);
	close(peer);
	close(fd);
}

int main(void)
{
	int fd;

	low = low_alloc(sizeof(*low));
	fd = socket_zerocopy(AF_INET, SOCK_STREAM);
	if (!probe(fd)) {
		printf("skip: this kernel does not know SCM_ZC_NOTIFICATION\n");
		return EXIT_SKIP;
	}
	close(fd);
	family_run(AF_INET, SOCK_STREAM);
	family_run(AF_INET, SOCK_DGRAM);
	family_run(AF_INET6, SOCK_STREAM);
	family_run(AF_INET6, SOCK_DGRAM);
	return 0;
}

#else

int main(void)
{
	printf("skip: built without the series' headers\n");
	return EXIT_SKIP;
}

#endif

#else

int main(void)
{
	printf("skip: only for x86-64\n");
	return EXIT_SKIP;
}

#endif
