/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The record of what was changed on a NIC, who relies on it, and how it was before.
 *
 * One file for each interface of each network namespace, in NCCL_DEVMEM_STATE_DIR, named <namespace
 * cookie>-<ifindex>. A directory-wide lock (flock on "lock") is held from nic_state_open() to
 * nic_state_close(), so that the processes of a job take turns on a NIC. A change is recorded
 * before it is made; the file is replaced by rename(), so that a reader finds the old or the new
 * record, never half of one.
 *
 * Without a usable directory the record is kept in this process's memory (a warning says so): then
 * a crash leaves the NIC as it was set.
 *
 * Callers hold nic_lock().
 */
#ifndef DEVMEM_NIC_STATE_H
#define DEVMEM_NIC_STATE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/process.h"
#include "base/verdict.h"
#include "nic/nic_rss.h"
#include "nic/nic_rule.h"

#define NIC_OWNER_QUEUES_MAX 64

struct nic_owner_rule {
	struct nic_flow flow;
	unsigned int queue;
};

/*
 * One binding. @pid, @start (field 22 of /proc/PID/stat, 0 if that could not be read) and @pidns
 * (inode of the PID namespace) tell whose; @tag tells bindings of one process apart. @dmabuf: id of
 * the bound dmabuf, 0 while the binding is being made. @user: whom a broker made it for,
 * NIC_OWNER_SELF for a process's own.
 */
#define NIC_OWNER_SELF ((uid_t)-1)
struct nic_owner {
	pid_t pid;
	uint64_t start;
	uint64_t pidns;
	uint32_t tag;
	uint32_t dmabuf;
	uid_t user;
	unsigned int n_queues;
	unsigned int queues[NIC_OWNER_QUEUES_MAX];
	struct nic_owner_rule *rules;
	unsigned int n_rules;
};

/*
 * Former settings; -1 (or an empty table) for what was not touched. @rss_set is the table that was
 * written last, @rss_next the one being written, empty when none is: a NIC that has neither these
 * nor the former one now was changed by somebody else, and its table is left alone.
 */
struct nic_former {
	int split;
	int64_t thresh;
	int ntuple;
	struct nic_rss rss;
	struct nic_rss rss_set;
	struct nic_rss rss_next;
};

struct nic_state {
	int ifindex;
	char ifname[IF_NAMESIZE];
	struct nic_former former;
	struct nic_owner *owners;
	unsigned int n_owners;

	uint64_t netns;
	int dir_fd; /* -1: kept in memory */
	int lock_fd;
};

/*
 * Locks and reads the record of @ifindex in the calling thread's network namespace; none gives an
 * empty one. With @create the directory is made if it is missing, without it a missing or
 * unreadable directory gives -ENOENT. A damaged record is put aside (".bad") with a warning.
 * -EBUSY: the lock was not to be had within 10 s. Close only after success.
 */
int nic_state_open(struct nic_state *st, int ifindex, const char *ifname, bool create,
		   struct verdict *why);
/*
 * Was a change of the RSS table begun and not ended? Changes are made under the record's lock, which the caller holds: so its
 * maker died in it, or the NIC refused it.
 */
static inline bool nic_state_interrupted(const struct nic_state *st)
{
	return st->former.rss_next.n != 0;
}
/* Writes the record, or removes it when it has neither owners nor former settings. */
int nic_state_save(struct nic_state *st);
void nic_state_close(struct nic_state *st);

/*
 * The cookie of the network namespace that @sock belongs to, of the calling thread's for -1 (Linux
 * 5.14). It is never used again while the machine runs, unlike the inode number of a namespace.
 * 0 or -errno.
 */
int nic_netns_cookie(int sock, uint64_t *ret);

/*
 * The directory of records, made if it is missing and @create. They tell a privileged process what
 * to change on a NIC, so it must belong to this user or root and be writable by its owner only:
 * else -EPERM. A descriptor, the caller's, or -errno.
 */
int nic_state_dir_open(bool create);

/*
 * The interfaces that have a record, or what is left of one, in this network namespace, in
 * ascending order, some perhaps twice; *ret is malloc'ed. None, or no directory: 0 and *ret_n 0.
 */
int nic_state_ifindexes(int **ret, unsigned int *ret_n);

/*
 * The new owner of this process, without rules; NULL when out of memory. Valid until the next add
 * or drop.
 */
struct nic_owner *nic_state_owner_add(struct nic_state *st, uint32_t tag,
				      const unsigned int *queues, unsigned int n_queues);
/* This process's owner with @tag, or NULL. */
struct nic_owner *nic_state_owner_find(struct nic_state *st, uint32_t tag);
/* RX queues of this interface that brokers have bound for @user. */
unsigned int nic_state_user_queues(const struct nic_state *st, uid_t user);
void nic_state_owner_drop(struct nic_state *st, struct nic_owner *owner);

int nic_owner_rule_add(struct nic_owner *owner, const struct nic_flow *flow, unsigned int queue);
void nic_owner_rule_drop(struct nic_owner *owner, const struct nic_flow *flow);

/*
 * Does the process still run? A process of another PID namespace cannot be asked about:
 * PROCESS_UNKNOWN; whether its queues are still bound must decide.
 */
enum process_life nic_owner_life(const struct nic_owner *owner);

/* The record as text and back; for the file, the memory and the tests. -EBADMSG: damaged. */
char *nic_state_format(const struct nic_state *st, const char *boot_id);
int nic_state_parse(struct nic_state *st, const char *text, const char *boot_id);
void nic_state_init(struct nic_state *st, int ifindex, const char *ifname);
void nic_state_clear(struct nic_state *st);

#endif
