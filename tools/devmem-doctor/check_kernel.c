// SPDX-License-Identifier: BSD-3-Clause
/*
 * What the running kernel can do, found by asking it, whatever its version says.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/kernel.h"
#include "base/param.h"
#include "exam.h"
#include "nic/nic_nl.h"
#include "uapi/devmem.h"
#include "uapi/netdev_genl.h"

/* The kernel looks at the option's length before anything else, but only if it knows the option (net/core/sock.c). */
static bool kernel_has_tokens(void)
{
	_cleanup_close_ int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint8_t odd[sizeof(struct dmabuf_token) + 4] = { 0 };

	if (fd < 0)
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_DEVMEM_DONTNEED, odd, sizeof(odd)) < 0 &&
	       errno == EINVAL;
}

static bool kernel_has_netdev_family(void)
{
	_cleanup_(nic_nl_close) struct nic_nl nl = { 0 };

	if (nic_nl_open(&nl, NDEV_FAMILY)) {
		memset(&nl, 0, sizeof(nl));
		return false;
	}
	return true;
}

static const char *series_state(bool used, enum param_id id)
{
	if (used)
		return "yes";
	return param_bool(id) ? "no" : "switched off";
}

static void check_series(struct exam *x)
{
	const struct kernel_features *k = kernel_features();
	bool all, wanted;
	struct finding *f;

	kernel_probe();
	all = k->zc_notification && k->recycle && k->token_runs;
	wanted = param_bool(PARAM_ZC_NOTIFICATION) && param_bool(PARAM_RECYCLE) &&
		 param_bool(PARAM_TOKEN_RUNS);
	f = findings_add(&x->findings, "kernel-series", "kernel", all ? FINDING_OK : FINDING_NOTE,
			 "completions in sendmsg: %s; tokens back in recvmsg: %s; one token for a "
			 "run of frags: %s",
			 series_state(k->zc_notification, PARAM_ZC_NOTIFICATION),
			 series_state(k->recycle, PARAM_RECYCLE),
			 series_state(k->token_runs, PARAM_TOKEN_RUNS));
	if (!all && wanted)
		finding_fix(f, "boot a kernel with kernel-patches/7.2 to save system calls "
			       "(kernel-patches/README.md)");
	else if (!all)
		finding_fix(f, "unset %s, %s and %s", param_env_name(PARAM_ZC_NOTIFICATION),
			    param_env_name(PARAM_RECYCLE), param_env_name(PARAM_TOKEN_RUNS));
}

void check_kernel(struct exam *x)
{
	bool family = kernel_has_netdev_family();
	bool tokens = kernel_has_tokens();
	struct utsname u;
	struct finding *f;

	uname(&u);
	if (family && tokens) {
		findings_add(&x->findings, "kernel-devmem", "kernel", FINDING_OK,
			     "Linux %s has devmem TCP", u.release);
	} else {
		f = findings_add(&x->findings, "kernel-devmem", "kernel", FINDING_WARN,
				 "Linux %s: %s", u.release,
				 family ? "no devmem TCP: sockets know no tokens"
					: "no devmem TCP: no netdev netlink family");
		finding_fix(f, "boot Linux 6.16 or newer with CONFIG_NET_DEVMEM=y");
	}
	check_series(x);
}
