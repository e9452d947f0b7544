/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Logging. Inside NCCL everything goes through the logger NCCL hands to init(), so that
 * NCCL_DEBUG and NCCL_DEBUG_FILE apply; without one (tools, tests) it goes to stderr.
 *
 * Never called per message: the data path logs only on errors and on steps down the ladder.
 */
#ifndef DEVMEM_LOG_H
#define DEVMEM_LOG_H

enum log_level {
	LOG_LVL_ERROR, /* NCCL_LOG_WARN; an operation failed */
	LOG_LVL_WARN,  /* NCCL_LOG_WARN; a step down, a bad parameter */
	LOG_LVL_INFO,  /* NCCL_LOG_INFO, subsystem NET|INIT */
	LOG_LVL_DEBUG, /* NCCL_LOG_TRACE; only with NCCL_DEVMEM_LOG=debug */
};

/*
 * Sink for finished lines (no newline at the end). Thread-safe by contract. The ABI edge
 * installs one that calls NCCL's logger; NULL restores stderr. To be set before other threads use the plugin.
 */
typedef void (*log_sink_fn)(enum log_level lvl, const char *file, int line, const char *text);
void log_sink_set(log_sink_fn sink);

/* Lines above this level are dropped before they are formatted. Default LOG_LVL_INFO. */
void log_level_set(enum log_level max);

void log_write(enum log_level lvl, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#define log_err(...)   log_write(LOG_LVL_ERROR, __FILE__, __LINE__, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LVL_WARN, __FILE__, __LINE__, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LVL_INFO, __FILE__, __LINE__, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LVL_DEBUG, __FILE__, __LINE__, __VA_ARGS__)

#endif
