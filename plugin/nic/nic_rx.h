/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receive bindings from inside: what nic_rx_bind() and its like are made of, and what the broker wants to know beside.
 */
#ifndef DEVMEM_NIC_RX_H
#define DEVMEM_NIC_RX_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/verdict.h"
#include "nic/nic.h"
#include "nic/nic_nl.h"
#include "nic/nic_rule.h"
#include "nic/nic_state.h"
#include "nic/nic_text.h"

struct nic_rx;

/*
 * Who makes a binding: this process (nic_rx_direct.c), or the broker (nic_rx_broker.c). All are called with nic_lock() held.
 *
 * @bind:    fills queues, queue_text, dmabuf and niov_size of @rx, whose other fields are set.
 * @steer:   @sock is the flow's socket, which shows the broker that the flow is the caller's; -1 for none.
 * @lost:    as nic_rx_is_lost(); NULL where that cannot be.
 * @undo:    ends the binding and what belongs to it; @rx is freed afterwards.
 * @forget:  in a fork()ed child: gives descriptors up, and touches nothing else.
 */
struct nic_rx_ops {
	int (*bind)(struct nic_rx *rx, int dmabuf_fd, struct verdict *why);
	int (*steer)(struct nic_rx *rx, const struct nic_flow *flow, int sock, uint32_t *ret_rule,
		     struct verdict *why);
	void (*unsteer)(struct nic_rx *rx, uint32_t rule);
	bool (*lost)(const struct nic_rx *rx, struct verdict *why);
	void (*undo)(struct nic_rx *rx);
	void (*forget)(struct nic_rx *rx);
};

extern const struct nic_rx_ops nic_rx_direct;
extern const struct nic_rx_ops nic_rx_broker;

/*
 * @id:	   what the caller knows the rule by; never reused, so that removing twice is harmless.
 * @foreign: a rule of the administrator's (NCCL_DEVMEM_NIC_SETUP=0), not ours to remove.
 */
struct nic_rx_rule {
	struct nic_flow flow;
	uint32_t id;
	uint32_t loc;
	unsigned int slot;
	bool foreign;
};

/*
 * Whom the broker binds for. @user: by the kernel's word; of each interface this user may have @queues_max RX queues bound, by all of
 * its processes together. @niov_asked: its NCCL_DEVMEM_NIOV_SIZE, 0 for what fits.
 */
struct nic_rx_client {
	uid_t user;
	unsigned int queues_max;
	uint32_t niov_asked;
};

/*
 * @pid: who made it; in a forked child nothing of it may touch the NIC. @live: until it is forgotten.
 * @client: whom it is for; of a process's own @user is NIC_OWNER_SELF.
 *
 * Of direct ones: @nl, whose socket the binding lives with; @tag names it in the record; @flows[i]: rules that lead to @queues[i];
 * @stuck_rules: some rule could not be removed from the NIC.
 *
 * Of the broker's: @binding_fd, the netlink socket that it handed over; @handle names it there, on connection @conn.
 */
struct nic_rx {
	struct nic_rx *next;
	const struct nic_rx_ops *ops;
	char name[IF_NAMESIZE];
	int ifindex;
	pid_t pid;
	bool live;
	uint32_t dmabuf;
	struct nic_rx_client client;
	uint32_t niov_size;
	unsigned int queues[NIC_OWNER_QUEUES_MAX];
	unsigned int n_queues;
	char queue_text[NIC_RANGES_MAX];

	struct nic_nl nl;
	uint32_t tag;
	unsigned int flows[NIC_OWNER_QUEUES_MAX];
	struct nic_rx_rule *rules;
	unsigned int n_rules;
	bool stuck_rules;

	int binding_fd;
	uint32_t handle;
	uint32_t conn;
};

/*
 * For the broker: nic_rx_bind() by this process itself. -EDQUOT: the user would have more than @queues_max. What others have bound
 * for him counts as far as it is recorded: without a directory of records that is this process's alone.
 */
int nic_rx_bind_for(const struct nic *nic, int dmabuf_fd, unsigned int n_queues,
		    const struct nic_rx_client *client, struct nic_rx **ret, struct verdict *why);
/*
 * For the broker: the netlink socket that the binding lives with, now the caller's alone. Rules and settings stay @rx's: release
 * it when the socket's last descriptor is closed, wherever that is. -1 when it was given away before.
 */
int nic_rx_give_away(struct nic_rx *rx);

#endif
