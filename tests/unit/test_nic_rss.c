// SPDX-License-Identifier: BSD-3-Clause
/*
 * RSS away from bound queues, flows, and numbers as ranges: pure functions.
 * unit-libs: devmem_nic
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "nic/nic_rss.h"
#include "nic/nic_rule.h"
#include "nic/nic_text.h"
#include "unit.h"

#define N 8

static void table(uint32_t *entry, unsigned int queues)
{
	for (unsigned int i = 0; i < N; i++)
		entry[i] = i % queues;
}

static void test_nothing_bound_is_identity(void **state)
{
	const bool bound[4] = { false };
	struct nic_rss out = { 0 };
	uint32_t entry[N];
	struct nic_rss former = { entry, N };

	(void)state;
	table(entry, 4);
	assert_ok(nic_rss_avoid(&former, bound, 4, &out));
	assert_true(nic_rss_equal(&former, &out));
	assert_false(nic_rss_hits(&former, bound, 4));
	nic_rss_drop(&out);
}

static void test_bound_is_avoided_others_stay(void **state)
{
	const bool bound[4] = { false, false, true, true };
	const uint32_t want[N] = { 0, 1, 0, 1, 0, 1, 0, 1 };
	struct nic_rss out = { 0 };
	uint32_t entry[N];
	struct nic_rss former = { entry, N };

	(void)state;
	table(entry, 4);
	assert_true(nic_rss_hits(&former, bound, 4));
	assert_ok(nic_rss_avoid(&former, bound, 4, &out));
	assert_false(nic_rss_hits(&out, bound, 4));
	assert_memory_equal(out.entry, want, sizeof(want));
	/* The input is left as it was: it is what goes back in the end. */
	assert_int_equal(former.entry[3], 3);
	nic_rss_drop(&out);
}

/* An administrator's table that used queues 2 and 3 only must not spill onto 0 and 1 ... */
static void test_stays_within_the_used(void **state)
{
	const bool one[4] = { false, false, false, true };
	const bool both[4] = { false, false, true, true };
	struct nic_rss out = { 0 };
	uint32_t entry[N];
	struct nic_rss former = { entry, N };

	(void)state;
	for (unsigned int i = 0; i < N; i++)
		entry[i] = 2 + i % 2;
	assert_ok(nic_rss_avoid(&former, one, 4, &out));
	for (unsigned int i = 0; i < N; i++)
		assert_int_equal(out.entry[i], 2);
	nic_rss_drop(&out);
	/* ... unless nothing else is left. */
	assert_ok(nic_rss_avoid(&former, both, 4, &out));
	for (unsigned int i = 0; i < N; i++)
		assert_true(out.entry[i] <= 1);
	nic_rss_drop(&out);
}

static void test_all_bound(void **state)
{
	const bool bound[2] = { true, true };
	struct nic_rss out = { 0 };
	uint32_t entry[N];
	struct nic_rss former = { entry, N };

	(void)state;
	table(entry, 2);
	assert_int_equal(nic_rss_avoid(&former, bound, 2, &out), -EBUSY);
	assert_null(out.entry);
}

static void test_ranges(void **state)
{
	const uint32_t mixed[] = { 5, 1, 2, 2, 3, 9, 8 };
	const uint32_t one[] = { 3 };
	uint32_t many[64];
	char buf[NIC_RANGES_MAX], small[12];

	(void)state;
	assert_string_equal(nic_ranges_text(mixed, 7, buf, sizeof(buf)), "1-3,5,8-9");
	assert_string_equal(nic_ranges_text(one, 1, buf, sizeof(buf)), "3");
	assert_string_equal(nic_ranges_text(one, 0, buf, sizeof(buf)), "none");
	for (unsigned int i = 0; i < 64; i++)
		many[i] = 2 * i;
	nic_ranges_text(many, 64, small, sizeof(small));
	assert_string_equal(small, "0,2,4,6,...");
}

static void addr(struct sockaddr_storage *ss, int family, const char *text, uint16_t port)
{
	memset(ss, 0, sizeof(*ss));
	ss->ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)ss;

		assert_int_equal(inet_pton(family, text, &in->sin_addr), 1);
		in->sin_port = htons(port);
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

		assert_int_equal(inet_pton(family, text, &in6->sin6_addr), 1);
		in6->sin6_port = htons(port);
	}
}

static int flow(struct nic_flow *f, const struct sockaddr_storage *local,
		const struct sockaddr_storage *remote)
{
	return nic_flow_set(f, (const struct sockaddr *)local, (const struct sockaddr *)remote);
}

static void test_flow(void **state)
{
	struct sockaddr_storage l4, r4, l6, r6, unset = { 0 };
	struct nic_flow a, b;
	char text[NIC_FLOW_TEXT_MAX];

	(void)state;
	addr(&l4, AF_INET, "10.0.0.1", 5000);
	addr(&r4, AF_INET, "10.0.0.2", 6000);
	addr(&l6, AF_INET6, "::ffff:10.0.0.1", 5000);
	addr(&r6, AF_INET6, "::ffff:10.0.0.2", 6000);
	assert_ok(flow(&a, &l4, &r4));
	/* The packet comes from the remote end. */
	assert_string_equal(nic_flow_text(&a, text, sizeof(text)), "10.0.0.2:6000 > 10.0.0.1:5000");
	assert_ok(flow(&b, &l6, &r6));
	assert_true(nic_flow_equal(&a, &b));

	addr(&r6, AF_INET6, "2001:db8::2", 6000);
	assert_int_equal(flow(&b, &l4, &r6), -EINVAL);
	addr(&l6, AF_INET6, "2001:db8::1", 0);
	assert_int_equal(flow(&b, &l6, &r6), -EINVAL);
	assert_int_equal(flow(&b, &unset, &r6), -EAFNOSUPPORT);
	addr(&l6, AF_INET6, "2001:db8::1", 5000);
	assert_ok(flow(&b, &l6, &r6));
	assert_string_equal(nic_flow_text(&b, text, sizeof(text)),
			    "[2001:db8::2]:6000 > [2001:db8::1]:5000");
	assert_false(nic_flow_equal(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_bound_is_identity),
		cmocka_unit_test(test_bound_is_avoided_others_stay),
		cmocka_unit_test(test_stays_within_the_used),
		cmocka_unit_test(test_all_bound),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_flow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
