// SPDX-License-Identifier: BSD-3-Clause
/*
 * Several processes on one soft devmem NIC: sharing it, dying in the middle, forking, lacking
 * privilege.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ethtool_netlink.h>

#include "nic/nic_lock.h"
#include "nic/nic_state.h"
#include "nic_guest.h"

static int split_is(void)
{
	struct nic_rings r = { 0 };

	return nic_rings_get((int)if_nametoindex("sdm0"), &r) ? -1 : r.split;
}

#define SPLIT_ON ETHTOOL_TCP_DATA_SPLIT_ENABLED

/* Binds, steers two flows, waits, releases. Gives the number of the queue. */
static void binder(struct guest_child *c)
{
	struct nic_rx *rx = guest_bind(1);
	struct verdict why;
	uint32_t id;

	if (guest_steer(rx, AF_INET, (uint16_t)(20000 + getpid() % 1000), &id, &why) ||
	    guest_steer(rx, AF_INET6, (uint16_t)(20000 + getpid() % 1000), &id, &why))
		_exit(1);
	guest_child_pause(c, nic_rx_queues(rx)[0] - '0');
	nic_rx_release(rx);
}

static void test_next_process_takes_next_queue(void **state)
{
	struct guest_child a, b;
	struct nic_rx *rx;

	(void)state;
	guest_child_start(&a, binder);
	guest_child_start(&b, binder);
	assert_int_equal(guest_child_step(&a), 3);
	assert_int_equal(guest_child_step(&b), 2);
	rx = guest_bind(1);
	assert_string_equal(nic_rx_queues(rx), "1");
	/* RSS keeps away from all of them. */
	assert_string_equal(guest_rss(), "0");
	assert_int_equal(guest_rules_to(3), 2);
	assert_int_equal(guest_rules_to(2), 2);

	/* Whoever leaves first, the others' settings stay; the last one out restores. */
	assert_int_equal(guest_child_end(&a), 0);
	assert_string_equal(guest_rss(), "0,3");
	assert_int_equal(guest_rules(), 2);
	assert_int_equal(split_is(), SPLIT_ON);
	nic_rx_release(rx);
	assert_string_equal(guest_rss(), "0-1,3");
	assert_int_equal(split_is(), SPLIT_ON);
	assert_int_equal(guest_child_end(&b), 0);
	assert_string_equal(guest_rss(), "0-3");
	assert_int_not_equal(split_is(), SPLIT_ON);
}

static void test_killed_then_restored(void **state)
{
	struct guest_child c;

	(void)state;
	guest_child_start(&c, binder);
	assert_int_equal(guest_child_step(&c), 3);
	guest_child_kill(&c);
	/* The kernel ended the binding; what was set is still there. */
	assert_int_equal(guest_bound(3), 0);
	assert_int_equal(split_is(), SPLIT_ON);
	assert_string_equal(guest_rss(), "0-2");
	assert_int_equal(guest_rules_to(3), 2);
	assert_int_equal(guest_records(), 1);
	nic_restore_stale();
	assert_int_equal(guest_rules(), 0);
	assert_guest_log("removed 2 of its flow rules");
	assert_guest_log("tcp-data-split on -> off");
	/* Once more does nothing. */
	nic_restore_stale();
}

/*
 * A fresh run right after a crash works, and its end brings back what was before the crashed one.
 */
static void test_killed_then_used(void **state)
{
	struct guest_child c;
	struct nic_rx *rx;

	(void)state;
	guest_child_start(&c, binder);
	assert_int_equal(guest_child_step(&c), 3);
	guest_child_kill(&c);
	rx = guest_bind(1);
	assert_string_equal(nic_rx_queues(rx), "3");
	assert_int_equal(guest_rules(), 0);
	nic_rx_release(rx);
}

static void test_killed_beside_a_living_one(void **state)
{
	struct guest_child c;
	struct verdict why = { 0 };
	struct nic_rx *rx;
	uint32_t id;

	(void)state;
	rx = guest_bind(1);
	assert_ok(guest_steer(rx, AF_INET, 1000, &id, &why));
	guest_child_start(&c, binder);
	assert_int_equal(guest_child_step(&c), 2);
	guest_child_kill(&c);
	assert_int_equal(guest_rules(), 3);
	nic_restore_stale();
	/* Its rules go, its queue serves RSS again, ours stays as it is. */
	assert_int_equal(guest_rules(), 1);
	assert_int_equal(guest_rules_to(3), 1);
	assert_string_equal(guest_rss(), "0-2");
	assert_int_equal(split_is(), SPLIT_ON);
	assert_int_not_equal(guest_bound(3), 0);
	nic_rx_release(rx);
}

static void binder_without_flows(struct guest_child *c)
{
	struct nic_rx *rx = guest_bind(1);

	guest_child_pause(c, nic_rx_queues(rx)[0] - '0');
	nic_rx_release(rx);
}

/*
 * Killed in its release, after the record says that RSS is to use its queue again and before it does, beside one that lives: the release
 * is finished. As the record is then, which is written here.
 */
static void test_killed_in_release(void **state)
{
	struct nic_rx *rx = guest_bind(1);
	struct nic nic = guest_nic();
	struct verdict why = { 0 };
	bool bound[GUEST_QUEUES] = { [3] = true };
	struct guest_child c;
	struct nic_state st;

	(void)state;
	guest_child_start(&c, binder_without_flows);
	assert_int_equal(guest_child_step(&c), 2);
	guest_child_kill(&c);
	nic_lock();
	assert_ok(nic_state_open(&st, nic.ifindex, nic.name, false, &why));
	assert_int_equal(st.n_owners, 2);
	nic_state_owner_drop(&st, &st.owners[st.owners[1].pid == c.pid]);
	assert_int_equal(st.owners[0].pid, getpid());
	assert_ok(nic_rss_avoid(&st.former.rss, bound, GUEST_QUEUES, &st.former.rss_next));
	assert_ok(nic_state_save(&st));
	nic_state_close(&st);
	nic_unlock();
	assert_string_equal(guest_rss(), "0-1");
	nic_restore_stale();
	assert_string_equal(guest_rss(), "0-2");
	assert_int_not_equal(guest_bound(3), 0);

	/* Killed just after it: nothing is left to do but to say so. */
	nic_lock();
	assert_ok(nic_state_open(&st, nic.ifindex, nic.name, false, &why));
	assert_int_equal(st.former.rss_next.n, 0);
	assert_ok(nic_rss_copy(&st.former.rss_next, &st.former.rss_set));
	assert_ok(nic_state_save(&st));
	nic_state_close(&st);
	nic_unlock();
	nic_restore_stale();
	nic_lock();
	assert_ok(nic_state_open(&st, nic.ifindex, nic.name, false, &why));
	assert_int_equal(st.former.rss_next.n, 0);
	assert_int_not_equal(st.former.rss_set.n, 0);
	nic_state_close(&st);
	nic_unlock();
	assert_string_equal(guest_rss(), "0-2");
	nic_rx_release(rx);
}

/* Killed at every point between "nothing done" and "all done": by a time that grows. */
static void killed_any_time(struct guest_child *c)
{
	(void)c;
	for (int i = 0; i < 1000; i++) {
		struct nic_rx *rx = guest_bind(1);
		struct verdict why;
		uint32_t id;

		guest_steer(rx, AF_INET, 1000, &id, &why);
		guest_steer(rx, AF_INET6, 1000, &id, &why);
		nic_rx_unsteer(rx, id);
		nic_rx_release(rx);
	}
}

static void test_killed_at_any_time(void **state)
{
	char before[GUEST_SETTINGS_MAX], after[GUEST_SETTINGS_MAX];

	(void)state;
	guest_settings(before, sizeof(before));
	for (int i = 0; i < 60; i++) {
		struct guest_child c;

		guest_child_start(&c, killed_any_time);
		assert_int_equal(write(c.to, "g", 1), 1);
		usleep((useconds_t)(500 + i * 701));
		guest_child_kill(&c);
		nic_restore_stale();
		guest_settings(after, sizeof(after));
		if (strcmp(before, after) != 0)
			fail_msg("round %d: \"%s\", before: \"%s\"\n%s", i, after, before,
				 guest_log());
		assert_int_equal(guest_records(), 0);
	}
}

/* The same beside a process that goes on: what it needs stays, all else goes. */
static void test_killed_at_any_time_beside_another(void **state)
{
	char before[GUEST_SETTINGS_MAX], after[GUEST_SETTINGS_MAX];
	struct verdict why = { 0 };
	struct nic_rx *rx = guest_bind(1);
	uint32_t id;

	(void)state;
	assert_ok(guest_steer(rx, AF_INET, 999, &id, &why));
	guest_settings(before, sizeof(before));
	for (int i = 0; i < 60; i++) {
		struct guest_child c;

		guest_child_start(&c, killed_any_time);
		assert_int_equal(write(c.to, "g", 1), 1);
		usleep((useconds_t)(500 + i * 701));
		guest_child_kill(&c);
		nic_restore_stale();
		guest_settings(after, sizeof(after));
		if (strcmp(before, after) != 0)
			fail_msg("round %d: \"%s\", before: \"%s\"\n%s", i, after, before,
				 guest_log());
	}
	assert_int_not_equal(guest_bound(3), 0);
	assert_int_equal(guest_rules_to(3), 1);
	nic_rx_release(rx);
}

/* A stopped process is not a dead one. */
static void test_stopped_is_alive(void **state)
{
	struct guest_child c;

	(void)state;
	guest_child_start(&c, binder);
	assert_int_equal(guest_child_step(&c), 3);
	assert_ok(kill(c.pid, SIGSTOP));
	nic_restore_stale();
	assert_int_equal(guest_rules(), 2);
	assert_int_equal(split_is(), SPLIT_ON);
	assert_ok(kill(c.pid, SIGCONT));
	assert_int_equal(guest_child_end(&c), 0);
}

/*
 * In a container of its own its number means nothing here: it lives as long as its binding. Its
 * /proc is that of the outside, as in a careless container.
 */
static void binder_in_container(struct guest_child *c)
{
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		_exit(1);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getpid() != 1)
			_exit(2);
		binder(c);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void test_other_pid_namespace(void **state)
{
	struct guest_child c;

	(void)state;
	guest_child_start(&c, binder_in_container);
	assert_int_equal(guest_child_step(&c), 3);
	nic_restore_stale();
	assert_int_equal(guest_rules(), 2);
	assert_int_equal(split_is(), SPLIT_ON);
	assert_int_equal(guest_child_end(&c), 0);
	assert_int_equal(guest_records(), 0);

	guest_child_start(&c, binder_in_container);
	assert_int_equal(guest_child_step(&c), 3);
	guest_child_kill(&c);
	for (int i = 0; i < 6000 && guest_bound(3); i++)
		usleep(10000);
	nic_restore_stale();
	assert_guest_log("removed 2 of its flow rules");
}

/* A child that forgets, one that does not, and one that outlives its parent. */
static void test_fork(void **state)
{
	struct nic nic = guest_nic();
	struct nic_rx *rx = guest_bind(1);
	struct verdict why = { 0 };
	struct nic_tx *tx = NULL;
	int fd = guest_dmabuf(1 << 20), status;
	uint32_t id, other;
	pid_t pid;

	(void)state;
	assert_ok(guest_steer(rx, AF_INET, 1000, &id, &why));
	assert_ok(nic_tx_bind(&nic, fd, &tx, &why));
	for (int forget = 0; forget < 2; forget++) {
		pid = fork();
		assert_true(pid >= 0);
		if (!pid) {
			if (forget)
				nic_forget();
			if (guest_steer(rx, AF_INET, 1001, &other, &why) != -ESTALE)
				_exit(1);
			nic_rx_unsteer(rx, id);
			nic_rx_release(rx);
			nic_tx_release(tx);
			/* The child may have bindings of its own. */
			rx = guest_bind(1);
			if (strcmp(nic_rx_queues(rx), "2") != 0)
				_exit(2);
			nic_rx_release(rx);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		assert_int_not_equal(guest_bound(3), 0);
		assert_int_equal(guest_bound(2), 0);
		assert_int_equal(guest_rules_to(3), 1);
		assert_int_equal(split_is(), SPLIT_ON);
		assert_string_equal(guest_rss(), "0-2");
	}
	nic_tx_release(tx);
	nic_rx_release(rx);
	close(fd);
}

/* The parent is killed while a child of its lives on, which knows nothing of the binding. */
static void parent_with_child(struct guest_child *c)
{
	struct nic_rx *rx = guest_bind(1);
	int forgot[2];
	char said;
	pid_t pid;

	(void)rx;
	assert_ok(pipe(forgot));
	pid = fork();
	if (!pid) {
		nic_forget();
		if (write(forgot[1], "f", 1) != 1)
			_exit(1);
		sleep(600); /* killed long before */
		_exit(0);
	}
	assert_int_equal(read(forgot[0], &said, 1), 1);
	guest_child_pause(c, (int)pid);
}

static void test_child_outlives_killed_parent(void **state)
{
	struct guest_child c;
	pid_t grandchild;

	(void)state;
	guest_child_start(&c, parent_with_child);
	grandchild = guest_child_step(&c);
	guest_child_kill(&c);
	assert_int_equal(guest_bound(3), 0);
	nic_restore_stale();
	assert_int_not_equal(split_is(), SPLIT_ON);
	assert_ok(kill(grandchild, SIGKILL));
}

/* Who still has the descriptor has the binding: settings wait for him. */
static void parent_with_ignorant_child(struct guest_child *c)
{
	struct nic_rx *rx = guest_bind(1);
	pid_t pid = fork();

	(void)rx;
	if (!pid) {
		sleep(600); /* killed long before */
		_exit(0);
	}
	guest_child_pause(c, (int)pid);
}

static void test_binding_outlives_its_process(void **state)
{
	struct guest_child c;
	pid_t grandchild;

	(void)state;
	guest_child_start(&c, parent_with_ignorant_child);
	grandchild = guest_child_step(&c);
	guest_child_kill(&c);
	assert_int_not_equal(guest_bound(3), 0);
	nic_restore_stale();
	assert_guest_log("1 queues are still bound by other programs");
	assert_int_equal(split_is(), SPLIT_ON);
	assert_string_equal(guest_rss(), "0-2");
	assert_int_equal(guest_records(), 1);
	assert_ok(kill(grandchild, SIGKILL));
	for (int i = 0; i < 6000 && guest_bound(3); i++)
		usleep(10000);
	nic_restore_stale();
	assert_int_equal(guest_records(), 0);
}

static void unprivileged(struct guest_child *c)
{
	struct nic nic = guest_nic();
	int fd = guest_dmabuf(1 << 20);
	struct nic_caps caps;
	struct nic_rx *rx = NULL;
	struct nic_tx *tx = NULL;
	struct verdict why;
	uint32_t id;

	(void)c;
	guest_caps_drop();
	nic_probe(&nic, &caps);
	if (caps.rx_devmem.err != -EPERM || !strstr(caps.rx_devmem.reason, "CAP_NET_ADMIN") ||
	    !strstr(caps.rx_devmem.remedy, "setcap cap_net_admin") ||
	    caps.rx_queues != GUEST_QUEUES)
		_exit(1);
	if (nic_rx_bind(&nic, fd, 1, &rx, &why) != -EPERM || rx ||
	    !strstr(why.reason, "CAP_NET_ADMIN") || !why.remedy[0])
		_exit(2);
	if (split_is() == SPLIT_ON || guest_records())
		_exit(3);
	/* Sending needs no privilege. */
	if (caps.tx_devmem.err || nic_tx_bind(&nic, fd, &tx, &why))
		_exit(4);
	nic_tx_release(tx);
	nic_restore_stale();
	(void)id;
}

static void test_without_cap_net_admin(void **state)
{
	struct guest_child c;

	(void)state;
	guest_child_start(&c, unprivileged);
	assert_int_equal(guest_child_end(&c), 0);
}

/* Privilege given up after the binding was made: rules and settings wait for somebody who may. */
static void loses_privilege(struct guest_child *c)
{
	struct nic_rx *rx = guest_bind(1);
	struct verdict why;
	uint32_t id, other;

	(void)c;
	if (guest_steer(rx, AF_INET, 1000, &id, &why))
		_exit(1);
	guest_caps_drop();
	if (guest_steer(rx, AF_INET, 1001, &other, &why) != -EPERM ||
	    !strstr(why.reason, "CAP_NET_ADMIN"))
		_exit(2);
	nic_rx_unsteer(rx, id);
	nic_rx_release(rx);
}

static void test_privilege_lost_on_the_way(void **state)
{
	struct guest_child c;

	(void)state;
	guest_child_start(&c, loses_privilege);
	assert_int_equal(guest_child_end(&c), 0);
	assert_int_equal(guest_bound(3), 0);
	assert_int_equal(split_is(), SPLIT_ON);
	assert_int_equal(guest_rules(), 1);
	nic_restore_stale();
	assert_int_equal(guest_rules(), 0);
}

/* The record of a crash is damaged: a warning names it, and everything else still works. */
static void test_damaged_record(void **state)
{
	struct nic_rx *rx = guest_bind(1);

	(void)state;
	assert_ok(guest_run("f=$(ls -d %s/*-*) && truncate -s 40 $f", GUEST_STATE));
	nic_rx_release(rx);
	assert_guest_log("is damaged");
	assert_guest_log("ethtool -g, -x and -n sdm0");
	assert_int_equal(guest_bound(3), 0);
	rx = guest_bind(1);
	nic_rx_release(rx);
	assert_ok(guest_run("rm %s/*.bad && ethtool -X sdm0 default", GUEST_STATE));
	/* Header split was found on by the second binding, and left so. */
	assert_int_equal(split_is(), SPLIT_ON);
	{
		struct nic_rings off = { .has_split = true,
					 .split = ETHTOOL_TCP_DATA_SPLIT_DISABLED };
		char ext[160];

		assert_ok(nic_rings_set((int)if_nametoindex("sdm0"), &off, ext, sizeof(ext)));
	}
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, guest_setup, guest_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_next_process_takes_next_queue),
		T(test_killed_then_restored),
		T(test_killed_then_used),
		T(test_killed_beside_a_living_one),
		T(test_killed_in_release),
		T(test_killed_at_any_time),
		T(test_killed_at_any_time_beside_another),
		T(test_stopped_is_alive),
		T(test_other_pid_namespace),
		T(test_fork),
		T(test_child_outlives_killed_parent),
		T(test_binding_outlives_its_process),
		T(test_without_cap_net_admin),
		T(test_privilege_lost_on_the_way),
		T(test_damaged_record),
	};
	int ret = guest_init();

	return ret ? ret : cmocka_run_group_tests(tests, NULL, NULL);
}
