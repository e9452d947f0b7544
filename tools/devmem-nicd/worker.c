// SPDX-License-Identifier: BSD-3-Clause
/*
 * One client of the broker. What it says is checked here, against the configuration and against what the kernel says of the
 * descriptors it sends; nothing it sends is trusted to be what it claims.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <net/if.h>
#include <netinet/in.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/param.h"
#include "broker.h"
#include "conf.h"
#include "nic/broker_wire.h"
#include "nic/nic_link.h"
#include "nic/nic_lock.h"
#include "nic/nic_netdev.h"
#include "nic/nic_probe.h"
#include "nic/nic_rx.h"
#include "nic/nic_state.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

#define BINDINGS_MAX 64
#define RULES_MAX    4096
#define GROUPS_MAX   1024
/* A client that does not take its answer is gone. */
#define SEND_TIMEOUT_S 10
/* How often it is looked whether a binding has ended, and for how long after SIGTERM. */
#define UNBIND_POLL_MS	   20
#define UNBIND_POLL_MAX_MS 1000
#define UNBIND_WAIT_MS	   2000

#define REMEDY_LOG "journalctl -u devmem-broker tells where"

struct binding {
	struct nic_rx *rx;
	uint32_t handle;
	uint32_t *rules;
	unsigned int n_rules;
};

/* @pid_fd: readable when the client's process has ended, whoever else has its descriptors; -1 where the kernel has none. */
static struct worker_state {
	int sock;
	int pid_fd;
	struct ucred peer;
	gid_t gids[GROUPS_MAX];
	unsigned int n_gids;
	const char *conf_path;
	struct binding bindings[BINDINGS_MAX];
	unsigned int n_bindings;
	uint32_t last_handle;
} w = { .sock = -1, .pid_fd = -1 };

static volatile sig_atomic_t terminated;

static void on_term(int sig)
{
	(void)sig;
	terminated = 1;
}

/* An accepted Unix socket belongs to the network namespace of who connected (Linux, net/unix/af_unix.c). */
static bool in_this_netns(int sock)
{
	uint64_t own = 0, theirs = 0;

	return !nic_netns_cookie(-1, &own) && !nic_netns_cookie(sock, &theirs) && own &&
	       own == theirs;
}

static int peer_get(void)
{
	socklen_t len = sizeof(w.peer);
	int fd = -1;

	if (getsockopt(w.sock, SOL_SOCKET, SO_PEERCRED, &w.peer, &len) < 0)
		return -errno;
	w.gids[w.n_gids++] = w.peer.gid;
	len = sizeof(w.gids) - sizeof(w.gids[0]);
	if (!getsockopt(w.sock, SOL_SOCKET, SO_PEERGROUPS, w.gids + 1, &len))
		w.n_gids += len / sizeof(w.gids[0]);
	len = sizeof(fd);
	if (!getsockopt(w.sock, SOL_SOCKET, SO_PEERPIDFD, &fd, &len))
		w.pid_fd = fd;
	return 0;
}

/* Is the client served at all, and on this interface? */
static int check_policy(const char *ifname, unsigned int n_queues, unsigned int *ret_user_queues,
			struct verdict *why)
{
	unsigned int queues = n_queues;
	struct conf conf;
	char remedy[192];

	if (conf_load(w.conf_path, &conf))
		return verdict_set(why, -EPERM, REMEDY_LOG,
				   "%s: the broker serves nobody: %s is missing or wrong", ifname,
				   w.conf_path);
	if (!conf_broker_has_user(&conf.broker, w.peer.uid, w.gids, w.n_gids)) {
		snprintf(remedy, sizeof(remedy), "add the user, or a group, to [broker] of %s",
			 w.conf_path);
		return verdict_set(why, -EPERM, remedy,
				   "%s: user %u is not among those whom the broker serves", ifname,
				   w.peer.uid);
	}
	if (!conf_broker_has_interface(&conf.broker, ifname)) {
		snprintf(remedy, sizeof(remedy), "add it to interfaces in [broker] of %s",
			 w.conf_path);
		return verdict_set(why, -EPERM, remedy,
				   "%s is not among the interfaces that the broker serves", ifname);
	}
	for (unsigned int i = 0; i < w.n_bindings; i++)
		queues += w.bindings[i].rx->n_queues;
	*ret_user_queues = conf.broker.user_queues;
	if (queues <= conf.broker.queues)
		return 0;
	snprintf(remedy, sizeof(remedy), "NCCL_DEVMEM_QUEUES, or queues in [broker] of %s",
		 w.conf_path);
	return verdict_set(why, -EPERM, remedy, "%s: a process may bind %u queues, not %u", ifname,
			   conf.broker.queues, queues);
}

/* The interface as it is here; the client's words for it have to agree. */
static int nic_of(const struct broker_request *q, struct nic *ret, struct verdict *why)
{
	struct nic_link link;
	int err;

	if (!in_this_netns(w.sock))
		return verdict_set(why, -EXDEV,
				   "give the container a broker of its own, or CAP_NET_ADMIN",
				   "%s: the broker and this process are in different network "
				   "namespaces",
				   q->ifname);
	err = nic_link_get(q->ifindex, &link);
	if (err)
		return verdict_set(why, err, NULL, "%s: the broker finds no interface of number %d",
				   q->ifname, q->ifindex);
	if (strcmp(link.name, q->ifname) != 0)
		return verdict_set(why, -EINVAL, NULL, "%s: the interface of number %d is %s",
				   q->ifname, q->ifindex, link.name);
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->name, link.name, sizeof(ret->name));
	ret->ifindex = link.ifindex;
	ret->mtu = link.mtu;
	ret->is_loopback = link.flags & IFF_LOOPBACK;
	return 0;
}

/*
 * Asked of /proc before the descriptor is touched: a client may send anything, and calls on files of a FUSE file system of its own
 * would wait for the client. What dmabufs alone have there is "exp_name" (drivers/dma-buf/dma-buf.c).
 */
static int check_dmabuf(const char *ifname, int fd, struct verdict *why)
{
	char path[48], line[256];
	bool found = false;
	FILE *f;

	if (fd < 0)
		return verdict_set(why, -EBADF, NULL, "%s: the request came without a dmabuf",
				   ifname);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	if (!f)
		return verdict_set(why, -errno, NULL, "%s: the broker cannot read %s: %s", ifname,
				   path, strerror(errno));
	while (!found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "exp_name:", 9);
	fclose(f);
	if (found)
		return 0;
	return verdict_set(why, -EINVAL, NULL, "%s: what was sent to be bound is not a dmabuf",
			   ifname);
}

static struct binding *binding_find(uint32_t handle)
{
	for (unsigned int i = 0; i < w.n_bindings; i++)
		if (w.bindings[i].handle == handle)
			return &w.bindings[i];
	return NULL;
}

static void binding_withdraw(struct binding *b)
{
	while (b->n_rules)
		nic_rx_unsteer(b->rx, b->rules[--b->n_rules]);
}

static void binding_drop(struct binding *b)
{
	nic_rx_release(b->rx);
	free(b->rules);
	*b = w.bindings[--w.n_bindings];
}

static int do_probe(const struct broker_request *q, struct verdict *why)
{
	unsigned int user_queues;
	struct nic nic;
	int err;

	err = nic_of(q, &nic, why);
	if (!err)
		err = check_policy(nic.name, 1, &user_queues, why);
	if (!err)
		err = nic_probe_rx(&nic, why);
	if (!err)
		verdict_set(why, 0, NULL, "%s: devmem receive is possible, through the broker",
			    nic.name);
	return err;
}

static int do_bind(const struct broker_request *q, int fd, struct broker_answer *a, int *ret_fd,
		   struct verdict *why)
{
	struct nic_rx_client client = { .user = w.peer.uid, .niov_asked = q->niov_size };
	struct nic_rx *rx = NULL;
	struct binding *b;
	struct nic nic;
	int err;

	err = nic_of(q, &nic, why);
	if (!err)
		err = check_policy(nic.name, q->n_queues, &client.queues_max, why);
	if (!err)
		err = check_dmabuf(nic.name, fd, why);
	if (!err && w.n_bindings == BINDINGS_MAX)
		err = verdict_set(why, -EBUSY, NULL, "%s: more than %d bindings of one process",
				  nic.name, BINDINGS_MAX);
	if (!err)
		err = nic_rx_bind_for(&nic, fd, q->n_queues, &client, &rx, why);
	if (err)
		return err;
	*ret_fd = nic_rx_give_away(rx);
	if (*ret_fd < 0) {
		nic_rx_release(rx);
		return verdict_set(why, -EMFILE, NULL, "%s: the broker has no descriptor left",
				   nic.name);
	}
	b = &w.bindings[w.n_bindings++];
	*b = (struct binding){ .rx = rx, .handle = ++w.last_handle };
	a->handle = b->handle;
	a->dmabuf = rx->dmabuf;
	a->niov_size = rx->niov_size;
	a->n_queues = rx->n_queues;
	memcpy(a->queues, rx->queues, rx->n_queues * sizeof(*a->queues));
	return 0;
}

/*
 * The flow is that of a connected TCP socket of this network namespace, which the client must have: nobody else's packets can be
 * led into its memory.
 */
static int check_flow(const struct broker_request *q, int sock, struct sockaddr_storage *local,
		      struct sockaddr_storage *remote, struct verdict *why)
{
	socklen_t len = sizeof(int), llen = sizeof(*local), rlen = sizeof(*remote);
	int protocol = 0;

	if (sock < 0 || getsockopt(sock, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) < 0 ||
	    protocol != IPPROTO_TCP)
		return verdict_set(why, -EINVAL, NULL,
				   "%s: what was sent to be steered is no TCP socket", q->ifname);
	if (!in_this_netns(sock))
		return verdict_set(why, -EXDEV, NULL,
				   "%s: the socket to be steered is of another network namespace",
				   q->ifname);
	if (getsockname(sock, (struct sockaddr *)local, &llen) < 0 ||
	    getpeername(sock, (struct sockaddr *)remote, &rlen) < 0)
		return verdict_set(why, -ENOTCONN, NULL,
				   "%s: the socket to be steered is not connected", q->ifname);
	return 0;
}

static int do_steer(struct binding *b, const struct broker_request *q, int sock,
		    struct broker_answer *a, struct verdict *why)
{
	struct sockaddr_storage local, remote;
	uint32_t *rules;
	int err;

	err = check_flow(q, sock, &local, &remote, why);
	if (err)
		return err;
	if (b->n_rules == RULES_MAX)
		return verdict_set(why, -ENOSPC, NULL, "%s: more than %d flows of one binding",
				   b->rx->name, RULES_MAX);
	rules = realloc(b->rules, (b->n_rules + 1) * sizeof(*rules));
	if (!rules)
		return verdict_set(why, -ENOMEM, NULL, "the broker is out of memory");
	b->rules = rules;
	err = nic_rx_steer(b->rx, -1, (struct sockaddr *)&local, (struct sockaddr *)&remote,
			   &a->rule, why);
	if (!err)
		rules[b->n_rules++] = a->rule;
	return err;
}

static void do_unsteer(struct binding *b, uint32_t rule)
{
	for (unsigned int i = 0; i < b->n_rules; i++) {
		if (b->rules[i] != rule)
			continue;
		b->rules[i] = b->rules[--b->n_rules];
		nic_rx_unsteer(b->rx, rule);
		return;
	}
}

static int dispatch(const struct broker_request *q, int fd, struct broker_answer *a, int *ret_fd,
		    struct verdict *why)
{
	struct binding *b = binding_find(q->handle);

	if (q->op == BROKER_PROBE)
		return do_probe(q, why);
	if (q->op == BROKER_BIND)
		return do_bind(q, fd, a, ret_fd, why);
	if (q->op > BROKER_RELEASE || !q->op)
		return verdict_set(why, -EPROTO, NULL, "the broker knows no request %u", q->op);
	if (!b)
		return verdict_set(why, -ESTALE, NULL, "%s: the broker knows no such binding",
				   q->ifname);
	verdict_set(why, 0, NULL, "%s", b->rx->name);
	switch (q->op) {
	case BROKER_STEER:
		return do_steer(b, q, fd, a, why);
	case BROKER_UNSTEER:
		do_unsteer(b, q->rule);
		return 0;
	case BROKER_WITHDRAW:
		binding_withdraw(b);
		return 0;
	default:
		binding_withdraw(b);
		binding_drop(b);
		return 0;
	}
}

/* Nothing of a client's setting but this can be taken over: it makes the broker do less. */
static void take_flags(uint32_t flags)
{
	if (!(flags & BROKER_NO_SETUP) || !param_bool(PARAM_NIC_SETUP))
		return;
	setenv(param_env_name(PARAM_NIC_SETUP), "0", 1);
	param_load();
}

/* One request. False: the client is gone, or is no client. */
static bool serve_one(void)
{
	struct broker_answer a = { .magic = BROKER_MAGIC, .version = BROKER_VERSION };
	_cleanup_close_ int fd = -1, answer_fd = -1;
	struct broker_request q;
	struct verdict why = { 0 };
	bool known;
	int err;

	err = broker_recv(w.sock, &q, sizeof(q), &fd);
	if (err == -ENODATA)
		return false;
	known = !err && q.magic == BROKER_MAGIC && q.version == BROKER_VERSION;
	if (!known) {
		err = verdict_set(&why, -EPROTO, "install the same version of both",
				  "the broker does not understand this client");
	} else {
		q.ifname[sizeof(q.ifname) - 1] = '\0';
		a.op = q.op;
		take_flags(q.flags);
		err = dispatch(&q, fd, &a, &answer_fd, &why);
	}
	a.err = err;
	snprintf(a.reason, sizeof(a.reason), "%s", why.reason);
	snprintf(a.remedy, sizeof(a.remedy), "%s", why.remedy);
	if (err)
		log_warn("user %u, process %d: %s", w.peer.uid, (int)w.peer.pid, why.reason);
	/* With the answer the last copy of the netlink socket goes: if the client is gone, so is the binding. */
	return !broker_send(w.sock, &a, sizeof(a), answer_fd) && known;
}

static void serve(void)
{
	struct pollfd fds[2] = { { .fd = w.sock, .events = POLLIN },
				 { .fd = w.pid_fd, .events = POLLIN } };
	struct sigaction sa = { .sa_handler = on_term };
	sigset_t term, former;

	/* SIGTERM is for the time between requests. */
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigaddset(&term, SIGINT);
	sigprocmask(SIG_BLOCK, &term, &former);
	while (!terminated) {
		if (ppoll(fds, 2, NULL, &former) < 0) {
			if (errno == EINTR)
				continue;
			return;
		}
		if (fds[1].revents || !fds[0].revents || !serve_one())
			return;
	}
}

static bool still_bound(const struct nic_rx *rx)
{
	_cleanup_free_ struct nic_queue *q = NULL;
	unsigned int n = 0;

	if (nic_netdev_rx_queues(rx->ifindex, &q, &n))
		return false;
	for (unsigned int i = 0; i < n; i++)
		if (q[i].dmabuf && q[i].dmabuf == rx->dmabuf)
			return true;
	return false;
}

static void wait_ms(unsigned int ms)
{
	const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

/*
 * The binding ends when the last descriptor of its netlink socket is closed, a little after the connection, or much later if the
 * client has forked. Header split stays on until then, as the kernel wants it. After SIGTERM nobody waits long: the record stays,
 * and the next broker sees to it.
 */
static void binding_wait(const struct binding *b)
{
	unsigned int pause = UNBIND_POLL_MS, waited = 0;

	while (still_bound(b->rx) && !(terminated && waited >= UNBIND_WAIT_MS)) {
		wait_ms(pause);
		waited += pause;
		if (pause < UNBIND_POLL_MAX_MS)
			pause *= 2;
	}
}

void worker_run(int sock, const char *conf_path)
{
	const struct timeval timeout = { .tv_sec = SEND_TIMEOUT_S };
	unsigned int n;

	w.sock = sock;
	w.conf_path = conf_path;
	if (peer_get() || setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
		return;
	serve();
	close(w.sock);
	n = w.n_bindings;
	for (unsigned int i = 0; i < n; i++)
		binding_withdraw(&w.bindings[i]);
	while (w.n_bindings) {
		binding_wait(&w.bindings[0]);
		binding_drop(&w.bindings[0]);
	}
	if (n)
		log_info("user %u, process %d: %s; %u binding%s taken back", w.peer.uid,
			 (int)w.peer.pid, terminated ? "served no longer" : "has ended", n,
			 n == 1 ? "" : "s");
}
