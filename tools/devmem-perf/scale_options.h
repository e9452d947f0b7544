/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of "devmem-perf scale". */
#ifndef PERF_SCALE_OPTIONS_H
#define PERF_SCALE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#define SCALE_MAX_VALUES      16
#define SCALE_MAX_CONNECTIONS 1024
#define SCALE_MAX_STORM	      16384

/*
 * What the connections of a rank do. BUSY: all carry messages. WAITING: one does, and on each of the
 * others a receive is posted and tested in turn, as when a peer is late. QUIET: one does, and the
 * others stand.
 */
enum scale_load { SCALE_BUSY, SCALE_WAITING, SCALE_QUIET, SCALE_LOADS };

/* The values an option lists, in its order. */
struct scale_list {
	int values[SCALE_MAX_VALUES];
	size_t n;
};

/* Strings belong to argv. @storm: connections, 0 for none. @plugin: NULL is this project's. */
struct scale_options {
	struct scale_list ranks, connections, sockets;
	bool loads[SCALE_LOADS];
	size_t size;
	unsigned int nslots;
	double seconds;
	int limit_s, storm;
	const char *plugin, *ifname, *netns;
	bool json;
	const char *json_file; /* NULL: standard output, in place of the table */
};

/* "busy", "waiting", "quiet" */
const char *scale_load_name(enum scale_load load);

/* @argv[0] is the word "scale". 0 go on; 1 --help was asked and answered; -EINVAL wrong, and reported. */
int scale_options_parse(int argc, char **argv, struct scale_options *ret);

#endif
