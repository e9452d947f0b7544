/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The logger handed to the plugin, as NCCL has one: NCCL_DEBUG gives the level (VERSION, WARN, INFO,
 * ABORT, TRACE, NONE); WARN where it is not set. Lines go to stderr.
 */
#ifndef PERF_NET_LOGGER_H
#define PERF_NET_LOGGER_H

#include <stdbool.h>

#include "nccl/net.h"

/* ncclDebugLogger_t. Any thread. */
void net_logger_write(ncclDebugLogLevel level, unsigned long flags, const char *file, int line,
		      const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Whether lines of @level are shown. */
bool net_logger_enabled(ncclDebugLogLevel level);

#endif
