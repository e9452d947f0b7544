// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "base/cleanup.h"
#include "nic/nic_link.h"
#include "nic/nic_nl.h"

/* A host with more than that has containers by the thousand; none of them is for NCCL. */
#define NIC_LINKS_MAX 65536

/* A growing array of elements of @size bytes. */
struct nic_vec {
	void *v;
	unsigned int n;
	size_t size;
};

static void nic_vec_drop(struct nic_vec *vec)
{
	free(vec->v);
	vec->v = NULL;
	vec->n = 0;
}

static int nic_vec_push(struct nic_vec *vec, const void *elem)
{
	void *v;

	if (vec->n == NIC_LINKS_MAX)
		return -E2BIG;
	v = realloc(vec->v, (vec->n + 1) * vec->size);
	if (!v)
		return -ENOMEM;
	vec->v = v;
	memcpy((char *)v + vec->n++ * vec->size, elem, vec->size);
	return 0;
}

static bool nic_link_has_xdp(struct nlattr *xdp)
{
	struct nlattr *tb[IFLA_XDP_MAX + 1];

	if (!xdp || nla_parse_nested(tb, IFLA_XDP_MAX, xdp, NULL) < 0)
		return false;
	return tb[IFLA_XDP_ATTACHED] && nla_get_u8(tb[IFLA_XDP_ATTACHED]) != XDP_ATTACHED_NONE;
}

static int nic_link_on_reply(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifinfomsg *ifi = nlmsg_data(nlh);
	struct nlattr *tb[IFLA_MAX + 1];
	struct nic_link l = { 0 };

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return 0;
	if (nlmsg_parse((struct nlmsghdr *)nlh, sizeof(*ifi), tb, IFLA_MAX, NULL) < 0 ||
	    !tb[IFLA_IFNAME])
		return -EPROTO;
	nla_strlcpy(l.name, tb[IFLA_IFNAME], sizeof(l.name));
	l.ifindex = ifi->ifi_index;
	l.flags = ifi->ifi_flags;
	l.type = ifi->ifi_type;
	if (tb[IFLA_MTU])
		l.mtu = nla_get_u32(tb[IFLA_MTU]);
	if (tb[IFLA_ADDRESS] && nla_len(tb[IFLA_ADDRESS]) >= (int)sizeof(l.mac))
		memcpy(l.mac, nla_data(tb[IFLA_ADDRESS]), sizeof(l.mac));
	l.xdp = nic_link_has_xdp(tb[IFLA_XDP]);
	return nic_vec_push(arg, &l);
}

static int nic_addr_on_reply(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifaddrmsg *ifa = nlmsg_data(nlh);
	struct nlattr *tb[IFA_MAX + 1];
	struct nic_addr a = { 0 };
	struct nlattr *addr;
	uint32_t flags;

	if (nlh->nlmsg_type != RTM_NEWADDR)
		return 0;
	if (nlmsg_parse((struct nlmsghdr *)nlh, sizeof(*ifa), tb, IFA_MAX, NULL) < 0)
		return -EPROTO;
	flags = tb[IFA_FLAGS] ? nla_get_u32(tb[IFA_FLAGS]) : ifa->ifa_flags;
	a.ifindex = (int)ifa->ifa_index;
	a.usable = !(flags & IFA_F_DADFAILED) &&
		   (!(flags & IFA_F_TENTATIVE) || (flags & IFA_F_OPTIMISTIC));
	a.preferred = !(flags & IFA_F_DEPRECATED);

	/* On a point-to-point link IFA_ADDRESS is the peer's. */
	addr = tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS];
	if (!addr)
		return 0;
	if (ifa->ifa_family == AF_INET && nla_len(addr) >= 4) {
		struct sockaddr_in *in = (struct sockaddr_in *)&a.sa;

		in->sin_family = AF_INET;
		memcpy(&in->sin_addr, nla_data(addr), 4);
		a.len = sizeof(*in);
	} else if (ifa->ifa_family == AF_INET6 && nla_len(addr) >= 16) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a.sa;

		in6->sin6_family = AF_INET6;
		memcpy(&in6->sin6_addr, nla_data(addr), 16);
		if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
			in6->sin6_scope_id = ifa->ifa_index;
		a.len = sizeof(*in6);
	} else {
		return 0;
	}
	return nic_vec_push(arg, &a);
}

/* A dump of everything (@ifindex 0) or a request for one link. */
static int nic_rt_query(int type, int ifindex, nic_nl_reply_fn fn, struct nic_vec *vec)
{
	_cleanup_(nic_nl_close) struct nic_nl nl = { 0 };
	const struct ifinfomsg link = { .ifi_index = ifindex };
	const struct ifaddrmsg addr = { 0 };
	int ret;

	ret = nic_nl_open(&nl, NULL);
	for (int attempt = 0; !ret && attempt < 5; attempt++) {
		struct nl_msg *msg = nlmsg_alloc_simple(type, ifindex ? 0 : NLM_F_DUMP);
		int err;

		nic_vec_drop(vec);
		if (!msg)
			return -ENOMEM;
		if (type == RTM_GETLINK)
			err = nlmsg_append(msg, (void *)&link, sizeof(link), NLMSG_ALIGNTO);
		else
			err = nlmsg_append(msg, (void *)&addr, sizeof(addr), NLMSG_ALIGNTO);
		if (err < 0) {
			nlmsg_free(msg);
			return -ENOMEM;
		}
		ret = nic_nl_call(&nl, msg, fn, vec);
		if (ret != -EAGAIN)
			return ret;
		ret = attempt < 4 ? 0 : ret;
	}
	return ret;
}

int nic_link_list(struct nic_link **ret, unsigned int *ret_n)
{
	_cleanup_(nic_vec_drop) struct nic_vec vec = { .size = sizeof(struct nic_link) };
	int err = nic_rt_query(RTM_GETLINK, 0, nic_link_on_reply, &vec);

	if (err)
		return err;
	*ret_n = vec.n;
	*ret = TAKE_PTR(vec.v);
	return 0;
}

int nic_addr_list(struct nic_addr **ret, unsigned int *ret_n)
{
	_cleanup_(nic_vec_drop) struct nic_vec vec = { .size = sizeof(struct nic_addr) };
	int err = nic_rt_query(RTM_GETADDR, 0, nic_addr_on_reply, &vec);

	if (err)
		return err;
	*ret_n = vec.n;
	*ret = TAKE_PTR(vec.v);
	return 0;
}

int nic_link_get(int ifindex, struct nic_link *ret)
{
	_cleanup_(nic_vec_drop) struct nic_vec vec = { .size = sizeof(struct nic_link) };
	int err;

	if (ifindex <= 0)
		return -ENODEV;
	err = nic_rt_query(RTM_GETLINK, ifindex, nic_link_on_reply, &vec);
	if (err)
		return err;
	if (!vec.n)
		return -ENODEV;
	memcpy(ret, vec.v, sizeof(*ret));
	return 0;
}
