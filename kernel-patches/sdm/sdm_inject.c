// SPDX-License-Identifier: GPL-2.0
/*
 * Injection of faults, for tests: what a bad wire, or a reader that is too slow, does
 * to one receive queue, and nothing else. Switched through debugfs:
 *
 *	sdm/<device>@<inode of its network namespace>/rx-<queue>/
 *		loss_ppm	packets lost, in a million
 *		delay_us	time that each packet takes longer, up to 10 s
 *		reorder_ppm	packets that later ones overtake, in a million
 *		reorder_gap	by how many, 1 to 64 (3)
 *		reorder_us	for how long they wait for those at most, up to 10 s (20000)
 *		starve_ppm	requests for a niov that find none, in a million
 *		seed		what decides is drawn from; writing begins anew
 *
 * A packet is what the lower device hands up, so possibly an aggregate. All are 0 at
 * first, and a queue where they are pays for one test a packet.
 *
 * Whether the n-th packet of a queue since the seed was written is lost or overtaken
 * depends on the seed and n alone, likewise for the n-th request for a niov. A test
 * whose traffic repeats meets the same faults again.
 *
 * Packets go through two lists: those being overtaken, then those being delayed, which
 * stay in order. Both have a limit; a packet that finds the first one full is not
 * overtaken, one that finds the second one full is lost and counted as such.
 */
#include <linux/debugfs.h>
#include <linux/jhash.h>
#include <linux/netdevice.h>
#include <net/sock.h>

#include "sdm.h"

#define SDM_INJECT_MILLION	1000000
#define SDM_INJECT_TIME_MAX	(10 * USEC_PER_SEC)
#define SDM_INJECT_GAP_MAX	64
#define SDM_INJECT_GAP_DEFAULT	3
#define SDM_INJECT_HOLD_DEFAULT	(20 * USEC_PER_MSEC)
/* Packets that may be under way on the longer wire */
#define SDM_INJECT_DELAYED_MAX	8192

static const struct {
	const char *name;
	u32 min, max;
} sdm_inject_params[SDM_NR_INJECT] = {
	[SDM_INJECT_LOSS]	= { "loss_ppm", 0, SDM_INJECT_MILLION },
	[SDM_INJECT_DELAY]	= { "delay_us", 0, SDM_INJECT_TIME_MAX },
	[SDM_INJECT_REORDER]	= { "reorder_ppm", 0, SDM_INJECT_MILLION },
	[SDM_INJECT_GAP]	= { "reorder_gap", 1, SDM_INJECT_GAP_MAX },
	[SDM_INJECT_HOLD]	= { "reorder_us", 1, SDM_INJECT_TIME_MAX },
	[SDM_INJECT_STARVE]	= { "starve_ppm", 0, SDM_INJECT_MILLION },
	[SDM_INJECT_SEED]	= { "seed", 0, U32_MAX },
};

static struct dentry *sdm_inject_root;

/* The fate of the @n-th packet, or niov, as to @what */
static bool sdm_inject_hits(const struct sdm_inject *inj, u32 n, enum sdm_inject_what what)
{
	u32 draw = jhash_3words(n, what, READ_ONCE(inj->param[SDM_INJECT_SEED].value), 0);

	return reciprocal_scale(draw, SDM_INJECT_MILLION) < READ_ONCE(inj->param[what].value);
}

/* Off again when nothing is asked for and no packet waits. */
static void sdm_inject_update(struct sdm_inject *inj)
{
	bool on = inj->param[SDM_INJECT_LOSS].value || inj->param[SDM_INJECT_DELAY].value ||
		  inj->param[SDM_INJECT_REORDER].value || inj->param[SDM_INJECT_STARVE].value ||
		  inj->held.qlen || inj->delayed.qlen;

	WRITE_ONCE(inj->on, on);
}

/* The first packet of each list is the next of it to go on. */
static void sdm_inject_arm(struct sdm_inject *inj)
{
	const struct sk_buff *held = skb_peek(&inj->held), *delayed = skb_peek(&inj->delayed);
	ktime_t due = KTIME_MAX;

	if (held)
		due = SDM_RX_CB(held)->due;
	if (delayed && ktime_before(SDM_RX_CB(delayed)->due, due))
		due = SDM_RX_CB(delayed)->due;
	if (due == KTIME_MAX)
		return;
	if (!hrtimer_is_queued(&inj->timer) || ktime_before(due, hrtimer_get_expires(&inj->timer)))
		hrtimer_start(&inj->timer, due, HRTIMER_MODE_ABS_SOFT);
}

/* Second list, or none: later packets never pass those that are in it. */
static void sdm_inject_delay(struct sdm_queue *q, struct sk_buff *skb, ktime_t now)
{
	struct sdm_inject *inj = &q->inject;
	u32 delay = inj->param[SDM_INJECT_DELAY].value;

	if (!delay && !inj->delayed.qlen) {
		sdm_rx_enqueue(q, skb);
		return;
	}
	if (inj->delayed.qlen >= SDM_INJECT_DELAYED_MAX) {
		sdm_count(q, SDM_RX_DROP_INJECTED, 1);
		kfree_skb(skb);
		return;
	}
	/* It is on a wire: the sender's small queue is not full of it. */
	skb_orphan_partial(skb);
	SDM_RX_CB(skb)->due = ktime_add_us(now, delay);
	__skb_queue_tail(&inj->delayed, skb);
	sdm_count(q, SDM_RX_INJECT_DELAYED, 1);
}

/* Lets those go that have been overtaken often, or waited long, enough. */
static void sdm_inject_let_go(struct sdm_queue *q, ktime_t now)
{
	struct sdm_inject *inj = &q->inject;
	struct sk_buff *skb;

	while ((skb = skb_peek(&inj->held))) {
		const struct sdm_rx_cb *cb = SDM_RX_CB(skb);

		if ((s32)(inj->passed - cb->turn) < 0 && ktime_before(now, cb->due))
			break;
		__skb_unlink(skb, &inj->held);
		sdm_inject_delay(q, skb, now);
	}
}

/**
 * sdm_inject_rx() - a packet for a queue with injection on
 * @q: queue
 * @skb: packet, taken over
 *
 * In a softirq. What is to be received reaches sdm_rx_enqueue(), now or later.
 */
void sdm_inject_rx(struct sdm_queue *q, struct sk_buff *skb)
{
	struct sdm_inject *inj = &q->inject;
	ktime_t now = ktime_get();
	u32 n;

	spin_lock(&inj->lock);
	n = inj->packets++;
	if (sdm_inject_hits(inj, n, SDM_INJECT_LOSS)) {
		sdm_count(q, SDM_RX_DROP_INJECTED, 1);
		kfree_skb(skb);
	} else if (sdm_inject_hits(inj, n, SDM_INJECT_REORDER) &&
		   inj->held.qlen < SDM_INJECT_GAP_MAX) {
		SDM_RX_CB(skb)->turn = inj->passed + inj->param[SDM_INJECT_GAP].value;
		SDM_RX_CB(skb)->due = ktime_add_us(now, inj->param[SDM_INJECT_HOLD].value);
		skb_orphan_partial(skb);
		__skb_queue_tail(&inj->held, skb);
		sdm_count(q, SDM_RX_INJECT_REORDERED, 1);
	} else {
		sdm_inject_delay(q, skb, now);
		inj->passed++;
	}
	sdm_inject_let_go(q, now);
	sdm_inject_arm(inj);
	sdm_inject_update(inj);
	spin_unlock(&inj->lock);
}

static enum hrtimer_restart sdm_inject_timer(struct hrtimer *timer)
{
	struct sdm_queue *q = container_of(timer, struct sdm_queue, inject.timer);
	struct sdm_inject *inj = &q->inject;
	ktime_t now = ktime_get();
	struct sk_buff *skb;

	spin_lock(&inj->lock);
	sdm_inject_let_go(q, now);
	while ((skb = skb_peek(&inj->delayed)) && !ktime_before(now, SDM_RX_CB(skb)->due)) {
		__skb_unlink(skb, &inj->delayed);
		sdm_rx_enqueue(q, skb);
	}
	sdm_inject_arm(inj);
	sdm_inject_update(inj);
	spin_unlock(&inj->lock);
	return HRTIMER_NORESTART;
}

/**
 * sdm_inject_starves() - whether the queue shall find no niov this time
 * @q: queue with injection on; its NAPI calls
 */
bool sdm_inject_starves(struct sdm_queue *q)
{
	struct sdm_inject *inj = &q->inject;
	u32 n = READ_ONCE(inj->niovs);

	/* Begun anew in between: this one still counts to what was before. */
	cmpxchg(&inj->niovs, n, n + 1);
	if (!sdm_inject_hits(inj, n, SDM_INJECT_STARVE))
		return false;
	sdm_count(q, SDM_RX_INJECT_STARVED, 1);
	return true;
}

/* Drops what waits. Nobody hands packets to the queue any more. */
void sdm_inject_purge(struct sdm_queue *q)
{
	struct sdm_inject *inj = &q->inject;
	struct sk_buff_head list;

	hrtimer_cancel(&inj->timer);
	__skb_queue_head_init(&list);
	spin_lock_bh(&inj->lock);
	skb_queue_splice_init(&inj->held, &list);
	skb_queue_splice_tail_init(&inj->delayed, &list);
	if (list.qlen)
		sdm_count(q, SDM_RX_DROP_DOWN, list.qlen);
	sdm_inject_update(inj);
	spin_unlock_bh(&inj->lock);
	__skb_queue_purge(&list);
}

/* No lock here but the queue's: files are removed under RTNL, which waits for this. */
static int sdm_inject_get(void *data, u64 *ret_value)
{
	const struct sdm_inject_param *param = data;

	*ret_value = READ_ONCE(param->value);
	return 0;
}

static int sdm_inject_set(void *data, u64 value)
{
	struct sdm_inject_param *param = data;
	struct sdm_inject *inj = container_of(param - param->what, struct sdm_inject, param[0]);

	if (value < sdm_inject_params[param->what].min ||
	    value > sdm_inject_params[param->what].max)
		return -ERANGE;

	spin_lock_bh(&inj->lock);
	WRITE_ONCE(param->value, value);
	if (param->what == SDM_INJECT_SEED) {
		inj->packets = 0;
		WRITE_ONCE(inj->niovs, 0);
	}
	sdm_inject_update(inj);
	spin_unlock_bh(&inj->lock);
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(sdm_inject_fops, sdm_inject_get, sdm_inject_set, "%llu\n");

void sdm_inject_init_queue(struct sdm_queue *q)
{
	struct sdm_inject *inj = &q->inject;
	unsigned int i;

	spin_lock_init(&inj->lock);
	__skb_queue_head_init(&inj->held);
	__skb_queue_head_init(&inj->delayed);
	hrtimer_setup(&inj->timer, sdm_inject_timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_SOFT);
	for (i = 0; i < SDM_NR_INJECT; i++)
		inj->param[i].what = i;
	inj->param[SDM_INJECT_GAP].value = SDM_INJECT_GAP_DEFAULT;
	inj->param[SDM_INJECT_HOLD].value = SDM_INJECT_HOLD_DEFAULT;
}

/**
 * sdm_inject_show() - make the device's files, or give their directory its new name
 * @sdm: device, just registered, or renamed, or in another network namespace
 *
 * Under RTNL. Nothing depends on the files: errors are left to debugfs.
 */
void sdm_inject_show(struct sdm_dev *sdm)
{
	unsigned int netns = dev_net(sdm->dev)->ns.inum;
	const char *name = netdev_name(sdm->dev);
	struct dentry *dir;
	unsigned int i, p;
	char buf[32];

	if (sdm->debugfs) {
		debugfs_change_name(sdm->debugfs, "%s@%u", name, netns);
		return;
	}
	snprintf(buf, sizeof(buf), "%s@%u", name, netns);
	sdm->debugfs = debugfs_create_dir(buf, sdm_inject_root);
	sdm_null_show(sdm);
	for (i = 0; i < sdm->dev->num_rx_queues; i++) {
		snprintf(buf, sizeof(buf), "rx-%u", i);
		dir = debugfs_create_dir(buf, sdm->debugfs);
		for (p = 0; p < SDM_NR_INJECT; p++)
			debugfs_create_file(sdm_inject_params[p].name, 0600, dir,
					    &sdm->queues[i].inject.param[p], &sdm_inject_fops);
	}
}

/* Under RTNL; returns when nobody is in a file's operation any more. */
void sdm_inject_hide(struct sdm_dev *sdm)
{
	debugfs_remove(sdm->debugfs);
	sdm->debugfs = NULL;
}

void sdm_inject_init(void)
{
	sdm_inject_root = debugfs_create_dir("sdm", NULL);
}

void sdm_inject_exit(void)
{
	debugfs_remove(sdm_inject_root);
}
