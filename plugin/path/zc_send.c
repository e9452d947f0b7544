// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/errqueue.h>

#include "base/counter.h"
#include "base/kernel.h"
#include "path/zc_send.h"
#include "uapi/series.h"

#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

/* As many as the kernel takes without an allocation (docs/kernel-interface.md). */
#define ASK_RANGES 16
#define ASK_LEN	   (sizeof(struct zc_notification) + ASK_RANGES * sizeof(struct zc_range))

/* Room for both messages. The kernel writes its answer into the second. */
struct zc_control {
	_Alignas(struct cmsghdr) char buf[CMSG_SPACE(sizeof(uint32_t)) + CMSG_SPACE(ASK_LEN)];
	size_t len;
	struct zc_notification *ask;
};

static struct cmsghdr *control_add(struct zc_control *c, int type, size_t len)
{
	struct cmsghdr *hdr = (struct cmsghdr *)(void *)(c->buf + c->len);

	hdr->cmsg_level = SOL_SOCKET;
	hdr->cmsg_type = type;
	hdr->cmsg_len = CMSG_LEN(len);
	c->len += CMSG_SPACE(len);
	return hdr;
}

static void control_add_ask(struct zc_control *c)
{
	c->ask = (void *)CMSG_DATA(control_add(c, SCM_ZC_NOTIFICATION, ASK_LEN));
	c->ask->state = ZC_NOTIFICATION_ASK;
	c->ask->nr = 0;
}

/* 1: answered, with room to spare; 0: no answer, or there may be more; -EPROTO: sends that are not in flight. */
static int take_answer(struct zc_tracker *t, const struct zc_control *c)
{
	const struct zc_notification *ask = c->ask;
	uint32_t had = t->outstanding;
	uint32_t i;

	if (!ask || ask->state != ZC_NOTIFICATION_DONE)
		return 0;
	if (ask->nr > ASK_RANGES)
		return -EPROTO;
	for (i = 0; i < ask->nr; i++) {
		const struct zc_range *range = &ask->ranges[i];
		int r = zc_tracker_complete(t, range->lo, range->hi,
					    range->code & SO_EE_CODE_ZEROCOPY_COPIED);

		if (r < 0)
			return r;
	}
	counter_add(zc_done_inband, had - t->outstanding);
	return ask->nr < ASK_RANGES;
}

ssize_t zc_send(struct data_sock *ds, struct iovec *iov, const uint32_t *dmabuf_id,
		struct zc_ref *ref)
{
	struct zc_control control;
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 1 };
	ssize_t n;
	int r;

	if (zc_tracker_full(ds->zc))
		return -ENOBUFS;
	control.len = 0;
	control.ask = NULL;
	if (dmabuf_id)
		memcpy(CMSG_DATA(control_add(&control, SCM_DEVMEM_DMABUF, sizeof(*dmabuf_id))),
		       dmabuf_id, sizeof(*dmabuf_id));
	if (kernel_features()->zc_notification && ds->zc->outstanding)
		control_add_ask(&control);
	if (control.len) {
		msg.msg_control = control.buf;
		msg.msg_controllen = control.len;
	}

	counter_inc(sys_send);
	n = sendmsg(ds->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_ZEROCOPY);
	if (n < 0)
		n = errno == EINTR ? -EAGAIN : -errno;
	else if (n > 0)
		zc_tracker_sent(ds->zc, ref);

	/* Also after a failure: what was told is gone from the error queue. This send may be among it. */
	r = take_answer(ds->zc, &control);
	return r < 0 ? r : n;
}

/*
 * An empty send, which sends nothing, only asks. Returns 1 when the kernel told all there is, 0 when the error
 * queue has to be read after all, -errno.
 */
static int ask_alone(struct data_sock *ds)
{
	struct zc_control control;
	struct msghdr msg = { 0 };
	int r;

	do {
		control.len = 0;
		control_add_ask(&control);
		msg.msg_control = control.buf;
		msg.msg_controllen = control.len;
		counter_inc(sys_ask);
		r = sendmsg(ds->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
		if (!control.ask->nr)
			counter_inc(sys_ask_none);
		if (control.ask->state != ZC_NOTIFICATION_DONE)
			return r == -EINTR || r == -EAGAIN ? 1 : r;
		r = take_answer(ds->zc, &control);
		if (r != 0)
			return r;
	} while (ds->zc->outstanding);
	return 1;
}

int zc_reap(struct data_sock *ds)
{
	uint32_t before = ds->zc->outstanding;
	int r;

	if (!before)
		return 0;
	if (!kernel_features()->zc_notification)
		return zc_tracker_reap(ds->zc, ds->fd);
	r = ask_alone(ds);
	if (r < 0)
		return r;
	if (r == 0)
		return zc_tracker_reap(ds->zc, ds->fd);
	return (int)(before - ds->zc->outstanding);
}
