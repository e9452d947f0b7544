/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An exam's results, for people and for programs; and the two things that go beyond looking.
 */
#ifndef DOCTOR_REPORT_H
#define DOCTOR_REPORT_H

#include <stdbool.h>

#include "exam.h"

/* To stdout, @width columns wide, with colour where that is wanted. @all: also what is as it should be. */
void report_text(const struct exam *x, unsigned int width, bool colour, bool all);
/* One JSON object to stdout. 0, or -EIO. */
int report_json(const struct exam *x);

/*
 * Runs the fixes of @x that are safe, each command once, telling what it does on stdout (stderr with @quiet_stdout). Returns how
 * many failed.
 */
unsigned int fixes_apply(const struct exam *x, bool quiet_stdout);

/*
 * Turns header split of all packets on, as `ethtool -G @ifname tcp-data-split on hds-thresh 0` does where ethtool is new enough
 * for that. 0, or -errno with the reason on stderr.
 */
int split_set(const char *ifname);

/* What jobs changed on this machine's interfaces and will put back: from the plugin's records. 0, or -errno. */
int since_boot_print(void);

#endif
