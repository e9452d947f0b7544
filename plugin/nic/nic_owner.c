// SPDX-License-Identifier: BSD-3-Clause
/*
 * The owners in a NIC's record: who they are and whether they still live.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nic/nic_state.h"

struct proc_stat {
	char state;
	long threads;
	uint64_t start;
};

/* Fields of proc(5)'s table for /proc/PID/stat; the ones after the process's name. */
enum { STAT_STATE = 3, STAT_THREADS = 20, STAT_START = 22 };

static int proc_stat_parse(char *text, struct proc_stat *ret)
{
	struct proc_stat ps = { 0 };
	char *save = NULL, *word;
	int field = STAT_STATE;

	/* The name in field 2 may hold anything, so count from its last ')'. */
	text = strrchr(text, ')');
	if (!text)
		return -EBADMSG;
	for (word = strtok_r(text + 1, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		if (field == STAT_STATE)
			ps.state = *word;
		if (field == STAT_THREADS)
			ps.threads = strtol(word, NULL, 10);
		if (field == STAT_START) {
			ps.start = strtoull(word, NULL, 10);
			*ret = ps;
			return 0;
		}
		field++;
	}
	return -EBADMSG;
}

/* In a container /proc may be that of another PID namespace, whose numbers mean other processes. */
static bool proc_is_ours(void)
{
	char text[16], self[16];
	ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);

	if (n < 0)
		return false;
	text[n] = '\0';
	snprintf(self, sizeof(self), "%d", (int)getpid());
	return !strcmp(text, self);
}

static int proc_stat_read(pid_t pid, struct proc_stat *ret)
{
	char path[64], buf[1024];
	size_t n;
	FILE *f;

	if (!proc_is_ours())
		return -EXDEV;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	buf[n] = '\0';
	return proc_stat_parse(buf, ret);
}

static uint64_t pidns_get(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) ? 0 : st.st_ino;
}

enum nic_owner_life nic_owner_life(const struct nic_owner *owner)
{
	struct proc_stat ps = { 0 };

	if (owner->pidns != pidns_get())
		return NIC_OWNER_UNKNOWN;
	if (kill(owner->pid, 0) < 0 && errno == ESRCH)
		return NIC_OWNER_DEAD;
	/* There is such a process, but /proc does not tell more (hidepid): better too careful. */
	if (!owner->start || proc_stat_read(owner->pid, &ps))
		return NIC_OWNER_ALIVE;
	if (ps.start != owner->start)
		return NIC_OWNER_DEAD;
	/* A zombie has closed its sockets, unless only its first thread has ended. */
	if (ps.state == 'X' || (ps.state == 'Z' && ps.threads <= 1))
		return NIC_OWNER_DEAD;
	return NIC_OWNER_ALIVE;
}

struct nic_owner *nic_state_owner_add(struct nic_state *st, uint32_t tag,
				      const unsigned int *queues, unsigned int n_queues)
{
	struct nic_owner *owners, *o;
	struct proc_stat ps = { 0 };

	if (n_queues > NIC_OWNER_QUEUES_MAX)
		return NULL;
	owners = realloc(st->owners, (st->n_owners + 1) * sizeof(*owners));
	if (!owners)
		return NULL;
	st->owners = owners;
	o = &owners[st->n_owners++];
	memset(o, 0, sizeof(*o));
	proc_stat_read(getpid(), &ps);
	o->pid = getpid();
	o->start = ps.start;
	o->pidns = pidns_get();
	o->tag = tag;
	o->n_queues = n_queues;
	memcpy(o->queues, queues, n_queues * sizeof(*queues));
	return o;
}

struct nic_owner *nic_state_owner_find(struct nic_state *st, uint32_t tag)
{
	uint64_t pidns = pidns_get();

	for (unsigned int i = 0; i < st->n_owners; i++) {
		struct nic_owner *o = &st->owners[i];

		if (o->pid == getpid() && o->pidns == pidns && o->tag == tag &&
		    nic_owner_life(o) == NIC_OWNER_ALIVE)
			return o;
	}
	return NULL;
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
