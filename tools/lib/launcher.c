// SPDX-License-Identifier: BSD-3-Clause
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monotime.h"
#include "report.h"

#define NETNS_DIR     "/run/netns"
#define GRACE_NS      (3 * NSEC_PER_SEC) /* from the first failure to the end of the others */
#define STATUS_FAILED 1
#define STATUS_LIMIT  124 /* as timeout(1) */

struct launcher {
	const struct launch *launch;
	sigset_t old_mask;
	pid_t parent;
	pid_t pids[LAUNCHER_MAX_RANKS];
	/* Socket pairs: [r][0] is rank 0's end towards rank r, [r][1] the other. */
	int pairs[LAUNCHER_MAX_RANKS][2];
	int running;
	bool ending; /* the ranks have been sent a signal */
	int status;
};

/* The @i-th word of a comma list, counted round. -ENAMETOOLONG if it does not fit. */
static int list_word(const char *list, int i, char *ret, size_t size)
{
	const char *p = list;
	int words = 1;
	size_t len;

	for (; *p; p++)
		words += *p == ',';
	p = list;
	for (i %= words; i > 0; i--)
		p = strchr(p, ',') + 1;
	len = strcspn(p, ",");
	if (!len || len >= size)
		return len ? -ENAMETOOLONG : -EINVAL;
	memcpy(ret, p, len);
	ret[len] = '\0';
	return 0;
}

/*
 * Enters the namespace, and gives this process a /sys that shows its devices: sysfs shows the
 * network namespace it was mounted in (ip-netns(8) does the same).
 */
static int netns_enter(const char *list, int rank)
{
	char name[NAME_MAX + 1], path[PATH_MAX];
	int fd, err;

	err = list_word(list, rank, name, sizeof(name));
	if (err) {
		report_err("--netns %s: not a comma list of names", list);
		return err;
	}
	snprintf(path, sizeof(path), NETNS_DIR "/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		report_err("network namespace %s: %s; 'ip netns add %s' makes it", path,
			   strerror(-err), name);
		return err;
	}
	if (setns(fd, CLONE_NEWNET) < 0) {
		err = -errno;
		report_err("entering network namespace %s: %s; root can", name, strerror(-err));
		goto close_fd;
	}
	if (unshare(CLONE_NEWNS) < 0 || mount("", "/", "none", MS_SLAVE | MS_REC, NULL) < 0 ||
	    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
		err = -errno;
		report_err("mounting /sys of network namespace %s: %s", name, strerror(-err));
		goto close_fd;
	}
	err = 0;
close_fd:
	close(fd);
	return err;
}

/* "fd:3,5,7", the descriptors left open across exec. */
static int rendezvous_spec(const struct launcher *l, int rank, char *ret, size_t size)
{
	size_t used = (size_t)snprintf(ret, size, "fd:");
	int first = rank ? rank : 1;
	int last = rank ? rank : l->launch->nranks - 1;
	int fd;

	for (int r = first; r <= last; r++) {
		fd = l->pairs[r][rank ? 1 : 0];
		if (fcntl(fd, F_SETFD, 0) < 0)
			return -errno;
		used += (size_t)snprintf(ret + used, size - used, "%s%d", r > first ? "," : "", fd);
		if (used >= size)
			return -ENAMETOOLONG;
	}
	return 0;
}

/* Closes the ends that are not @rank's, as exec would: a copy of an end hides that its owner died. */
static void pairs_keep(const struct launcher *l, int rank)
{
	int mine = rank ? 1 : 0;

	for (int r = 1; r < l->launch->nranks; r++)
		for (int i = 0; i < 2; i++)
			if (i != mine || (rank && r != rank))
				close(l->pairs[r][i]);
}

/* In the child: everything up to the rank's program. Returns only on failure. */
static void rank_exec(const struct launcher *l, int rank)
{
	const struct launch *launch = l->launch;
	char spec[16 + LAUNCHER_MAX_RANKS * 12], number[16];
	size_t argc = 0, n = 0;
	char **argv;

	sigprocmask(SIG_SETMASK, &l->old_mask, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != l->parent)
		return;
	for (size_t i = 0; i < launch->nsettings; i++)
		if (launch->settings[i].rank == rank)
			putenv((char *)launch->settings[i].assignment);
	if (launch->netns && netns_enter(launch->netns, rank))
		return;
	if (rendezvous_spec(l, rank, spec, sizeof(spec)))
		return;
	/* exit() rather than _exit(): what the rank printed is written, and leaks are looked for. */
	if (launch->rank_main) {
		pairs_keep(l, rank);
		exit(launch->rank_main(rank, spec, launch->arg));
	}
	snprintf(number, sizeof(number), "%d", rank);
	while (launch->argv[argc])
		argc++;
	argv = calloc(argc + 5, sizeof(*argv));
	if (!argv)
		return;
	/* Options before operands, so that a "--" among the arguments does no harm. */
	argv[n++] = launch->argv[0];
	argv[n++] = "--rank";
	argv[n++] = number;
	argv[n++] = "--rendezvous";
	argv[n++] = spec;
	memcpy(argv + n, launch->argv + 1, argc * sizeof(*argv));
	execv("/proc/self/exe", argv);
	report_err("starting rank %d: %s", rank, strerror(errno));
	free(argv);
}

static int pairs_make(struct launcher *l)
{
	for (int r = 1; r < l->launch->nranks; r++)
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, l->pairs[r]) < 0)
			return -errno;
	return 0;
}

static void pairs_close(struct launcher *l)
{
	for (int r = 1; r < l->launch->nranks; r++) {
		for (int i = 0; i < 2; i++) {
			if (l->pairs[r][i] >= 0)
				close(l->pairs[r][i]);
			l->pairs[r][i] = -1;
		}
	}
}

static int ranks_start(struct launcher *l)
{
	pid_t pid;

	fflush(NULL);
	for (int r = 0; r < l->launch->nranks; r++) {
		pid = fork();
		if (pid < 0)
			return -errno;
		if (pid == 0) {
			rank_exec(l, r);
			_exit(STATUS_FAILED);
		}
		l->pids[r] = pid;
		l->running++;
	}
	return 0;
}

static void ranks_signal(struct launcher *l, int sig)
{
	l->ending = true;
	for (int r = 0; r < l->launch->nranks; r++)
		if (l->pids[r])
			kill(l->pids[r], sig);
}

/* Collects ended ranks without waiting. True when a rank has failed. */
static bool ranks_reap(struct launcher *l)
{
	bool failed = false;
	int status;

	for (int r = 0; r < l->launch->nranks; r++) {
		if (!l->pids[r] || waitpid(l->pids[r], &status, WNOHANG) != l->pids[r])
			continue;
		l->pids[r] = 0;
		l->running--;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			continue;
		failed = true;
		if (WIFSIGNALED(status) && !l->ending)
			report_err("rank %d was ended by signal %d (%s)", r, WTERMSIG(status),
				   strsignal(WTERMSIG(status)));
		if (!l->status)
			l->status = WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_FAILED;
	}
	return failed;
}

/* What ends the run early: @until moves nearer, and at @until the ranks are killed. */
static void ranks_wait(struct launcher *l, const sigset_t *waited)
{
	int64_t limit =
		l->launch->limit_s ? monotime_ns() + l->launch->limit_s * NSEC_PER_SEC : INT64_MAX;
	int64_t until = limit;
	bool killed = false;
	int64_t now, step;
	struct timespec ts;
	int sig;

	while (l->running) {
		if (ranks_reap(l) && monotime_ns() + GRACE_NS < until)
			until = monotime_ns() + GRACE_NS;
		if (!l->running)
			break;
		now = monotime_ns();
		if (now >= until && !killed) {
			killed = true;
			if (now >= limit) {
				report_err("the run took longer than %d s: ending it",
					   l->launch->limit_s);
				l->status = STATUS_LIMIT;
			}
			ranks_signal(l, SIGKILL);
		}
		step = killed || until - now > NSEC_PER_SEC ? NSEC_PER_SEC : until - now;
		ts.tv_sec = step / NSEC_PER_SEC;
		ts.tv_nsec = step % NSEC_PER_SEC;
		sig = sigtimedwait(waited, NULL, &ts);
		if (sig == SIGINT || sig == SIGTERM) {
			l->status = 128 + sig;
			ranks_signal(l, sig);
			until = monotime_ns() + GRACE_NS;
		}
	}
}

int launcher_run(const struct launch *launch)
{
	struct launcher l = { .launch = launch, .parent = getpid() };
	sigset_t waited;
	int err;

	if (launch->nranks < 1 || launch->nranks > LAUNCHER_MAX_RANKS) {
		report_err("%d ranks: 1 to %d are possible on one host", launch->nranks,
			   LAUNCHER_MAX_RANKS);
		return STATUS_FAILED;
	}
	memset(l.pairs, 0xff, sizeof(l.pairs));
	sigemptyset(&waited);
	sigaddset(&waited, SIGCHLD);
	sigaddset(&waited, SIGINT);
	sigaddset(&waited, SIGTERM);
	sigprocmask(SIG_BLOCK, &waited, &l.old_mask);

	err = pairs_make(&l);
	if (!err)
		err = ranks_start(&l);
	/* The ranks must see the end of a peer, so no copy of its socket may stay here. */
	pairs_close(&l);
	if (err) {
		report_err("starting the ranks: %s", strerror(-err));
		ranks_signal(&l, SIGKILL);
		l.status = STATUS_FAILED;
	}
	ranks_wait(&l, &waited);
	sigprocmask(SIG_SETMASK, &l.old_mask, NULL);
	return l.status;
}
