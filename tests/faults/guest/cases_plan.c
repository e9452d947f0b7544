// SPDX-License-Identifier: BSD-3-Clause
/*
 * What keeps a receiver from devmem, and how it is told. The receiver finds its NIC's settings again at the end as they were
 * before it started the plugin.
 */
#include <endian.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

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
		check_counters(plan.count, plan.devmem);
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
	plan = (struct plan){
		.count = 20, .devmem = true, .dmabuf = true, .log = "receive path devmem"
	};
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

#define G(fn)                                   \
	{                                       \
		.name = "guest." #fn, .run = fn \
	}
const struct fault_case cases_plan[] = {
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
	{ 0 },
};
