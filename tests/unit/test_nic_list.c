// SPDX-License-Identifier: BSD-3-Clause
/*
 * Which interfaces are used: the filter's syntax and the choice among an injected list, then the
 * real list of a network namespace made here.
 * unit-libs: devmem_nic
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nic/nic.h"
#include "nic/nic_filter.h"
#include "unit.h"

static const struct nic_candidate host[] = {
	{ "lo", .usable = true, .is_loopback = true },
	{ "docker0", .usable = true, .is_ethernet = true },
	{ "eth0", .usable = true, .is_ethernet = true },
	{ "eth1", .usable = false, .is_ethernet = true },
	{ "eth10", .usable = true, .is_ethernet = true },
	{ "ens3", .usable = true, .is_ethernet = true },
	{ "tun0", .usable = true },
};
#define HOST_N ((unsigned int)(sizeof(host) / sizeof(host[0])))

/* "eth0 eth10": the names chosen by @text among the first @n of @c. */
static const char *chosen(const char *text, const struct nic_candidate *c, unsigned int n)
{
	static char out[256];
	unsigned int order[16], got;
	size_t used = 0;
	struct nic_filter f;

	nic_filter_parse(&f, text);
	got = nic_filter_choose(&f, c, n, order);
	assert_true(got <= n);
	out[0] = '\0';
	for (unsigned int i = 0; i < got; i++)
		used += (size_t)snprintf(out + used, sizeof(out) - used, "%s%s", i ? " " : "",
					 c[order[i]].name);
	return out;
}

static void test_default(void **state)
{
	(void)state;
	assert_string_equal(chosen("", host, HOST_N), "eth0 eth10 ens3");
	assert_string_equal(chosen(NULL, host, HOST_N), "eth0 eth10 ens3");
}

static void test_loopback_is_last_resort(void **state)
{
	(void)state;
	assert_string_equal(chosen("", host, 2), "lo");
	assert_string_equal(chosen("^docker", host, 2), "lo");
	assert_string_equal(chosen("^docker,lo", host, 2), "");
	assert_string_equal(chosen("lo", host, HOST_N), "lo");
	assert_string_equal(chosen("=lo,eth0", host, HOST_N), "lo eth0");
}

/* eth0 under an sdm: up, and with the address that every interface gives itself. */
static void test_link_local_only(void **state)
{
	static const struct nic_candidate c[] = {
		{ "lo", .usable = true, .is_loopback = true },
		{ "eth0", .usable = true, .is_ethernet = true, .only_link_local = true },
		{ "sdm0", .usable = true, .is_ethernet = true },
	};

	(void)state;
	assert_string_equal(chosen("", c, 3), "sdm0");
	assert_string_equal(chosen("^docker", c, 3), "sdm0");
	assert_string_equal(chosen("eth", c, 3), "eth0");
	assert_string_equal(chosen("", c, 2), "eth0");
	assert_string_equal(chosen("^sdm", c, 3), "eth0");
	assert_string_equal(chosen("", c, 1), "lo");
}

static void test_prefixes(void **state)
{
	(void)state;
	assert_string_equal(chosen("eth", host, HOST_N), "eth0 eth10");
	assert_string_equal(chosen("eth1", host, HOST_N), "eth10");
	assert_string_equal(chosen("docker", host, HOST_N), "docker0");
	assert_string_equal(chosen("tun", host, HOST_N), "tun0");
	assert_string_equal(chosen("ib", host, HOST_N), "");
}

static void test_order_is_the_filter_s(void **state)
{
	(void)state;
	assert_string_equal(chosen("ens,eth", host, HOST_N), "ens3 eth0 eth10");
	/* An interface that two entries match appears once, at the first. */
	assert_string_equal(chosen("eth10,eth", host, HOST_N), "eth10 eth0");
	assert_string_equal(chosen("=ens3,eth0,ens3", host, HOST_N), "ens3 eth0");
}

static void test_exact(void **state)
{
	(void)state;
	assert_string_equal(chosen("=eth", host, HOST_N), "");
	assert_string_equal(chosen("=eth1", host, HOST_N), "");
	assert_string_equal(chosen("=eth10", host, HOST_N), "eth10");
}

static void test_exclude(void **state)
{
	(void)state;
	/*
	 * As in NCCL, an exclusion allows everything else, not Ethernet alone; see tun0, docker0.
	 */
	assert_string_equal(chosen("^eth", host, HOST_N), "docker0 ens3 tun0");
	assert_string_equal(chosen("^=eth", host, HOST_N), "docker0 eth0 eth10 ens3 tun0");
	assert_string_equal(chosen("^=eth0,tun0,docker0", host, HOST_N), "eth10 ens3");
	assert_string_equal(chosen("^", host, HOST_N), "docker0 eth0 eth10 ens3 tun0");
}

static void test_odd_text(void **state)
{
	struct nic_filter f;
	char many[400];

	(void)state;
	assert_string_equal(chosen(",,eth0,,", host, HOST_N), "eth0");
	assert_string_equal(chosen("eth0:1,ens3:2", host, HOST_N), "eth0 ens3");
	assert_string_equal(chosen("=", host, HOST_N), "eth0 eth10 ens3");

	assert_int_equal(nic_filter_parse(&f, "a-name-of-17-chars,eth0"), 1);
	assert_int_equal(f.n, 1);
	assert_int_equal(nic_filter_parse(&f, "fifteen-chars-x"), 0);
	assert_string_equal(f.name[0], "fifteen-chars-x");
	for (int i = 0; i < NIC_FILTER_MAX + 3; i++)
		memcpy(many + 5 * (size_t)i, "eth0,", 6);
	assert_int_equal(nic_filter_parse(&f, many), 3);
	assert_int_equal(f.n, NIC_FILTER_MAX);
}

static int lo_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int ret = ioctl(fd, SIOCSIFFLAGS, &ifr);

	close(fd);
	return ret;
}

/* A namespace of our own: first with nothing up, then with loopback only. */
static void test_real_namespace(void **state)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct verdict why = { 0 };
	struct nic *nics = NULL;
	int n = -1;

	(void)state;
	if (unshare(CLONE_NEWNET))
		skip();
	assert_ok(nic_list("", AF_UNSPEC, &nics, &n, &why));
	assert_int_equal(n, 0);
	assert_int_equal(why.err, -ENODEV);
	assert_non_null(strstr(why.reason, "lo (down)"));
	free(nics);

	assert_ok(lo_up());
	assert_ok(nic_list("", AF_UNSPEC, &nics, &n, &why));
	assert_int_equal(n, 1);
	assert_string_equal(nics[0].name, "lo");
	assert_true(nics[0].is_loopback);
	assert_int_equal(nics[0].ifindex, if_nametoindex("lo"));
	assert_int_equal(nics[0].addr.ss_family, AF_INET);
	assert_int_equal(nics[0].speed_mbps, 10000);
	assert_string_equal(nics[0].pci_path, "");
	free(nics);

	assert_ok(nic_list("nothing", AF_UNSPEC, &nics, &n, &why));
	assert_int_equal(n, 0);
	assert_non_null(strstr(why.reason, "\"nothing\""));
	assert_non_null(strstr(why.reason, "there are: lo"));
	assert_non_null(strstr(why.remedy, "NCCL_DEVMEM_IFNAME"));
	free(nics);

	assert_int_equal(inet_pton(AF_INET, "127.3.2.1", &four.sin_addr), 1);
	assert_true(nic_addr_is_local((struct sockaddr *)&four));
	assert_int_equal(inet_pton(AF_INET, "192.0.2.1", &four.sin_addr), 1);
	assert_false(nic_addr_is_local((struct sockaddr *)&four));
	assert_int_equal(inet_pton(AF_INET6, "::ffff:127.0.0.1", &six.sin6_addr), 1);
	assert_true(nic_addr_is_local((struct sockaddr *)&six));
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", &six.sin6_addr), 1);
	assert_false(nic_addr_is_local((struct sockaddr *)&six));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_loopback_is_last_resort),
		cmocka_unit_test(test_link_local_only),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_order_is_the_filter_s),
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_exclude),
		cmocka_unit_test(test_odd_text),
		cmocka_unit_test(test_real_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
