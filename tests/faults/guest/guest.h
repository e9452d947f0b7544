/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the cases share that run in a guest with the soft devmem NIC: sdm0 in this process's network namespace, sdm1 in that
 * of the process which receives.
 */
#ifndef FAULTS_GUEST_H
#define FAULTS_GUEST_H

#include "faults.h"
#include "plug.h"

#define MSG	     (1 << 20)
#define SETTINGS_MAX 200

extern const struct fault_case cases_plan[];
extern const struct fault_case cases_ending[];

/* A NIC's settings that the plugin changes while it uses it, as a text to compare. */
struct settings {
	char text[SETTINGS_MAX];
};
void settings_get(const char *ifname, struct settings *s);
/* Fails the case if they are not what they were. */
void settings_same(const char *ifname, const struct settings *before);

/* Joins the namespaces by veth, with an sdm on each end: 10.77.0.1 on sdm0 here, 10.77.0.2 on sdm1 there. */
void sdm_up(pid_t peer);

/* @count messages of MSG bytes, received and byte-checked, or sent. */
void receive(struct side *s, uint32_t count);
void send_messages(struct side *s, uint32_t count);
/* Streams until an error, which it returns; @fd, if not -1, is told when the first message is through. */
ncclResult_t stream(struct side *s, bool sends, int fd);

/* All tokens and rules are given back, and every byte of @count messages came by devmem, or none did. */
void check_counters(uint32_t count, bool devmem);

/* A side whose memory is a udmabuf, registered as device memory is. */
void side_open_dmabuf(struct side *s, void *comm, size_t size);
void side_close_dmabuf(struct side *s);

#endif
