// SPDX-License-Identifier: BSD-3-Clause
/*
 * Receive bindings that the broker makes for this process. One connection for all of them, opened for the first and closed with
 * the last: when it ends, however that is, the broker takes back what was made on it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/counter.h"
#include "base/log.h"
#include "base/param.h"
#include "nic/broker_wire.h"
#include "nic/nic_broker.h"
#include "nic/nic_rx.h"

/* The broker waits for the lock on the records (10 s) and for the kernel (15 s a request) in turn. */
#define ANSWER_TIMEOUT_S 60

/* @serial: of the connection; bindings of an earlier one are out of reach. @users: live bindings of this one. */
static struct {
	int fd;
	uint32_t serial;
	unsigned int users;
} conn = { .fd = -1 };

bool nic_broker_is_there(void)
{
	const char *path = param_str(PARAM_BROKER);
	struct stat st;

	return strcmp(path, "off") != 0 && path[0] == '/' && !stat(path, &st) &&
	       S_ISSOCK(st.st_mode);
}

static void conn_close(void)
{
	if (conn.fd >= 0)
		close(conn.fd);
	conn.fd = -1;
	conn.users = 0;
}

static void conn_close_unused(void)
{
	if (!conn.users)
		conn_close();
}

/*
 * Whoever sits on the socket gets the job's memory to write into. For a socket that systemd made the kernel tells systemd's
 * credentials, those of the process that called listen().
 */
static int check_peer(int fd, const char *path, struct verdict *why)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(peer);

	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) && !peer.uid)
		return 0;
	return verdict_set(
		why, -ECONNREFUSED,
		"find out who it is: ss -xlp; the broker is started by "
		"systemctl restart devmem-broker.socket",
		"who listens at the broker's socket %s is not root but user %u: not used", path,
		peer.uid);
}

static int conn_open(struct verdict *why)
{
	const struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *path = param_str(PARAM_BROKER);
	_cleanup_close_ int fd = -1;
	int err;

	if (strlen(path) >= sizeof(sa.sun_path))
		return verdict_set(why, -ENAMETOOLONG, NULL, "%s=%s is longer than %zu bytes",
				   param_env_name(PARAM_BROKER), path, sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	/* Without SO_SNDTIMEO connect() would wait for ever behind a full backlog. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
		return verdict_set(why, -errno, NULL, "a Unix socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return verdict_set(why, -EPERM, "systemctl restart devmem-broker.socket",
				   "no CAP_NET_ADMIN, and the broker at %s does not answer: %s",
				   path, strerror(errno));
	err = check_peer(fd, path, why);
	if (err)
		return err;
	conn.fd = TAKE_FD(fd);
	conn.serial++;
	return 0;
}

/* One request, one answer; a failure on the way ends the connection. @why is filled in any case. */
static int exchange(const struct broker_request *q, int fd, struct broker_answer *a, int *ret_fd,
		    struct verdict *why)
{
	const char *path = param_str(PARAM_BROKER);
	int err;

	*ret_fd = -1;
	/* A refusal may be there already, and nobody to read the request: then the answer is what counts. */
	err = broker_send(conn.fd, q, sizeof(*q), fd);
	if (!err || err == -EPIPE || err == -ECONNRESET)
		err = broker_recv(conn.fd, a, sizeof(*a), ret_fd);
	if (!err && (a->magic != BROKER_MAGIC || (a->op && a->op != q->op)))
		err = -EBADMSG;
	if (!err) {
		a->reason[sizeof(a->reason) - 1] = '\0';
		a->remedy[sizeof(a->remedy) - 1] = '\0';
		if (!a->err && a->op != q->op)
			err = -EBADMSG;
		else
			return verdict_set(why, a->err, a->remedy, "%s", a->reason);
	}
	if (*ret_fd >= 0)
		close(*ret_fd);
	*ret_fd = -1;
	conn_close();
	if (err == -ENODATA || err == -EPIPE)
		return verdict_set(why, -ECONNRESET, "journalctl -u devmem-broker tells more",
				   "%s: the broker at %s has ended", q->ifname, path);
	if (err == -EAGAIN)
		return verdict_set(why, -ETIMEDOUT, "journalctl -u devmem-broker tells more",
				   "%s: the broker at %s has not answered for %d s", q->ifname,
				   path, ANSWER_TIMEOUT_S);
	return verdict_set(why, err, NULL, "%s: talking to the broker at %s: %s", q->ifname, path,
			   err == -EBADMSG ? "that is not the broker of this version"
					   : strerror(-err));
}

static struct broker_request request(enum broker_op op, const char *ifname, int ifindex)
{
	struct broker_request q = {
		.magic = BROKER_MAGIC,
		.version = BROKER_VERSION,
		.op = op,
		.flags = param_bool(PARAM_NIC_SETUP) ? 0 : BROKER_NO_SETUP,
		.ifindex = ifindex,
	};

	snprintf(q.ifname, sizeof(q.ifname), "%s", ifname);
	return q;
}

/*
 * Opens the connection if need be; one that ends before there is an answer is opened once more: a broker that was killed is
 * started again by the next who connects.
 */
static int exchange_anew(const struct broker_request *q, int fd, struct broker_answer *a,
			 int *ret_fd, struct verdict *why)
{
	const bool has_bindings = conn.fd >= 0 && conn.users;
	int err;

	if (conn.fd < 0) {
		err = conn_open(why);
		if (err)
			return err;
	}
	err = exchange(q, fd, a, ret_fd, why);
	if (err != -ECONNRESET || conn.fd >= 0)
		return err;
	log_warn("%s%s", why->reason, has_bindings ? "; its bindings get no new flows" : "");
	err = conn_open(why);
	return err ? err : exchange(q, fd, a, ret_fd, why);
}

int nic_broker_probe(const struct nic *nic, struct verdict *why)
{
	struct broker_request q = request(BROKER_PROBE, nic->name, nic->ifindex);
	struct broker_answer a = { 0 };
	int err, fd = -1;

	err = exchange_anew(&q, -1, &a, &fd, why);
	if (fd >= 0)
		close(fd);
	conn_close_unused();
	return err;
}

static bool is_netlink(int fd)
{
	socklen_t len = sizeof(int);
	int domain = 0;

	return fd >= 0 && !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) &&
	       domain == AF_NETLINK;
}

static int broker_bind(struct nic_rx *rx, int dmabuf_fd, struct verdict *why)
{
	struct broker_request q = request(BROKER_BIND, rx->name, rx->ifindex);
	struct broker_answer a = { 0 };
	int err, fd = -1;

	q.n_queues = rx->n_queues;
	q.niov_size = rx->client.niov_asked;
	err = exchange_anew(&q, dmabuf_fd, &a, &fd, why);
	if (!err && (!is_netlink(fd) || a.n_queues != rx->n_queues || !a.niov_size))
		err = verdict_set(why, -EBADMSG, NULL,
				  "%s: the broker's answer makes no sense; is it of this version?",
				  rx->name);
	if (err) {
		if (fd >= 0)
			close(fd);
		conn_close_unused();
		return err;
	}
	rx->binding_fd = fd;
	rx->dmabuf = a.dmabuf;
	rx->niov_size = a.niov_size;
	rx->handle = a.handle;
	rx->conn = conn.serial;
	memcpy(rx->queues, a.queues, a.n_queues * sizeof(*a.queues));
	nic_ranges_text(rx->queues, rx->n_queues, rx->queue_text, sizeof(rx->queue_text));
	conn.users++;
	counter_inc(rx_binds_broker);
	return 0;
}

/* Between requests nothing comes from a broker that lives: what is readable is its end. */
static bool broker_lost(const struct nic_rx *rx, struct verdict *why)
{
	char byte;

	if (conn.fd >= 0 && conn.serial == rx->conn &&
	    recv(conn.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	    (errno == EAGAIN || errno == EINTR))
		return false;
	if (conn.serial == rx->conn)
		conn_close();
	verdict_set(why, -ESTALE, "journalctl -u devmem-broker tells more",
		    "%s: the broker that made the binding of queue %s has ended", rx->name,
		    rx->queue_text);
	return true;
}

/* A request about a binding; on another connection than the one it was made on nobody would know it. */
static int call(struct nic_rx *rx, enum broker_op op, uint32_t rule, int sock, uint32_t *ret_rule,
		struct verdict *why)
{
	struct broker_request q = request(op, rx->name, rx->ifindex);
	struct broker_answer a = { 0 };
	int err, fd = -1;

	if (broker_lost(rx, why))
		return why->err;
	q.handle = rx->handle;
	q.rule = rule;
	err = exchange(&q, sock, &a, &fd, why);
	if (fd >= 0)
		close(fd);
	if (!err && ret_rule)
		*ret_rule = a.rule;
	return err;
}

static int broker_steer(struct nic_rx *rx, const struct nic_flow *flow, int sock,
			uint32_t *ret_rule, struct verdict *why)
{
	int err;

	(void)flow; /* the broker asks the socket */
	err = call(rx, BROKER_STEER, 0, sock, ret_rule, why);
	if (!err)
		counter_inc(rules);
	return err;
}

static void broker_unsteer(struct nic_rx *rx, uint32_t rule)
{
	struct verdict why;

	if (!call(rx, BROKER_UNSTEER, rule, -1, NULL, &why))
		counter_inc(rules_removed);
	else
		log_debug("%s", why.reason);
}

/* Rules first, then the binding, settings last, as nic_rx_direct.c does it. */
static void broker_undo(struct nic_rx *rx)
{
	struct verdict why;
	int err = call(rx, BROKER_WITHDRAW, 0, -1, NULL, &why);

	close(rx->binding_fd);
	rx->binding_fd = -1;
	if (!err)
		err = call(rx, BROKER_RELEASE, 0, -1, NULL, &why);
	if (err)
		log_warn("%s; the next broker puts %s's settings back", why.reason, rx->name);
	if (conn.serial == rx->conn && conn.users)
		conn.users--;
	conn_close_unused();
}

static void broker_forget(struct nic_rx *rx)
{
	if (rx->binding_fd >= 0)
		close(rx->binding_fd);
	rx->binding_fd = -1;
}

void nic_broker_forget(void)
{
	conn_close();
}

const struct nic_rx_ops nic_rx_broker = {
	.bind = broker_bind,
	.steer = broker_steer,
	.unsteer = broker_unsteer,
	.lost = broker_lost,
	.undo = broker_undo,
	.forget = broker_forget,
};
