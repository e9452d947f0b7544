// SPDX-License-Identifier: BSD-3-Clause
/*
 * Bindings and flow rules of one process on a soft devmem NIC: what is set, what is refused and
 * why, and that all of it is put back.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/ethtool_netlink.h>

#include "base/counter.h"
#include "nic_guest.h"

static void assert_split_on(void)
{
	struct nic_rings r;

	assert_ok(nic_rings_get((int)if_nametoindex("sdm0"), &r));
	assert_int_equal(r.split, ETHTOOL_TCP_DATA_SPLIT_ENABLED);
	assert_int_equal(r.thresh, 0);
}

static void test_probe(void **state)
{
	struct nic nic = guest_nic();
	struct nic_caps caps;

	(void)state;
	nic_probe(&nic, &caps);
	if (caps.rx_devmem.err || caps.tx_devmem.err)
		fail_msg("%s; %s", caps.rx_devmem.reason, caps.tx_devmem.reason);
	assert_int_equal(caps.rx_queues, GUEST_QUEUES);
	/* "Changes nothing" is the teardown's to check. */
}

static void test_probe_of_a_lesser_device(void **state)
{
	struct nic nic = guest_nic();
	struct nic_caps caps;

	(void)state;
	assert_ok(guest_run("ip link set sdm0 down"));
	nic_probe(&nic, &caps);
	assert_int_equal(caps.rx_devmem.err, -ENETDOWN);
	assert_word(caps.rx_devmem.remedy, "ip link set sdm0 up");
	assert_ok(guest_run("ip link set sdm0 up && ethtool -L sdm0 combined 1"));
	nic_probe(&nic, &caps);
	assert_int_equal(caps.rx_devmem.err, -EBUSY);
	assert_int_equal(caps.rx_queues, 1);
	assert_word(caps.rx_devmem.remedy, "ethtool -L sdm0 combined 2");
	assert_ok(guest_run("ethtool -L sdm0 combined 4"));
}

static void test_bind_and_release(void **state)
{
	uint64_t binds = counter_read(rx_binds);
	struct nic_rx *rx;

	(void)state;
	assert_string_equal(guest_rss(), "0-3");
	rx = guest_bind(1);
	assert_string_equal(nic_rx_queues(rx), "3");
	assert_split_on();
	assert_string_equal(guest_rss(), "0-2");
	assert_int_not_equal(guest_bound(3), 0);
	assert_int_equal(guest_bound(2), 0);
	assert_int_equal(guest_records(), 1);
	assert_int_equal(counter_read(rx_binds), binds + 1);
	assert_guest_log("tcp-data-split off -> on");
	assert_guest_log("RSS over queues 0-3 -> 0-2");
	nic_rx_release(rx);
	assert_int_equal(guest_bound(3), 0);
	assert_guest_log("tcp-data-split on -> off");
	assert_guest_log("RSS over queues 0-2 -> 0-3");
}

static void test_threshold_comes_back(void **state)
{
	struct nic_rings set = { .has_split = true,
				 .split = ETHTOOL_TCP_DATA_SPLIT_ENABLED,
				 .has_thresh = true,
				 .thresh = 256 };
	struct nic_rx *rx;
	char ext[160], before[GUEST_SETTINGS_MAX], after[GUEST_SETTINGS_MAX];

	(void)state;
	assert_ok(nic_rings_set((int)if_nametoindex("sdm0"), &set, ext, sizeof(ext)));
	guest_settings(before, sizeof(before));
	assert_word(before, "split 2 thresh 256");
	rx = guest_bind(2);
	assert_string_equal(nic_rx_queues(rx), "2-3");
	assert_string_equal(guest_rss(), "0-1");
	assert_split_on();
	nic_rx_release(rx);
	assert_string_equal(guest_settings(after, sizeof(after)), before);
	set.split = ETHTOOL_TCP_DATA_SPLIT_DISABLED;
	set.thresh = 0;
	assert_ok(nic_rings_set((int)if_nametoindex("sdm0"), &set, ext, sizeof(ext)));
}

/*
 * A table of the administrator's own comes back to the entry; ntuple that was off goes off again.
 */
static void test_odd_settings_come_back(void **state)
{
	char before[GUEST_SETTINGS_MAX], after[GUEST_SETTINGS_MAX];
	struct nic_rx *rx;
	bool on = false;

	(void)state;
	assert_ok(guest_run("ethtool -X sdm0 weight 1 0 3 2 && ethtool -K sdm0 ntuple off"));
	guest_settings(before, sizeof(before));
	assert_word(before, "rss 0,2-3");
	assert_word(before, "ntuple 0");
	rx = guest_bind(1);
	assert_string_equal(guest_rss(), "0,2");
	assert_ok(nic_ntuple_get("sdm0", &on));
	assert_true(on);
	nic_rx_release(rx);
	assert_string_equal(guest_settings(after, sizeof(after)), before);
	assert_ok(guest_run("ethtool -X sdm0 default && ethtool -K sdm0 ntuple on"));
}

static void test_admin_changes_stay(void **state)
{
	struct nic_rx *rx = guest_bind(1);

	(void)state;
	assert_ok(guest_run("ethtool -X sdm0 equal 2"));
	nic_rx_release(rx);
	assert_string_equal(guest_rss(), "0-1");
	assert_guest_log("RSS was changed by somebody else");
	assert_ok(guest_run("ethtool -X sdm0 default"));
}

static void test_rules(void **state)
{
	uint64_t added = counter_read(rules), removed = counter_read(rules_removed);
	struct nic_rx *rx = guest_bind(2);
	struct verdict why = { 0 };
	uint32_t id[5], again;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_ok(guest_steer(rx, i & 1 ? AF_INET6 : AF_INET, (uint16_t)(1000 + i), &id[i],
				      &why));
	/* To the queue with fewest flows: two each. */
	assert_int_equal(guest_rules_to(2), 2);
	assert_int_equal(guest_rules_to(3), 2);
	nic_rx_unsteer(rx, id[1]);
	nic_rx_unsteer(rx, id[3]);
	assert_int_equal(guest_rules(), 2);
	/* Twice, or never given out: nothing happens, also when the place is used again. */
	assert_ok(guest_steer(rx, AF_INET, 2000, &again, &why));
	assert_ok(guest_steer(rx, AF_INET, 2001, &id[4], &why));
	nic_rx_unsteer(rx, id[1]);
	nic_rx_unsteer(rx, id[3]);
	nic_rx_unsteer(rx, 0);
	nic_rx_unsteer(rx, UINT32_MAX);
	assert_int_equal(guest_rules(), 4);
	assert_int_equal(guest_rules_to(2), 2);
	/* The same flow once more: refused by the record, not doubled. */
	assert_int_equal(guest_steer(rx, AF_INET, 2000, &again, &why), -EEXIST);
	assert_word(why.reason, "10.9.0.2:2000 > 10.9.0.1:5000");
	assert_int_equal(guest_rules(), 4);
	nic_rx_unsteer(rx, id[0]);
	assert_int_equal(guest_rules(), 3);
	nic_rx_release(rx);
	assert_int_equal(guest_rules(), 0);
	assert_int_equal(counter_read(rules), added + 6);
	assert_int_equal(counter_read(rules_removed), removed + 6);
}

/* A rule that somebody removed, and another one that took its place, are none of ours. */
static void test_rule_replaced_by_another(void **state)
{
	struct nic_rx *rx = guest_bind(1);
	struct verdict why = { 0 };
	uint32_t id;

	(void)state;
	assert_ok(guest_steer(rx, AF_INET, 1000, &id, &why));
	assert_ok(guest_run("ethtool -N sdm0 delete 0 &&"
			    "ethtool -N sdm0 flow-type tcp4 dst-port 7 action 1 loc 0"));
	nic_rx_release(rx);
	assert_int_equal(guest_rules_to(1), 1);
	assert_ok(guest_run("ethtool -N sdm0 delete 0"));
}

/* Flow @i of those that fill the table; none of them is ours. */
static struct nic_flow filler(unsigned int i)
{
	struct nic_flow f = { .family = AF_INET, .src = { 10, 9, 1, 1 }, .dst = { 10, 9, 0, 1 } };

	f.sport = htons((uint16_t)(10000 + i));
	f.dport = htons(7);
	return f;
}

static void test_table_full(void **state)
{
	struct nic_rx *rx = guest_bind(1);
	struct verdict why = { 0 };
	static uint32_t loc[4096];
	unsigned int others = 0;
	uint32_t id[3], more;
	struct nic_flow f;
	int err = 0;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_ok(guest_steer(rx, AF_INET, (uint16_t)(3000 + i), &id[i], &why));
	while (!err && others < 4096) {
		f = filler(others);
		err = nic_rule_add("sdm0", &f, 1, &loc[others]);
		others += !err;
	}
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(guest_steer(rx, AF_INET, 4000, &more, &why), -ENOSPC);
	assert_word(why.reason, "sdm0: the flow rule table is full");
	assert_word(why.remedy, "ethtool -n sdm0");
	/* A place that is given back can be taken. */
	nic_rx_unsteer(rx, id[1]);
	assert_ok(guest_steer(rx, AF_INET, 4000, &more, &why));
	nic_rx_release(rx);
	assert_int_equal(guest_rules(), others);
	while (others--) {
		f = filler(others);
		assert_ok(nic_rule_del("sdm0", &f, 1, loc[others]));
	}
}

static void test_busy(void **state)
{
	struct nic nic = guest_nic();
	struct verdict why = { 0 };
	struct nic_rx *rx, *more = NULL;
	char before[GUEST_SETTINGS_MAX], after[GUEST_SETTINGS_MAX];
	int fd = guest_dmabuf(1 << 20);

	(void)state;
	/* Queue 0 is never taken, so four are too many from the start: nothing is touched. */
	guest_settings(before, sizeof(before));
	assert_int_equal(nic_rx_bind(&nic, fd, 4, &more, &why), -EBUSY);
	assert_string_equal(guest_settings(after, sizeof(after)), before);
	assert_word(why.reason, "sdm0: 3 of its 4 RX queues are free");
	assert_int_equal(guest_records(), 0);

	rx = guest_bind(3);
	assert_string_equal(nic_rx_queues(rx), "1-3");
	assert_string_equal(guest_rss(), "0");
	guest_settings(before, sizeof(before));
	assert_int_equal(nic_rx_bind(&nic, fd, 1, &more, &why), -EBUSY);
	assert_word(why.reason, "sdm0: 0 of its 4 RX queues are free");
	assert_word(why.remedy, "ethtool -L sdm0 combined");
	assert_null(more);
	assert_string_equal(guest_settings(after, sizeof(after)), before);
	nic_rx_release(rx);
	close(fd);
}

/* A queue that a rule of somebody else's leads to is left to him. */
static void test_steered_queue_is_not_taken(void **state)
{
	struct nic_rx *rx;

	(void)state;
	assert_ok(guest_run("ethtool -N sdm0 flow-type tcp4 dst-port 7 action 3 loc 9"));
	rx = guest_bind(1);
	assert_string_equal(nic_rx_queues(rx), "2");
	nic_rx_release(rx);
	assert_ok(guest_run("ethtool -N sdm0 delete 9"));
}

/* The kernel refuses after header split and RSS were changed: all of it goes back. */
static void test_failure_in_the_middle(void **state)
{
	char before[GUEST_SETTINGS_MAX], after[GUEST_SETTINGS_MAX];
	int fd = memfd_create("not-a-dmabuf", MFD_CLOEXEC);
	struct nic nic = guest_nic();
	struct verdict why = { 0 };
	struct nic_rx *rx = NULL;

	(void)state;
	assert_ok(ftruncate(fd, 1 << 20));
	guest_settings(before, sizeof(before));
	assert_int_equal(nic_rx_bind(&nic, fd, 1, &rx, &why), -EINVAL);
	assert_word(why.reason, "sdm0: bind-rx to queue 3");
	assert_null(rx);
	assert_string_equal(guest_settings(after, sizeof(after)), before);
	assert_guest_log("tcp-data-split off -> on");
	assert_guest_log("tcp-data-split on -> off");
	assert_int_equal(guest_records(), 0);
	close(fd);
}

static void test_two_bindings_of_one_process(void **state)
{
	struct nic_rx *a = guest_bind(1), *b = guest_bind(1);
	struct verdict why = { 0 };
	uint32_t id;

	(void)state;
	assert_string_equal(nic_rx_queues(a), "3");
	assert_string_equal(nic_rx_queues(b), "2");
	assert_string_equal(guest_rss(), "0-1");
	assert_ok(guest_steer(a, AF_INET, 1000, &id, &why));
	assert_ok(guest_steer(b, AF_INET6, 1000, &id, &why));
	nic_rx_release(a);
	/* Queue 3 serves others again; b's queue, rule and header split stay. */
	assert_string_equal(guest_rss(), "0-1,3");
	assert_int_equal(guest_rules(), 1);
	assert_int_equal(guest_rules_to(2), 1);
	assert_split_on();
	nic_rx_release(b);
}

static void test_tx(void **state)
{
	struct nic nic = guest_nic();
	uint64_t binds = counter_read(tx_binds);
	struct verdict why = { 0 };
	struct nic_tx *a = NULL, *b = NULL;
	int fd = guest_dmabuf(1 << 20), memfd = memfd_create("x", MFD_CLOEXEC);

	(void)state;
	assert_ok(nic_tx_bind(&nic, fd, &a, &why));
	assert_ok(nic_tx_bind(&nic, fd, &b, &why));
	assert_int_not_equal(nic_tx_id(a), 0);
	assert_int_not_equal(nic_tx_id(a), nic_tx_id(b));
	assert_int_equal(counter_read(tx_binds), binds + 2);
	nic_tx_release(a);
	nic_tx_release(b);
	assert_ok(ftruncate(memfd, 4096));
	assert_int_equal(nic_tx_bind(&nic, memfd, &a, &why), -EINVAL);
	assert_word(why.reason, "sdm0: bind-tx: Invalid argument");
	close(memfd);
	close(fd);
}

/* Settings are the administrator's: checked, told how to set, never changed. */
static void test_setup_forbidden(void **state)
{
	struct nic nic = guest_nic();
	char before[GUEST_SETTINGS_MAX], after[GUEST_SETTINGS_MAX];
	struct nic_rings off = { .has_split = true, .split = ETHTOOL_TCP_DATA_SPLIT_DISABLED };
	struct nic_rings on = { .has_split = true, .split = ETHTOOL_TCP_DATA_SPLIT_ENABLED };
	struct verdict why = { 0 };
	struct nic_rx *rx = NULL;
	int fd = guest_dmabuf(1 << 20);
	uint32_t id;
	char ext[160];

	(void)state;
	guest_param("NCCL_DEVMEM_NIC_SETUP", "0");
	guest_settings(before, sizeof(before));
	assert_int_equal(nic_rx_bind(&nic, fd, 1, &rx, &why), -EOPNOTSUPP);
	assert_word(why.reason, "header split is off");
	assert_word(why.remedy, "ethtool -G sdm0 tcp-data-split on hds-thresh 0");
	assert_ok(nic_rings_set(nic.ifindex, &on, ext, sizeof(ext)));
	assert_int_equal(nic_rx_bind(&nic, fd, 1, &rx, &why), -EOPNOTSUPP);
	assert_word(why.reason, "RSS leads other traffic");
	assert_word(why.remedy, "ethtool -X sdm0");
	assert_ok(guest_run("ethtool -X sdm0 equal 3"));
	guest_settings(before, sizeof(before));
	assert_ok(nic_rx_bind(&nic, fd, 1, &rx, &why));
	assert_string_equal(nic_rx_queues(rx), "3");
	assert_int_equal(guest_steer(rx, AF_INET, 1000, &id, &why), -ENOENT);
	assert_word(why.remedy, "ethtool -N sdm0 flow-type tcp4 src-ip 10.9.0.2");
	assert_word(why.remedy, "action 3");
	assert_ok(guest_run("ethtool -N sdm0 flow-type tcp4 dst-port 5000 action 3 loc 4"));
	assert_ok(guest_steer(rx, AF_INET, 1000, &id, &why));
	assert_int_equal(guest_steer(rx, AF_INET6, 1000, &id, &why), -ENOENT);
	nic_rx_unsteer(rx, id);
	assert_int_equal(guest_rules(), 1);
	nic_rx_release(rx);
	assert_int_equal(guest_rules(), 1);
	assert_ok(guest_run("ethtool -N sdm0 delete 4"));
	assert_string_equal(guest_settings(after, sizeof(after)), before);
	assert_ok(guest_run("ethtool -X sdm0 default"));
	assert_ok(nic_rings_set(nic.ifindex, &off, ext, sizeof(ext)));
	close(fd);
}

static void test_without_a_state_directory(void **state)
{
	struct verdict why = { 0 };
	struct nic_rx *rx;
	uint32_t id;

	(void)state;
	guest_param("NCCL_DEVMEM_STATE_DIR", "/proc/none");
	rx = guest_bind(1);
	assert_guest_log("NCCL_DEVMEM_STATE_DIR=/proc/none cannot be used");
	assert_ok(guest_steer(rx, AF_INET, 1000, &id, &why));
	assert_split_on();
	nic_rx_release(rx);
	/* Put back all the same: the teardown looks. */
}

static void test_device_goes_away(void **state)
{
	struct nic_rx *rx = guest_bind(1);
	struct verdict why = { 0 };
	uint32_t id, other;

	(void)state;
	assert_ok(guest_steer(rx, AF_INET, 1000, &id, &why));
	assert_ok(guest_run("ip link del sdm0"));
	assert_int_not_equal(guest_steer(rx, AF_INET, 1001, &other, &why), 0);
	nic_rx_unsteer(rx, id);
	nic_rx_release(rx);
	assert_int_equal(guest_records(), 0);
	assert_ok(guest_run("ip link add sdm0 link e0 type sdm && ip link set sdm0 up"));
}

static void test_down_and_up(void **state)
{
	struct nic_rx *rx = guest_bind(1);

	(void)state;
	assert_ok(guest_run("ip link set sdm0 down && ip link set sdm0 up"));
	assert_int_not_equal(guest_bound(3), 0);
	assert_ok(guest_run("ip link set sdm0 down"));
	nic_rx_release(rx);
	assert_ok(guest_run("ip link set sdm0 up"));
}

#define STEER_THREADS 4
#define STEER_ROUNDS  40

static struct nic_rx *shared_rx;

static void *steer_thread(void *arg)
{
	uint16_t port = (uint16_t)(uintptr_t)arg;
	struct verdict why;
	uint32_t id;

	for (int i = 0; i < STEER_ROUNDS; i++) {
		if (guest_steer(shared_rx, AF_INET, port, &id, &why))
			return why.reason[0] ? "steer failed" : "steer failed without a word";
		if (i + 1 < STEER_ROUNDS)
			nic_rx_unsteer(shared_rx, id);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t t[STEER_THREADS];
	void *said;

	(void)state;
	shared_rx = guest_bind(2);
	for (uintptr_t i = 0; i < STEER_THREADS; i++)
		assert_ok(pthread_create(&t[i], NULL, steer_thread, (void *)(1000 + i)));
	for (int i = 0; i < STEER_THREADS; i++) {
		assert_ok(pthread_join(t[i], &said));
		assert_null(said);
	}
	/* The last round's rules stand, spread over both queues. */
	assert_int_equal(guest_rules(), STEER_THREADS);
	assert_int_equal(guest_rules_to(2) + guest_rules_to(3), STEER_THREADS);
	nic_rx_release(shared_rx);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, guest_setup, guest_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_probe),
		T(test_probe_of_a_lesser_device),
		T(test_bind_and_release),
		T(test_threshold_comes_back),
		T(test_odd_settings_come_back),
		T(test_admin_changes_stay),
		T(test_rules),
		T(test_rule_replaced_by_another),
		T(test_table_full),
		T(test_busy),
		T(test_steered_queue_is_not_taken),
		T(test_failure_in_the_middle),
		T(test_two_bindings_of_one_process),
		T(test_tx),
		T(test_setup_forbidden),
		T(test_without_a_state_directory),
		T(test_device_goes_away),
		T(test_down_and_up),
		T(test_threads),
	};
	int ret = guest_init();

	return ret ? ret : cmocka_run_group_tests(tests, NULL, NULL);
}
