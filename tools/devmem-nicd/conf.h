/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration file, /etc/nccl-devmem/nicd.conf: sections in brackets, "key = value" lines, # comments. Lists are separated by
 * spaces or commas.
 */
#ifndef NICD_CONF_H
#define NICD_CONF_H

#include <net/if.h>
#include <stdbool.h>
#include <sys/types.h>

#include "knob.h"

#define CONF_PATH	    "/etc/nccl-devmem/nicd.conf"
#define CONF_IDS_MAX	    64
#define CONF_INTERFACES_MAX 64

/*
 * Who may have the broker bind queues, where, and how many.
 * @any_user: "users = *". @queues: RX queues a process may have bound at the same time; @user_queues: a user, of one
 * interface, by all his processes.
 */
struct conf_broker {
	uid_t uids[CONF_IDS_MAX];
	gid_t gids[CONF_IDS_MAX];
	unsigned int n_uids;
	unsigned int n_gids;
	bool any_user;
	char interfaces[CONF_INTERFACES_MAX][IF_NAMESIZE];
	unsigned int n_interfaces;
	unsigned int queues;
	unsigned int user_queues;
};

/*
 * What an interface is to be like: -1 for what is not said. @line: where it is said, for messages.
 */
struct conf_nic {
	char name[IF_NAMESIZE];
	unsigned int section_line;
	long want[KNOB_COUNT];
	unsigned int line[KNOB_COUNT];
};

struct conf {
	struct conf_broker broker;
	struct conf_nic nics[CONF_INTERFACES_MAX];
	unsigned int n_nics;
};

/*
 * Reads and checks @path. Everything wrong with it is logged, with file and line; then *ret is untouched and the return value
 * -EINVAL, or -EPERM for a file that somebody else than its reader and root could have written, or -errno of reading it.
 */
int conf_load(const char *path, struct conf *ret);

bool conf_broker_has_user(const struct conf_broker *b, uid_t uid, const gid_t *gids,
			  unsigned int n_gids);
const struct conf_nic *conf_nic_find(const struct conf *conf, const char *ifname);
bool conf_broker_has_interface(const struct conf_broker *b, const char *ifname);

#endif
