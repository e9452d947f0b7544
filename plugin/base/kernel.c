// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/kernel.h"
#include "base/log.h"
#include "base/param.h"
#include "uapi/series.h"

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif

static struct kernel_features features;

/*
 * The call fails, because the socket is not connected, and nothing is sent. Only a kernel that knows the message turns ASK
 * into DONE; one that gives the number another meaning would not.
 */
static bool has_zc_notification(void)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(sizeof(struct zc_notification))];
	} control = { 0 };
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct zc_notification ask = { .state = ZC_NOTIFICATION_ASK };
	int one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)) < 0)
		return false;
	control.hdr.cmsg_level = SOL_SOCKET;
	control.hdr.cmsg_type = SCM_ZC_NOTIFICATION;
	control.hdr.cmsg_len = CMSG_LEN(sizeof(ask));
	memcpy(CMSG_DATA(&control.hdr), &ask, sizeof(ask));
	if (sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return false;
	memcpy(&ask, CMSG_DATA(&control.hdr), sizeof(ask));
	return ask.state == ZC_NOTIFICATION_DONE;
}

/* Again a socket without a connection, and a range without a token. The answer is what the kernel puts in its place. */
static bool has_recycle(void)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(sizeof(struct dmabuf_token))];
	} control = { 0 };
	struct msghdr msg = { .msg_control = control.buf, .msg_controllen = sizeof(control.buf) };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct dmabuf_token none = { .token_start = 1 };
	uint32_t freed;

	if (fd < 0)
		return false;
	control.hdr.cmsg_level = SOL_SOCKET;
	control.hdr.cmsg_type = SCM_DEVMEM_DONTNEED;
	control.hdr.cmsg_len = CMSG_LEN(sizeof(none));
	memcpy(CMSG_DATA(&control.hdr), &none, sizeof(none));
	if (recvmsg(fd, &msg, MSG_DONTWAIT | MSG_SOCK_DEVMEM_DONTNEED) >= 0)
		return false;
	memcpy(&freed, CMSG_DATA(&control.hdr), sizeof(freed));
	return control.hdr.cmsg_level == SOL_SOCKET &&
	       control.hdr.cmsg_type == SCM_DEVMEM_DONTNEED &&
	       control.hdr.cmsg_len == CMSG_LEN(sizeof(freed)) && freed == 0;
}

/* An option of that number with another meaning would hardly have this value. */
static bool has_token_runs(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint32_t value = 0;
	socklen_t len = sizeof(value);

	return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_DEVMEM_RUN, &value, &len) == 0 &&
	       len == sizeof(value) && value == DEVMEM_RUN_OFF;
}

static const char *state(bool there, bool used)
{
	if (!there)
		return "no";
	return used ? "yes" : "yes, switched off";
}

void kernel_probe(void)
{
	bool zc = has_zc_notification();
	bool recycle = has_recycle();
	bool runs = has_token_runs();

	features.zc_notification = zc && param_bool(PARAM_ZC_NOTIFICATION);
	features.recycle = recycle && param_bool(PARAM_RECYCLE);
	features.token_runs = runs && param_bool(PARAM_TOKEN_RUNS);
	log_info("kernel features beyond mainline: completions in sendmsg: %s; tokens back in "
		 "recvmsg: %s; one token for a run of frags: %s",
		 state(zc, features.zc_notification), state(recycle, features.recycle),
		 state(runs, features.token_runs));
}

const struct kernel_features *kernel_features(void)
{
	return &features;
}
