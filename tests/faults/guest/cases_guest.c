// SPDX-License-Identifier: BSD-3-Clause
/*
 * Faults of the devmem path, in a guest with the soft devmem NIC: sdm0 in this namespace, sdm1 in the other process's. The other
 * process receives. What it finds of NIC settings before it starts the plugin has to be there again at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <linux/udmabuf.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "faults.h"
#include "nic/nic_ethtool.h"
#include "nic/nic_netdev.h"
#include "nic/nic_rss.h"
#include "nic/nic_rule.h"
#include "plug.h"

#define MSG	     (1 << 20)
#define SETTINGS_MAX 200
#define NETNS	     "faults-peer"

/*
 * What a case asks of the receiving process, which inherits it by fork().
 * @prepare: runs there, before the settings are read and the plugin is loaded.
 * @log: what its log must contain. @sender_gets: of connect(). @count: messages. @dmabuf: sent from device memory.
 */
static struct plan {
	void (*prepare)(void);
	const char *log;
	ncclResult_t sender_gets;
	uint32_t count;
	bool devmem;
	bool dmabuf;
} plan;

struct settings {
	char text[SETTINGS_MAX];
};

static void settings_get(const char *ifname, struct settings *s)
{
	struct nic_rings rings = { 0 };
	struct nic_rss rss = { 0 };
	unsigned int rules = 0;
	bool ntuple = false;
	uint32_t sum = 0, i;

	memset(s, 0, sizeof(*s));
	CHECK_EQ(nic_rings_get((int)if_nametoindex(ifname), &rings), 0);
	CHECK_EQ(nic_rss_get(ifname, &rss), 0);
	CHECK_EQ(nic_ntuple_get(ifname, &ntuple), 0);
	CHECK_EQ(nic_rule_count(ifname, &rules), 0);
	for (i = 0; i < rss.n; i++)
		sum = sum * 31 + rss.entry[i];
	nic_rss_drop(&rss);
	snprintf(s->text, sizeof(s->text), "split %d threshold %u ntuple %d rss %08x rules %u",
		 (int)rings.split, rings.thresh, ntuple, sum, rules);
}

static void settings_same(const char *ifname, const struct settings *before)
{
	struct settings now;

	settings_get(ifname, &now);
	if (strcmp(before->text, now.text) != 0)
		FAIL("settings of %s are \"%s\", were \"%s\"", ifname, now.text, before->text);
}

/* Messages of MSG bytes on a comm that is to receive by devmem. */
static void receive(struct side *s, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		void *req;
		int got;

		memset(s->buf, 0xee, MSG);
		CHECK_EQ(do_irecv(s, 0, MSG, &req, ERROR_MS), ncclSuccess);
		CHECK_EQ(wait_one(req, &got, 20000), ncclSuccess);
		CHECK_EQ(got, MSG);
		pattern_check(s->buf, MSG, i);
	}
}

static void check_counters(uint32_t count)
{
	struct nccl_devmem_counters c;

	plug_counters(&c);
	CHECK_EQ(c.tokens_out, c.tokens_in);
	if (plan.devmem) {
		CHECK_EQ(c.recv_devmem, (uint64_t)count * MSG);
		CHECK_EQ(c.recv_linear, 0);
		CHECK_EQ(c.recv_copy, 0);
		CHECK(c.tokens_out > 0);
	} else {
		CHECK_EQ(c.recv_copy, (uint64_t)count * MSG);
		CHECK_EQ(c.recv_devmem, 0);
	}
	CHECK_EQ(c.rules, c.rules_removed);
}

static void receiver(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	struct settings before;
	void *listen, *recv;
	ncclResult_t r;
	struct side s;

	ns_enter();
	peer_put(fd, "n", 1);
	peer_get(fd, &c, 1);
	env_set("NCCL_DEVMEM_IFNAME", "=sdm1");
	if (plan.prepare)
		plan.prepare();
	settings_get("sdm1", &before);
	plug_open();
	do_listen(handle, &listen);
	peer_put(fd, handle, sizeof(handle));
	r = do_accept(listen, &recv, ERROR_MS);
	if (plan.log)
		plug_expect_log(plan.log);
	if (plan.sender_gets == ncclSuccess) {
		CHECK_EQ(r, ncclSuccess);
		side_open(&s, recv, MSG);
		receive(&s, plan.count);
		peer_put(fd, "d", 1);
		side_close(&s, false);
		check_counters(plan.count);
	} else {
		CHECK(!recv);
		CHECK(r != ncclSuccess && r != ncclInProgress);
		plug_expect_log("NCCL_DEVMEM_REQUIRE=devmem forbids it");
	}
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	plug_close();
	settings_same("sdm1", &before);
	CHECK_EQ(count_records(), 0);
}

static void sdm_up(pid_t peer)
{
	ns_veth(peer);
	shell("ip addr flush dev ve0 && ip link add sdm0 link ve0 type sdm && ip link set sdm0 up && "
	      "ip addr add 10.77.0.1/24 dev sdm0");
	shell("nsenter -t %d -n sh -c 'ip addr flush dev ve1 && ip link add sdm1 link ve1 type sdm && "
	      "ip link set sdm1 up && ip addr add 10.77.0.2/24 dev sdm1'",
	      (int)peer);
	ms_sleep(100);
}

/* A side whose memory is a udmabuf, registered as device memory is. */
static void side_open_dmabuf(struct side *s, void *comm, size_t size)
{
	struct udmabuf_create req = { .flags = UDMABUF_FLAGS_CLOEXEC, .size = size };
	int dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), fd;

	CHECK(dev >= 0);
	req.memfd = (uint32_t)memfd_create("faults", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(ftruncate((int)req.memfd, (off_t)size) == 0);
	CHECK(fcntl((int)req.memfd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	fd = ioctl(dev, UDMABUF_CREATE, &req);
	CHECK(fd >= 0);
	s->comm = comm;
	s->size = size;
	s->buf = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(s->buf != MAP_FAILED);
	CHECK_EQ(plug.net->regMrDmaBuf(comm, s->buf, size, NCCL_PTR_CUDA, 0, fd, &s->mh),
		 ncclSuccess);
	close(fd);
	close((int)req.memfd);
	close(dev);
}

static void side_close_dmabuf(struct side *s)
{
	CHECK_EQ(plug.net->deregMr(s->comm, s->mh), ncclSuccess);
	CHECK_EQ(plug.net->closeSend(s->comm), ncclSuccess);
	munmap(s->buf, s->size);
	memset(s, 0, sizeof(*s));
}

static void send_messages(struct side *s, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		void *req;

		pattern_fill(s->buf, MSG, i);
		CHECK_EQ(do_isend(s, 0, MSG, &req, ERROR_MS), ncclSuccess);
		CHECK_EQ(wait_one(req, NULL, 20000), ncclSuccess);
	}
}

/* The whole of a case: network, both processes, @plan. */
static void run_plan(void)
{
	struct nccl_devmem_counters k;
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	struct side s;
	struct peer p;
	void *send;

	p = peer_start(receiver);
	peer_get(p.fd, &c, 1);
	ns_enter();
	sdm_up(p.pid);
	peer_put(p.fd, "g", 1);
	env_set("NCCL_DEVMEM_IFNAME", "=sdm0");
	plug_open();
	peer_get(p.fd, handle, sizeof(handle));
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), plan.sender_gets);
	if (plan.sender_gets == ncclSuccess) {
		if (plan.dmabuf)
			side_open_dmabuf(&s, send, MSG);
		else
			side_open(&s, send, MSG);
		send_messages(&s, plan.count);
		peer_get(p.fd, &c, 1);
		plug_counters(&k);
		CHECK_EQ(k.zc_sends, k.zc_done_errqueue + k.zc_done_inband);
		if (plan.dmabuf)
			CHECK_EQ(k.sent_devmem, (uint64_t)plan.count * MSG);
		if (plan.dmabuf)
			side_close_dmabuf(&s);
		else
			side_close(&s, true);
	} else {
		plug_expect_log("refused the connection");
	}
	peer_wait(&p);
	plug_close();
}

/* The control: devmem on both sides, nothing copied, everything put back. */
static void works(void)
{
	env_set("NCCL_DEVMEM_REQUIRE", "devmem");
	plan = (struct plan){ .count = 20, .devmem = true, .dmabuf = true,
			      .log = "receive path devmem" };
	run_plan();
}

static void works_host_memory(void)
{
	env_set("NCCL_DEVMEM_REQUIRE", "devmem");
	env_set("NCCL_DEVMEM_SOCKETS", "4");
	plan = (struct plan){ .count = 20, .devmem = true, .log = "receive path devmem" };
	run_plan();
}

/* @prepare, or the environment, takes devmem away: said, and received by copy. */
static void stepped_down(void (*prepare)(void), const char *log)
{
	plan = (struct plan){ .prepare = prepare, .count = 5, .log = log };
	run_plan();
}

/* The same, but required: an error on both sides. */
static void refused(void (*prepare)(void), const char *log)
{
	env_set("NCCL_DEVMEM_REQUIRE", "devmem");
	plan = (struct plan){ .prepare = prepare, .sender_gets = ncclRemoteError, .log = log };
	run_plan();
}

static void drop_net_admin(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	CHECK(syscall(SYS_capget, &head, data) == 0);
	data[0].effective &= ~(1U << CAP_NET_ADMIN);
	data[0].permitted &= ~(1U << CAP_NET_ADMIN);
	CHECK(syscall(SYS_capset, &head, data) == 0);
}

static void no_permission(void)
{
	stepped_down(drop_net_admin, "CAP_NET_ADMIN");
}

static void no_permission_required(void)
{
	refused(drop_net_admin, "CAP_NET_ADMIN");
}

static void queues_busy(void)
{
	env_set("NCCL_DEVMEM_QUEUES", "64");
	stepped_down(NULL, "RX queues are free for devmem");
}

static void queues_busy_required(void)
{
	env_set("NCCL_DEVMEM_QUEUES", "64");
	refused(NULL, "RX queues are free for devmem");
}

static void leave_one_queue(void)
{
	shell("ethtool -L sdm1 combined 1");
}

static void one_queue(void)
{
	stepped_down(leave_one_queue, "devmem needs one beside that of other traffic");
}

static void one_queue_required(void)
{
	refused(leave_one_queue, "devmem needs one beside that of other traffic");
}

static void pool_small(void)
{
	env_set("NCCL_DEVMEM_POOL_SIZE", "1M");
	env_set("NCCL_DEVMEM_SOCKETS", "16");
	stepped_down(NULL, "raise NCCL_DEVMEM_POOL_SIZE");
}

static void pool_small_required(void)
{
	env_set("NCCL_DEVMEM_POOL_SIZE", "1M");
	env_set("NCCL_DEVMEM_SOCKETS", "16");
	refused(NULL, "raise NCCL_DEVMEM_POOL_SIZE");
}

static void pool_large(void)
{
	env_set("NCCL_DEVMEM_POOL_SIZE", "4095M");
	env_set("NCCL_DEVMEM_POOL_MEMORY", "udmabuf");
	stepped_down(NULL, "above the kernel's limit");
}

static void pool_large_required(void)
{
	env_set("NCCL_DEVMEM_POOL_SIZE", "4095M");
	env_set("NCCL_DEVMEM_POOL_MEMORY", "udmabuf");
	refused(NULL, "above the kernel's limit");
}

/* A size of no whole number of pages is rounded up to one. */
static void pool_unaligned(void)
{
	env_set("NCCL_DEVMEM_POOL_SIZE", "8388609");
	env_set("NCCL_DEVMEM_REQUIRE", "devmem");
	plan = (struct plan){ .count = 5, .devmem = true, .log = "receive path devmem" };
	run_plan();
}

static void setup_forbidden(void)
{
	env_set("NCCL_DEVMEM_NIC_SETUP", "0");
	stepped_down(NULL, "NCCL_DEVMEM_NIC_SETUP=0 forbids");
}

static void setup_forbidden_required(void)
{
	env_set("NCCL_DEVMEM_NIC_SETUP", "0");
	refused(NULL, "NCCL_DEVMEM_NIC_SETUP=0 forbids");
}

/* Takes every place of sdm1's rule table, with flows that are none of ours. */
static void fill_rules(void)
{
	struct ethtool_rxnfc cmd = { .cmd = ETHTOOL_GRXCLSRLCNT };
	struct ifreq ifr = { .ifr_name = "sdm1" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint32_t i, size;

	CHECK(fd >= 0);
	shell("ethtool -K sdm1 ntuple on");
	ifr.ifr_data = (void *)&cmd;
	CHECK(ioctl(fd, SIOCETHTOOL, &ifr) == 0);
	size = (uint32_t)cmd.data & ~RX_CLS_LOC_SPECIAL;
	if (!size)
		size = 1024;
	for (i = 0; i < size + 1; i++) {
		struct ethtool_rx_flow_spec *fs = &cmd.fs;

		memset(&cmd, 0, sizeof(cmd));
		cmd.cmd = ETHTOOL_SRXCLSRLINS;
		fs->flow_type = TCP_V4_FLOW;
		fs->location = RX_CLS_LOC_ANY;
		fs->h_u.tcp_ip4_spec.pdst = htobe16((uint16_t)(i + 1));
		fs->m_u.tcp_ip4_spec.pdst = 0xffff;
		if (ioctl(fd, SIOCETHTOOL, &ifr) < 0)
			break;
	}
	if (i == 0)
		FAIL("no rule could be added: %s", strerror(errno));
	close(fd);
}

static void rules_full(void)
{
	stepped_down(fill_rules, "the flow rule table is full");
}

static void rules_full_required(void)
{
	refused(fill_rules, "the flow rule table is full");
}

/* Streams until the other side is gone; returns the error. */
static ncclResult_t stream(struct side *s, bool sends, int fd)
{
	int64_t end = ms_now() + 20000;
	bool told = false;

	while (ms_now() < end) {
		ncclResult_t r;
		void *req;

		r = sends ? do_isend(s, 0, MSG, &req, ERROR_MS) : do_irecv(s, 0, MSG, &req, ERROR_MS);
		if (r == ncclSuccess)
			r = wait_one(req, NULL, 15000);
		if (r != ncclSuccess)
			return r;
		if (!told && fd >= 0)
			peer_put(fd, "t", 1);
		told = true;
	}
	return ncclSuccess;
}

/* The receiver's device goes away under the binding; both sides end with an error. */
static void unbound_receiver(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	void *listen, *recv;
	ncclResult_t r;
	struct side s;

	ns_enter();
	peer_put(fd, "n", 1);
	peer_get(fd, &c, 1);
	env_set("NCCL_DEVMEM_IFNAME", "=sdm1");
	plug_open();
	do_listen(handle, &listen);
	peer_put(fd, handle, sizeof(handle));
	CHECK_EQ(do_accept(listen, &recv, ERROR_MS), ncclSuccess);
	plug_expect_log("receive path devmem");
	side_open(&s, recv, MSG);
	r = stream(&s, false, fd);
	CHECK(r != ncclInProgress && r != ncclSuccess);
	peer_put(fd, "e", 1);
	side_close(&s, false);
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	plug_close();
	CHECK_EQ(count_records(), 0);
}

static void device_removed(void)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	int64_t start;
	struct side s;
	struct peer p;
	void *send;
	pid_t remover;

	env_set("NCCL_DEVMEM_REQUIRE", "devmem");
	env_set("NCCL_DEVMEM_PEER_TIMEOUT", "1000");
	p = peer_start(unbound_receiver);
	peer_get(p.fd, &c, 1);
	ns_enter();
	sdm_up(p.pid);
	peer_put(p.fd, "g", 1);
	env_set("NCCL_DEVMEM_IFNAME", "=sdm0");
	plug_open();
	peer_get(p.fd, handle, sizeof(handle));
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), ncclSuccess);
	side_open(&s, send, MSG);
	remover = fork();
	if (remover == 0) {
		peer_get(p.fd, &c, 1);
		shell("nsenter -t %d -n ip link del sdm1", (int)p.pid);
		_exit(0);
	}
	start = ms_now();
	CHECK_EQ(stream(&s, true, -1), ncclRemoteError);
	CHECK(ms_now() - start < 10000);
	peer_get(p.fd, &c, 1);
	if (ms_now() - start > ERROR_MS + 3000)
		FAIL("the receiver's error took %lld ms", (long long)(ms_now() - start));
	side_close(&s, true);
	peer_wait(&p);
	plug_close();
}

/* How the receiver of the next cases ends. */
enum ending { END_BY_ERROR, END_BY_CLOSE, END_BY_ABORT };
static enum ending ending;

/* Receives by devmem while the sender streams, and ends in mid-stream: nothing may be left, in whatever way. */
static void ending_receiver(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	struct nccl_devmem_counters k;
	struct settings before;
	void *listen, *recv, *req;
	struct side s;
	uint8_t *buf;

	ns_enter();
	peer_put(fd, "n", 1);
	peer_get(fd, &c, 1);
	env_set("NCCL_DEVMEM_IFNAME", "=sdm1");
	settings_get("sdm1", &before);
	plug_open();
	do_listen(handle, &listen);
	peer_put(fd, handle, sizeof(handle));
	CHECK_EQ(do_accept(listen, &recv, ERROR_MS), ncclSuccess);
	plug_expect_log("receive path devmem");
	side_open(&s, recv, MSG);
	if (ending == END_BY_ERROR) {
		CHECK_EQ(stream(&s, false, fd), ncclRemoteError);
	} else {
		receive(&s, 3);
		/* Half a message: frags are in the queue, tokens are held. */
		CHECK_EQ(do_irecv(&s, 0, MSG, &req, ERROR_MS), ncclSuccess);
		wait_one(req, NULL, 1);
	}
	buf = s.buf;
	if (ending == END_BY_ABORT) {
		CHECK_EQ(plug.net->deregMr(s.comm, s.mh), ncclSuccess);
	} else {
		side_close(&s, false);
		buf = NULL;
		CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	}
	CHECK_EQ(plug.net->finalize(plug.ctx), ncclSuccess);
	plug.ctx = NULL;
	plug_counters(&k);
	CHECK(k.recv_devmem > 0);
	CHECK_EQ(k.tokens_out, k.tokens_in);
	CHECK_EQ(k.rules, k.rules_removed);
	plug_close();
	free(buf);
	settings_same("sdm1", &before);
	CHECK_EQ(count_records(), 0);
}

/* In the main process's namespace, but not in that process, so that it can be killed. */
static void streaming_sender(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c, path[64];
	struct side s;
	void *send;
	int ns;

	peer_get(fd, &c, 1);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)getppid());
	ns = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(ns >= 0 && setns(ns, CLONE_NEWNET) == 0);
	close(ns);
	env_set("NCCL_DEVMEM_IFNAME", "=sdm0");
	plug_open();
	peer_get(fd, handle, sizeof(handle));
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), ncclSuccess);
	side_open_dmabuf(&s, send, MSG);
	/* The first three have the bytes that receive() looks for. */
	if (ending != END_BY_ERROR)
		send_messages(&s, 3);
	CHECK_EQ(stream(&s, true, -1), ncclRemoteError);
	side_close_dmabuf(&s);
	plug_close();
}

static void ends(enum ending how)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	struct peer rx, tx;

	env_set("NCCL_DEVMEM_REQUIRE", "devmem");
	env_set("NCCL_DEVMEM_SOCKETS", "3");
	ending = how;
	rx = peer_start(ending_receiver);
	tx = peer_start(streaming_sender);
	peer_get(rx.fd, &c, 1);
	ns_enter();
	sdm_up(rx.pid);
	peer_put(rx.fd, "g", 1);
	peer_put(tx.fd, "g", 1);
	peer_get(rx.fd, handle, sizeof(handle));
	peer_put(tx.fd, handle, sizeof(handle));
	if (how == END_BY_ERROR) {
		peer_get(rx.fd, &c, 1);
		peer_kill(&tx);
	} else {
		peer_wait(&tx);
	}
	peer_wait(&rx);
}

static void sender_killed(void)
{
	ends(END_BY_ERROR);
}

static void receiver_closes(void)
{
	ends(END_BY_CLOSE);
}

static void receiver_aborts(void)
{
	ends(END_BY_ABORT);
}

static void enter_named(void)
{
	int fd = open("/run/netns/" NETNS, O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0 && setns(fd, CLONE_NEWNET) == 0);
	close(fd);
}

/* Killed with binding and rules in place. */
static void killed_receiver(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	struct settings before;
	void *listen, *recv;
	struct side s;

	enter_named();
	peer_put(fd, "n", 1);
	peer_get(fd, &c, 1);
	env_set("NCCL_DEVMEM_IFNAME", "=sdm1");
	settings_get("sdm1", &before);
	peer_put(fd, &before, sizeof(before));
	plug_open();
	do_listen(handle, &listen);
	peer_put(fd, handle, sizeof(handle));
	CHECK_EQ(do_accept(listen, &recv, ERROR_MS), ncclSuccess);
	side_open(&s, recv, MSG);
	stream(&s, false, fd);
	FAIL("was to be killed");
}

/* The next start on that host: finds what is left, restores it, and works. */
static void successor(int fd)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	struct settings before, now;
	void *listen, *recv;
	struct side s;

	peer_get(fd, &before, sizeof(before));
	enter_named();
	env_set("NCCL_DEVMEM_IFNAME", "=sdm1");
	settings_get("sdm1", &now);
	/* Else this would test nothing. */
	CHECK(strcmp(before.text, now.text) != 0);
	CHECK_EQ(count_records(), 1);
	plug_open();
	settings_same("sdm1", &before);
	CHECK_EQ(count_records(), 0);
	do_listen(handle, &listen);
	peer_put(fd, handle, sizeof(handle));
	CHECK_EQ(do_accept(listen, &recv, ERROR_MS), ncclSuccess);
	plug_expect_log("receive path devmem");
	side_open(&s, recv, MSG);
	receive(&s, 5);
	peer_put(fd, "d", 1);
	peer_get(fd, &c, 1);
	side_close(&s, false);
	plan.devmem = true;
	check_counters(5);
	CHECK_EQ(plug.net->closeListen(listen), ncclSuccess);
	plug_close();
	settings_same("sdm1", &before);
}

static void killed_then_fresh(void)
{
	char handle[NCCL_NET_HANDLE_MAXSIZE], c;
	struct peer victim, next;
	struct settings before;
	struct side s;
	void *send;
	pid_t killer;

	env_set("NCCL_DEVMEM_REQUIRE", "devmem");
	shell("ip netns add " NETNS);
	victim = peer_start(killed_receiver);
	next = peer_start(successor);
	peer_get(victim.fd, &c, 1);
	ns_enter();
	sdm_up(victim.pid);
	peer_put(victim.fd, "g", 1);
	peer_get(victim.fd, &before, sizeof(before));
	env_set("NCCL_DEVMEM_IFNAME", "=sdm0");
	plug_open();
	peer_get(victim.fd, handle, sizeof(handle));
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), ncclSuccess);
	side_open(&s, send, MSG);
	killer = fork();
	if (killer == 0) {
		peer_get(victim.fd, &c, 1);
		kill(victim.pid, SIGKILL);
		_exit(0);
	}
	CHECK_EQ(stream(&s, true, -1), ncclRemoteError);
	side_close(&s, true);
	peer_kill(&victim);
	peer_put(next.fd, &before, sizeof(before));
	peer_get(next.fd, handle, sizeof(handle));
	CHECK_EQ(do_connect(handle, &send, ERROR_MS), ncclSuccess);
	side_open(&s, send, MSG);
	send_messages(&s, 5);
	peer_get(next.fd, &c, 1);
	peer_put(next.fd, "x", 1);
	side_close(&s, true);
	peer_wait(&next);
	plug_close();
	shell("ip netns del " NETNS);
}

#define G(fn) { .name = "guest." #fn, .run = fn, .seconds = 60 }
static const struct fault_case cases_guest[] = {
	G(works),
	G(works_host_memory),
	G(no_permission),
	G(no_permission_required),
	G(queues_busy),
	G(queues_busy_required),
	G(one_queue),
	G(one_queue_required),
	G(pool_small),
	G(pool_small_required),
	G(pool_large),
	G(pool_large_required),
	G(pool_unaligned),
	G(setup_forbidden),
	G(setup_forbidden_required),
	G(rules_full),
	G(rules_full_required),
	G(sender_killed),
	G(receiver_closes),
	G(receiver_aborts),
	G(device_removed),
	G(killed_then_fresh),
	{ 0 },
};

const struct fault_case *const fault_tables[] = { cases_guest, NULL };
