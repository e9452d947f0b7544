/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PERF_PLUGIN_TRAFFIC_H
#define PERF_PLUGIN_TRAFFIC_H

#include "traffic.h"

/*
 * Connects this rank of @cell through the plugin @path (NULL: this project's), with @nslots
 * messages in flight. @timeout_s bounds connecting and every wait without progress. Reports;
 * negative errno. *ret is to be closed.
 */
int plugin_traffic_open(const struct compare_cell *cell, const char *path, int rank,
			const char *rendezvous, unsigned int nslots, int timeout_s,
			struct traffic **ret);

#endif
