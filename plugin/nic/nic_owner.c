// SPDX-License-Identifier: BSD-3-Clause
/*
 * The owners in a NIC's record: who they are and whether they still live.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/process.h"
#include "nic/nic_state.h"

enum process_life nic_owner_life(const struct nic_owner *owner)
{
	struct process_id id = { .pid = owner->pid, .start = owner->start, .pidns = owner->pidns };

	return process_life(&id);
}

struct nic_owner *nic_state_owner_add(struct nic_state *st, uint32_t tag,
				      const unsigned int *queues, unsigned int n_queues)
{
	struct process_id self = process_self();
	struct nic_owner *owners, *o;

	if (n_queues > NIC_OWNER_QUEUES_MAX)
		return NULL;
	owners = realloc(st->owners, (st->n_owners + 1) * sizeof(*owners));
	if (!owners)
		return NULL;
	st->owners = owners;
	o = &owners[st->n_owners++];
	memset(o, 0, sizeof(*o));
	o->pid = self.pid;
	o->start = self.start;
	o->pidns = self.pidns;
	o->tag = tag;
	o->user = NIC_OWNER_SELF;
	o->n_queues = n_queues;
	memcpy(o->queues, queues, n_queues * sizeof(*queues));
	return o;
}

struct nic_owner *nic_state_owner_find(struct nic_state *st, uint32_t tag)
{
	struct process_id self = process_self();

	for (unsigned int i = 0; i < st->n_owners; i++) {
		struct nic_owner *o = &st->owners[i];

		/* Of an earlier process with this number, where the two times are known. */
		if (o->start && self.start && o->start != self.start)
			continue;
		if (o->pid == self.pid && o->pidns == self.pidns && o->tag == tag)
			return o;
	}
	return NULL;
}

unsigned int nic_state_user_queues(const struct nic_state *st, uid_t user)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < st->n_owners; i++)
		if (st->owners[i].user == user)
			n += st->owners[i].n_queues;
	return n;
}

void nic_state_owner_drop(struct nic_state *st, struct nic_owner *owner)
{
	size_t i = (size_t)(owner - st->owners);

	free(owner->rules);
	memmove(owner, owner + 1, (st->n_owners - i - 1) * sizeof(*owner));
	st->n_owners--;
}

int nic_owner_rule_add(struct nic_owner *owner, const struct nic_flow *flow, unsigned int queue)
{
	struct nic_owner_rule *rules;

	rules = realloc(owner->rules, (owner->n_rules + 1) * sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	owner->rules = rules;
	rules[owner->n_rules].flow = *flow;
	rules[owner->n_rules].queue = queue;
	owner->n_rules++;
	return 0;
}

void nic_owner_rule_drop(struct nic_owner *owner, const struct nic_flow *flow)
{
	for (unsigned int i = 0; i < owner->n_rules; i++) {
		if (!nic_flow_equal(&owner->rules[i].flow, flow))
			continue;
		owner->rules[i] = owner->rules[--owner->n_rules];
		return;
	}
}
