// SPDX-License-Identifier: BSD-3-Clause
#include "broker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "nic/broker_wire.h"
#include "nic/nic.h"
#include "nic/nic_lock.h"
#include "nic/nic_netdev.h"
#include "nic/nic_state.h"

/* A host with 8 GPUs has 8 ranks, and a few more while one job follows another. */
#define WORKERS_MAX	     256
#define WORKERS_PER_USER_MAX 64
/* systemd's first descriptor (sd_listen_fds(3)). */
#define LISTEN_FDS_START 3
/* How often it is looked whether somebody died without cleaning up. */
#define TICK_MS 500

struct worker {
	pid_t pid;
	uid_t uid;
};

static struct broker {
	struct worker workers[WORKERS_MAX];
	unsigned int n_workers;
	int listen_fd;
	int signal_fd;
	sigset_t former_signals;
} broker;

/* The socket that systemd made, or -ENOENT. The variables are for this process alone, so they go. */
static int socket_inherited(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	int type = 0, domain = 0, fd = LISTEN_FDS_START;
	socklen_t len = sizeof(int);

	if (!pid || !fds || strtol(pid, NULL, 10) != (long)getpid())
		return -ENOENT;
	if (strcmp(fds, "1") != 0) {
		log_err("LISTEN_FDS=%s: one socket is wanted", fds);
		return -EINVAL;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
		log_err("descriptor %d is no Unix socket of type SOCK_SEQPACKET "
			"(ListenSequentialPacket=)",
			fd);
		return -EINVAL;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return fd;
}

/* A socket that nobody listens at any more is replaced; one that somebody does is not. */
static int socket_clear(const struct sockaddr_un *sa)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (!connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) || errno != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(sa->sun_path) < 0 ? -errno : 0;
}

static int socket_make(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	int err;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	memcpy(sa.sun_path, path, strlen(path));
	err = socket_clear(&sa);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	/* Anybody may ask; the configuration says who is served. */
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || chmod(path, 0666) < 0 ||
	    listen(fd, SOMAXCONN) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int socket_get(const struct broker_options *o)
{
	int fd;

	fd = o->listen_path ? socket_make(o->listen_path) : socket_inherited();
	if (fd == -ENOENT && !o->listen_path)
		log_err("systemd has handed over no socket; start it by devmem-broker.socket, or "
			"with --listen PATH");
	else if (fd < 0 && o->listen_path)
		log_err("%s: %s%s", o->listen_path, strerror(-fd),
			fd == -EADDRINUSE ? ": another broker listens there" : "");
	return fd;
}

static unsigned int workers_of(uid_t uid)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < broker.n_workers; i++)
		n += broker.workers[i].uid == uid;
	return n;
}

static void refuse(int sock, const char *reason)
{
	struct broker_answer a = { .magic = BROKER_MAGIC, .version = BROKER_VERSION };

	a.err = -EBUSY;
	snprintf(a.reason, sizeof(a.reason), "%s", reason);
	broker_send(sock, &a, sizeof(a), -1);
}

static void client_serve(const struct broker_options *o, int sock, uid_t uid)
{
	struct worker *w = &broker.workers[broker.n_workers];
	pid_t pid = fork();

	if (pid < 0) {
		log_warn("a client of user %u cannot be served: fork: %s", uid, strerror(errno));
		refuse(sock, "the broker cannot fork");
		return;
	}
	if (!pid) {
		close(broker.listen_fd);
		close(broker.signal_fd);
		sigprocmask(SIG_SETMASK, &broker.former_signals, NULL);
		prctl(PR_SET_NAME, "devmem-nicd job");
		worker_run(sock, o->conf_path);
		_exit(EXIT_SUCCESS);
	}
	w->pid = pid;
	w->uid = uid;
	broker.n_workers++;
}

static void client_accept(const struct broker_options *o)
{
	_cleanup_close_ int sock = accept4(broker.listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (sock < 0 || getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return;
	if (broker.n_workers == WORKERS_MAX || workers_of(peer.uid) >= WORKERS_PER_USER_MAX) {
		log_warn("a client of user %u is refused: too many are served already", peer.uid);
		refuse(sock, "the broker serves too many processes already");
		return;
	}
	client_serve(o, sock, peer.uid);
}

static void workers_reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (unsigned int i = 0; i < broker.n_workers; i++) {
			if (broker.workers[i].pid != pid)
				continue;
			broker.workers[i] = broker.workers[--broker.n_workers];
			break;
		}
		if (WIFSIGNALED(status))
			log_warn("process %d, which served a client, was killed by signal %d",
				 (int)pid, WTERMSIG(status));
	}
}

/* Can something be put back on @ifindex now? *ret_waits: there is something, now or later. */
static bool record_is_ripe(int ifindex, bool *ret_waits)
{
	_cleanup_free_ struct nic_queue *q = NULL;
	unsigned int dead = 0, owners, bound = 0, n = 0;
	bool interrupted;
	struct nic_state st;
	struct verdict why;

	if (nic_state_open(&st, ifindex, "?", false, &why))
		return false;
	owners = st.n_owners;
	for (unsigned int i = 0; i < owners; i++)
		dead += nic_owner_life(&st.owners[i]) == PROCESS_DEAD;
	interrupted = nic_state_interrupted(&st);
	nic_state_close(&st);
	*ret_waits = true;
	if (dead || owners)
		return dead || interrupted;
	/* Its settings wait for a binding that the kernel, or a forked child, still has. */
	if (!nic_netdev_rx_queues(ifindex, &q, &n))
		for (unsigned int i = 0; i < n; i++)
			bound += q[i].provider;
	return !bound;
}

/* Puts back what killed processes have left. Is there a record still? */
static bool tidy(void)
{
	_cleanup_free_ int *list = NULL;
	bool ripe = false, waits = false;
	unsigned int n = 0;

	nic_lock();
	if (!nic_state_ifindexes(&list, &n))
		for (unsigned int i = 0; i < n; i++)
			ripe |= record_is_ripe(list[i], &waits);
	nic_unlock();
	if (ripe)
		nic_restore_stale();
	return waits;
}

static int signals_take(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, &broker.former_signals) < 0)
		return -errno;
	broker.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return broker.signal_fd < 0 ? -errno : 0;
}

/* False: it is time to end. */
static bool signals_handle(void)
{
	struct signalfd_siginfo info;
	bool go_on = true;

	while (read(broker.signal_fd, &info, sizeof(info)) == sizeof(info))
		go_on &= info.ssi_signo == SIGCHLD;
	workers_reap();
	return go_on;
}

static int serve(const struct broker_options *o)
{
	struct pollfd fds[2] = { { .fd = broker.listen_fd, .events = POLLIN },
				 { .fd = broker.signal_fd, .events = POLLIN } };
	unsigned long idle_ms = 0;

	for (;;) {
		bool waits = tidy();
		int n;

		if (broker.n_workers || waits)
			idle_ms = 0;
		if (o->idle_s && idle_ms >= o->idle_s * 1000UL)
			return 0;
		n = poll(fds, 2, TICK_MS);
		if (n < 0 && errno != EINTR)
			return -errno;
		idle_ms = n ? 0 : idle_ms + TICK_MS;
		if (fds[1].revents && !signals_handle())
			return 0;
		if (fds[0].revents)
			client_accept(o);
	}
}

int broker_run(const struct broker_options *o)
{
	int err;

	err = signals_take();
	if (err) {
		log_err("signals: %s", strerror(-err));
		return err;
	}
	/* First of all, so that nobody is served on top of what a killed broker left. */
	nic_restore_stale();
	broker.listen_fd = socket_get(o);
	if (broker.listen_fd < 0)
		return broker.listen_fd;
	log_info("the broker listens%s%s", o->listen_path ? " at " : "",
		 o->listen_path ? o->listen_path : "");
	err = serve(o);
	if (err)
		log_err("poll: %s", strerror(-err));
	if (o->listen_path)
		unlink(o->listen_path);
	return err;
}
