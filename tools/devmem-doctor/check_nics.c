// SPDX-License-Identifier: BSD-3-Clause
/*
 * The interfaces that the plugin would use, each with what devmem TCP wants of it.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>

#include "base/cleanup.h"
#include "base/param.h"
#include "exam.h"
#include "nic/nic_ethtool.h"
#include "nic/nic_netdev.h"
#include "nic/nic_rss.h"
#include "nic/nic_rule.h"
#include "nic/nic_state.h"
#include "nic/nic_text.h"

#define PAGE 4096
/* IP and TCP headers with timestamps. */
#define HEADERS_V4 52
#define HEADERS_V6 72
/* Flow rules left below which a large job will not find room: its connections to one peer may be that many. */
#define RULES_ROOM 64

/*
 * May @name stand in a command? The kernel allows nearly any byte in one.
 */
static bool name_is_plain(const char *name)
{
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("._-@:", *name))
			return false;
	return true;
}

/* A setting that the plugin makes by itself unless it was told not to. */
static struct finding *setting_add(struct exam *x, const char *check, const struct nic *nic,
				   const char *what)
{
	bool itself = param_bool(PARAM_NIC_SETUP);

	return findings_add(
		&x->findings, check, nic->name, itself ? FINDING_NOTE : FINDING_FAIL, "%s%s%s",
		what, itself ? "; a job sets it and puts it back" : "; the plugin may not set it: ",
		itself ? "" : "NCCL_DEVMEM_NIC_SETUP=0");
}

static void check_split(struct exam *x, const struct nic *nic)
{
	struct nic_rings r = { 0 };
	char what[96];

	if (nic_rings_get(nic->ifindex, &r) || !r.has_split)
		return; /* told with devmem-receive */
	if (r.split != ETHTOOL_TCP_DATA_SPLIT_ENABLED)
		finding_fix_safe(setting_add(x, "header-split", nic, "header split is not on"),
				 "devmem-doctor --split %s", nic->name);
	else
		findings_add(&x->findings, "header-split", nic->name, FINDING_OK, "on");
	if (r.has_thresh && r.thresh) {
		snprintf(what, sizeof(what), "packets up to %u bytes are not split", r.thresh);
		finding_fix_safe(setting_add(x, "split-threshold", nic, what),
				 "devmem-doctor --split %s", nic->name);
	}
}

static void check_ntuple(struct exam *x, const struct nic *nic)
{
	bool on = true;

	if (nic_ntuple_get(nic->name, &on) || on)
		return;
	finding_fix_safe(setting_add(x, "flow-rules-on", nic, "flow rules (ntuple) are off"),
			 "ethtool -K %s ntuple on", nic->name);
}

static unsigned int queues_possible(const struct nic *nic)
{
	struct ethtool_channels c = { .cmd = ETHTOOL_GCHANNELS };

	if (nic_ethtool_ioctl(nic->name, &c))
		return 0;
	return c.max_combined ? c.max_combined : c.max_rx;
}

static void check_queues(struct exam *x, const struct nic *nic)
{
	const unsigned int want = (unsigned int)param_int(PARAM_QUEUES);
	_cleanup_free_ struct nic_queue *q = NULL;
	_cleanup_free_ uint32_t *used = NULL;
	unsigned int n = 0, n_used = 0, n_free, most;
	char text[64];
	const char *user = "";
	struct finding *f;

	if (nic_netdev_rx_queues(nic->ifindex, &q, &n) || n < 2)
		return;
	used = calloc(n, sizeof(*used));
	if (!used)
		return;
	for (unsigned int i = 0; i < n; i++) {
		if (!q[i].user)
			continue;
		used[n_used++] = q[i].id;
		user = q[i].user;
	}
	/* Queue 0 is never taken. */
	n_free = n - n_used - (n_used < n && !q[0].user);
	if (n_free >= want) {
		findings_add(&x->findings, "queues", nic->name, FINDING_OK,
			     "%u RX queues, %u free for devmem", n, n_free);
		return;
	}
	f = findings_add(&x->findings, "queues", nic->name, FINDING_FAIL,
			 "%u of %u RX queues free for devmem, %u wanted; taken (%s): %s", n_free, n,
			 want, user, nic_ranges_text(used, n_used, text, sizeof(text)));
	most = queues_possible(nic);
	if (most >= n + want - n_free)
		finding_fix(f, "ethtool -L %s combined %u (interrupts traffic for a moment)",
			    nic->name, n + want - n_free);
	else
		finding_fix(
			f,
			"end what holds the queues (devmem-doctor --since-boot names it), or use another NIC");
}

static void check_rules(struct exam *x, const struct nic *nic)
{
	unsigned int n, most;
	struct finding *f;

	if (nic_rule_table(nic->name, &n, &most)) {
		if (nic_rule_count(nic->name, &n))
			return;
		most = 0;
	}
	if (!most || most >= n + RULES_ROOM) {
		findings_add(&x->findings, "flow-rules", nic->name, FINDING_OK,
			     most ? "%u flow rules, room for %u" : "%u flow rules", n, most - n);
		return;
	}
	f = findings_add(
		&x->findings, "flow-rules", nic->name, most == n ? FINDING_FAIL : FINDING_WARN,
		"%u of %u flow rules are taken: a connection needs one for each data socket", n,
		most);
	finding_fix(f,
		    "delete what is not needed: ethtool -n %s lists them, ethtool -N %s delete "
		    "<id>; or lower NCCL_DEVMEM_SOCKETS",
		    nic->name, nic->name);
}

/* With settings that are the administrator's, ordinary traffic has to be off the last queues already. */
static void check_rss(struct exam *x, const struct nic *nic)
{
	_cleanup_(nic_rss_drop) struct nic_rss rss = { 0 };
	_cleanup_free_ struct nic_queue *q = NULL;
	_cleanup_free_ bool *bound = NULL;
	unsigned int n = 0, want = (unsigned int)param_int(PARAM_QUEUES);
	struct finding *f;

	if (param_bool(PARAM_NIC_SETUP) || nic_netdev_rx_queues(nic->ifindex, &q, &n) ||
	    n <= want || nic_rss_get(nic->name, &rss) || !rss.n)
		return;
	bound = calloc(n, sizeof(*bound));
	if (!bound)
		return;
	for (unsigned int i = n - want; i < n; i++)
		bound[i] = true;
	if (!nic_rss_hits(&rss, bound, n))
		return;
	f = findings_add(&x->findings, "rss", nic->name, FINDING_FAIL,
			 "ordinary flows are spread onto the last %u queue(s) too, and "
			 "NCCL_DEVMEM_NIC_SETUP=0",
			 want);
	finding_fix_safe(f, "ethtool -X %s equal %u", nic->name, n - want);
}

/* What part of the pages that packets of @payload bytes occupy is filled, in percent. */
static unsigned int pages_filled(unsigned int payload)
{
	unsigned int pages = (payload + PAGE - 1) / PAGE;

	return pages ? payload * 100 / (pages * PAGE) : 0;
}

/*
 * Each packet's payload begins in a page of its own, so the pool fills, and tokens are spent, by packets and not by bytes.
 */
static void check_mtu(struct exam *x, const struct nic *nic)
{
	unsigned int headers = nic->addr.ss_family == AF_INET6 ? HEADERS_V6 : HEADERS_V4;
	unsigned int payload = nic->mtu > headers ? nic->mtu - headers : 0;
	unsigned int filled = pages_filled(payload);
	struct finding *f;

	if (nic->is_loopback)
		return;
	if (filled >= 80) {
		findings_add(&x->findings, "mtu", nic->name, FINDING_OK,
			     "MTU %u: payload fills %u %% of the pages it takes", nic->mtu, filled);
		return;
	}
	f = findings_add(&x->findings, "mtu", nic->name, FINDING_WARN,
			 "MTU %u: %u bytes of payload fill %u %% of the pages they take in the "
			 "receive pool",
			 nic->mtu, payload, filled);
	finding_fix(f, "ip link set dev %s mtu %u (or %u; also on the switch and on every peer)",
		    nic->name, 2 * PAGE + headers, PAGE + headers);
}

/* What a job that died has left behind. */
static void check_left(struct exam *x, const struct nic *nic)
{
	struct nic_state st;
	struct verdict why;
	unsigned int dead = 0;

	if (nic_state_open(&st, nic->ifindex, nic->name, false, &why)) {
		if (why.err == -EACCES || why.err == -EPERM)
			findings_add(&x->findings, "left-over", nic->name, FINDING_NOTE,
				     "the record of changes cannot be read by this user");
		return;
	}
	for (unsigned int i = 0; i < st.n_owners; i++)
		dead += nic_owner_life(&st.owners[i]) == PROCESS_DEAD;
	if (dead || (!st.n_owners && (st.former.split >= 0 || st.former.ntuple >= 0 ||
				      st.former.thresh >= 0 || st.former.rss.n)))
		finding_fix(findings_add(&x->findings, "left-over", nic->name, FINDING_NOTE,
					 "settings of a job that died are still in place"),
			    "none needed: the next job's start puts them back");
	nic_state_close(&st);
}

static void check_link(struct exam *x, const struct nic *nic)
{
	char driver[64], bus[64], speed[32] = "speed unknown";
	int mbps = nic_speed_get(nic->name);

	nic_driver_get(nic->name, driver, sizeof(driver), bus, sizeof(bus));
	if (mbps > 0)
		snprintf(speed, sizeof(speed), "%g Gbit/s", mbps / 1000.0);
	findings_add(&x->findings, "link", nic->name, FINDING_OK, "%s%s%s, %s, MTU %u",
		     driver[0] ? driver : "no driver name", bus[0] && strcmp(bus, "N/A") ? " " : "",
		     bus[0] && strcmp(bus, "N/A") ? bus : "", speed, nic->mtu);
}

/* No driver for it is how most NICs are; anything else can be put right here. */
static enum finding_state gap_state(const struct nic *nic, const struct verdict *v)
{
	if (nic->is_loopback)
		return FINDING_NOTE;
	return v->err == -EOPNOTSUPP ? FINDING_WARN : FINDING_FAIL;
}

static void check_nic(struct exam *x, const struct nic *nic, const struct nic_caps *caps)
{
	check_link(x, nic);
	findings_add_verdict(&x->findings, "devmem-receive", nic->name,
			     gap_state(nic, &caps->rx_devmem), &caps->rx_devmem);
	findings_add_verdict(&x->findings, "devmem-send", nic->name,
			     gap_state(nic, &caps->tx_devmem), &caps->tx_devmem);
	check_left(x, nic);
	/* Of a NIC without devmem none of the rest matters. */
	if (caps->rx_devmem.err == -EOPNOTSUPP)
		return;
	check_split(x, nic);
	check_queues(x, nic);
	check_rss(x, nic);
	check_ntuple(x, nic);
	check_rules(x, nic);
	check_mtu(x, nic);
}

static void fixes_drop_unless_plain(struct exam *x, unsigned int from, const struct nic *nic)
{
	if (name_is_plain(nic->name))
		return;
	for (unsigned int i = from; i < x->findings.n; i++)
		x->findings.v[i].safe = false;
}

void check_nics(struct exam *x)
{
	static const int families[] = { AF_UNSPEC, AF_INET, AF_INET6 };
	struct verdict why;
	unsigned int from;

	if (nic_list(param_str(PARAM_IFNAME), families[param_choice(PARAM_FAMILY)], &x->nics,
		     &x->n_nics, &why) ||
	    !x->n_nics) {
		x->n_nics = 0;
		if (!why.err)
			why.err = -ENODEV;
		findings_add_verdict(&x->findings, "interfaces", "host", FINDING_FAIL, &why);
		return;
	}
	x->caps = calloc((size_t)x->n_nics, sizeof(*x->caps));
	if (!x->caps) {
		x->findings.incomplete = true;
		x->n_nics = 0;
		return;
	}
	for (int i = 0; i < x->n_nics; i++) {
		from = x->findings.n;
		nic_probe(&x->nics[i], &x->caps[i]);
		check_nic(x, &x->nics[i], &x->caps[i]);
		fixes_drop_unless_plain(x, from, &x->nics[i]);
	}
}
