// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/param.h"
#include "nic/nic_state.h"
#include "nic/nic_text.h"
#include "report.h"

static void print_owner(const struct nic_owner *o)
{
	static const char *const life[] = { "dead", "running", "of another PID namespace" };
	char queues[64], user[48] = "";

	if (o->user != NIC_OWNER_SELF)
		snprintf(user, sizeof(user), ", the broker's for user %u", o->user);
	printf("  queues %s: process %d (%s%s), %u flow rules\n",
	       nic_ranges_text(o->queues, o->n_queues, queues, sizeof(queues)), (int)o->pid,
	       life[nic_owner_life(o)], user, o->n_rules);
}

static void print_former(const struct nic_former *was)
{
	/* ETHTOOL_TCP_DATA_SPLIT_*; to be unset is what "unknown" is told as. */
	static const char *const split[] = { "unset", "off", "on" };
	char queues[64];

	if (was->split >= 0 && was->split < 3)
		printf("  header split was %s\n", split[was->split]);
	if (was->thresh >= 0)
		printf("  the threshold of header split was %" PRId64 "\n", was->thresh);
	if (was->ntuple >= 0)
		printf("  flow rules (ntuple) were %s\n", was->ntuple ? "on" : "off");
	if (was->rss.n)
		printf("  RSS led to queues %s\n",
		       nic_ranges_text(was->rss.entry, was->rss.n, queues, sizeof(queues)));
}

static int print_nic(int ifindex)
{
	char name[IF_NAMESIZE] = "?";
	unsigned int living = 0;
	struct nic_state st;
	struct verdict why;
	int err;

	if (!if_indextoname((unsigned int)ifindex, name))
		snprintf(name, sizeof(name), "if%d (gone)", ifindex);
	err = nic_state_open(&st, ifindex, name, false, &why);
	if (err) {
		printf("%s: %s\n", name, why.reason);
		return err;
	}
	printf("%s:\n", st.ifname);
	for (unsigned int i = 0; i < st.n_owners; i++) {
		print_owner(&st.owners[i]);
		living += nic_owner_life(&st.owners[i]) != PROCESS_DEAD;
	}
	print_former(&st.former);
	printf("  %s\n", living ? "put back when the last of these ends"
				: "put back by the next job's start");
	nic_state_close(&st);
	return 0;
}

int since_boot_print(void)
{
	_cleanup_free_ int *list = NULL;
	unsigned int n = 0;
	int err, last = 0;

	err = nic_state_ifindexes(&list, &n);
	if (err) {
		fprintf(stderr, "devmem-doctor: %s: %s\n", param_str(PARAM_STATE_DIR),
			strerror(-err));
		return err;
	}
	if (!n)
		printf("nothing is changed: no records in %s for this network namespace\n",
		       param_str(PARAM_STATE_DIR));
	for (unsigned int i = 0; i < n; i++)
		if (!i || list[i] != list[i - 1])
			last = print_nic(list[i]) ? -EACCES : last;
	return last;
}
