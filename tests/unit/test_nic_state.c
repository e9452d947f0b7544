// SPDX-License-Identifier: BSD-3-Clause
/*
 * The record of former settings: written, read back, damaged, contended, without a directory; and
 * who counts as dead.
 * unit-libs: devmem_nic
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/param.h"
#include "nic/nic_state.h"
#include "unit.h"

#define IFINDEX 1234567 /* no such interface: only the record is tested here */

static char dir[] = "/tmp/nic-state.XXXXXX";
static const unsigned int queues[] = { 2, 3 };

static void dir_use(const char *path)
{
	assert_ok(setenv("NCCL_DEVMEM_STATE_DIR", path, 1));
	param_load();
}

static int setup(void **state)
{
	(void)state;
	unit_log_clear();
	dir_use(dir);
	return 0;
}

/* The path of the one record in @dir, or "" if there is none. */
static const char *record_path(void)
{
	static char path[512];
	char cmd[128];
	FILE *p;

	snprintf(cmd, sizeof(cmd), "ls %s/*-%d 2>/dev/null", dir, IFINDEX);
	p = popen(cmd, "r");
	assert_non_null(p);
	if (!fgets(path, sizeof(path), p))
		path[0] = '\0';
	pclose(p);
	path[strcspn(path, "\n")] = '\0';
	return path;
}

static void open_state(struct nic_state *st)
{
	struct verdict why = { 0 };

	if (nic_state_open(st, IFINDEX, "eth0", true, &why))
		fail_msg("%s", why.reason);
}

static struct nic_flow make_flow(const char *src, uint16_t sport)
{
	struct nic_flow f = { .family = strchr(src, ':') ? AF_INET6 : AF_INET };

	assert_int_equal(inet_pton(f.family, src, f.src), 1);
	assert_int_equal(inet_pton(f.family, f.family == AF_INET ? "10.0.0.1" : "::1", f.dst), 1);
	f.sport = htons(sport);
	f.dport = htons(80);
	return f;
}

static void fill(struct nic_state *st)
{
	struct nic_flow four = make_flow("10.0.0.2", 1000), six = make_flow("2001:db8::2", 2000);
	struct nic_owner *o;

	st->former.split = 1;
	st->former.thresh = 256;
	st->former.ntuple = 0;
	st->former.rss.n = 4;
	st->former.rss.entry = calloc(4, sizeof(uint32_t));
	st->former.rss.entry[3] = 3;
	assert_ok(nic_rss_copy(&st->former.rss_set, &st->former.rss));
	st->former.rss_set.entry[3] = 0;
	assert_ok(nic_rss_copy(&st->former.rss_next, &st->former.rss));
	st->former.rss_next.entry[3] = 2;
	o = nic_state_owner_add(st, 7, queues, 2);
	assert_int_equal(o->user, NIC_OWNER_SELF);
	o->user = 1234;
	assert_non_null(o);
	o->dmabuf = 42;
	assert_ok(nic_owner_rule_add(o, &four, 2));
	assert_ok(nic_owner_rule_add(o, &six, 3));
}

static void check_filled(struct nic_state *st)
{
	struct nic_flow four = make_flow("10.0.0.2", 1000), six = make_flow("2001:db8::2", 2000);
	struct nic_owner *o = nic_state_owner_find(st, 7);

	assert_int_equal(st->former.split, 1);
	assert_int_equal(st->former.thresh, 256);
	assert_int_equal(st->former.ntuple, 0);
	assert_int_equal(st->former.rss.n, 4);
	assert_int_equal(st->former.rss.entry[3], 3);
	assert_int_equal(st->former.rss_set.entry[3], 0);
	assert_int_equal(st->former.rss_next.entry[3], 2);
	assert_non_null(o);
	assert_int_equal(o->pid, getpid());
	assert_int_equal(o->dmabuf, 42);
	assert_int_equal(o->user, 1234);
	assert_int_equal(nic_state_user_queues(st, 1234), 2);
	assert_int_equal(nic_state_user_queues(st, 5), 0);
	assert_int_equal(o->n_queues, 2);
	assert_memory_equal(o->queues, queues, sizeof(queues));
	assert_int_equal(o->n_rules, 2);
	assert_true(nic_flow_equal(&o->rules[0].flow, &four));
	assert_true(nic_flow_equal(&o->rules[1].flow, &six));
	assert_int_equal(o->rules[1].queue, 3);
}

static void test_round_trip(void **state)
{
	struct nic_state st;
	struct nic_owner *o;
	struct stat sb;

	(void)state;
	open_state(&st);
	assert_int_equal(st.n_owners, 0);
	fill(&st);
	assert_ok(nic_state_save(&st));
	nic_state_close(&st);
	assert_ok(stat(record_path(), &sb));
	assert_int_equal(sb.st_mode & 07777, 0600);

	open_state(&st);
	check_filled(&st);
	o = nic_state_owner_find(&st, 7);
	assert_null(nic_state_owner_find(&st, 8));
	nic_state_owner_drop(&st, o);
	assert_ok(nic_state_save(&st));
	/* Former settings wait to be put back, also without an owner. */
	assert_string_not_equal(record_path(), "");
	nic_state_clear(&st);
	assert_ok(nic_state_save(&st));
	nic_state_close(&st);
	assert_string_equal(record_path(), "");
	assert_int_equal(unit_log_lines, 0);
}

/* Cut off anywhere, or with any byte changed to another: never taken for whole, never a crash. */
static void test_every_damage(void **state)
{
	struct nic_state st, back;
	char *text, *cut;
	size_t len;

	(void)state;
	nic_state_init(&st, IFINDEX, "eth0");
	fill(&st);
	text = nic_state_format(&st, "boot");
	assert_non_null(text);
	len = strlen(text);
	nic_state_init(&back, IFINDEX, "eth0");
	assert_ok(nic_state_parse(&back, text, "boot"));
	check_filled(&back);
	nic_state_clear(&back);

	/* Without the last newline it is still whole; "end" itself is what counts. */
	for (size_t i = 0; i < len - 1; i++) {
		cut = strndup(text, i);
		assert_int_equal(nic_state_parse(&back, cut, "boot"), -EBADMSG);
		assert_int_equal(back.n_owners, 0);
		assert_null(back.former.rss.entry);
		free(cut);
	}
	for (size_t i = 0; i < len; i++) {
		cut = strdup(text);
		cut[i] = cut[i] == 'x' ? 'y' : 'x';
		nic_state_parse(&back, cut, "boot");
		nic_state_clear(&back);
		free(cut);
	}
	/* A record of another boot is no damage, and says nothing. */
	assert_ok(nic_state_parse(&back, text, "other"));
	assert_int_equal(back.n_owners, 0);
	assert_int_equal(back.former.split, -1);
	free(text);
	nic_state_clear(&st);
}

static void test_corrupted_file_is_set_aside(void **state)
{
	char path[512], bad[520];
	struct nic_state st;
	int fd;

	(void)state;
	open_state(&st);
	fill(&st);
	assert_ok(nic_state_save(&st));
	nic_state_close(&st);
	snprintf(path, sizeof(path), "%s", record_path());
	snprintf(bad, sizeof(bad), "%s.bad", path);
	assert_ok(truncate(path, 60));

	open_state(&st);
	assert_int_equal(st.n_owners, 0);
	assert_int_equal(st.former.split, -1);
	nic_state_close(&st);
	assert_logged("damaged");
	assert_logged("eth0");
	assert_ok(access(bad, F_OK));
	assert_int_not_equal(access(path, F_OK), 0);
	assert_ok(unlink(bad));

	/* The torn temporary file of a process killed while it wrote is simply written over. */
	snprintf(bad, sizeof(bad), "%s.tmp", path);
	fd = open(bad, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "nccl-dev", 8), 8);
	close(fd);
	unit_log_clear();
	open_state(&st);
	assert_int_not_equal(access(bad, F_OK), 0);
	fill(&st);
	assert_ok(nic_state_save(&st));
	nic_state_close(&st);
	open_state(&st);
	check_filled(&st);
	nic_state_clear(&st);
	assert_ok(nic_state_save(&st));
	nic_state_close(&st);
	assert_int_equal(unit_log_lines, 0);
	assert_int_not_equal(access(bad, F_OK), 0);
}

/* A child that tells how a record would name it, then waits to be killed. */
static pid_t child_that_waits(struct nic_owner *ret)
{
	struct nic_state st;
	int pipes[2];
	pid_t pid;

	assert_ok(pipe(pipes));
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		nic_state_init(&st, IFINDEX, "eth0");
		*ret = *nic_state_owner_add(&st, 1, queues, 2);
		if (write(pipes[1], ret, sizeof(*ret)) != sizeof(*ret))
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(pipes[0], ret, sizeof(*ret)), sizeof(*ret));
	close(pipes[0]);
	close(pipes[1]);
	return pid;
}

static void test_who_is_dead(void **state)
{
	struct nic_owner *o, other;
	struct nic_state st;
	siginfo_t info;
	pid_t pid;

	(void)state;
	nic_state_init(&st, IFINDEX, "eth0");
	o = nic_state_owner_add(&st, 1, queues, 2);
	assert_non_null(o);
	assert_int_equal(nic_owner_life(o), PROCESS_ALIVE);

	/* The number lives, but it is another process by now. */
	other = *o;
	other.start--;
	assert_int_equal(nic_owner_life(&other), PROCESS_DEAD);

	/* In another container: this namespace's numbers say nothing. */
	other = *o;
	other.pidns++;
	assert_int_equal(nic_owner_life(&other), PROCESS_UNKNOWN);

	pid = child_that_waits(&other);
	assert_int_equal(other.pid, pid);
	assert_int_equal(nic_owner_life(&other), PROCESS_ALIVE);
	assert_ok(kill(pid, SIGSTOP));
	assert_int_equal(nic_owner_life(&other), PROCESS_ALIVE);
	assert_ok(kill(pid, SIGKILL));
	/* A zombie has let go of everything. */
	assert_ok(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
	assert_int_equal(nic_owner_life(&other), PROCESS_DEAD);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(nic_owner_life(&other), PROCESS_DEAD);
	nic_state_clear(&st);
}

/* Two processes: each sees the other's entry, neither takes it for its own. */
static void test_two_owners(void **state)
{
	const unsigned int first[] = { 1 };
	struct nic_state st;
	struct nic_owner *o;
	int status, pipes[2];
	char c;
	pid_t pid;

	(void)state;
	assert_ok(pipe(pipes));
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct verdict why;

		if (nic_state_open(&st, IFINDEX, "eth0", true, &why) ||
		    !nic_state_owner_add(&st, 5, first, 1) || nic_state_save(&st))
			_exit(1);
		nic_state_close(&st);
		if (write(pipes[1], "x", 1) != 1)
			_exit(2);
		pause();
		_exit(0);
	}
	assert_int_equal(read(pipes[0], &c, 1), 1);
	open_state(&st);
	assert_int_equal(st.n_owners, 1);
	assert_int_equal(st.owners[0].pid, pid);
	assert_int_equal(nic_owner_life(&st.owners[0]), PROCESS_ALIVE);
	/* The tag alone does not make it ours. */
	assert_null(nic_state_owner_find(&st, 5));
	assert_non_null(nic_state_owner_add(&st, 5, queues, 2));
	assert_ok(nic_state_save(&st));
	nic_state_close(&st);

	assert_ok(kill(pid, SIGKILL));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	open_state(&st);
	assert_int_equal(st.n_owners, 2);
	assert_int_equal(nic_owner_life(&st.owners[0]), PROCESS_DEAD);
	o = nic_state_owner_find(&st, 5);
	assert_ptr_equal(o, &st.owners[1]);
	assert_int_equal(o->n_queues, 2);
	nic_state_owner_drop(&st, &st.owners[0]);
	o = nic_state_owner_find(&st, 5);
	assert_ptr_equal(o, &st.owners[0]);
	nic_state_clear(&st);
	assert_ok(nic_state_save(&st));
	nic_state_close(&st);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_listing(void **state)
{
	struct nic_state st;
	unsigned int n = 9;
	int *list = NULL;

	(void)state;
	assert_ok(nic_state_ifindexes(&list, &n));
	assert_int_equal(n, 0);
	free(list);
	open_state(&st);
	fill(&st);
	assert_ok(nic_state_save(&st));
	nic_state_close(&st);
	assert_ok(nic_state_ifindexes(&list, &n));
	assert_int_equal(n, 1);
	assert_int_equal(list[0], IFINDEX);
	free(list);
	open_state(&st);
	nic_state_clear(&st);
	assert_ok(nic_state_save(&st));
	nic_state_close(&st);
}

/* A stopped process that holds the lock costs ten seconds and a clear word, not the job. */
static void test_lock_held_by_another(void **state)
{
	struct verdict why = { 0 };
	struct nic_state st;
	char path[64];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/lock", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_ok(flock(fd, LOCK_EX));
	assert_int_equal(nic_state_open(&st, IFINDEX, "eth0", true, &why), -EBUSY);
	assert_non_null(strstr(why.reason, path));
	close(fd);
}

static void memory_only(void)
{
	struct nic_state st;

	open_state(&st);
	assert_int_equal(st.dir_fd, -1);
	fill(&st);
	assert_ok(nic_state_save(&st));
	nic_state_close(&st);
	open_state(&st);
	check_filled(&st);
	nic_state_clear(&st);
	assert_ok(nic_state_save(&st));
	nic_state_close(&st);
	open_state(&st);
	assert_int_equal(st.n_owners, 0);
	nic_state_close(&st);
}

static void test_no_directory(void **state)
{
	struct verdict why = { 0 };
	struct nic_state st;
	int *list = NULL;
	unsigned int n = 9;

	(void)state;
	dir_use("/proc/nccl-devmem");
	memory_only();
	assert_logged("NCCL_DEVMEM_STATE_DIR=/proc/nccl-devmem");
	assert_logged("not after a crash");
	/* Once, not at every connection. */
	assert_int_equal(unit_log_lines, 1);
	assert_int_equal(nic_state_open(&st, IFINDEX, "eth0", false, &why), 0);
	nic_state_close(&st);
	assert_int_equal(nic_state_open(&st, IFINDEX + 1, "eth0", false, &why), -ENOENT);
	assert_ok(nic_state_ifindexes(&list, &n));
	assert_int_equal(n, 0);
}

/* Whoever can write the record can make a privileged process change a NIC. */
static void test_directory_others_may_write(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/open", dir);
	assert_ok(mkdir(path, 0700));
	assert_ok(chmod(path, 0777));
	dir_use(path);
	memory_only();
	assert_logged("others may write");
	assert_ok(rmdir(path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_round_trip, setup),
		cmocka_unit_test_setup(test_every_damage, setup),
		cmocka_unit_test_setup(test_corrupted_file_is_set_aside, setup),
		cmocka_unit_test_setup(test_who_is_dead, setup),
		cmocka_unit_test_setup(test_two_owners, setup),
		cmocka_unit_test_setup(test_listing, setup),
		cmocka_unit_test_setup(test_lock_held_by_another, setup),
		cmocka_unit_test_setup(test_no_directory, setup),
		cmocka_unit_test_setup(test_directory_others_may_write, setup),
	};
	char lock[64];
	int ret;

	if (!mkdtemp(dir))
		return 1;
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(lock, sizeof(lock), "%s/lock", dir);
	unlink(lock);
	if (rmdir(dir))
		fprintf(stderr, "%s was not left empty\n", dir);
	return ret;
}
