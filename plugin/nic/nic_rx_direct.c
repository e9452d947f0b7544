// SPDX-License-Identifier: BSD-3-Clause
/*
 * Receive bindings that this process makes itself.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/param.h"
#include "nic/nic_netdev.h"
#include "nic/nic_rx.h"
#include "nic/nic_setup.h"
#include "nic/nic_state.h"
#include "nic/nic_text.h"
#include "uapi/netdev_genl.h"

/* Without NCCL_DEVMEM_NIOV_SIZE: net_iovs of this size in dmabufs that hold at least so many of them. */
#define NIC_NIOV_AUTO	    (64U << 10)
#define NIC_NIOV_AUTO_LEAST 1024

static uint32_t nic_rx_tag;
static uint32_t nic_rx_rule_id;

/*
 * The net_iov size to try first, 0 for the page that every kernel has. Large ones make receiving cheaper, since the cost is
 * one of frags; but each token holds a whole one, so unless asked for they need a pool of many.
 */
static uint32_t nic_niov_size_wanted(const struct nic_rx *rx, int dmabuf_fd)
{
	uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);
	uint32_t want = rx->client.niov_asked;
	off_t size = lseek(dmabuf_fd, 0, SEEK_END);

	if (!want)
		want = size / NIC_NIOV_AUTO >= NIC_NIOV_AUTO_LEAST ? NIC_NIOV_AUTO : page;
	return want > page ? want : 0;
}

/*
 * Binds with the largest net_iovs that kernel, driver and memory take, from the wanted size down in powers of four. A kernel
 * that takes the attribute but does not answer with the size means something else by it: then bind without.
 */
static int nic_rx_bind_queues(struct nic_rx *rx, int dmabuf_fd)
{
	uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);
	uint32_t size = nic_niov_size_wanted(rx, dmabuf_fd);
	struct nic_binding b;
	char why[sizeof(rx->nl.ext)] = "";
	int err;

	for (;;) {
		b.niov_size = size > page ? size : 0;
		err = nic_nl_open(&rx->nl, NDEV_FAMILY);
		if (err)
			return err;
		err = nic_netdev_bind_rx(&rx->nl, rx->ifindex, dmabuf_fd, rx->queues, rx->n_queues,
					 &b);
		if (size <= page || (!err && b.niov_size == size) ||
		    (err && err != -EINVAL && err != -EOPNOTSUPP && err != -E2BIG))
			break;
		if (err && !why[0])
			snprintf(why, sizeof(why), "%s",
				 rx->nl.ext[0] ? rx->nl.ext : strerror(-err));
		size = err ? size / 4 : 0;
		nic_nl_close(&rx->nl);
	}
	if (err)
		return err;
	rx->dmabuf = b.id;
	rx->niov_size = b.niov_size ? b.niov_size : page;
	if (rx->client.niov_asked > rx->niov_size)
		log_warn("%s: net_iovs of %u bytes instead of %u: %s", rx->name, rx->niov_size,
			 rx->client.niov_asked, why);
	return 0;
}

/* Everything that changes the NIC; on failure the caller settles. */
static int nic_rx_make(struct nic_rx *rx, struct nic_state *st, int dmabuf_fd, struct verdict *why)
{
	struct nic_owner *owner;
	int err;

	owner = nic_state_owner_add(st, rx->tag, rx->queues, rx->n_queues);
	if (!owner)
		return verdict_set(why, -ENOMEM, NULL, "out of memory");
	owner->user = rx->client.user;
	err = nic_setup_apply(st, rx->queues, rx->n_queues, why);
	if (err)
		return err;
	err = nic_rx_bind_queues(rx, dmabuf_fd);
	if (err) {
		verdict_set(why, err == -EEXIST ? -EBUSY : err, NULL,
			    "%s: bind-rx to queue %s: %s%s%s", rx->name, rx->queue_text,
			    strerror(-err), rx->nl.ext[0] ? ": " : "", rx->nl.ext);
		nic_nl_close(&rx->nl);
		return why->err;
	}
	owner->dmabuf = rx->dmabuf;
	err = nic_state_save(st);
	if (err)
		log_warn("%s: its record in %s could not be written: %s", rx->name,
			 param_str(PARAM_STATE_DIR), strerror(-err));
	return 0;
}

/* Under the record's lock, so that two processes of one user do not both find room for one. */
static int nic_rx_check_user(const struct nic_rx *rx, const struct nic_state *st,
			     struct verdict *why)
{
	const struct nic_rx_client *c = &rx->client;
	unsigned int has;

	if (c->user == NIC_OWNER_SELF)
		return 0;
	has = nic_state_user_queues(st, c->user);
	if (has + rx->n_queues <= c->queues_max)
		return 0;
	return verdict_set(why, -EDQUOT,
			   "end other jobs of this user; or user-queues in [broker] of the "
			   "broker's nicd.conf",
			   "%s: user %u may have %u RX queues bound, has %u, and asks for %u",
			   rx->name, c->user, c->queues_max, has, rx->n_queues);
}

static int direct_bind(struct nic_rx *rx, int dmabuf_fd, struct verdict *why)
{
	struct nic_owner *owner;
	struct nic_state st;
	int err;

	rx->tag = ++nic_rx_tag;
	err = nic_state_open(&st, rx->ifindex, rx->name, true, why);
	if (err)
		return err;
	err = nic_setup_reap(&st);
	if (err < 0)
		log_warn("%s: left-overs of a dead process could not be removed: %s", rx->name,
			 strerror(-err));
	err = nic_rx_check_user(rx, &st, why);
	if (!err)
		err = nic_setup_choose(&st, rx->n_queues, rx->queues, why);
	if (err) {
		/* Nothing of ours to undo, but a dead process's settings may wait. */
		if (!st.n_owners)
			nic_setup_settle(&st);
		goto close;
	}
	nic_ranges_text(rx->queues, rx->n_queues, rx->queue_text, sizeof(rx->queue_text));
	err = nic_rx_make(rx, &st, dmabuf_fd, why);
	if (err) {
		owner = nic_state_owner_find(&st, rx->tag);
		if (owner)
			nic_state_owner_drop(&st, owner);
		nic_setup_settle(&st);
	}
close:
	nic_state_close(&st);
	return err;
}

static unsigned int nic_rx_least_used(const struct nic_rx *rx)
{
	unsigned int best = 0;

	for (unsigned int i = 1; i < rx->n_queues; i++)
		if (rx->flows[i] < rx->flows[best])
			best = i;
	return best;
}

static struct nic_rx_rule *nic_rx_rule_new(struct nic_rx *rx)
{
	struct nic_rx_rule *rules = realloc(rx->rules, (rx->n_rules + 1) * sizeof(*rules));

	if (!rules)
		return NULL;
	rx->rules = rules;
	memset(&rules[rx->n_rules], 0, sizeof(*rules));
	return &rules[rx->n_rules];
}

static void nic_rx_rule_keep(struct nic_rx *rx, struct nic_rx_rule *rule)
{
	rule->id = ++nic_rx_rule_id;
	rx->flows[rule->slot]++;
	rx->n_rules++;
}

static void nic_rx_rule_name(const struct nic_rx *rx, const struct nic_flow *flow, char *buf,
			     size_t len)
{
	char src[INET6_ADDRSTRLEN] = "?", dst[INET6_ADDRSTRLEN] = "?";

	inet_ntop(flow->family, flow->src, src, sizeof(src));
	inet_ntop(flow->family, flow->dst, dst, sizeof(dst));
	snprintf(buf, len,
		 "ethtool -N %s flow-type tcp%d src-ip %s dst-ip %s src-port %u dst-port %u action "
		 "%u",
		 rx->name, flow->family == AF_INET6 ? 6 : 4, src, dst, ntohs(flow->sport),
		 ntohs(flow->dport), rx->queues[0]);
}

struct nic_rx_cover {
	const struct nic_rx *rx;
	unsigned int slot;
	uint32_t loc;
};

static int nic_rx_on_cover(const struct nic_rule *rule, void *arg)
{
	struct nic_rx_cover *c = arg;

	for (unsigned int i = 0; rule->covers && i < c->rx->n_queues; i++) {
		if (rule->queue != c->rx->queues[i])
			continue;
		c->slot = i;
		c->loc = rule->loc;
		return 1;
	}
	return 0;
}

/* Where rules are the administrator's, one of his must lead the flow to a bound queue. */
static int nic_rx_find_rule(struct nic_rx *rx, struct nic_rx_rule *rule, struct verdict *why)
{
	struct nic_rx_cover c = { .rx = rx };
	char remedy[192];
	int ret;

	ret = nic_rule_walk(rx->name, &rule->flow, nic_rx_on_cover, &c);
	if (ret > 0) {
		rule->slot = c.slot;
		rule->loc = c.loc;
		rule->foreign = true;
		return 0;
	}
	nic_rx_rule_name(rx, &rule->flow, remedy, sizeof(remedy));
	return verdict_set(why, ret ? ret : -ENOENT, remedy,
			   "%s: no flow rule leads this connection to queue %s, and "
			   "NCCL_DEVMEM_NIC_SETUP=0 forbids to add one",
			   rx->name, rx->queue_text);
}

static int nic_rx_rule_failed(const struct nic_rx *rx, const struct nic_flow *flow, int err,
			      struct verdict *why)
{
	char text[NIC_FLOW_TEXT_MAX], remedy[96];

	nic_flow_text(flow, text, sizeof(text));
	snprintf(remedy, sizeof(remedy), "look at its rules: ethtool -n %s", rx->name);
	if (err == -ENOSPC)
		return verdict_set(why, err, remedy, "%s: the flow rule table is full (%s)",
				   rx->name, text);
	if (err == -EPERM)
		return verdict_set(why, err, "keep CAP_NET_ADMIN while connections are made",
				   "%s: adding a flow rule needs CAP_NET_ADMIN", rx->name);
	return verdict_set(why, err, remedy, "%s: adding the flow rule %s: %s", rx->name, text,
			   strerror(-err));
}

/* The rule goes into the record first: a crash in between leaves a record without a rule. */
static int nic_rx_add_rule(struct nic_rx *rx, struct nic_rx_rule *rule, struct verdict *why)
{
	unsigned int queue = rx->queues[rule->slot];
	struct nic_owner *owner;
	struct nic_state st;
	int err;

	err = nic_state_open(&st, rx->ifindex, rx->name, true, why);
	if (err)
		return err;
	owner = nic_state_owner_find(&st, rx->tag);
	if (!owner) {
		log_warn("%s: its record in %s is gone; settings and rules will not be put back "
			 "after a crash",
			 rx->name, param_str(PARAM_STATE_DIR));
	} else {
		err = nic_owner_rule_add(owner, &rule->flow, queue);
		if (!err)
			err = nic_state_save(&st);
		if (err) {
			verdict_set(why, err, NULL, "%s: recording the flow rule in %s: %s",
				    rx->name, param_str(PARAM_STATE_DIR), strerror(-err));
			goto close;
		}
	}
	err = nic_rule_add(rx->name, &rule->flow, queue, &rule->loc);
	if (err) {
		nic_rx_rule_failed(rx, &rule->flow, err, why);
		err = why->err;
		if (owner) {
			nic_owner_rule_drop(owner, &rule->flow);
			nic_state_save(&st);
		}
	}
close:
	nic_state_close(&st);
	return err;
}

static int direct_steer(struct nic_rx *rx, const struct nic_flow *flow, int sock,
			uint32_t *ret_rule, struct verdict *why)
{
	struct nic_rx_rule *rule;
	int err;

	(void)sock;
	rule = nic_rx_rule_new(rx);
	if (!rule)
		return verdict_set(why, -ENOMEM, NULL, "out of memory");
	rule->flow = *flow;
	rule->slot = nic_rx_least_used(rx);
	if (param_bool(PARAM_NIC_SETUP))
		err = nic_rx_add_rule(rx, rule, why);
	else
		err = nic_rx_find_rule(rx, rule, why);
	if (err)
		return err;
	nic_rx_rule_keep(rx, rule);
	if (!rule->foreign)
		counter_inc(rules);
	verdict_set(why, 0, NULL, "%s: steered to queue %u", rx->name, rx->queues[rule->slot]);
	*ret_rule = rule->id;
	return 0;
}

/*
 * Off the NIC; the record follows. The rule may be gone with the device, or removed by hand. False:
 * it is still there, and must stay recorded for somebody who can remove it.
 */
static bool nic_rx_rule_remove(struct nic_rx *rx, const struct nic_rx_rule *rule)
{
	char text[NIC_FLOW_TEXT_MAX];
	int err;

	if (rule->foreign)
		return true;
	err = nic_rule_del(rx->name, &rule->flow, rx->queues[rule->slot], rule->loc);
	if (!err)
		counter_inc(rules_removed);
	if (!err || err == -ENOENT || err == -ENODEV)
		return true;
	log_warn(
		"%s: flow rule %u (%s) could not be removed: %s; remove it with: ethtool -N %s delete %u",
		rx->name, rule->loc, nic_flow_text(&rule->flow, text, sizeof(text)), strerror(-err),
		rx->name, rule->loc);
	return false;
}

static void nic_rx_unsteer_locked(struct nic_rx *rx, struct nic_rx_rule *rule)
{
	struct nic_rx_rule gone = *rule;
	struct nic_owner *owner;
	struct nic_state st;
	struct verdict why;

	*rule = rx->rules[--rx->n_rules];
	rx->flows[gone.slot]--;
	if (!nic_rx_rule_remove(rx, &gone)) {
		rx->stuck_rules = true;
		return;
	}
	if (gone.foreign)
		return;
	if (nic_state_open(&st, rx->ifindex, rx->name, false, &why)) {
		log_debug("%s", why.reason);
		return;
	}
	owner = nic_state_owner_find(&st, rx->tag);
	if (owner) {
		nic_owner_rule_drop(owner, &gone.flow);
		nic_state_save(&st);
	}
	nic_state_close(&st);
}

static void direct_unsteer(struct nic_rx *rx, uint32_t rule)
{
	for (unsigned int i = 0; i < rx->n_rules; i++) {
		if (rx->rules[i].id == rule) {
			nic_rx_unsteer_locked(rx, &rx->rules[i]);
			break;
		}
	}
}

/*
 * Rules first, so that the flows' packets go to ordinary queues before the buffers do; then the
 * binding, because the kernel keeps header split on while there is one; settings last.
 */
static void direct_undo(struct nic_rx *rx)
{
	struct nic_owner *owner;
	struct nic_state st;
	struct verdict why;

	for (unsigned int i = 0; i < rx->n_rules; i++)
		if (!nic_rx_rule_remove(rx, &rx->rules[i]))
			rx->stuck_rules = true;
	nic_nl_close(&rx->nl);

	if (nic_state_open(&st, rx->ifindex, rx->name, false, &why)) {
		log_warn("%s: former settings are not put back now: %s", rx->name, why.reason);
		return;
	}
	owner = nic_state_owner_find(&st, rx->tag);
	/* With rules that could not be removed it stays, until the process is gone and they are. */
	if (owner && !rx->stuck_rules)
		nic_state_owner_drop(&st, owner);
	nic_setup_settle(&st);
	nic_state_close(&st);
}

static void direct_forget(struct nic_rx *rx)
{
	nic_nl_forget(&rx->nl);
}

const struct nic_rx_ops nic_rx_direct = {
	.bind = direct_bind,
	.steer = direct_steer,
	.unsteer = direct_unsteer,
	.undo = direct_undo,
	.forget = direct_forget,
};
