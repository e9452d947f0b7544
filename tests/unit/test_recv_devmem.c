// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a receive makes of the kernel's messages about frags, well-formed and not, against a recvmsg() played here.
 * unit-libs: devmem_path
 * unit-wrap: recvmsg setsockopt kernel_features nic_rx_niov_size nic_rx_queues nic_rx_is_lost
 */
#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "unit.h"
#include "base/kernel.h"
#include "path/path.h"
#include "uapi/devmem.h"
#include "uapi/series.h"

#define NIOV 4096U
#define POOL (64 * NIOV)

static struct kernel_features features;
static unsigned char memory[POOL];
static unsigned char dst[POOL];
static struct token_ledger ledger;
static struct pool pool = { .nic = { .name = "nic0" } };
static struct data_sock ds;
static struct mr mr = { .type = MR_HOST, .base = dst, .size = sizeof(dst), .cpu = dst };

/* The answer of the next recvmsg(): what it returns, or -errno; its control data; what of it was copied to the iov. */
static ssize_t answer;
static unsigned char control[65536];
static size_t control_len, room;
static int answer_flags;
static const char *linear;
static uint32_t dontneed;

const struct kernel_features *__wrap_kernel_features(void);
const struct kernel_features *__wrap_kernel_features(void)
{
	return &features;
}

uint32_t __wrap_nic_rx_niov_size(const struct nic_rx *rx);
uint32_t __wrap_nic_rx_niov_size(const struct nic_rx *rx)
{
	(void)rx;
	return NIOV;
}

const char *__wrap_nic_rx_queues(const struct nic_rx *rx);
const char *__wrap_nic_rx_queues(const struct nic_rx *rx)
{
	(void)rx;
	return "3";
}

static bool lost;
bool __wrap_nic_rx_is_lost(const struct nic_rx *rx, struct verdict *why);
bool __wrap_nic_rx_is_lost(const struct nic_rx *rx, struct verdict *why)
{
	(void)rx;
	if (lost)
		verdict_set(why, -ESTALE, "", "the broker has ended");
	return lost;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	assert_int_equal(fd, 42);
	assert_true(flags & MSG_SOCK_DEVMEM);
	room = msg->msg_controllen;
	if (answer < 0) {
		errno = (int)-answer;
		return -1;
	}
	assert_true(control_len <= room);
	memcpy(msg->msg_control, control, control_len);
	msg->msg_controllen = control_len;
	msg->msg_flags = answer_flags;
	if (linear)
		memcpy(msg->msg_iov->iov_base, linear, strlen(linear));
	return answer;
}

int __wrap_setsockopt(int fd, int level, int name, const void *val, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	const struct dmabuf_token *t = val;
	uint32_t n = 0;

	assert_int_equal(fd, 42);
	assert_int_equal(level, SOL_SOCKET);
	assert_int_equal(name, SO_DEVMEM_DONTNEED);
	for (size_t i = 0; i < len / sizeof(*t); i++)
		n += t[i].token_count;
	dontneed += n;
	return (int)n;
}

static int setup(void **state)
{
	(void)state;
	memset(&ds, 0, sizeof(ds));
	memset(&features, 0, sizeof(features));
	memset(dst, 0, sizeof(dst));
	for (size_t i = 0; i < sizeof(memory); i++)
		memory[i] = (unsigned char)(i * 7 + i / 251);
	token_ledger_init(&ledger);
	pool.block.cpu = memory;
	pool.block.size = sizeof(memory);
	ds.fd = 42;
	ds.pool = &pool;
	ds.ledger = &ledger;
	ds.batch = 16;
	ds.run_most = 1;
	features.token_runs = true;
	answer = 0;
	answer_flags = 0;
	control_len = 0;
	linear = NULL;
	dontneed = 0;
	unit_log_clear();
	ladder_reset();
	return 0;
}

static void put(int type, const void *data, size_t len)
{
	struct cmsghdr c = { .cmsg_len = CMSG_LEN(len),
			     .cmsg_level = SOL_SOCKET,
			     .cmsg_type = type };

	memset(control + control_len, 0, CMSG_SPACE(len));
	memcpy(control + control_len, &c, sizeof(c));
	memcpy(control + control_len + CMSG_LEN(0), data, len);
	control_len += CMSG_SPACE(len);
}

static void put_frag(int type, uint64_t offset, uint32_t size, uint32_t token)
{
	struct dmabuf_cmsg d = { .frag_offset = offset, .frag_size = size, .frag_token = token };

	put(type, &d, sizeof(d));
}

/* @n entries; @cut bytes are missing at the end. */
static void put_run(uint32_t token, const struct dmabuf_run_entry *entries, size_t n, size_t cut)
{
	static union {
		struct dmabuf_run_cmsg run;
		unsigned char bytes[32768];
	} u;

	u.run.token = token;
	u.run.dmabuf_id = 9;
	if (n)
		memcpy(u.bytes + sizeof(u.run), entries, n * sizeof(*entries));
	put(SCM_DEVMEM_RUN, u.bytes, sizeof(u.run) + n * sizeof(*entries) - cut);
}

/* What the last call brought. */
static bool cut_short;

static ssize_t receive(void)
{
	static struct arrival a;
	struct place_req req = { 0 };
	struct place *pl;
	size_t len = sizeof(dst);
	uint8_t *host;
	ssize_t n;

	assert_ok(place_cpu_create(&pool, &pl));
	assert_ok(pl->ops->window(pl, &req, &mr, dst, &len, &host));
	n = path_recv_devmem.recv(&ds, pl, host, len, &a);
	cut_short = a.cut_short;
	if (n > 0)
		assert_ok(pl->ops->put(pl, &req, &mr, dst, &ds, &a));
	pl->ops->destroy(pl);
	return n;
}

/* Entries of a run are placed one behind the other, under one token; adjacent niovs may share an entry. */
static void test_run(void **state)
{
	static const struct dmabuf_run_entry e[] = {
		{ 5 * NIOV, NIOV, 0 },
		{ 2 * NIOV + 100, 1000, 0 },
		{ 10 * NIOV + 4000, NIOV, 0 },
	};

	(void)state;
	put_run(17, e, 3, 0);
	answer = (ssize_t)NIOV + 1000 + NIOV;
	assert_int_equal(receive(), answer);
	assert_memory_equal(dst, memory + (size_t)5 * NIOV, NIOV);
	assert_memory_equal(dst + NIOV, memory + (size_t)2 * NIOV + 100, 1000);
	assert_memory_equal(dst + NIOV + 1000, memory + (size_t)10 * NIOV + 4000, NIOV);
	assert_int_equal(ledger.held, 1);
	assert_int_equal(ledger.ranges[0].start, 17);
	/* 1, 1, and 2 since it begins 96 bytes before the end of one */
	assert_int_equal(ds.run_most, 4);
}

static void test_mixture(void **state)
{
	static const struct dmabuf_run_entry e[] = { { NIOV, 10, 0 } };

	(void)state;
	linear = "header";
	put_frag(SCM_DEVMEM_LINEAR, 0, 6, 0);
	put_run(1, e, 1, 0);
	put_frag(SCM_DEVMEM_DMABUF, (uint64_t)3 * NIOV, 20, 2);
	answer = 36;
	assert_int_equal(receive(), 36);
	assert_memory_equal(dst, "header", 6);
	assert_memory_equal(dst + 6, memory + NIOV, 10);
	assert_memory_equal(dst + 16, memory + (size_t)3 * NIOV, 20);
	assert_int_equal(ledger.held, 2);
}

/* Whatever is wrong, the error comes before a byte is placed, and the token is known, so that it can be given back. */
static void refused(uint64_t held)
{
	assert_int_equal(receive(), -EPROTO);
	for (size_t i = 0; i < sizeof(dst); i++)
		assert_int_equal(dst[i], 0);
	assert_int_equal(ledger.held, held);
	control_len = 0;
	unit_log_clear();
}

static void test_entries_outside_the_pool(void **state)
{
	static const struct dmabuf_run_entry bad[] = {
		{ POOL, 1, 0 },
		{ POOL - 1, 2, 0 },
		{ POOL + 1, 1, 0 },
		{ UINT64_MAX, 1, 0 },
		{ UINT64_MAX - 15, 16, 0 },
		{ 0, POOL + 1, 0 },
		{ 1, UINT32_MAX, 0 },
		{ 64, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct dmabuf_run_entry e[] = { { 0, 8, 0 }, bad[i] };

		setup(state);
		put_run(1, e, 2, 0);
		answer = 8 + (ssize_t)bad[i].frag_size;
		assert_int_equal(receive(), -EPROTO);
		assert_logged("outside the pool");
		assert_int_equal(ledger.held, 1);

		setup(state);
		put_frag(SCM_DEVMEM_DMABUF, bad[i].frag_offset, bad[i].frag_size, 4);
		answer = 8;
		refused(1);
	}
}

static void test_malformed(void **state)
{
	static const struct dmabuf_run_entry e[2] = { { 0, 8, 0 }, { 8, 8, 0 } };
	static struct dmabuf_run_entry many[401];
	struct dmabuf_cmsg d = { .frag_size = 8 };

	(void)state;
	for (size_t i = 0; i < 401; i++)
		many[i] = (struct dmabuf_run_entry){ .frag_size = 1 };
	answer = 8;
	put_run(1, NULL, 0, 0); /* no entry: not even the token is looked at */
	refused(0);
	put_run(1, NULL, 0, 4);
	refused(0);
	put_run(2, e, 2, 4); /* half an entry */
	refused(1);
	put(SCM_DEVMEM_DMABUF, &d, sizeof(d) - 1);
	refused(1);
	put_run(3, many, 401,
		0); /* more than a receive has room for, by a kernel that ignored the length */
	features.token_runs = false;
	refused(2);
}

/* The control buffer is what keeps the entries few: at 16 bytes each, no more than there is room for here. */
static void test_room(void **state)
{
	(void)state;
	answer = -EAGAIN;
	assert_int_equal(receive(), -EAGAIN);
	assert_true(room / sizeof(struct dmabuf_run_entry) <= 400 + 2);
	features.token_runs = false;
	assert_int_equal(receive(), -EAGAIN);
	assert_true(room >= 400 * CMSG_SPACE(sizeof(struct dmabuf_cmsg)));
}

/* A call that brings less than is asked for has emptied the socket, but where there was no room to tell of more, or another kind ended it. */
static void test_cut_short(void **state)
{
	static struct dmabuf_run_entry many[400];

	for (size_t i = 0; i < 400; i++)
		many[i] = (struct dmabuf_run_entry){ .frag_size = 1 };
	put_run(1, many, 300, 0);
	answer = 300;
	assert_int_equal(receive(), 300);
	assert_false(cut_short);

	setup(state);
	put_run(1, many, 395, 0);
	answer = 395;
	assert_int_equal(receive(), 395);
	assert_true(cut_short);

	setup(state);
	features.token_runs = false;
	for (uint32_t i = 0; i < 300; i++)
		put_frag(SCM_DEVMEM_DMABUF, 0, 1, i);
	answer = 300;
	assert_int_equal(receive(), 300);
	assert_false(cut_short);
	for (uint32_t i = 300; i < 390; i++)
		put_frag(SCM_DEVMEM_DMABUF, 0, 1, i);
	answer = 390;
	assert_int_equal(receive(), 390);
	assert_true(cut_short);

	setup(state);
	linear = "header";
	put_frag(SCM_DEVMEM_LINEAR, 0, 6, 0);
	answer = 6;
	assert_int_equal(receive(), 6);
	assert_true(cut_short);

	setup(state);
	linear = "plain";
	answer = 5;
	assert_int_equal(receive(), 5);
	assert_true(cut_short);
}

static void test_bytes_unaccounted_for(void **state)
{
	static const struct dmabuf_run_entry e[] = { { 0, 8, 0 } };

	(void)state;
	put_run(1, e, 1, 0);
	answer = 9;
	assert_int_equal(receive(), -EPROTO);
	assert_logged("9 bytes but told where 8 are");

	unit_log_clear();
	answer = 8;
	answer_flags = MSG_CTRUNC;
	assert_int_equal(receive(), -EPROTO);
	assert_logged("truncated");
}

/* Packets around the binding, whole in host memory: received all the same, and said once. */
static void test_no_message(void **state)
{
	(void)state;
	linear = "plain";
	answer = 5;
	assert_int_equal(receive(), 5);
	assert_memory_equal(dst, "plain", 5);
	assert_logged("arrive in host memory");
	unit_log_clear();
	assert_int_equal(receive(), 5);
	assert_int_equal(unit_log_lines, 0);

	/* Where it is known who took the rules away, that is said. */
	ds.strayed = false;
	lost = true;
	assert_int_equal(receive(), 5);
	assert_logged("the broker has ended");
	lost = false;
}

static void test_errors(void **state)
{
	static const struct {
		ssize_t answer, result;
	} t[] = {
		{ 0, -ECONNRESET },   { -EINTR, -EAGAIN },  { -525, -ENOBUFS },
		{ -EAGAIN, -EAGAIN }, { -EFAULT, -EFAULT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		answer = t[i].answer;
		assert_int_equal(receive(), t[i].result);
	}
}

/* A batch of 16 niovs may wait; of runs with up to 5 niovs, three tokens. */
static void test_batch(void **state)
{
	static const struct dmabuf_run_entry e[] = { { 0, 5 * NIOV, 0 } };

	(void)state;
	for (uint32_t i = 1; i <= 4; i++) {
		assert_int_equal(dontneed, 0);
		control_len = 0;
		put_run(i, e, 1, 0);
		answer = (ssize_t)5 * NIOV;
		assert_int_equal(receive(), answer);
		assert_ok(path_recv_devmem.recycle(&ds, 0));
	}
	assert_int_equal(dontneed, 4);
	assert_int_equal(ledger.held, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_run, setup),
		cmocka_unit_test_setup(test_mixture, setup),
		cmocka_unit_test_setup(test_entries_outside_the_pool, setup),
		cmocka_unit_test_setup(test_malformed, setup),
		cmocka_unit_test_setup(test_room, setup),
		cmocka_unit_test_setup(test_cut_short, setup),
		cmocka_unit_test_setup(test_bytes_unaccounted_for, setup),
		cmocka_unit_test_setup(test_no_message, setup),
		cmocka_unit_test_setup(test_errors, setup),
		cmocka_unit_test_setup(test_batch, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
