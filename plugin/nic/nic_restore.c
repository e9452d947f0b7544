// SPDX-License-Identifier: BSD-3-Clause
/*
 * What outlives, or must not outlive, a process: left-overs of crashed ones, and a child's copy of
 * its parent's bindings.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "nic/nic.h"
#include "nic/nic_broker.h"
#include "nic/nic_lock.h"
#include "nic/nic_setup.h"
#include "nic/nic_state.h"

static void restore_one(int ifindex)
{
	char name[IF_NAMESIZE] = "?";
	struct nic_state st;
	struct verdict why;
	bool gone;
	int n;

	gone = !if_indextoname((unsigned int)ifindex, name);
	n = nic_state_open(&st, ifindex, name, false, &why);
	if (n) {
		/* Another user's directory is none of our business. */
		if (n == -EBUSY)
			log_warn("%s", why.reason);
		return;
	}
	if (gone) {
		nic_state_clear(&st);
		nic_state_save(&st);
		nic_state_close(&st);
		return;
	}
	n = nic_setup_reap(&st);
	if (n < 0)
		log_warn("%s: what a dead process left there could not be removed: %s%s", name,
			 strerror(-n), n == -EPERM ? " (needs CAP_NET_ADMIN)" : "");
	else if (n > 0 || !st.n_owners || nic_state_interrupted(&st))
		nic_setup_settle(&st);
	nic_state_close(&st);
}

void nic_restore_stale(void)
{
	_cleanup_free_ int *list = NULL;
	unsigned int n = 0;

	nic_lock();
	if (!nic_state_ifindexes(&list, &n))
		for (unsigned int i = 0; i < n; i++)
			restore_one(list[i]);
	nic_unlock();
}

void nic_forget(void)
{
	nic_lock_reset();
	nic_lock();
	nic_rx_forget_all();
	nic_tx_forget_all();
	nic_broker_forget();
	nic_unlock();
}
