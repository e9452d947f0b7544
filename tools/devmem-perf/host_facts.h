/* SPDX-License-Identifier: BSD-3-Clause */
/* What a measurement has to say about the machine it was made on. */
#ifndef PERF_HOST_FACTS_H
#define PERF_HOST_FACTS_H

#include <time.h>

/*
 * @kernel: uname -r. @machine: uname -m. @cpu: its model, "" when not known. @congestion: the
 * default of new sockets, of this process's network namespace (net.ipv4.tcp_congestion_control).
 */
struct host_facts {
	char kernel[66], machine[66], cpu[96], congestion[16];
	int cpus;
	time_t now;
};

/* Cannot fail: what cannot be read is empty. */
void host_facts_take(struct host_facts *ret);

#endif
