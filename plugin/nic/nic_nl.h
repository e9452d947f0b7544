/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One netlink socket and its requests, over libnl. Not thread-safe: a socket has one user at a
 * time.
 */
#ifndef DEVMEM_NIC_NL_H
#define DEVMEM_NIC_NL_H

#include <stdbool.h>
#include <stdint.h>

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

/*
 * @family:	id of the generic netlink family, 0 on a route socket.
 * @ext:	text of the kernel's extended acknowledgement for the last failed request, or "".
 * @ext_attr:	the kernel pointed at an attribute of the last failed request.
 */
struct nic_nl {
	struct nl_sock *sk;
	int family;
	bool ext_attr;
	char ext[160];
};

/* Called for each reply message; a negative return value ends the request with it. */
typedef int (*nic_nl_reply_fn)(const struct nlmsghdr *nlh, void *arg);

/*
 * Opens a socket (close-on-exec) to generic netlink family @family, or to rtnetlink when that is
 * NULL. -EOPNOTSUPP: the kernel has no such family. @nl is valid only when 0 is returned.
 */
int nic_nl_open(struct nic_nl *nl, const char *family);
/* Closing a zeroed or already closed one does nothing. */
void nic_nl_close(struct nic_nl *nl);
/*
 * In a fork()ed child: gives the descriptor up without libnl, whose locks another thread of the
 * parent may have held. What the parent has on the socket stays.
 */
void nic_nl_forget(struct nic_nl *nl);
int nic_nl_fd(const struct nic_nl *nl);

/* A request with its generic netlink header; NULL when out of memory. */
struct nl_msg *nic_nl_msg(const struct nic_nl *nl, uint8_t cmd, int flags);

/*
 * Sends @msg (consumed, also on failure; NULL gives -ENOMEM) and waits for its end: the
 * acknowledgement, or the end of a dump. @fn may be NULL. Returns 0 or the kernel's negative errno;
 * -ETIMEDOUT when there is no answer within 15 s; -EAGAIN when a dump changed while it was read
 * and has to be read again.
 */
int nic_nl_call(struct nic_nl *nl, struct nl_msg *msg, nic_nl_reply_fn fn, void *arg);

#endif
