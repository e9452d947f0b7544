// SPDX-License-Identifier: BSD-3-Clause
/*
 * Where the bytes of a connection go: into the bound dmabuf while it is steered, into ordinary
 * memory before and after, and those of other connections never into the dmabuf.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "nic_guest.h"

/* Linux 6.12, include/uapi/linux/uio.h and asm-generic/socket.h */
struct frag_cmsg {
	uint64_t offset;
	uint32_t size;
	uint32_t token;
	uint32_t dmabuf;
	uint32_t flags;
};
struct token_range {
	uint32_t start;
	uint32_t count;
};
#define CMSG_LINEAR	 78 /* SO_DEVMEM_LINEAR */
#define CMSG_DMABUF	 79 /* SO_DEVMEM_DMABUF */
#define OPT_DONTNEED	 80 /* SO_DEVMEM_DONTNEED */
#define FLAG_SOCK_DEVMEM 0x2000000

#define CHUNK (64 << 10)

struct conn {
	int here;
	int there;
	struct sockaddr_storage local;
	struct sockaddr_storage remote;
};

static void addr_make(struct sockaddr_storage *ss, int family, const char *text, uint16_t port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	ss->ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		inet_pton(family, text, &in->sin_addr);
		in->sin_port = htons(port);
	} else {
		inet_pton(family, text, &in6->sin6_addr);
		in6->sin6_port = htons(port);
	}
}

/* A socket belongs to the namespace it was made in, so one process can hold both ends. */
static int peer_socket(int family)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int peer = open("/run/netns/peer", O_RDONLY | O_CLOEXEC);
	int fd;

	assert_true(home >= 0 && peer >= 0);
	assert_ok(setns(peer, CLONE_NEWNET));
	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_ok(setns(home, CLONE_NEWNET));
	assert_true(fd >= 0);
	close(home);
	close(peer);
	return fd;
}

static void conn_make(struct conn *c, int family)
{
	struct sockaddr_storage want;
	socklen_t len = sizeof(want), llen = sizeof(c->local), rlen = sizeof(c->remote);
	int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int one = 1;

	addr_make(&want, family, family == AF_INET ? "10.9.0.1" : "fd09::1", 0);
	assert_ok(bind(listener, (struct sockaddr *)&want, sizeof(want)));
	assert_ok(listen(listener, 1));
	assert_ok(getsockname(listener, (struct sockaddr *)&want, &len));
	c->there = peer_socket(family);
	assert_ok(setsockopt(c->there, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
	assert_ok(connect(c->there, (struct sockaddr *)&want, len));
	c->here = accept4(listener, (struct sockaddr *)&c->remote, &rlen, SOCK_CLOEXEC);
	assert_true(c->here >= 0);
	assert_ok(getsockname(c->here, (struct sockaddr *)&c->local, &llen));
	close(listener);
}

static void conn_close(struct conn *c)
{
	close(c->here);
	close(c->there);
}

/* Sends a chunk across and reads all of it; counts how it arrived. */
static void chunk_pass(struct conn *c, size_t *ret_dmabuf, size_t *ret_host, uint32_t want_dmabuf)
{
	static char out[CHUNK], in[CHUNK];
	static char control[CMSG_SPACE(sizeof(struct frag_cmsg)) * 128];
	size_t got = 0;

	*ret_dmabuf = 0;
	*ret_host = 0;
	memset(out, 'd', sizeof(out));
	assert_int_equal(write(c->there, out, sizeof(out)), sizeof(out));
	while (got < CHUNK) {
		struct iovec iov = { in, CHUNK - got };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(c->here, &msg, FLAG_SOCK_DEVMEM);
		size_t told = 0;

		if (n <= 0)
			fail_msg("recvmsg: %zd, %s after %zu bytes", n, strerror(errno), got);
		for (struct cmsghdr *cm = CMSG_FIRSTHDR(&msg); cm; cm = CMSG_NXTHDR(&msg, cm)) {
			struct frag_cmsg f;
			struct token_range r;

			assert_int_equal(cm->cmsg_level, SOL_SOCKET);
			memcpy(&f, CMSG_DATA(cm), sizeof(f));
			told += f.size;
			if (cm->cmsg_type == CMSG_LINEAR) {
				*ret_host += f.size;
				continue;
			}
			assert_int_equal(cm->cmsg_type, CMSG_DMABUF);
			if (want_dmabuf)
				assert_int_equal(f.dmabuf, want_dmabuf);
			*ret_dmabuf += f.size;
			r.start = f.token;
			r.count = 1;
			assert_int_equal(
				setsockopt(c->here, SOL_SOCKET, OPT_DONTNEED, &r, sizeof(r)), 1);
		}
		/* What no cmsg told of was copied into the iovec, from ordinary memory. */
		if (!told)
			*ret_host += (size_t)n;
		got += (size_t)n;
	}
}

static void flow_both_ways(int family)
{
	struct verdict why = { 0 };
	size_t dmabuf, host;
	struct conn c, other;
	struct nic_rx *rx = guest_bind(1);
	uint32_t id;

	conn_make(&c, family);
	conn_make(&other, family);
	chunk_pass(&c, &dmabuf, &host, 0);
	assert_int_equal(dmabuf, 0);
	assert_ok(nic_rx_steer(rx, -1, (struct sockaddr *)&c.local, (struct sockaddr *)&c.remote,
			       &id, &why));
	for (int i = 0; i < 8; i++) {
		chunk_pass(&c, &dmabuf, &host, guest_bound(3));
		assert_int_equal(dmabuf, CHUNK);
		assert_int_equal(host, 0);
		chunk_pass(&other, &dmabuf, &host, 0);
		assert_int_equal(dmabuf, 0);
	}
	nic_rx_unsteer(rx, id);
	chunk_pass(&c, &dmabuf, &host, 0);
	assert_int_equal(dmabuf, 0);
	conn_close(&c);
	conn_close(&other);
	nic_rx_release(rx);
}

static void test_ipv4(void **state)
{
	(void)state;
	flow_both_ways(AF_INET);
}

static void test_ipv6(void **state)
{
	(void)state;
	flow_both_ways(AF_INET6);
}

/* A listener on "::" gets IPv4 peers as mapped addresses; on the wire they are IPv4. */
static void test_mapped(void **state)
{
	struct sockaddr_storage local = { 0 }, remote = { 0 };
	struct verdict why = { 0 };
	size_t dmabuf, host;
	struct nic_rx *rx = guest_bind(1);
	struct conn c = { 0 };
	char text[64], ip[INET_ADDRSTRLEN];
	uint32_t id;

	(void)state;
	conn_make(&c, AF_INET);
	inet_ntop(AF_INET, &((struct sockaddr_in *)&c.local)->sin_addr, ip, sizeof(ip));
	snprintf(text, sizeof(text), "::ffff:%s", ip);
	addr_make(&local, AF_INET6, text, ntohs(((struct sockaddr_in *)&c.local)->sin_port));
	inet_ntop(AF_INET, &((struct sockaddr_in *)&c.remote)->sin_addr, ip, sizeof(ip));
	snprintf(text, sizeof(text), "::ffff:%s", ip);
	addr_make(&remote, AF_INET6, text, ntohs(((struct sockaddr_in *)&c.remote)->sin_port));
	assert_ok(nic_rx_steer(rx, -1, (struct sockaddr *)&local, (struct sockaddr *)&remote, &id,
			       &why));
	chunk_pass(&c, &dmabuf, &host, guest_bound(3));
	assert_int_equal(dmabuf, CHUNK);
	conn_close(&c);
	nic_rx_release(rx);
}

/* Many connections beside the steered one, hashed all over: none may hit the bound queue. */
static void test_others_stay_readable(void **state)
{
	struct nic_rx *rx = guest_bind(2);
	size_t dmabuf, host;
	struct conn c[24];

	(void)state;
	for (int i = 0; i < 24; i++)
		conn_make(&c[i], i & 1 ? AF_INET6 : AF_INET);
	for (int i = 0; i < 24; i++) {
		chunk_pass(&c[i], &dmabuf, &host, 0);
		assert_int_equal(dmabuf, 0);
		assert_int_equal(host, CHUNK);
	}
	nic_rx_release(rx);
	for (int i = 0; i < 24; i++) {
		chunk_pass(&c[i], &dmabuf, &host, 0);
		assert_int_equal(host, CHUNK);
		conn_close(&c[i]);
	}
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, guest_setup, guest_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_ipv4),
		T(test_ipv6),
		T(test_mapped),
		T(test_others_stay_readable),
	};
	int ret = guest_init();

	return ret ? ret : cmocka_run_group_tests(tests, NULL, NULL);
}
