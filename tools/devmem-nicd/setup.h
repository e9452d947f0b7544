/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Settings that last: what the configuration says of interfaces, made at boot and put back when they go.
 */
#ifndef NICD_SETUP_H
#define NICD_SETUP_H

#include <stdbool.h>

/*
 * @dry_run: tell what would be done, do nothing. @restore: put everything back, whatever the configuration says.
 */
struct setup_options {
	const char *conf_path;
	bool dry_run;
	bool restore;
};

/*
 * All or nothing: a setting that cannot be made takes back those made before it. 0 or -errno, which was logged.
 */
int setup_run(const struct setup_options *o);

#endif
