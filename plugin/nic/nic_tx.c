// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/counter.h"
#include "nic/nic.h"
#include "nic/nic_lock.h"
#include "nic/nic_netdev.h"
#include "nic/nic_nl.h"
#include "nic/nic_probe.h"
#include "uapi/netdev_genl.h"

/* The binding lives as long as the socket in @nl, whoever holds a descriptor of it. */
struct nic_tx {
	struct nic_tx *next;
	struct nic_nl nl;
	uint32_t id;
};

static struct nic_tx *nic_tx_list;

static int nic_tx_make(const struct nic *nic, int dmabuf_fd, struct nic_tx *tx, struct verdict *why)
{
	int err;

	err = nic_probe_dmabuf(nic, dmabuf_fd, why);
	if (!err)
		err = nic_probe_tx(nic, why);
	if (err)
		return err;
	err = nic_nl_open(&tx->nl, NDEV_FAMILY);
	if (err)
		return verdict_set(why, err, NULL, "%s: netlink: %s", nic->name, strerror(-err));
	err = nic_netdev_bind_tx(&tx->nl, nic->ifindex, dmabuf_fd, &tx->id);
	if (err) {
		verdict_set(why, err, NULL, "%s: bind-tx: %s%s%s", nic->name, strerror(-err),
			    tx->nl.ext[0] ? ": " : "", tx->nl.ext);
		nic_nl_close(&tx->nl);
	}
	return err;
}

int nic_tx_bind(const struct nic *nic, int dmabuf_fd, struct nic_tx **ret, struct verdict *why)
{
	struct nic_tx *tx = calloc(1, sizeof(*tx));
	int err;

	if (!tx)
		return verdict_set(why, -ENOMEM, NULL, "out of memory");
	nic_lock();
	err = nic_tx_make(nic, dmabuf_fd, tx, why);
	if (!err) {
		tx->next = nic_tx_list;
		nic_tx_list = tx;
	}
	nic_unlock();
	if (err) {
		free(tx);
		return err;
	}
	counter_inc(tx_binds);
	verdict_set(why, 0, NULL, "%s: bind-tx, dmabuf %u", nic->name, tx->id);
	*ret = tx;
	return 0;
}

uint32_t nic_tx_id(const struct nic_tx *tx)
{
	return tx->id;
}

void nic_tx_release(struct nic_tx *tx)
{
	if (!tx)
		return;
	nic_lock();
	for (struct nic_tx **p = &nic_tx_list; *p; p = &(*p)->next) {
		if (*p == tx) {
			*p = tx->next;
			break;
		}
	}
	nic_nl_close(&tx->nl);
	nic_unlock();
	free(tx);
}

void nic_tx_forget_all(void)
{
	for (struct nic_tx *tx = nic_tx_list; tx; tx = tx->next)
		nic_nl_forget(&tx->nl);
	nic_tx_list = NULL;
}
