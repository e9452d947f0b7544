// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/param.h"
#include "nic/nic_broker.h"
#include "nic/nic_lock.h"
#include "nic/nic_probe.h"
#include "nic/nic_rx.h"

static struct nic_rx *nic_rx_list;

static bool nic_rx_is_ours(const struct nic_rx *rx)
{
	return rx->live && rx->pid == getpid();
}

/* The broker, if there is one, is for those who may not do it themselves. */
static int nic_rx_choose_ops(const struct nic *nic, struct nic_rx *rx, struct verdict *why)
{
	int err = nic_probe_rx(nic, why);

	rx->ops = &nic_rx_direct;
	if (err != -EPERM || rx->client.user != NIC_OWNER_SELF || !nic_broker_is_there())
		return err;
	rx->ops = &nic_rx_broker;
	return 0;
}

static int nic_rx_make(const struct nic *nic, int dmabuf_fd, unsigned int n_queues,
		       const struct nic_rx_client *client, struct nic_rx **ret, struct verdict *why)
{
	struct nic_rx *rx;
	int err;

	if (!n_queues || n_queues > NIC_OWNER_QUEUES_MAX)
		return verdict_set(why, -EINVAL, NULL,
				   "%s: %u queues asked for; 1 to %d are possible", nic->name,
				   n_queues, NIC_OWNER_QUEUES_MAX);
	rx = calloc(1, sizeof(*rx));
	if (!rx)
		return verdict_set(why, -ENOMEM, NULL, "out of memory");
	snprintf(rx->name, sizeof(rx->name), "%s", nic->name);
	rx->ifindex = nic->ifindex;
	rx->pid = getpid();
	rx->n_queues = n_queues;
	rx->client = *client;
	rx->binding_fd = -1;

	nic_lock();
	err = nic_probe_dmabuf(nic, dmabuf_fd, why);
	if (!err)
		err = nic_rx_choose_ops(nic, rx, why);
	if (!err)
		err = rx->ops->bind(rx, dmabuf_fd, why);
	if (!err) {
		rx->live = true;
		rx->next = nic_rx_list;
		nic_rx_list = rx;
	}
	nic_unlock();
	if (err) {
		free(rx);
		return err;
	}
	counter_inc(rx_binds);
	log_info("%s: bound dmabuf %u to RX queue %s, net_iovs of %u bytes%s%s", rx->name,
		 rx->dmabuf, rx->queue_text, rx->niov_size,
		 rx->ops == &nic_rx_broker ? ", by the broker at " : "",
		 rx->ops == &nic_rx_broker ? param_str(PARAM_BROKER) : "");
	verdict_set(why, 0, NULL, "%s: devmem receive on queue %s", rx->name, rx->queue_text);
	*ret = rx;
	return 0;
}

int nic_rx_bind(const struct nic *nic, int dmabuf_fd, unsigned int n_queues, struct nic_rx **ret,
		struct verdict *why)
{
	const struct nic_rx_client self = {
		.user = NIC_OWNER_SELF,
		.niov_asked = (uint32_t)param_int(PARAM_NIOV_SIZE),
	};

	return nic_rx_make(nic, dmabuf_fd, n_queues, &self, ret, why);
}

int nic_rx_bind_for(const struct nic *nic, int dmabuf_fd, unsigned int n_queues,
		    const struct nic_rx_client *client, struct nic_rx **ret, struct verdict *why)
{
	return nic_rx_make(nic, dmabuf_fd, n_queues, client, ret, why);
}

int nic_rx_give_away(struct nic_rx *rx)
{
	int fd = -1;

	nic_lock();
	if (rx->nl.sk)
		fd = fcntl(nic_nl_fd(&rx->nl), F_DUPFD_CLOEXEC, 0);
	if (fd >= 0)
		nic_nl_close(&rx->nl);
	nic_unlock();
	return fd;
}

uint32_t nic_rx_niov_size(const struct nic_rx *rx)
{
	return rx->niov_size;
}

const char *nic_rx_queues(const struct nic_rx *rx)
{
	return rx->queue_text;
}

int nic_rx_steer(struct nic_rx *rx, int sock, const struct sockaddr *local,
		 const struct sockaddr *remote, uint32_t *ret_rule, struct verdict *why)
{
	struct nic_flow flow;
	int err;

	err = nic_flow_set(&flow, local, remote);
	if (err)
		return verdict_set(why, err, NULL,
				   "%s: the two addresses are not those of one TCP flow", rx->name);
	nic_lock();
	if (nic_rx_is_ours(rx))
		err = rx->ops->steer(rx, &flow, sock, ret_rule, why);
	else
		err = verdict_set(why, -ESTALE, NULL, "%s: this binding belongs to another process",
				  rx->name);
	nic_unlock();
	return err;
}

void nic_rx_unsteer(struct nic_rx *rx, uint32_t rule)
{
	nic_lock();
	if (nic_rx_is_ours(rx))
		rx->ops->unsteer(rx, rule);
	nic_unlock();
}

bool nic_rx_is_lost(const struct nic_rx *rx, struct verdict *why)
{
	bool lost;

	nic_lock();
	lost = nic_rx_is_ours(rx) && rx->ops->lost && rx->ops->lost(rx, why);
	nic_unlock();
	return lost;
}

static void nic_rx_unlink(struct nic_rx *rx)
{
	for (struct nic_rx **p = &nic_rx_list; *p; p = &(*p)->next) {
		if (*p == rx) {
			*p = rx->next;
			return;
		}
	}
}

void nic_rx_release(struct nic_rx *rx)
{
	if (!rx)
		return;
	nic_lock();
	nic_rx_unlink(rx);
	if (nic_rx_is_ours(rx))
		rx->ops->undo(rx);
	else if (rx->live)
		rx->ops->forget(rx);
	nic_unlock();
	free(rx->rules);
	free(rx);
}

void nic_rx_forget_all(void)
{
	for (struct nic_rx *rx = nic_rx_list; rx; rx = rx->next) {
		rx->ops->forget(rx);
		rx->live = false;
	}
	nic_rx_list = NULL;
}
