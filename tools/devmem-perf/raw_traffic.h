/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Plain TCP, as fast as it goes with blocking calls: a thread for each stream and direction that
 * sends one message after the other, or receives whatever has come, nothing but their bytes. What a
 * plugin adds (framing, requests, one thread for everything) is not in it.
 */
#ifndef PERF_RAW_TRAFFIC_H
#define PERF_RAW_TRAFFIC_H

#include "traffic.h"

/*
 * @streams: connections for each direction; messages go to them in turn. @congestion: NULL the
 * system's default. @ifname: whose address to use; NULL the first that is up and not loopback.
 */
struct raw_setting {
	int streams;
	const char *congestion, *ifname;
};

/*
 * Connects this rank of @cell, of two, in the directions that the cell has. @timeout_s bounds the
 * meeting of the ranks, not what comes after it. Reports; negative errno. *ret is to be closed.
 */
int raw_traffic_open(const struct compare_cell *cell, const struct raw_setting *setting, int rank,
		     const char *rendezvous, unsigned int nslots, int timeout_s,
		     struct traffic **ret);

#endif
