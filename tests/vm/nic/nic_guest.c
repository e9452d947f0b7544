// SPDX-License-Identifier: BSD-3-Clause
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/udmabuf.h>

#include "base/param.h"
#include "nic/nic_text.h"
#include "nic_guest.h"

static char settings_before[GUEST_SETTINGS_MAX];

int guest_run(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;
	int status;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	status = system(cmd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void guest_param(const char *name, const char *value)
{
	if (value)
		setenv(name, value, 1);
	else
		unsetenv(name);
	param_load();
}

int guest_init(void)
{
	signal(SIGPIPE, SIG_IGN);
	if (geteuid()) {
		printf("needs root\n");
		return UNIT_SKIP;
	}
	if (!getenv("GUEST")) {
		printf("runs in a guest only (tests/vm/guest)\n");
		return UNIT_SKIP;
	}
	if (access("/dev/udmabuf", F_OK)) {
		printf("needs /dev/udmabuf\n");
		return UNIT_SKIP;
	}
	if (guest_run("ip link add sdmtry0 type veth peer name sdmtry1 &&"
		      "ip link add sdmtry link sdmtry0 type sdm")) {
		printf("needs the sdm driver\n");
		guest_run("ip link del sdmtry0 2>/dev/null");
		return UNIT_SKIP;
	}
	return guest_run("ip link del sdmtry0 && ip netns add peer") ? 1 : 0;
}

int guest_setup(void **state)
{
	(void)state;
	unit_log_clear();
	guest_param("NCCL_DEVMEM_NIC_SETUP", NULL);
	guest_param("NCCL_DEVMEM_STATE_DIR", GUEST_STATE);
	if (guest_run(
		    "ip link add e0 type veth peer name e1 netns peer &&"
		    "ip link set e0 up && ip -n peer link set e1 up && ip -n peer link set lo up &&"
		    "ip link add sdm0 link e0 type sdm &&"
		    "ip -n peer link add sdm1 link e1 type sdm &&"
		    "ip addr add 10.9.0.1/24 dev sdm0 && ip addr add fd09::1/64 dev sdm0 nodad &&"
		    "ip -n peer addr add 10.9.0.2/24 dev sdm1 &&"
		    "ip -n peer addr add fd09::2/64 dev sdm1 nodad &&"
		    "ip link set lo up && ip link set sdm0 up && ip -n peer link set sdm1 up"))
		return -1;
	guest_settings(settings_before, sizeof(settings_before));
	return 0;
}

int guest_teardown(void **state)
{
	char now[GUEST_SETTINGS_MAX];
	int ret = 0;

	(void)state;
	guest_settings(now, sizeof(now));
	if (strcmp(settings_before, now) != 0) {
		print_error("settings left behind: \"%s\", before the test \"%s\"\n%s", now,
			    settings_before, unit_log_text);
		ret = -1;
	}
	if (guest_records()) {
		print_error("a record was left in %s\n", GUEST_STATE);
		guest_run("head -v -n 40 %s/*", GUEST_STATE);
		ret = -1;
	}
	guest_run("rm -rf %s; ip link del e0 2>/dev/null", GUEST_STATE);
	return ret;
}

struct nic guest_nic(void)
{
	struct verdict why = { 0 };
	struct nic *nics = NULL, nic;
	int n = 0;

	assert_ok(nic_list("=sdm0", AF_INET, &nics, &n, &why));
	assert_int_equal(n, 1);
	nic = nics[0];
	free(nics);
	return nic;
}

int guest_dmabuf(size_t size)
{
	struct udmabuf_create req = { .flags = UDMABUF_FLAGS_CLOEXEC, .size = size };
	int dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), fd;

	assert_true(dev >= 0);
	req.memfd = (uint32_t)memfd_create("nic-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true((int)req.memfd >= 0);
	assert_ok(ftruncate((int)req.memfd, (off_t)size));
	assert_ok(fcntl((int)req.memfd, F_ADD_SEALS, F_SEAL_SHRINK));
	fd = ioctl(dev, UDMABUF_CREATE, &req);
	assert_true(fd >= 0);
	close((int)req.memfd);
	close(dev);
	return fd;
}

const char *guest_rss(void)
{
	static char text[NIC_RANGES_MAX];
	struct nic_rss rss = { 0 };

	if (nic_rss_get("sdm0", &rss))
		return "?";
	nic_ranges_text(rss.entry, rss.n, text, sizeof(text));
	nic_rss_drop(&rss);
	return text;
}

unsigned int guest_rules(void)
{
	unsigned int n = 9999;

	nic_rule_count("sdm0", &n);
	return n;
}

static int count_queue(const struct nic_rule *rule, void *arg)
{
	unsigned int *v = arg;

	v[1] += rule->queue == v[0];
	return 0;
}

unsigned int guest_rules_to(unsigned int queue)
{
	unsigned int v[2] = { queue, 0 };

	assert_ok(nic_rule_walk("sdm0", NULL, count_queue, v));
	return v[1];
}

const char *guest_settings(char *buf, size_t len)
{
	unsigned int ifindex = if_nametoindex("sdm0");
	struct nic_rings r = { 0 };
	struct nic_rss rss = { 0 };
	bool ntuple = false;
	uint32_t sum = 0;

	if (!ifindex || nic_rings_get((int)ifindex, &r) || nic_rss_get("sdm0", &rss) ||
	    nic_ntuple_get("sdm0", &ntuple)) {
		snprintf(buf, len, "no sdm0");
		return buf;
	}
	for (unsigned int i = 0; i < rss.n; i++)
		sum = sum * 31 + rss.entry[i];
	snprintf(buf, len, "split %d thresh %u ntuple %d rss %s sum %08x rules %u", r.split,
		 r.thresh, ntuple, guest_rss(), sum, guest_rules());
	nic_rss_drop(&rss);
	return buf;
}

uint32_t guest_bound(unsigned int queue)
{
	struct nic_queue *q = NULL;
	unsigned int n = 0;
	uint32_t id = 0;

	assert_ok(nic_netdev_rx_queues((int)if_nametoindex("sdm0"), &q, &n));
	for (unsigned int i = 0; i < n; i++)
		if (q[i].id == queue)
			id = q[i].dmabuf;
	free(q);
	return id;
}

unsigned int guest_records(void)
{
	DIR *d = opendir(GUEST_STATE);
	const struct dirent *de;
	unsigned int n = 0;

	if (!d)
		return 0;
	while ((de = readdir(d)))
		n += de->d_name[0] != '.' && strcmp(de->d_name, "lock") != 0;
	closedir(d);
	return n;
}

const char *guest_log(void)
{
	return unit_log_text;
}

struct nic_rx *guest_bind(unsigned int n_queues)
{
	struct nic nic = guest_nic();
	struct verdict why = { 0 };
	struct nic_rx *rx = NULL;
	int fd = guest_dmabuf(1 << 20);

	if (nic_rx_bind(&nic, fd, n_queues, &rx, &why))
		fail_msg("%s (%s)", why.reason, why.remedy);
	/* The kernel has its own reference. */
	close(fd);
	return rx;
}

int guest_steer(struct nic_rx *rx, int family, uint16_t port, uint32_t *rule, struct verdict *why)
{
	struct sockaddr_in6 l6 = { .sin6_family = AF_INET6, .sin6_port = htons(5000) };
	struct sockaddr_in6 r6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in l4 = { .sin_family = AF_INET, .sin_port = htons(5000) };
	struct sockaddr_in r4 = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, "10.9.0.1", &l4.sin_addr);
	inet_pton(AF_INET, "10.9.0.2", &r4.sin_addr);
	inet_pton(AF_INET6, "fd09::1", &l6.sin6_addr);
	inet_pton(AF_INET6, "fd09::2", &r6.sin6_addr);
	if (family == AF_INET)
		return nic_rx_steer(rx, -1, (struct sockaddr *)&l4, (struct sockaddr *)&r4, rule,
				    why);
	return nic_rx_steer(rx, -1, (struct sockaddr *)&l6, (struct sockaddr *)&r6, rule, why);
}

static int guest_child_wait(struct guest_child *c)
{
	int value = -1;

	if (read(c->from, &value, sizeof(value)) != sizeof(value))
		fail_msg("the child process ended early");
	return value;
}

void guest_child_start(struct guest_child *c, void (*fn)(struct guest_child *c))
{
	int down[2], up[2];

	assert_ok(pipe2(down, O_CLOEXEC));
	assert_ok(pipe2(up, O_CLOEXEC));
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (!c->pid) {
		c->to = up[1];
		c->from = down[0];
		close(up[0]);
		close(down[1]);
		log_sink_set(NULL);
		guest_child_pause(c, 0);
		fn(c);
		_exit(0);
	}
	c->to = down[1];
	c->from = up[0];
	close(up[1]);
	close(down[0]);
	assert_int_equal(guest_child_wait(c), 0);
}

void guest_child_pause(struct guest_child *c, int value)
{
	char go;

	if (write(c->to, &value, sizeof(value)) != sizeof(value) || read(c->from, &go, 1) != 1)
		_exit(99);
}

static void guest_child_go(struct guest_child *c)
{
	assert_int_equal(write(c->to, "g", 1), 1);
}

int guest_child_step(struct guest_child *c)
{
	guest_child_go(c);
	return guest_child_wait(c);
}

static int guest_child_reap(struct guest_child *c)
{
	int status = -1;

	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	close(c->to);
	close(c->from);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int guest_child_end(struct guest_child *c)
{
	guest_child_go(c);
	return guest_child_reap(c);
}

void guest_child_kill(struct guest_child *c)
{
	assert_ok(kill(c->pid, SIGKILL));
	assert_int_equal(guest_child_reap(c), -SIGKILL);
}

void guest_caps_drop(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	if (syscall(SYS_capset, &head, none))
		_exit(98);
}
