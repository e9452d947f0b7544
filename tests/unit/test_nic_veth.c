// SPDX-License-Identifier: BSD-3-Clause
/*
 * An interface that cannot do devmem (veth, in a namespace made here): every verdict says what is
 * missing and what to do, and nothing of the interface is touched.
 * unit-libs: devmem_nic
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>

#include "base/param.h"
#include "nic/nic.h"
#include "nic/nic_ethtool.h"
#include "nic/nic_netdev.h"
#include "nic/nic_nl.h"
#include "nic/nic_rss.h"
#include "nic/nic_state.h"
#include "unit.h"

static char dir[] = "/tmp/nic-veth.XXXXXX";

static int run(const char *cmd)
{
	int status = system(cmd);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static struct nic veth_get(void)
{
	struct verdict why = { 0 };
	struct nic *nics = NULL, nic;
	int n = 0;

	assert_ok(nic_list("=veth0", AF_INET, &nics, &n, &why));
	assert_int_equal(n, 1);
	nic = nics[0];
	free(nics);
	return nic;
}

static int memory_fd(size_t size)
{
	int fd = memfd_create("not-a-dmabuf", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_ok(ftruncate(fd, (off_t)size));
	return fd;
}

static void assert_word(const char *text, const char *word)
{
	if (!strstr(text, word))
		fail_msg("\"%s\" is not in \"%s\"", word, text);
}

static void test_list(void **state)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct verdict why = { 0 };
	struct nic *nics = NULL;
	int n = 0;

	(void)state;
	/* Both ends, in the kernel's order; the one without an address and lo stay out. */
	assert_ok(nic_list("", AF_UNSPEC, &nics, &n, &why));
	assert_int_equal(n, 2);
	for (int i = 0; i < n; i++) {
		assert_int_equal(nics[i].addr.ss_family, AF_INET);
		assert_int_equal(nics[i].mtu, 1500);
		assert_int_equal(nics[i].ifindex, if_nametoindex(nics[i].name));
		assert_false(nics[i].is_loopback);
	}
	assert_true(nics[0].guid != nics[1].guid);
	free(nics);

	assert_ok(nic_list("^veth1", AF_INET6, &nics, &n, &why));
	assert_int_equal(n, 1);
	assert_string_equal(nics[0].name, "veth0");
	/* The global address wins over the link-local one. */
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", &six.sin6_addr), 1);
	assert_memory_equal(&((struct sockaddr_in6 *)&nics[0].addr)->sin6_addr, &six.sin6_addr, 16);
	free(nics);
	assert_true(nic_addr_is_local((struct sockaddr *)&six));

	assert_int_equal(inet_pton(AF_INET, "192.0.2.1", &four.sin_addr), 1);
	assert_true(nic_addr_is_local((struct sockaddr *)&four));
	assert_int_equal(inet_pton(AF_INET, "192.0.2.9", &four.sin_addr), 1);
	assert_false(nic_addr_is_local((struct sockaddr *)&four));

	assert_ok(nic_list("=veth2", AF_UNSPEC, &nics, &n, &why));
	assert_int_equal(n, 0);
	assert_word(why.reason, "veth2 (no address)");
	free(nics);
}

static void test_queues(void **state)
{
	struct nic_queue *q = NULL;
	unsigned int n = 0;

	(void)state;
	assert_ok(nic_netdev_rx_queues(veth_get().ifindex, &q, &n));
	assert_int_equal(n, 4);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(q[i].id, i);
		assert_null(q[i].user);
		assert_false(q[i].provider);
	}
	free(q);
	assert_int_equal(nic_netdev_rx_queues(999999, &q, &n), -ENODEV);
}

static void test_probe_says_what_is_missing(void **state)
{
	struct nic nic = veth_get(), lo = { .name = "lo", .ifindex = 1, .is_loopback = true };
	struct nic_caps caps;

	(void)state;
	nic_probe(&nic, &caps);
	assert_int_equal(caps.rx_queues, 4);
	assert_int_equal(caps.rx_devmem.err, -EOPNOTSUPP);
	assert_int_equal(caps.tx_devmem.err, -EOPNOTSUPP);
	assert_word(caps.rx_devmem.reason, "veth0: driver veth has no");
	assert_word(caps.rx_devmem.remedy, "ip link add sdm0 link veth0 type sdm");
	assert_word(caps.tx_devmem.reason, "veth0: ");

	nic_probe(&lo, &caps);
	assert_int_equal(caps.rx_devmem.err, -EOPNOTSUPP);
	assert_word(caps.rx_devmem.reason, "lo: ");

	snprintf(nic.name, sizeof(nic.name), "gone0");
	nic.ifindex = 999999;
	nic_probe(&nic, &caps);
	assert_int_equal(caps.rx_devmem.err, -ENODEV);
	assert_int_equal(caps.tx_devmem.err, -ENODEV);
	assert_word(caps.rx_devmem.reason, "gone0: the interface is gone");
}

/* Everything a failed attempt could have left behind. */
struct snapshot {
	struct nic_rings rings;
	struct nic_rss rss;
	bool ntuple;
};

static void snapshot_take(const struct nic *nic, struct snapshot *s)
{
	memset(s, 0, sizeof(*s));
	nic_rings_get(nic->ifindex, &s->rings);
	assert_ok(nic_rss_get(nic->name, &s->rss));
	assert_ok(nic_ntuple_get(nic->name, &s->ntuple));
}

static void test_bind_fails_and_changes_nothing(void **state)
{
	struct snapshot before, after;
	struct nic nic = veth_get();
	struct nic_rx *rx = (struct nic_rx *)&nic;
	struct nic_tx *tx = (struct nic_tx *)&nic;
	struct verdict why = { 0 };
	int fd = memory_fd(65536);
	struct stat sb;

	(void)state;
	snapshot_take(&nic, &before);
	assert_int_equal(nic_rx_bind(&nic, fd, 1, &rx, &why), -EOPNOTSUPP);
	assert_int_equal(why.err, -EOPNOTSUPP);
	assert_word(why.reason, "veth0: driver veth has no");
	assert_string_not_equal(why.remedy, "");
	assert_int_equal(nic_tx_bind(&nic, fd, &tx, &why), -EOPNOTSUPP);
	assert_word(why.reason, "veth0: ");
	/* Outputs stay as they were. */
	assert_ptr_equal(rx, &nic);
	assert_ptr_equal(tx, &nic);
	snapshot_take(&nic, &after);
	assert_memory_equal(&before.rings, &after.rings, sizeof(before.rings));
	assert_true(nic_rss_equal(&before.rss, &after.rss));
	assert_int_equal(before.ntuple, after.ntuple);
	/* Not even a record: the directory was never made. */
	assert_int_not_equal(stat(param_str(PARAM_STATE_DIR), &sb), 0);
	close(fd);

	nic_restore_stale();
	nic_rx_release(NULL);
	nic_tx_release(NULL);
	nic_forget();
}

static void test_bad_arguments(void **state)
{
	struct nic nic = veth_get();
	struct nic_rx *rx = NULL;
	struct nic_tx *tx = NULL;
	struct verdict why = { 0 };
	int odd = memory_fd(4097), empty = memory_fd(0);

	(void)state;
	assert_int_equal(nic_rx_bind(&nic, odd, 1, &rx, &why), -EINVAL);
	assert_word(why.reason, "4097 bytes");
	assert_word(why.reason, "page size");
	assert_int_equal(nic_tx_bind(&nic, odd, &tx, &why), -EINVAL);
	assert_int_equal(nic_rx_bind(&nic, empty, 1, &rx, &why), -EINVAL);
	assert_int_equal(nic_rx_bind(&nic, -1, 1, &rx, &why), -EBADF);
	assert_int_equal(nic_rx_bind(&nic, odd, 0, &rx, &why), -EINVAL);
	assert_int_equal(nic_rx_bind(&nic, odd, 65, &rx, &why), -EINVAL);
	assert_word(why.reason, "65 queues");
	assert_null(rx);
	assert_null(tx);
	close(odd);
	close(empty);
}

/* The kernel's own words reach the caller. */
static void test_extended_ack(void **state)
{
	struct nic_nl nl = { 0 };
	char ext[160] = "";
	struct nic_rings set = { .has_split = true, .split = 2 };

	(void)state;
	assert_int_equal(nic_rings_set(veth_get().ifindex, &set, ext, sizeof(ext)), -EOPNOTSUPP);
	assert_word(ext, "TCP data split");
	assert_int_equal(nic_nl_open(&nl, "no-such-family"), -EOPNOTSUPP);
	nic_nl_close(&nl);
}

/* Drops all capabilities in a child, whose exit status is the result. */
static int without_capabilities(int (*fn)(void))
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(syscall(SYS_capset, &head, none) ? 100 : fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int unprivileged(void)
{
	struct verdict why = { 0 };
	struct nic *nics = NULL;
	struct nic_caps caps;
	int n = 0;

	if (nic_list("=veth0", AF_INET, &nics, &n, &why) || n != 1)
		return 1;
	/* What the driver lacks is said also to those who could not use it. */
	nic_probe(&nics[0], &caps);
	free(nics);
	if (caps.rx_devmem.err != -EOPNOTSUPP || !strstr(caps.rx_devmem.reason, "header split"))
		return 2;
	if (caps.tx_devmem.err != -EOPNOTSUPP)
		return 3;
	return caps.rx_queues == 4 ? 0 : 4;
}

static void test_probe_unprivileged(void **state)
{
	(void)state;
	assert_int_equal(without_capabilities(unprivileged), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_queues),
		cmocka_unit_test(test_probe_says_what_is_missing),
		cmocka_unit_test(test_bind_fails_and_changes_nothing),
		cmocka_unit_test(test_bad_arguments),
		cmocka_unit_test(test_extended_ack),
		cmocka_unit_test(test_probe_unprivileged),
	};
	char sub[64];
	int ret;

	if (geteuid() || unshare(CLONE_NEWNET)) {
		printf("needs root, to make a network namespace\n");
		return UNIT_SKIP;
	}
	if (run("ip link add veth0 numrxqueues 4 numtxqueues 4 type veth peer name veth1 &&"
		"ip link add veth2 type veth peer name veth3 &&"
		"ip addr add 192.0.2.1/24 dev veth0 && ip addr add 192.0.2.2/24 dev veth1 &&"
		"ip -6 addr add 2001:db8::1/64 dev veth0 nodad &&"
		"sysctl -qw net.ipv6.conf.veth2.disable_ipv6=1 &&"
		"for i in 0 1 2 3; do ip link set veth$i up || exit 1; done") ||
	    /* They count as running once the kernel has seen the carrier, which it does when it has time. */
	    run("for i in 0 1 2 3; do for t in $(seq 100); do "
		"ip -br link show dev veth$i | grep -q ' UP ' && continue 2; sleep 0.1; done; "
		"exit 1; done")) {
		printf("the kernel makes no veth pair with these settings\n");
		return UNIT_SKIP;
	}
	if (!mkdtemp(dir))
		return 1;
	snprintf(sub, sizeof(sub), "%s/state", dir);
	setenv("NCCL_DEVMEM_STATE_DIR", sub, 1);
	param_load();
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	if (rmdir(dir))
		fprintf(stderr, "%s was not left empty\n", dir);
	return ret;
}
