// SPDX-License-Identifier: BSD-3-Clause
/*
 * unit-libs: perfcoll Threads::Threads
 *
 * The meeting of the ranks: over inherited sockets and over TCP on loopback, and everything that
 * can keep them from meeting. And the parsers of the command line.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "job_options.h"
#include "rendezvous.h"

#define MAX_RANKS 4
#define ROUNDS	  20

struct meeting {
	int nranks;
	const char *spec; /* NULL: inherited sockets */
	int pairs[MAX_RANKS][2];
	int late_ms;  /* rank 0 starts this much later */
	int stray_at; /* this rank exchanges another size in the last round; -1 none */
	int absent;   /* this rank leaves right after the meeting; -1 none */
};

struct visitor {
	const struct meeting *m;
	int rank, err;
	pthread_t thread;
};

static void inherited_spec(const struct meeting *m, int rank, char *ret, size_t size)
{
	size_t used = (size_t)snprintf(ret, size, "fd:");

	for (int r = rank ? rank : 1; r < (rank ? rank + 1 : m->nranks); r++)
		used += (size_t)snprintf(ret + used, size - used, "%s%d", used > 3 ? "," : "",
					 m->pairs[r][rank ? 1 : 0]);
}

/* Rounds of different sizes; every blob tells round and rank. */
static int visitor_exchange(struct visitor *v, struct rendezvous *rv)
{
	int mine[64], all[64 * MAX_RANKS];
	size_t n, size;
	int err;

	for (int round = 0; round < ROUNDS; round++) {
		n = 1 + (size_t)(round * 7) % 64;
		for (size_t i = 0; i < n; i++)
			mine[i] = round * 1000 + v->rank * 100 + (int)i;
		size = n * sizeof(mine[0]);
		if (round == ROUNDS - 1 && v->m->stray_at == v->rank)
			size -= sizeof(mine[0]);
		err = rendezvous_all_gather(rv, mine, size, all);
		if (err)
			return err;
		for (int r = 0; r < v->m->nranks; r++)
			for (size_t i = 0; i < n; i++)
				if (all[(size_t)r * n + i] != round * 1000 + r * 100 + (int)i)
					return -EBADMSG;
		err = rendezvous_barrier(rv);
		if (err)
			return err;
	}
	return 0;
}

static void *visitor_main(void *arg)
{
	struct visitor *v = arg;
	struct rendezvous *rv;
	char spec[64];

	if (v->m->spec)
		snprintf(spec, sizeof(spec), "%s", v->m->spec);
	else
		inherited_spec(v->m, v->rank, spec, sizeof(spec));
	if (v->rank == 0 && v->m->late_ms)
		usleep((useconds_t)v->m->late_ms * 1000);
	v->err = rendezvous_open(spec, v->rank, v->m->nranks, 60, &rv);
	if (v->err)
		return NULL;
	if (v->m->absent != v->rank)
		v->err = visitor_exchange(v, rv);
	rendezvous_close(rv);
	return NULL;
}

static void meet(struct meeting *m, int errs[MAX_RANKS])
{
	struct visitor v[MAX_RANKS] = { 0 };

	for (int r = 1; r < m->nranks && !m->spec; r++)
		assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, m->pairs[r]));
	for (int r = 0; r < m->nranks; r++) {
		v[r].m = m;
		v[r].rank = r;
		assert_ok(pthread_create(&v[r].thread, NULL, visitor_main, &v[r]));
	}
	for (int r = 0; r < m->nranks; r++) {
		pthread_join(v[r].thread, NULL);
		errs[r] = v[r].err;
	}
}

/* A port of loopback that is free now. */
static int free_port(int family)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in a4 = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	bool v4 = family == AF_INET;
	struct sockaddr *addr = v4 ? (struct sockaddr *)&a4 : (struct sockaddr *)&a6;
	socklen_t len = v4 ? sizeof(a4) : sizeof(a6);
	int fd, err;

	fd = socket(family, SOCK_STREAM, 0);
	if (fd < 0)
		return -1;
	err = bind(fd, addr, len);
	if (!err)
		err = getsockname(fd, addr, &len);
	close(fd);
	if (err)
		return -1;
	return ntohs(v4 ? a4.sin_port : a6.sin6_port);
}

static void test_inherited(void **state)
{
	int errs[MAX_RANKS] = { 0 };

	(void)state;
	for (int n = 1; n <= MAX_RANKS; n++) {
		struct meeting m = { .nranks = n, .stray_at = -1, .absent = -1 };

		meet(&m, errs);
		for (int r = 0; r < n; r++)
			assert_int_equal(errs[r], 0);
	}
}

static void test_tcp(void **state)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int errs[MAX_RANKS] = { 0 }, port;
	char spec[64];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct meeting m = { .nranks = 3, .late_ms = 200, .stray_at = -1, .absent = -1 };

		port = free_port(families[i]);
		if (port < 0 && families[i] == AF_INET6) {
			print_message("no IPv6 loopback here: not tested\n");
			continue;
		}
		assert_true(port > 0);
		snprintf(spec, sizeof(spec), i ? "[::1]:%d" : "127.0.0.1:%d", port);
		m.spec = spec;
		meet(&m, errs);
		for (int r = 0; r < 3; r++)
			assert_int_equal(errs[r], 0);
	}
}

/* Says nonsense to rank 0, then goes; and a rank that belongs to another job. */
static void *stranger_main(void *arg)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons((uint16_t) * (int *)arg) };
	char junk[64];
	int fd;

	memset(junk, 'x', sizeof(junk));
	for (int i = 0; i < 6000; i++) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (!connect(fd, (struct sockaddr *)&to, sizeof(to))) {
			assert_int_equal(send(fd, junk, sizeof(junk), MSG_NOSIGNAL), sizeof(junk));
			usleep(100000);
			close(fd);
			return NULL;
		}
		close(fd);
		usleep(10000);
	}
	return NULL;
}

static void test_stranger_is_dropped(void **state)
{
	struct meeting m = { .nranks = 2, .stray_at = -1, .absent = -1 };
	struct visitor v[2] = { { .m = &m, .rank = 0 }, { .m = &m, .rank = 1 } };
	int port = free_port(AF_INET);
	pthread_t stranger;
	char spec[64];

	(void)state;
	snprintf(spec, sizeof(spec), "127.0.0.1:%d", port);
	m.spec = spec;
	assert_ok(pthread_create(&v[0].thread, NULL, visitor_main, &v[0]));
	assert_ok(pthread_create(&stranger, NULL, stranger_main, &port));
	pthread_join(stranger, NULL);
	assert_ok(pthread_create(&v[1].thread, NULL, visitor_main, &v[1]));
	for (int r = 0; r < 2; r++) {
		pthread_join(v[r].thread, NULL);
		assert_int_equal(v[r].err, 0);
	}
}

static void test_missing_rank(void **state)
{
	struct rendezvous *rv = NULL;
	char spec[64];

	(void)state;
	snprintf(spec, sizeof(spec), "127.0.0.1:%d", free_port(AF_INET));
	assert_int_equal(rendezvous_open(spec, 0, 2, 1, &rv), -ETIMEDOUT);
	assert_int_equal(rendezvous_open(spec, 1, 2, 1, &rv), -ECONNREFUSED);
	assert_null(rv);
}

static void test_rank_leaves(void **state)
{
	int errs[MAX_RANKS] = { 0 };

	(void)state;
	for (int absent = 0; absent < 3; absent++) {
		struct meeting m = { .nranks = 3, .stray_at = -1, .absent = absent };

		meet(&m, errs);
		for (int r = 0; r < 3; r++)
			assert_int_equal(errs[r], r == absent ? 0 : -ECONNRESET);
	}
}

static void test_out_of_step(void **state)
{
	struct meeting m = { .nranks = 3, .stray_at = 2, .absent = -1 };
	int errs[MAX_RANKS] = { 0 };

	(void)state;
	meet(&m, errs);
	assert_int_equal(errs[0], -EPROTO);
	assert_int_equal(errs[1], -ECONNRESET);
}

static void test_bad_spec(void **state)
{
	static const char *const specs[] = {
		"",	 "host",  ":1",	   "127.0.0.1:",	"fd:", "fd:x", "fd:1,2",
		"fd:1;", "fd:-1", "[::1]", "127.0.0.1:99999999"
	};
	struct rendezvous *rv = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
		assert_int_equal(rendezvous_open(specs[i], 1, 2, 1, &rv), -EINVAL);
	assert_int_equal(rendezvous_open(NULL, 1, 2, 1, &rv), -EINVAL);
	assert_int_equal(rendezvous_open("fd:1", 2, 2, 1, &rv), -EINVAL);
	assert_int_equal(rendezvous_open("fd:1", -1, 2, 1, &rv), -EINVAL);
	assert_null(rv);
}

static void test_parse_size(void **state)
{
	static const char *const bad[] = { "",	   "K",	  "-1", "1T", "1KK",
					   "0x10", "1.5", " 1", "1 ", "99999999999999999999G" };
	size_t v = 42;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_size(bad[i], 0, SIZE_MAX, &v), -EINVAL);
	assert_int_equal(v, 42);
	assert_ok(parse_size("0", 0, 10, &v));
	assert_int_equal(v, 0);
	assert_ok(parse_size("512k", 0, 1 << 20, &v));
	assert_int_equal(v, 512 << 10);
	assert_ok(parse_size("3G", 0, SIZE_MAX, &v));
	assert_int_equal(v, (size_t)3 << 30);
	assert_int_equal(parse_size("11", 0, 10, &v), -EINVAL);
}

static void test_job_options(void **state)
{
	struct job_options o;

	(void)state;
	job_options_init(&o);
	assert_true(job_options_launching(&o));
	assert_int_equal(job_options_take(&o, 'n', "3"), 1);
	assert_int_equal(o.nranks, 3);
	assert_int_equal(job_options_take(&o, 'n', "0"), -EINVAL);
	assert_int_equal(job_options_take(&o, JOB_OPT_MEMORY, "dmaheap"), 1);
	assert_int_equal(o.memory, DEVICE_MEMORY_DMAHEAP);
	assert_int_equal(job_options_take(&o, JOB_OPT_MEMORY, "gpu"), -EINVAL);
	assert_int_equal(job_options_take(&o, JOB_OPT_SLOT_SIZE, "4095"), -EINVAL);
	assert_int_equal(job_options_take(&o, JOB_OPT_SLOT_SIZE, "64K"), 1);
	assert_int_equal(job_options_take(&o, JOB_OPT_API, "5"), -EINVAL);
	assert_int_equal(job_options_take(&o, JOB_OPT_RANK_ENV, "1:A=b:c"), 1);
	assert_int_equal(o.nsettings, 1);
	assert_int_equal(o.settings[0].rank, 1);
	assert_string_equal(o.settings[0].assignment, "A=b:c");
	assert_int_equal(job_options_take(&o, JOB_OPT_RANK_ENV, "A=b"), -EINVAL);
	assert_int_equal(job_options_take(&o, JOB_OPT_RANK_ENV, "1:=b"), -EINVAL);
	assert_int_equal(job_options_take(&o, 'z', NULL), 0);
	assert_ok(job_options_check(&o));
	assert_int_equal(job_options_take(&o, JOB_OPT_RANK, "3"), 1);
	assert_int_equal(job_options_check(&o), -EINVAL);
	assert_int_equal(job_options_take(&o, JOB_OPT_RENDEZVOUS, "fd:3"), 1);
	assert_int_equal(job_options_check(&o), -EINVAL);
	assert_int_equal(job_options_take(&o, JOB_OPT_RANK, "2"), 1);
	assert_ok(job_options_check(&o));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inherited),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_stranger_is_dropped),
		cmocka_unit_test(test_missing_rank),
		cmocka_unit_test(test_rank_leaves),
		cmocka_unit_test(test_out_of_step),
		cmocka_unit_test(test_bad_spec),
		cmocka_unit_test(test_parse_size),
		cmocka_unit_test(test_job_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
