/* SPDX-License-Identifier: GPL-2.0 */
/*
 * sdm - the device memory TCP interface in software, on any Ethernet device.
 *
 * An sdm takes over all traffic of the device it stands on (its lower device).
 * Receive: the rx_handler of the lower device steers each packet to one of the
 * sdm's queues; the queue's NAPI splits headers from payload and copies the
 * payload once into the bound dma-buf. Transmit: payload that lies in a dma-buf
 * is copied once into pages that the lower device can read.
 *
 * Locks: the configuration (queues, rules, RSS) is under the instance lock of
 * the sdm's net_device, since queue_mgmt_ops makes the core take it around each
 * ndo and ethtool call. The data path takes none of it: it reads rules and RSS
 * under RCU, and a queue's pool belongs to the NAPI that is running.
 */
#ifndef SDM_H
#define SDM_H

#include <linux/ethtool.h>
#include <linux/hrtimer.h>
#include <linux/in6.h>
#include <linux/netdevice.h>
#include <linux/sizes.h>
#include <linux/skbuff.h>
#include <linux/u64_stats_sync.h>
#include <net/netdev_queues.h>
#include <net/page_pool/types.h>

#define SDM_MAX_QUEUES		16
/* What a new device starts with when the user did not say. Not the number of
 * CPUs: queues are there to be bound, also on a machine with one CPU.
 */
#define SDM_DEFAULT_QUEUES	4

/* Packets that may wait for a queue's NAPI, as descriptors of a ring would. */
#define SDM_RING_MIN		16
#define SDM_RING_DEFAULT	1024
#define SDM_RING_MAX		8192

/* devmem itself demands a threshold of 0; the range is for ethtool to show. */
#define SDM_HDS_THRESH_MAX	1024

/* Largest niov that is accepted; nothing else here depends on it. */
#define SDM_RX_PAGE_MAX		SZ_128K

#define SDM_INDIR_SIZE		128
#define SDM_KEY_SIZE		40
/* RSS contexts: the default one, number 0, and those that ethtool -X makes */
#define SDM_RSS_CONTEXTS	16
#define SDM_RULES_MAX		1024
#define SDM_RULES_HASH_BITS	10

/**
 * enum sdm_counter - what a queue counts; the names are in sdm_stats.c
 * @SDM_RX_PACKETS: packets the NAPI has taken
 * @SDM_RX_BYTES: their bytes, with the Ethernet header
 * @SDM_RX_DEVMEM_PACKETS: packets that went up with their payload in niovs
 * @SDM_RX_DEVMEM_BYTES: that payload
 * @SDM_RX_DEVMEM_FRAGS: pieces it lies in: what a reader gets control messages for,
 *	at least (a read that ends within one gets it in two)
 * @SDM_RX_NULL_DMA_BYTES: of that payload what was not copied (sdm_null.c)
 * @SDM_RX_HEADER_BYTES: headers copied in front of a payload that was split off
 * @SDM_RX_WHOLE_BYTES: packets that went up whole, in host memory, on a queue that
 *	is bound: acknowledgments, what is not TCP, headers that are not understood
 * @SDM_RX_CSUM_CHECKED: checksums computed, because the lower device had not
 * @SDM_RX_DROP_RING: the queue held as many packets as its ring size allows
 * @SDM_RX_DROP_NO_NIOV: the bound dma-buf had no free niov, or its PCI memory is not
 *	mapped yet (sdm_mem.c)
 * @SDM_RX_DROP_NO_MEMORY: no host memory for an skb
 * @SDM_RX_DROP_CSUM: wrong TCP checksum on a packet that was to be split
 * @SDM_RX_DROP_DOWN: came while the device was down, or its queue went away
 * @SDM_RX_DROP_RULE: a flow rule said so
 * @SDM_RX_DROP_INJECTED: the injection of faults (sdm_inject.c) said so
 * @SDM_RX_INJECT_DELAYED: packets that were to arrive later
 * @SDM_RX_INJECT_REORDERED: packets that others were to overtake
 * @SDM_RX_INJECT_STARVED: niovs that were not to be found
 * @SDM_TX_PACKETS: packets the lower device has taken
 * @SDM_TX_BYTES: their bytes
 * @SDM_TX_DEVMEM_PACKETS: packets whose payload was copied out of a dma-buf
 * @SDM_TX_DEVMEM_BYTES: that payload
 * @SDM_TX_DEVMEM_FRAGS: pieces it lay in
 * @SDM_TX_NULL_DMA_BYTES: of that payload what was not copied (sdm_null.c)
 * @SDM_TX_DROP_LOWER: the lower device, or its queue, has refused it
 * @SDM_TX_DROP_NO_MEMORY: no host memory for a copy
 * @SDM_NR_COUNTERS: how many there are
 */
enum sdm_counter {
	SDM_RX_PACKETS,
	SDM_RX_BYTES,
	SDM_RX_DEVMEM_PACKETS,
	SDM_RX_DEVMEM_BYTES,
	SDM_RX_DEVMEM_FRAGS,
	SDM_RX_NULL_DMA_BYTES,
	SDM_RX_HEADER_BYTES,
	SDM_RX_WHOLE_BYTES,
	SDM_RX_CSUM_CHECKED,
	SDM_RX_DROP_RING,
	SDM_RX_DROP_NO_NIOV,
	SDM_RX_DROP_NO_MEMORY,
	SDM_RX_DROP_CSUM,
	SDM_RX_DROP_DOWN,
	SDM_RX_DROP_RULE,
	SDM_RX_DROP_INJECTED,
	SDM_RX_INJECT_DELAYED,
	SDM_RX_INJECT_REORDERED,
	SDM_RX_INJECT_STARVED,
	SDM_TX_PACKETS,
	SDM_TX_BYTES,
	SDM_TX_DEVMEM_PACKETS,
	SDM_TX_DEVMEM_BYTES,
	SDM_TX_DEVMEM_FRAGS,
	SDM_TX_NULL_DMA_BYTES,
	SDM_TX_DROP_LOWER,
	SDM_TX_DROP_NO_MEMORY,
	SDM_NR_COUNTERS,
};

struct sdm_counters {
	u64_stats_t		v[SDM_NR_COUNTERS];
	struct u64_stats_sync	syncp;
};

/* What can be injected, and how: see sdm_inject.c for each one's unit. */
enum sdm_inject_what {
	SDM_INJECT_LOSS,
	SDM_INJECT_DELAY,
	SDM_INJECT_REORDER,
	SDM_INJECT_GAP,
	SDM_INJECT_HOLD,
	SDM_INJECT_STARVE,
	SDM_INJECT_SEED,
	SDM_NR_INJECT,
};

/* A file of debugfs has it as its data. @what is also its place in sdm_inject::param */
struct sdm_inject_param {
	u32	value;
	u32	what;
};

/**
 * struct sdm_inject - faults to be injected into one queue
 * @on: the queue is to ask; read without a lock
 * @packets: that came since the seed was written
 * @niovs: that were asked for since then
 * @passed: packets that went on without being held
 * @param: written under @lock
 * @lock: of all here but @niovs; taken before the queue's backlog's
 * @held: packets that are being overtaken
 * @delayed: packets that come later, in order
 * @timer: queued while one of the two holds a packet
 */
struct sdm_inject {
	bool			on;
	u32			packets;
	u32			niovs;
	u32			passed;
	struct sdm_inject_param	param[SDM_NR_INJECT];
	spinlock_t		lock;	/* of all here but @niovs */
	struct sk_buff_head	held;
	struct sk_buff_head	delayed;
	struct hrtimer		timer;
};

/**
 * struct sdm_queue - one pair of receive and transmit queues
 * @napi: splits and copies what @backlog holds
 * @pool: where payload goes; written only while @napi is disabled
 * @backlog: packets steered here, under its own lock; order of arrival
 * @sdm: the device
 * @counters: written with bottom halves disabled
 * @index: of the queue in the device
 * @inject: faults for tests
 */
struct sdm_queue {
	struct napi_struct		napi;
	struct page_pool		*pool;
	struct sk_buff_head		backlog;
	struct sdm_dev			*sdm;
	struct sdm_counters __percpu	*counters;
	u16				index;
	struct sdm_inject		inject;
} ____cacheline_aligned_in_smp;

/**
 * struct sdm_flow_key - what rules and RSS look at; unused bytes are zero
 * @src: source address, IPv4 in the first word
 * @dst: destination address, likewise
 * @sport: source port, 0 where there is none
 * @dport: destination port, likewise
 * @vlan: tag control information of an 802.1Q tag, if @tagged
 * @family: AF_INET, AF_INET6, or 0: not an IP packet
 * @proto: IPPROTO_TCP or IPPROTO_UDP with the ports valid, else 0
 * @fields: %SDM_FLOW_* that a rule matches; 0 in a packet's key
 * @tagged: 1 with an 802.1Q tag, else 0; in a rule 1 if it asks for (parts of) a tag
 * @pad: so that keys compare and hash as memory
 */
struct sdm_flow_key {
	struct in6_addr		src;
	struct in6_addr		dst;
	__be16			sport;
	__be16			dport;
	u16			vlan;
	u8			family;
	u8			proto;
	u8			fields;
	u8			tagged;
	u8			pad[2];
};

#define SDM_FLOW_SRC		BIT(0)
#define SDM_FLOW_DST		BIT(1)
#define SDM_FLOW_SPORT		BIT(2)
#define SDM_FLOW_DPORT		BIT(3)
#define SDM_FLOW_VLAN_ID	BIT(4)
#define SDM_FLOW_VLAN_PRIO	BIT(5)
#define SDM_FLOW_SIGS		64

/**
 * struct sdm_rx_cb - found when a packet is steered, used when it is split
 * @payload: bytes of TCP payload, without the padding of a short frame
 * @thoff: offset of the TCP header from the network header
 * @hlen: length of network and TCP header together
 * @split: the headers are understood, and there is payload
 * @turn: of sdm_inject::passed, when it goes on
 * @due: latest time when it goes on
 */
struct sdm_rx_cb {
	u32	payload;
	u16	thoff;
	u16	hlen;
	bool	split;
	u32	turn;
	ktime_t	due;
};

#define SDM_RX_CB(skb)	((struct sdm_rx_cb *)(skb)->cb)

/**
 * struct sdm_rss - replaced as a whole when any of it changes
 * @rcu: freed after the readers are gone
 * @indir: hash to queue
 * @key: as ethtool gave it
 * @toeplitz: the hash's contribution of each value of each input byte
 */
struct sdm_rss {
	struct rcu_head	rcu;
	u32		indir[SDM_INDIR_SIZE];
	u8		key[SDM_KEY_SIZE];
	u32		toeplitz[SDM_KEY_SIZE - 4][256];
};

/**
 * struct sdm_rules - steering rules
 * @hash: all rules, by key; readers under RCU
 * @active: which sets of fields some rule of that family uses ([0] IPv4, [1] IPv6):
 *	a look-up tries only these, bit by bit, which is in the order of
 *	sdm_rules_order[]
 * @used: how many rules use each set of fields
 * @slot: rules by location, under the instance lock
 * @count: of rules
 */
struct sdm_rules {
	struct hlist_head	hash[1 << SDM_RULES_HASH_BITS];
	u64			active[2];
	u16			used[2][SDM_FLOW_SIGS];
	struct sdm_rule		*slot[SDM_RULES_MAX];
	unsigned int		count;
};

/**
 * struct sdm_dev - private part of an sdm's net_device
 * @dev: itself
 * @lower: what it stands on; held from ndo_init until the device is freed
 * @lower_tracker: of that reference
 * @up: queues take packets. Not netif_running(), which is true before ndo_open
 *	has made the queues.
 * @attached: the rx_handler and the link to @lower are in place; under RTNL
 * @lower_promisc: we have set @lower promiscuous; under RTNL
 * @ring_size: packets a queue may hold
 * @rss: by number of the context, [0] always there; under RCU; written under the
 *	instance lock
 * @rules: steering
 * @debugfs: directory of its files; under RTNL
 * @null_dma: what is sent in place of payload in a dma-buf, for measuring (sdm_null.c);
 *	NULL: the payload is copied; read without a lock
 * @queues: as many as the device was made with are usable
 */
struct sdm_dev {
	struct net_device	*dev;
	struct net_device	*lower;
	netdevice_tracker	lower_tracker;
	bool			up;
	bool			attached;
	bool			lower_promisc;
	unsigned int		ring_size;
	struct sdm_rss __rcu	*rss[SDM_RSS_CONTEXTS];
	struct sdm_rules	rules;
	struct dentry		*debugfs;
	struct page		*null_dma;
	struct sdm_queue	queues[SDM_MAX_QUEUES];
};

/* Bottom halves must be off: a softirq on the same CPU counts here too. */
static inline void sdm_count(struct sdm_queue *q, enum sdm_counter what, u64 n)
{
	struct sdm_counters *c = this_cpu_ptr(q->counters);

	u64_stats_update_begin(&c->syncp);
	u64_stats_add(&c->v[what], n);
	u64_stats_update_end(&c->syncp);
}

/* sdm_queue.c */
extern const struct netdev_queue_mgmt_ops sdm_queue_mgmt_ops;
int sdm_open(struct net_device *dev);
int sdm_stop(struct net_device *dev);
int sdm_queues_set_count(struct sdm_dev *sdm, unsigned int count);
void sdm_queue_purge(struct sdm_queue *q);

/* sdm_rx.c */
rx_handler_result_t sdm_rx_handler(struct sk_buff **pskb);
void sdm_rx_enqueue(struct sdm_queue *q, struct sk_buff *skb);
int sdm_rx_poll(struct napi_struct *napi, int budget);

/* sdm_tx.c */
netdev_tx_t sdm_start_xmit(struct sk_buff *skb, struct net_device *dev);
void sdm_tx_retry(struct sk_buff *skb, struct net_device *dev);
void sdm_tx_drain(void);

/* sdm_inject.c */
void sdm_inject_init(void);
void sdm_inject_exit(void);
void sdm_inject_init_queue(struct sdm_queue *q);
void sdm_inject_show(struct sdm_dev *sdm);
void sdm_inject_hide(struct sdm_dev *sdm);
void sdm_inject_rx(struct sdm_queue *q, struct sk_buff *skb);
bool sdm_inject_starves(struct sdm_queue *q);
void sdm_inject_purge(struct sdm_queue *q);

/* sdm_null.c */
struct page *sdm_null_tx(const struct sdm_dev *sdm, const struct sk_buff *skb);
void sdm_null_fill(struct sk_buff *skb, struct page *page, unsigned int len);
bool sdm_null_rx(const struct sdm_dev *sdm, const struct sk_buff *skb, unsigned int hlen);
void sdm_null_show(struct sdm_dev *sdm);
void sdm_null_exit(void);

/* sdm_flow.c */
void sdm_flow_parse(const struct sk_buff *skb, struct sdm_flow_key *key, struct sdm_rx_cb *cb);

/* sdm_rules.c */
struct sdm_rule;
#define SDM_RULES_SPREAD	(-1)
#define SDM_RULES_DROP		(-2)
int sdm_rules_lookup(const struct sdm_dev *sdm, const struct sdm_flow_key *flow, u32 *context);
int sdm_rules_get(struct sdm_dev *sdm, struct ethtool_rxnfc *info, u32 *locs);
int sdm_rules_set(struct sdm_dev *sdm, struct ethtool_rxnfc *info);
void sdm_rules_flush(struct sdm_dev *sdm);

/* sdm_rss.c */
int sdm_rss_init(struct sdm_dev *sdm, unsigned int queues);
void sdm_rss_free(struct sdm_dev *sdm);
int sdm_rss_spread(struct sdm_dev *sdm, unsigned int queues);
int sdm_rss_get(struct sdm_dev *sdm, struct ethtool_rxfh_param *rxfh);
int sdm_rss_set(struct sdm_dev *sdm, const struct ethtool_rxfh_param *rxfh);
int sdm_rss_create_context(struct net_device *dev, struct ethtool_rxfh_context *ctx,
			   const struct ethtool_rxfh_param *rxfh, struct netlink_ext_ack *extack);
int sdm_rss_modify_context(struct net_device *dev, struct ethtool_rxfh_context *ctx,
			   const struct ethtool_rxfh_param *rxfh, struct netlink_ext_ack *extack);
int sdm_rss_remove_context(struct net_device *dev, struct ethtool_rxfh_context *ctx,
			   u32 context, struct netlink_ext_ack *extack);
u32 sdm_rss_hash(const struct sdm_rss *rss, const struct sdm_flow_key *key);

/* sdm_stats.c */
extern const struct netdev_stat_ops sdm_stat_ops;
int sdm_stats_init(struct sdm_dev *sdm);
void sdm_stats_free(struct sdm_dev *sdm);
void sdm_stats_get64(struct net_device *dev, struct rtnl_link_stats64 *s);
int sdm_stats_string_count(struct net_device *dev, int set);
void sdm_stats_strings(struct net_device *dev, u32 set, u8 *data);
void sdm_stats_values(struct net_device *dev, struct ethtool_stats *stats, u64 *data);

/* sdm_ethtool.c */
extern const struct ethtool_ops sdm_ethtool_ops;

#endif /* SDM_H */
