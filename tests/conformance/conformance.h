/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Harness: cases, options, and how a case ends.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"

#define CASE_SKIP 77

/* Case flags. */
#define CASE_BARE      1 /* loads and initialises by itself */
#define CASE_PROCESSES 2 /* wants its ranks in two processes */
#define CASE_ONE       4 /* one rank is enough */
#define CASE_OURS      8 /* knows this project's wire format: --ours */
#define CASE_SLOW      16
#define CASE_DIRTY     32 /* leaves what only the next start of the plugin puts right */

/* @why: one line, for --list. @seconds: limit, 0: 60. */
struct conf_case {
	const char *name;
	const char *why;
	void (*run)(void);
	unsigned int flags;
	unsigned int seconds;
};

/* Tables, each ended by a case without a name; NULL behind the last. */
extern const struct conf_case *const conf_tables[];

/*
 * @netns: names of network namespaces, for rank 0 and 1. @leak_command: its output after a case has to be what it was before all.
 * @unpack: the plugin has been set to leave unpacking to NCCL's kernels.
 */
struct conf_options {
	const char *plugin;
	const char *interface;
	const char *netns[2];
	const char *leak_command;
	enum device_memory_kind memory;
	int processes;
	bool ours;
	bool unpack;
	bool verbose;
	int version;
	unsigned int limit_factor;
};
extern struct conf_options conf;

/* One process of the program's own: argv with these words added. */
struct rank;
void conf_exec_rank(int number, int fd);

/* End the case with one line of reason. */
_Noreturn void conf_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
_Noreturn void conf_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* What the table says of a case that passed: a figure, mostly. */
void conf_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* How the reason begins when a call took long; the runner looks for it. */
#define BLOCKED_PREFIX "a call blocked "

#define FAIL(...) conf_fail(__FILE__, __LINE__, __VA_ARGS__)
#define SKIP(...) conf_skip(__VA_ARGS__)
#define CHECK(cond, ...)                   \
	do {                               \
		if (!(cond))               \
			FAIL(__VA_ARGS__); \
	} while (0)
/* The plugin's answer has to be this. */
#define EXPECT(res, wanted, what)                                                              \
	do {                                                                                   \
		int _res = (int)(res);                                                         \
		if (_res != (int)(wanted))                                                     \
			FAIL("%s: %s, expected %s", what, net_result_name((ncclResult_t)_res), \
			     net_result_name(wanted));                                         \
	} while (0)

void sleep_ms(int ms);

#endif
