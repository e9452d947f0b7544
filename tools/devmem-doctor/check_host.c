// SPDX-License-Identifier: BSD-3-Clause
/*
 * Limits and settings of the host that TCP at high rates, zerocopy and receive pools live on.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <linux/capability.h>

#include "base/param.h"
#include "exam.h"
#include "mem/pool.h"
#include "nic/nic_broker.h"

#define PROC_NET "/proc/sys/net/"
/* Bytes that a flow of 25 Gbit/s has under way in a millisecond, roughly; and what Linux takes for a default on large machines. */
#define TCP_BUFFER_MIN (4LL << 20)
/* Linux's default since 6.7. A send that waits for its notification charges about 600 bytes of it. */
#define OPTMEM_MIN (128LL << 10)
/* What zerocopy sends keep pinned, all sockets of a user together. */
#define MEMLOCK_MIN (64LL << 20)

/* Receive pools with room for fewer data sockets are told of. */
#define POOL_SOCKETS_MIN 32

static const char host[] = "host";

static bool word_in(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = strstr(list, word); p; p = strstr(p + 1, word))
		if ((p == list || isspace((unsigned char)p[-1])) &&
		    (!p[len] || isspace((unsigned char)p[len])))
			return true;
	return false;
}

/* BBR takes what it measures for the path's rate: on short paths with large segments that is well below it. */
static void check_congestion(struct exam *x)
{
	const char *set = param_str(PARAM_CONGESTION);
	const char *better = NULL;
	char now[64], there[256];
	struct finding *f;

	if (read_line(PROC_NET "ipv4/tcp_congestion_control", now, sizeof(now)))
		return;
	if (read_line(PROC_NET "ipv4/tcp_allowed_congestion_control", there, sizeof(there)))
		there[0] = '\0';
	if (set[0]) {
		if (read_line(PROC_NET "ipv4/tcp_available_congestion_control", there,
			      sizeof(there)) == 0 &&
		    !word_in(there, set)) {
			f = findings_add(&x->findings, "congestion", host, FINDING_FAIL,
					 "%s=%s: this kernel has only %s",
					 param_env_name(PARAM_CONGESTION), set, there);
			finding_fix(f, "modprobe tcp_%s", set);
			return;
		}
		findings_add(&x->findings, "congestion", host, FINDING_OK, "%s, by %s", set,
			     param_env_name(PARAM_CONGESTION));
		return;
	}
	if (strncmp(now, "bbr", 3) != 0) {
		findings_add(&x->findings, "congestion", host, FINDING_OK, "%s", now);
		return;
	}
	better = word_in(there, "cubic") ? "cubic" : "reno";
	f = findings_add(&x->findings, "congestion", host, FINDING_WARN,
			 "the default congestion control is %s, which stays far below the rate of "
			 "a short path",
			 now);
	finding_fix_safe(f, "sysctl -w net.ipv4.tcp_congestion_control=%s", better);
}

/* The third number of tcp_rmem and tcp_wmem is how far the kernel lets a buffer grow by itself. */
static void check_buffers(struct exam *x)
{
	static const char *const names[] = { "tcp_rmem", "tcp_wmem" };
	long long v[3]; /* least, at first, most */
	char path[64];
	struct finding *f;
	bool fine = true;

	for (unsigned int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), PROC_NET "ipv4/%s", names[i]);
		if (read_numbers(path, v, 3) != 3 || v[2] >= TCP_BUFFER_MIN)
			continue;
		fine = false;
		f = findings_add(&x->findings, "tcp-buffers", host, FINDING_WARN,
				 "net.ipv4.%s ends at %lld bytes: less than a fast path has under "
				 "way",
				 names[i], v[2]);
		finding_fix_safe(f, "sysctl -w net.ipv4.%s=\"%lld %lld %lld\"", names[i], v[0],
				 v[1], 4 * TCP_BUFFER_MIN);
	}
	if (fine)
		findings_add(&x->findings, "tcp-buffers", host, FINDING_OK,
			     "tcp_rmem and tcp_wmem go up to 4 MiB or more");
}

static void check_optmem(struct exam *x)
{
	long long v = read_number(PROC_NET "core/optmem_max", -1);
	struct finding *f;

	if (v < 0)
		return; /* not in this network namespace before Linux 6.7, and not hidden for a reason that matters */
	if (v >= OPTMEM_MIN) {
		findings_add(&x->findings, "optmem", host, FINDING_OK, "net.core.optmem_max %lld",
			     v);
		return;
	}
	f = findings_add(
		&x->findings, "optmem", host, FINDING_WARN,
		"net.core.optmem_max is %lld: no more than %lld zerocopy sends under way a "
		"socket",
		v, v / 600);
	finding_fix_safe(f, "sysctl -w net.core.optmem_max=1048576");
}

static void check_memlock(struct exam *x)
{
	struct finding *f;
	struct rlimit l;

	if (has_capability(CAP_IPC_LOCK)) {
		findings_add(&x->findings, "memlock", host, FINDING_OK,
			     "CAP_IPC_LOCK: no limit on pinned memory");
		return;
	}
	if (getrlimit(RLIMIT_MEMLOCK, &l))
		return;
	if (l.rlim_cur == RLIM_INFINITY || l.rlim_cur >= MEMLOCK_MIN) {
		findings_add(&x->findings, "memlock", host, FINDING_OK,
			     "RLIMIT_MEMLOCK is large enough");
		return;
	}
	f = findings_add(&x->findings, "memlock", host, FINDING_WARN,
			 "RLIMIT_MEMLOCK is %" PRIu64
			 " KiB: zerocopy sends beyond it fail and are copied instead",
			 (uint64_t)l.rlim_cur >> 10);
	finding_fix(f,
		    "ulimit -l unlimited (LimitMEMLOCK=infinity in a unit, --ulimit memlock=-1 in "
		    "a container)");
}

static void check_privilege(struct exam *x)
{
	/* Inside, outside, count. */
	long long map[3];
	bool initial = true;
	struct finding *f;

	if (read_numbers("/proc/self/uid_map", map, 3) == 3)
		initial = !map[0] && !map[1] && map[2] == UINT32_MAX;
	if (has_capability(CAP_NET_ADMIN)) {
		findings_add(
			&x->findings, "capability", host, FINDING_OK, "CAP_NET_ADMIN%s",
			initial ? ""
				: ", in a user namespace: it counts for this namespace's own interfaces");
		return;
	}
	if (nic_broker_is_there()) {
		findings_add(&x->findings, "capability", host, FINDING_NOTE,
			     "no CAP_NET_ADMIN: receive bindings are asked of the broker at %s",
			     param_str(PARAM_BROKER));
		return;
	}
	f = findings_add(&x->findings, "capability", host, FINDING_WARN,
			 "no CAP_NET_ADMIN%s: no receive binding, so receives are copied",
			 initial ? "" : " (in a user namespace)");
	finding_fix(f, "setcap cap_net_admin+ep <program>, or AmbientCapabilities=CAP_NET_ADMIN in "
		       "a unit; or systemctl enable --now devmem-broker.socket");
}

/* Host memory can be received into when it can be exported as a dmabuf. GPUs export their own. */
static void check_export(struct exam *x)
{
	static const char *const nodes[] = { "/dev/dma_heap/system", "/dev/udmabuf" };
	const int64_t pool = param_int(PARAM_POOL_SIZE);
	long long limit_mib;
	struct finding *f;
	unsigned int i;

	for (i = 0; i < 2 && access(nodes[i], R_OK | W_OK); i++)
		if (errno != ENOENT) {
			f = findings_add(&x->findings, "dmabuf-export", host, FINDING_NOTE,
					 "%s: %s", nodes[i], strerror(errno));
			finding_fix(f,
				    "chgrp <group> %s && chmod g+rw %s (a udev rule makes it last)",
				    nodes[i], nodes[i]);
			return;
		}
	if (i == 2) {
		f = findings_add(&x->findings, "dmabuf-export", host, FINDING_NOTE,
				 "neither /dev/dma_heap/system nor /dev/udmabuf: receiving into "
				 "host memory is by copy");
		finding_fix_safe(f, "modprobe udmabuf");
		return;
	}
	limit_mib = read_number("/sys/module/udmabuf/parameters/size_limit_mb", -1);
	if (i == 1 && limit_mib >= 0 && pool > limit_mib << 20) {
		f = findings_add(&x->findings, "dmabuf-export", host, FINDING_WARN,
				 "udmabuf makes %lld MiB at most, and the receive pool has %" PRId64
				 " MiB",
				 limit_mib, pool >> 20);
		finding_fix_safe(f,
				 "sh -c 'echo %" PRId64
				 " > /sys/module/udmabuf/parameters/size_limit_mb'",
				 (pool >> 20) + 1);
		return;
	}
	findings_add(&x->findings, "dmabuf-export", host, FINDING_OK,
		     "host memory is exported by %s", nodes[i]);
}

static void check_state_dir(struct exam *x)
{
	const char *dir = param_str(PARAM_STATE_DIR);
	struct finding *f;

	if (!has_capability(CAP_NET_ADMIN) || !param_bool(PARAM_NIC_SETUP))
		return; /* nothing will be changed, so there is nothing to record */
	if (!access(dir, W_OK) || (errno == ENOENT && !geteuid())) {
		findings_add(&x->findings, "state-dir", host, FINDING_OK,
			     "changes are recorded in %s", dir);
		return;
	}
	f = findings_add(&x->findings, "state-dir", host, FINDING_WARN,
			 "%s: %s: what a crashed job changed would stay changed", dir,
			 strerror(errno));
	finding_fix(f, "install -d -o <user> %s", dir);
}

/*
 * A data socket for which the pool has no room is received by copy. Two channels to a neighbour on either side, with the 8
 * sockets a connection of a fast NIC, are 32.
 */
static void check_pool(struct exam *x)
{
	const int64_t size = param_int(PARAM_POOL_SIZE);
	const int64_t sockets = size / 4 * 3 / (int64_t)POOL_RESERVE_MIN;
	struct finding *f;

	if (sockets >= POOL_SOCKETS_MIN) {
		findings_add(&x->findings, "pool", host, FINDING_OK,
			     "%" PRId64 " MiB a NIC: room for up to %" PRId64 " data sockets",
			     size >> 20, sockets);
		return;
	}
	f = findings_add(&x->findings, "pool", host, FINDING_WARN,
			 "a receive pool of %" PRId64 " MiB has room for %" PRId64
			 " data sockets; those of further connections are received by copy",
			 size >> 20, sockets);
	finding_fix(f, "export %s=64M, or more with many peers", param_env_name(PARAM_POOL_SIZE));
}

void check_host(struct exam *x)
{
	check_privilege(x);
	check_congestion(x);
	check_buffers(x);
	check_optmem(x);
	check_memlock(x);
	check_export(x);
	check_pool(x);
	check_state_dir(x);
}
