// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdlib.h>

#include <netlink/genl/genl.h>

#include "base/cleanup.h"
#include "nic/nic_netdev.h"
#include "uapi/netdev_genl.h"

/* More queues than any NIC has; a bound for what is believed from the kernel. */
#define NIC_QUEUES_MAX 4096

struct nic_queue_list {
	struct nic_queue *v;
	unsigned int n;
};

static void nic_queue_list_drop(struct nic_queue_list *l)
{
	free(l->v);
	l->v = NULL;
	l->n = 0;
}

static int nic_queue_on_reply(const struct nlmsghdr *nlh, void *arg)
{
	struct nlattr *tb[NDEV_A_QUEUE_MAX + 1];
	struct nic_queue_list *l = arg;
	struct nic_queue q = { 0 };
	struct nic_queue *v;

	if (genlmsg_parse((struct nlmsghdr *)nlh, 0, tb, NDEV_A_QUEUE_MAX, NULL) < 0 ||
	    !tb[NDEV_A_QUEUE_ID] || !tb[NDEV_A_QUEUE_TYPE])
		return -EPROTO;
	if (nla_get_u32(tb[NDEV_A_QUEUE_TYPE]) != NDEV_QUEUE_RX)
		return 0;
	if (l->n == NIC_QUEUES_MAX)
		return -E2BIG;

	q.id = nla_get_u32(tb[NDEV_A_QUEUE_ID]);
	if (tb[NDEV_A_QUEUE_LEASE])
		q.user = "lease";
	if (tb[NDEV_A_QUEUE_XSK])
		q.user = "AF_XDP";
	if (tb[NDEV_A_QUEUE_IO_URING]) {
		q.provider = true;
		q.user = "io_uring";
	}
	if (tb[NDEV_A_QUEUE_DMABUF]) {
		q.dmabuf = nla_get_u32(tb[NDEV_A_QUEUE_DMABUF]);
		q.provider = true;
		q.user = "dmabuf";
	}

	v = realloc(l->v, (l->n + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	l->v = v;
	l->v[l->n++] = q;
	return 0;
}

static int nic_queue_cmp(const void *a, const void *b)
{
	const struct nic_queue *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

int nic_netdev_rx_queues(int ifindex, struct nic_queue **ret_queues, unsigned int *ret_n)
{
	_cleanup_(nic_nl_close) struct nic_nl nl = { 0 };
	_cleanup_(nic_queue_list_drop) struct nic_queue_list l = { 0 };
	struct nl_msg *msg;
	int ret;

	ret = nic_nl_open(&nl, NDEV_FAMILY);
	if (ret)
		return ret;

	for (int attempt = 0; attempt < 5; attempt++) {
		nic_queue_list_drop(&l);
		msg = nic_nl_msg(&nl, NDEV_CMD_QUEUE_GET, NLM_F_DUMP);
		if (!msg)
			return -ENOMEM;
		if (nla_put_u32(msg, NDEV_A_QUEUE_IFINDEX, (uint32_t)ifindex) < 0) {
			nlmsg_free(msg);
			return -ENOMEM;
		}
		ret = nic_nl_call(&nl, msg, nic_queue_on_reply, &l);
		if (ret != -EAGAIN)
			break;
	}
	if (ret)
		return ret;

	if (l.n)
		qsort(l.v, l.n, sizeof(*l.v), nic_queue_cmp);
	*ret_n = l.n;
	*ret_queues = TAKE_PTR(l.v);
	return 0;
}

static int nic_bind_on_reply(const struct nlmsghdr *nlh, void *arg)
{
	struct nlattr *tb[NDEV_A_DMABUF_MAX + 1];
	struct nic_binding *b = arg;

	if (genlmsg_parse((struct nlmsghdr *)nlh, 0, tb, NDEV_A_DMABUF_MAX, NULL) < 0 ||
	    !tb[NDEV_A_DMABUF_ID])
		return -EPROTO;
	b->id = nla_get_u32(tb[NDEV_A_DMABUF_ID]);
	if (tb[NDEV_A_DMABUF_RX_PAGE_SIZE] && nla_len(tb[NDEV_A_DMABUF_RX_PAGE_SIZE]) == 4)
		b->niov_size = nla_get_u32(tb[NDEV_A_DMABUF_RX_PAGE_SIZE]);
	return 0;
}

static int nic_bind_queues_put(struct nl_msg *msg, const unsigned int *queues, unsigned int n)
{
	struct nlattr *nest;

	for (unsigned int i = 0; i < n; i++) {
		nest = nla_nest_start(msg, NDEV_A_DMABUF_QUEUES | NLA_F_NESTED);
		if (!nest || nla_put_u32(msg, NDEV_A_QUEUE_ID, queues[i]) < 0 ||
		    nla_put_u32(msg, NDEV_A_QUEUE_TYPE, NDEV_QUEUE_RX) < 0)
			return -ENOMEM;
		nla_nest_end(msg, nest);
	}
	return 0;
}

static int nic_bind(struct nic_nl *nl, uint8_t cmd, int ifindex, int dmabuf_fd,
		    const unsigned int *queues, unsigned int n_queues, struct nic_binding *b)
{
	struct nl_msg *msg = nic_nl_msg(nl, cmd, 0);
	struct nic_binding answer = { 0 };
	int ret;

	if (!msg)
		return -ENOMEM;
	if (nla_put_u32(msg, NDEV_A_DMABUF_IFINDEX, (uint32_t)ifindex) < 0 ||
	    nla_put_u32(msg, NDEV_A_DMABUF_FD, (uint32_t)dmabuf_fd) < 0 ||
	    nic_bind_queues_put(msg, queues, n_queues) < 0 ||
	    (b->niov_size && nla_put_u32(msg, NDEV_A_DMABUF_RX_PAGE_SIZE, b->niov_size) < 0)) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	ret = nic_nl_call(nl, msg, nic_bind_on_reply, &answer);
	if (ret)
		return ret;
	if (!answer.id)
		return -EPROTO;
	*b = answer;
	return 0;
}

int nic_netdev_bind_rx(struct nic_nl *nl, int ifindex, int dmabuf_fd, const unsigned int *queues,
		       unsigned int n_queues, struct nic_binding *binding)
{
	return nic_bind(nl, NDEV_CMD_BIND_RX, ifindex, dmabuf_fd, queues, n_queues, binding);
}

int nic_netdev_bind_tx(struct nic_nl *nl, int ifindex, int dmabuf_fd, uint32_t *ret_id)
{
	struct nic_binding b = { 0 };
	int err = nic_bind(nl, NDEV_CMD_BIND_TX, ifindex, dmabuf_fd, NULL, 0, &b);

	if (!err)
		*ret_id = b.id;
	return err;
}
