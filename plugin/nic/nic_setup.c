// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/param.h"
#include "nic/nic_ethtool.h"
#include "nic/nic_netdev.h"
#include "nic/nic_setup.h"
#include "nic/nic_text.h"

/* Queues by number, as flags: @bound for those whose packets only devmem sockets can read. */
struct nic_queue_flags {
	bool *bound;
	bool *busy;
	unsigned int n;
	unsigned int n_bound;
};

static void queue_flags_drop(struct nic_queue_flags *f)
{
	free(f->bound);
	free(f->busy);
}

static int queue_flags_get(int ifindex, struct nic_queue_flags *ret)
{
	_cleanup_free_ struct nic_queue *q = NULL;
	struct nic_queue_flags f = { 0 };
	unsigned int n = 0;
	int err;

	err = nic_netdev_rx_queues(ifindex, &q, &n);
	if (err)
		return err;
	f.n = n ? q[n - 1].id + 1 : 0;
	f.bound = calloc(f.n + 1, sizeof(*f.bound));
	f.busy = calloc(f.n + 1, sizeof(*f.busy));
	if (!f.bound || !f.busy) {
		queue_flags_drop(&f);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < n; i++) {
		f.bound[q[i].id] = q[i].provider;
		f.busy[q[i].id] = q[i].user;
		f.n_bound += q[i].provider;
	}
	*ret = f;
	return 0;
}

static int mark_steered(const struct nic_rule *rule, void *arg)
{
	struct nic_queue_flags *f = arg;

	if (rule->queue < f->n)
		f->busy[rule->queue] = true;
	return 0;
}

int nic_setup_choose(const struct nic_state *st, unsigned int n, unsigned int *ret_queues,
		     struct verdict *why)
{
	_cleanup_(queue_flags_drop) struct nic_queue_flags f = { 0 };
	unsigned int free_queues = 0;
	char remedy[160];
	int err;

	err = queue_flags_get(st->ifindex, &f);
	if (err)
		return verdict_set(why, err, NULL, "%s: listing the queues: %s", st->ifname,
				   strerror(-err));
	if (param_bool(PARAM_NIC_SETUP))
		nic_rule_walk(st->ifname, NULL, mark_steered, &f);

	for (unsigned int q = f.n; q-- > 1;)
		if (!f.busy[q] && free_queues++ < n)
			ret_queues[n - free_queues] = q;
	if (free_queues >= n)
		return 0;
	snprintf(remedy, sizeof(remedy), "ethtool -L %s combined <more>, or NCCL_DEVMEM_QUEUES=%u",
		 st->ifname, free_queues ? free_queues : 1);
	return verdict_set(why, -EBUSY, remedy,
			   "%s: %u of its %u RX queues are free for devmem (queue 0 stays for "
			   "other traffic), %u asked for",
			   st->ifname, free_queues, f.n, n);
}

static const char *split_text(int split)
{
	return split == ETHTOOL_TCP_DATA_SPLIT_ENABLED ? "on" : "off";
}

/* Records before it changes; without a record nothing may be changed. */
static int record(struct nic_state *st, struct verdict *why)
{
	int err = nic_state_save(st);

	if (err)
		return verdict_set(why, err,
				   "make room in, or choose another, NCCL_DEVMEM_STATE_DIR",
				   "%s: the former settings could not be recorded in %s: %s",
				   st->ifname, param_str(PARAM_STATE_DIR), strerror(-err));
	return 0;
}

static int setup_split(struct nic_state *st, struct verdict *why)
{
	struct nic_rings now, want = { 0 };
	char remedy[160], ext[160];
	bool right;
	int err;

	snprintf(remedy, sizeof(remedy), "ethtool -G %s tcp-data-split on hds-thresh 0",
		 st->ifname);
	err = nic_rings_get(st->ifindex, &now);
	if (!err && !now.has_split)
		err = -EOPNOTSUPP;
	if (err)
		return verdict_set(why, err, NULL, "%s: header split (tcp-data-split): %s",
				   st->ifname, strerror(-err));

	right = now.split == ETHTOOL_TCP_DATA_SPLIT_ENABLED && (!now.has_thresh || !now.thresh);
	if (!param_bool(PARAM_NIC_SETUP)) {
		if (right)
			return 0;
		return verdict_set(why, -EOPNOTSUPP, remedy,
				   "%s: header split is %s with threshold %u, and "
				   "NCCL_DEVMEM_NIC_SETUP=0 forbids to change it",
				   st->ifname, split_text(now.split), now.thresh);
	}

	if (now.split != ETHTOOL_TCP_DATA_SPLIT_ENABLED && st->former.split < 0)
		st->former.split = now.split;
	if (now.has_thresh && now.thresh && st->former.thresh < 0)
		st->former.thresh = now.thresh;
	err = record(st, why);
	if (err)
		return err;

	/*
	 * Asked for even where it reads "on": a driver may split by itself, but bind-rx wants it to
	 * be configured (Linux 7.2, net/core/netdev_rx_queue.c). Where it is, this changes nothing.
	 */
	want.has_split = true;
	want.split = ETHTOOL_TCP_DATA_SPLIT_ENABLED;
	want.has_thresh = now.has_thresh;
	err = nic_rings_set(st->ifindex, &want, ext, sizeof(ext));
	if (err)
		return verdict_set(why, err, remedy, "%s: header split cannot be turned on: %s%s%s",
				   st->ifname, strerror(-err), ext[0] ? ": " : "", ext);
	if (now.split != ETHTOOL_TCP_DATA_SPLIT_ENABLED)
		log_info("%s: tcp-data-split %s -> on", st->ifname, split_text(now.split));
	if (now.has_thresh && now.thresh)
		log_info("%s: hds-thresh %u -> 0", st->ifname, now.thresh);
	return 0;
}

static int setup_ntuple(struct nic_state *st, struct verdict *why)
{
	char remedy[96];
	bool on;
	int err;

	snprintf(remedy, sizeof(remedy), "ethtool -K %s ntuple on", st->ifname);
	err = nic_ntuple_get(st->ifname, &on);
	if (!err && on)
		return 0;
	if (!err && !param_bool(PARAM_NIC_SETUP))
		return verdict_set(why, -EOPNOTSUPP, remedy,
				   "%s: flow rules are off, and NCCL_DEVMEM_NIC_SETUP=0 forbids to "
				   "turn them on",
				   st->ifname);
	if (!err) {
		if (st->former.ntuple < 0)
			st->former.ntuple = 0;
		err = record(st, why);
		if (err)
			return err;
		err = nic_ntuple_set(st->ifname, true);
	}
	if (err)
		return verdict_set(why, err, remedy,
				   "%s: flow rules (ntuple) cannot be turned on: %s", st->ifname,
				   strerror(-err));
	log_info("%s: ntuple-filters off -> on", st->ifname);
	return 0;
}

static void log_rss(const char *ifname, const struct nic_rss *was, const struct nic_rss *is)
{
	char a[NIC_RANGES_MAX], b[NIC_RANGES_MAX];

	log_info("%s: RSS over queues %s -> %s", ifname,
		 nic_ranges_text(was->entry, was->n, a, sizeof(a)),
		 nic_ranges_text(is->entry, is->n, b, sizeof(b)));
}

/* Was this table written by one of us, or found by the first of us? */
static bool rss_is_ours(const struct nic_former *f, const struct nic_rss *rss)
{
	return nic_rss_equal(rss, &f->rss) || nic_rss_equal(rss, &f->rss_set) ||
	       nic_rss_equal(rss, &f->rss_next);
}

static void rss_next_is_set(struct nic_state *st)
{
	nic_rss_drop(&st->former.rss_set);
	st->former.rss_set = st->former.rss_next;
	st->former.rss_next = (struct nic_rss){ 0 };
}

/* Recorded as the next one before, as the one set after: whoever dies in between, it is known. */
static int write_rss(struct nic_state *st, struct nic_rss *want, unsigned int n_queues,
		     struct verdict *why)
{
	int err;

	err = nic_rss_copy(&st->former.rss_next, want);
	if (err)
		return verdict_set(why, err, NULL, "out of memory");
	err = record(st, why);
	if (err)
		return err;
	err = nic_rss_set(st->ifname, want, n_queues);
	if (err)
		return verdict_set(why, err, NULL, "%s: writing the RSS table: %s", st->ifname,
				   strerror(-err));
	rss_next_is_set(st);
	return 0;
}

/*
 * RSS away from what is bound. Somebody else's table (neither ours nor the former one) becomes
 * the one to go back to.
 */
static int setup_rss(struct nic_state *st, const struct nic_queue_flags *f, struct verdict *why)
{
	_cleanup_(nic_rss_drop) struct nic_rss now = { 0 };
	_cleanup_(nic_rss_drop) struct nic_rss want = { 0 };
	char remedy[96];
	int err;

	err = nic_rss_get(st->ifname, &now);
	if (err)
		return verdict_set(why, err, NULL, "%s: reading the RSS table: %s", st->ifname,
				   strerror(-err));
	if (!now.n)
		return verdict_set(
			why, -EOPNOTSUPP, NULL,
			"%s: no RSS table, so other traffic cannot be kept off a bound queue",
			st->ifname);

	if (!param_bool(PARAM_NIC_SETUP)) {
		if (!nic_rss_hits(&now, f->bound, f->n))
			return 0;
		snprintf(remedy, sizeof(remedy),
			 "ethtool -X %s equal <queues below the bound ones>", st->ifname);
		return verdict_set(why, -EOPNOTSUPP, remedy,
				   "%s: RSS leads other traffic to a queue to be bound, and "
				   "NCCL_DEVMEM_NIC_SETUP=0 forbids to change it",
				   st->ifname);
	}

	if (!st->former.rss.n || !rss_is_ours(&st->former, &now)) {
		err = nic_rss_copy(&st->former.rss, &now);
		if (err)
			return verdict_set(why, err, NULL, "out of memory");
	}
	err = nic_rss_avoid(&st->former.rss, f->bound, f->n, &want);
	if (err)
		return verdict_set(why, err, NULL, "%s: every queue that RSS could use is bound",
				   st->ifname);
	if (nic_rss_equal(&want, &now)) {
		/* What a dead process was to write next has been written, or is out of date. */
		if (nic_rss_equal(&st->former.rss_next, &now))
			rss_next_is_set(st);
		nic_rss_drop(&st->former.rss_next);
		return record(st, why);
	}
	err = write_rss(st, &want, f->n, why);
	if (!err)
		log_rss(st->ifname, &now, &want);
	return err;
}

int nic_setup_apply(struct nic_state *st, const unsigned int *queues, unsigned int n,
		    struct verdict *why)
{
	_cleanup_(queue_flags_drop) struct nic_queue_flags f = { 0 };
	int err;

	err = setup_split(st, why);
	if (err)
		return err;
	err = setup_ntuple(st, why);
	if (err)
		return err;
	err = queue_flags_get(st->ifindex, &f);
	if (err)
		return verdict_set(why, err, NULL, "%s: listing the queues: %s", st->ifname,
				   strerror(-err));
	for (unsigned int i = 0; i < n; i++)
		if (queues[i] < f.n)
			f.bound[queues[i]] = true;
	return setup_rss(st, &f, why);
}

/* Is this failure final, so that trying again later makes no sense? */
static bool gone(int err)
{
	return err == -ENODEV || err == -EOPNOTSUPP;
}

static void restore_rss(struct nic_state *st, const struct nic_queue_flags *f)
{
	_cleanup_(nic_rss_drop) struct nic_rss now = { 0 };
	int err;

	if (!st->former.rss.n)
		return;
	err = nic_rss_get(st->ifname, &now);
	if (!err && !nic_rss_equal(&now, &st->former.rss)) {
		if (!rss_is_ours(&st->former, &now)) {
			log_info("%s: RSS was changed by somebody else and stays as it is",
				 st->ifname);
		} else {
			err = nic_rss_set(st->ifname, &st->former.rss, f->n);
			if (!err)
				log_rss(st->ifname, &now, &st->former.rss);
		}
	}
	if (err)
		log_warn("%s: the former RSS table could not be put back: %s", st->ifname,
			 strerror(-err));
	if (!err || gone(err)) {
		nic_rss_drop(&st->former.rss);
		nic_rss_drop(&st->former.rss_set);
		nic_rss_drop(&st->former.rss_next);
	}
}

static void restore_split(struct nic_state *st)
{
	struct nic_rings now = { 0 }, want = { 0 };
	char ext[160] = "";
	int err;

	if (st->former.split < 0 && st->former.thresh < 0)
		return;
	err = nic_rings_get(st->ifindex, &now);
	if (!err && now.split == ETHTOOL_TCP_DATA_SPLIT_ENABLED && st->former.split >= 0) {
		want.has_split = true;
		want.split = (uint8_t)st->former.split;
	}
	if (!err && now.has_thresh && !now.thresh && st->former.thresh >= 0) {
		want.has_thresh = true;
		want.thresh = (uint32_t)st->former.thresh;
	}
	if (!err && (want.has_split || want.has_thresh))
		err = nic_rings_set(st->ifindex, &want, ext, sizeof(ext));
	if (err)
		log_warn("%s: header split could not be put back to its former state: %s%s%s",
			 st->ifname, strerror(-err), ext[0] ? ": " : "", ext);
	if (!err && want.has_split)
		log_info("%s: tcp-data-split on -> %s", st->ifname, split_text(want.split));
	if (!err && want.has_thresh)
		log_info("%s: hds-thresh 0 -> %u", st->ifname, want.thresh);
	if (!err || gone(err)) {
		st->former.split = -1;
		st->former.thresh = -1;
	}
}

static void restore_ntuple(struct nic_state *st)
{
	unsigned int rules = 0;
	bool on = false;
	int err;

	if (st->former.ntuple != 0)
		return;
	err = nic_ntuple_get(st->ifname, &on);
	if (!err && on)
		err = nic_rule_count(st->ifname, &rules);
	if (!err && on && rules) {
		/* Turning the feature off throws rules away that somebody else relies on by now. */
		log_info("%s: ntuple-filters stay on, for %u rules of others", st->ifname, rules);
	} else if (!err && on) {
		err = nic_ntuple_set(st->ifname, false);
		if (!err)
			log_info("%s: ntuple-filters on -> off", st->ifname);
	}
	if (err)
		log_warn("%s: ntuple-filters could not be turned off again: %s", st->ifname,
			 strerror(-err));
	if (!err || gone(err))
		st->former.ntuple = -1;
}

static void settle(struct nic_state *st, const struct nic_queue_flags *f)
{
	struct verdict why;

	if (!st->n_owners && !f->n_bound) {
		restore_rss(st, f);
		restore_split(st);
		restore_ntuple(st);
		return;
	}
	if (!st->n_owners)
		log_warn("%s: %u queues are still bound by other programs; former settings are put "
			 "back later",
			 st->ifname, f->n_bound);
	if (st->former.rss.n && param_bool(PARAM_NIC_SETUP) && setup_rss(st, f, &why))
		log_warn("%s", why.reason);
}

void nic_setup_settle(struct nic_state *st)
{
	struct nic_queue_flags f = { 0 };
	int err;

	err = queue_flags_get(st->ifindex, &f);
	if (err == -ENODEV) /* its settings are gone with it */
		nic_state_clear(st);
	else if (err)
		log_warn("%s: listing the queues: %s; its settings stay as they are", st->ifname,
			 strerror(-err));
	else
		settle(st, &f);
	queue_flags_drop(&f);

	err = nic_state_save(st);
	if (err)
		log_warn("%s: its record in %s could not be written: %s", st->ifname,
			 param_str(PARAM_STATE_DIR), strerror(-err));
}

/* A process that cannot be asked about lives as long as its binding does. */
static bool still_bound(int ifindex, const struct nic_owner *o)
{
	struct nic_queue *q = NULL;
	unsigned int n = 0;
	bool bound = false;

	if (nic_netdev_rx_queues(ifindex, &q, &n))
		return true;
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int k = 0; k < o->n_queues; k++)
			if (q[i].id == o->queues[k] && q[i].dmabuf && q[i].dmabuf == o->dmabuf)
				bound = true;
	free(q);
	return bound;
}

struct reap_ctx {
	const char *ifname;
	const struct nic_owner *owner;
	unsigned int removed;
};

static int reap_rule(const struct nic_rule *rule, void *arg)
{
	struct reap_ctx *c = arg;
	int err;

	for (unsigned int i = 0; rule->exact && i < c->owner->n_rules; i++) {
		const struct nic_owner_rule *r = &c->owner->rules[i];

		if (rule->queue != r->queue || !nic_flow_equal(&rule->flow, &r->flow))
			continue;
		err = nic_rule_del(c->ifname, &r->flow, r->queue, rule->loc);
		if (err && err != -ENOENT)
			return err;
		c->removed += !err;
		break;
	}
	return 0;
}

int nic_setup_reap(struct nic_state *st)
{
	int dropped = 0;

	for (unsigned int i = 0; i < st->n_owners;) {
		struct nic_owner *o = &st->owners[i];
		struct reap_ctx c = { .ifname = st->ifname, .owner = o };
		enum process_life life = nic_owner_life(o);
		int err = 0;

		if (life == PROCESS_ALIVE ||
		    (life == PROCESS_UNKNOWN && still_bound(st->ifindex, o))) {
			i++;
			continue;
		}
		if (o->n_rules)
			err = nic_rule_walk(st->ifname, NULL, reap_rule, &c);
		if (err && !gone(err))
			return err;
		log_info("%s: process %d ended without putting its settings back; removed %u of "
			 "its flow rules",
			 st->ifname, (int)o->pid, c.removed);
		nic_state_owner_drop(st, o);
		dropped++;
	}
	return dropped;
}
