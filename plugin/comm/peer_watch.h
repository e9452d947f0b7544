/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether the peer of a sending comm is still there, while nothing moves. Internal to plugin/comm.
 */
#ifndef DEVMEM_PEER_WATCH_H
#define DEVMEM_PEER_WATCH_H

#include "comm/comm.h"
#include "comm/sock_events.h"

/*
 * @heard: the comm reads the control socket itself, and notices its end.
 * @events: where they tell of the control socket; NULL where nothing does. @host_checked: when the host was last looked at;
 * @silent_since: for sock_watch(), the control socket's last. The rest is zeroed at first.
 */
struct peer_watch {
	bool heard;
	struct sock_events *events;
	unsigned int idle;
	int64_t host_checked;
	int64_t silent_since[WIRE_MAX_SOCKS + 1];
};

/* Something moved. */
static inline void peer_watch_rest(struct peer_watch *w)
{
	w->idle = 0;
}

/* Nothing moved: is the next look one that does more than count? */
bool peer_watch_due(const struct peer_watch *w);
/* Nothing moved: has a look now and then. 0, or the comm's error when the peer is gone. */
int peer_watch_look(struct peer_watch *w, struct comm *comm);

#endif
