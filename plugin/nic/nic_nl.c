// SPDX-License-Identifier: BSD-3-Clause
/*
 * Netlink requests with the kernel's own explanation (extended acknowledgement, include/uapi/linux/
 * netlink.h) kept for the verdict; libnl 3.7 drops it.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/socket.h>

#include "base/cleanup.h"
#include "nic/nic_nl.h"

/* Queue restarts wait for the RTNL lock and for the hardware; longer than this is a hang. */
#define NIC_NL_TIMEOUT_S 15

struct nic_nl_wait {
	struct nic_nl *nl;
	nic_nl_reply_fn fn;
	void *arg;
	int err;
	bool done;
};

static int nic_nl_errno(int nle)
{
	switch (-nle) {
	case NLE_AGAIN:
		return -ETIMEDOUT;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_PERM:
	case NLE_NOACCESS:
		return -EPERM;
	case NLE_OBJ_NOTFOUND:
	case NLE_OPNOTSUPP:
	case NLE_PROTO_MISMATCH:
		return -EOPNOTSUPP;
	case NLE_DUMP_INTR:
		return -EAGAIN;
	default:
		return -EIO;
	}
}

static void nic_nl_ext_parse(struct nic_nl *nl, const char *tlv, int len)
{
	const struct nlattr *a;
	int rem;

	nla_for_each_attr(a, (struct nlattr *)tlv, len, rem)
	{
		if (nla_type(a) == NLMSGERR_ATTR_OFFS)
			nl->ext_attr = true;
		if (nla_type(a) == NLMSGERR_ATTR_MSG)
			nla_strlcpy(nl->ext, a, sizeof(nl->ext));
	}
}

static int nic_nl_on_error(struct sockaddr_nl *from, struct nlmsgerr *e, void *arg)
{
	/* libnl hands out the payload only; the flags are in the header right before it. */
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)((char *)e - NLMSG_HDRLEN);
	struct nic_nl_wait *w = arg;
	size_t off = sizeof(*e);

	(void)from;
	w->err = e->error ? e->error : -EIO;
	w->done = true;
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return NL_STOP;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		off += e->msg.nlmsg_len - sizeof(e->msg);
	off = NLMSG_ALIGN(off);
	if (nlh->nlmsg_len > NLMSG_HDRLEN + off)
		nic_nl_ext_parse(w->nl, (char *)e + off,
				 (int)(nlh->nlmsg_len - NLMSG_HDRLEN - off));
	return NL_STOP;
}

static int nic_nl_on_valid(struct nl_msg *msg, void *arg)
{
	struct nic_nl_wait *w = arg;
	int ret;

	if (!w->fn || w->err)
		return NL_OK;
	ret = w->fn(nlmsg_hdr(msg), w->arg);
	if (ret < 0)
		w->err = ret;
	return NL_OK;
}

static int nic_nl_on_finish(struct nl_msg *msg, void *arg)
{
	const struct nlmsghdr *nlh = nlmsg_hdr(msg);
	struct nic_nl_wait *w = arg;
	int err = 0;

	w->done = true;
	/* A dump that fails says so in the payload of its last message. */
	if (nlmsg_datalen(nlh) >= (int)sizeof(err))
		memcpy(&err, nlmsg_data(nlh), sizeof(err));
	if (!w->err && err < 0) {
		w->err = err;
		if (nlh->nlmsg_flags & NLM_F_ACK_TLVS)
			nic_nl_ext_parse(w->nl, (char *)nlmsg_data(nlh) + NLMSG_ALIGN(sizeof(err)),
					 nlmsg_datalen(nlh) - (int)NLMSG_ALIGN(sizeof(err)));
	}
	return NL_STOP;
}

static int nic_nl_on_ack(struct nl_msg *msg, void *arg)
{
	struct nic_nl_wait *w = arg;

	(void)msg;
	w->done = true;
	return NL_STOP;
}

int nic_nl_open(struct nic_nl *nl, const char *family)
{
	const struct timeval timeout = { .tv_sec = NIC_NL_TIMEOUT_S };
	const int one = 1;
	int ret;

	memset(nl, 0, sizeof(*nl));
	nl->sk = nl_socket_alloc();
	if (!nl->sk)
		return -ENOMEM;

	/* libnl 3.7 opens with SOCK_CLOEXEC: a binding must not leak into exec'ed children. */
	ret = nl_connect(nl->sk, family ? NETLINK_GENERIC : NETLINK_ROUTE);
	if (ret < 0) {
		ret = nic_nl_errno(ret);
		goto close;
	}
	if (setsockopt(nic_nl_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0) {
		ret = -errno;
		goto close;
	}
	/* Only explanations are lost where the kernel lacks these two options. */
	setsockopt(nic_nl_fd(nl), SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(nic_nl_fd(nl), SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));

	if (family) {
		ret = genl_ctrl_resolve(nl->sk, family);
		if (ret < 0) {
			ret = nic_nl_errno(ret);
			goto close;
		}
		nl->family = ret;
	}
	return 0;

close:
	nic_nl_close(nl);
	return ret;
}

void nic_nl_close(struct nic_nl *nl)
{
	int saved = errno;

	if (nl->sk)
		nl_socket_free(nl->sk);
	nl->sk = NULL;
	errno = saved;
}

void nic_nl_forget(struct nic_nl *nl)
{
	if (nl->sk)
		close(nic_nl_fd(nl));
	nl->sk = NULL;
}

int nic_nl_fd(const struct nic_nl *nl)
{
	return nl_socket_get_fd(nl->sk);
}

struct nl_msg *nic_nl_msg(const struct nic_nl *nl, uint8_t cmd, int flags)
{
	struct nl_msg *msg = nlmsg_alloc();

	if (!msg)
		return NULL;
	if (!genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, nl->family, 0, flags, cmd, 1)) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

int nic_nl_call(struct nic_nl *nl, struct nl_msg *msg, nic_nl_reply_fn fn, void *arg)
{
	struct nic_nl_wait w = { .nl = nl, .fn = fn, .arg = arg };
	struct nl_cb *cb;
	int ret;

	nl->ext[0] = '\0';
	nl->ext_attr = false;
	if (!msg)
		return -ENOMEM;

	cb = nl_cb_alloc(NL_CB_DEFAULT);
	if (!cb) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	nl_cb_err(cb, NL_CB_CUSTOM, nic_nl_on_error, &w);
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, nic_nl_on_valid, &w);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, nic_nl_on_finish, &w);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, nic_nl_on_ack, &w);

	/*
	 * nl_send_auto() adds NLM_F_ACK, so that every request has an end that can be waited for.
	 */
	ret = nl_send_auto(nl->sk, msg);
	nlmsg_free(msg);
	if (ret < 0) {
		ret = nic_nl_errno(ret);
		goto put;
	}

	/* Bounded by SO_RCVTIMEO and by the end of what the kernel has to say. */
	ret = 0;
	while (!w.done) {
		ret = nl_recvmsgs(nl->sk, cb);
		if (ret < 0 && !w.done)
			break;
	}
	if (w.err)
		ret = w.err;
	else
		ret = ret < 0 ? nic_nl_errno(ret) : 0;
put:
	nl_cb_put(cb);
	return ret;
}
