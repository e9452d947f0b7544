/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of the NIC room share that run in a guest: two soft devmem NICs on a veth pair,
 * "sdm0" in this network namespace and "sdm1" in one named "peer", fresh for every test.
 */
#ifndef NIC_GUEST_H
#define NIC_GUEST_H

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "nic/nic.h"
#include "nic/nic_ethtool.h"
#include "nic/nic_netdev.h"
#include "nic/nic_rss.h"
#include "nic/nic_rule.h"
#include "unit.h"

#define GUEST_QUEUES 4
#define GUEST_STATE  "/run/nic-test"

/* 0, 77 when this kernel has no sdm, or 1. Called once, before the tests. */
int guest_init(void);
/* cmocka's fixtures: the devices; at the end nothing may be left of what the test set. */
int guest_setup(void **state);
int guest_teardown(void **state);

/* Runs a shell command; 0 if it succeeded. */
int guest_run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void guest_param(const char *name, const char *value);

struct nic guest_nic(void);
int guest_dmabuf(size_t size);

/* sdm0's settings as a text for comparison: split, threshold, RSS, ntuple, number of rules. */
const char *guest_settings(char *buf, size_t len);
#define GUEST_SETTINGS_MAX 256
/* The id of the dmabuf bound to an RX queue of sdm0, 0 if none. */
uint32_t guest_bound(unsigned int queue);
/* "0-2": the queues that RSS uses. */
const char *guest_rss(void);
unsigned int guest_rules(void);
/* Rules that lead to @queue. */
unsigned int guest_rules_to(unsigned int queue);
unsigned int guest_records(void);

/* What the NIC room has logged since the test began. */
const char *guest_log(void);
#define assert_guest_log(word) assert_word(guest_log(), word)

/* Binds @n_queues queues, or fails the test with the verdict. */
struct nic_rx *guest_bind(unsigned int n_queues);
/* Steers remote 10.9.0.2:@port (or fd09::2) to 10.9.0.1:5000 (fd09::1). */
int guest_steer(struct nic_rx *rx, int family, uint16_t port, uint32_t *rule, struct verdict *why);

/*
 * A child process that runs @fn in lock-step with the test: guest_child_step() lets it go on until
 * its next guest_child_pause(), and returns what that was given. guest_child_end() waits for it.
 */
struct guest_child {
	pid_t pid;
	int to;
	int from;
};
void guest_child_start(struct guest_child *c, void (*fn)(struct guest_child *c));
void guest_child_pause(struct guest_child *c, int value);
int guest_child_step(struct guest_child *c);
int guest_child_end(struct guest_child *c);
void guest_child_kill(struct guest_child *c);

/* Gives up all capabilities for good. */
void guest_caps_drop(void);

#define assert_word(text, word)                                              \
	do {                                                                 \
		if (!strstr((text), (word)))                                 \
			fail_msg("\"%s\" is not in \"%s\"", (word), (text)); \
	} while (0)

#endif
