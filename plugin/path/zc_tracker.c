// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <linux/errqueue.h>

#include "base/counter.h"
#include "base/log.h"
#include "path/zc_tracker.h"

void zc_tracker_init(struct zc_tracker *t)
{
	memset(t, 0, sizeof(*t));
}

void zc_tracker_sent(struct zc_tracker *t, struct zc_ref *ref)
{
	t->ring[t->next % ZC_WINDOW] = ref;
	t->next++;
	t->outstanding++;
	ref->pending++;
	counter_inc(zc_sends);
}

/* All arithmetic is modulo 2^32: a range is sane if it lies in the window behind @next. */
static bool is_outstanding(const struct zc_tracker *t, uint32_t lo, uint32_t n)
{
	uint32_t age = t->next - lo;
	uint32_t i;

	if (n == 0 || n > ZC_WINDOW || age > ZC_WINDOW || n > age)
		return false;
	for (i = 0; i < n; i++)
		if (!t->ring[(lo + i) % ZC_WINDOW])
			return false;
	return true;
}

int zc_tracker_complete(struct zc_tracker *t, uint32_t lo, uint32_t hi, bool copied)
{
	uint32_t n = hi - lo + 1;
	uint32_t i;

	if (!is_outstanding(t, lo, n)) {
		log_err("zerocopy completion for sends %u..%u, but only %u before %u are in flight",
			lo, hi, t->outstanding, t->next);
		return -EPROTO;
	}
	for (i = 0; i < n; i++) {
		struct zc_ref **slot = &t->ring[(lo + i) % ZC_WINDOW];

		(*slot)->pending--;
		*slot = NULL;
	}
	t->outstanding -= n;
	if (copied) {
		t->copied_run += n;
		counter_add(zc_copied, n);
	} else {
		t->copied_run = 0;
	}
	return 0;
}

static const struct sock_extended_err *find_zerocopy_err(struct msghdr *msg)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		const struct sock_extended_err *ee = (const void *)CMSG_DATA(c);

		if (!(c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR) &&
		    !(c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVERR))
			continue;
		if (c->cmsg_len < CMSG_LEN(sizeof(*ee)))
			continue;
		if (ee->ee_origin == SO_EE_ORIGIN_ZEROCOPY && ee->ee_errno == 0)
			return ee;
	}
	return NULL;
}

int zc_tracker_reap(struct zc_tracker *t, int fd)
{
	uint32_t before = t->outstanding;

	while (t->outstanding) {
		/* One sock_extended_err and, for some errors, the offender's address behind it. */
		char control[CMSG_SPACE(sizeof(struct sock_extended_err) +
					sizeof(struct sockaddr_in6))];
		struct msghdr msg = { .msg_control = control, .msg_controllen = sizeof(control) };
		const struct sock_extended_err *ee;
		uint32_t had = t->outstanding;
		int r;

		counter_inc(sys_errqueue);
		if (recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
			counter_inc(sys_errqueue_none);
			if (errno == EAGAIN || errno == EINTR)
				break;
			return -errno;
		}
		ee = find_zerocopy_err(&msg);
		if (!ee)
			continue; /* an ICMP error, say: TCP itself will act on it */

		r = zc_tracker_complete(t, ee->ee_info, ee->ee_data,
					ee->ee_code & SO_EE_CODE_ZEROCOPY_COPIED);
		if (r < 0)
			return r;
		counter_add(zc_done_errqueue, had - t->outstanding);
	}
	return (int)(before - t->outstanding);
}
