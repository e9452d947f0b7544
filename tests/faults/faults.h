/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Harness of the fault tests: each case is a process of its own, driven and judged by the runner in faults.c.
 *
 * A case passes if its function returns, no descriptor and no thread is left, and a fresh run of the plugin in the same
 * process works right afterwards. A failed CHECK(), a crash, a sanitizer report and the time limit fail it.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FAULT_SKIP 77
/*
 * Everything has to show within this time, errors too. Far below NCCL_DEVMEM_PEER_TIMEOUT and NCCL_DEVMEM_CONNECT_TIMEOUT as the
 * cases have them (env_base()), so that what shows in time was noticed and did not run out; far above what a busy machine takes.
 */
#define ERROR_MS 60000

/* The case does not leave the process fit for a fresh run on loopback. */
#define CASE_NO_FRESH 1

struct fault_case {
	const char *name;
	void (*run)(void);
	unsigned int seconds; /* limit of the whole case; 0: 300 */
	unsigned int flags;
};

/* The program's tables of cases, each ended by a case without a name, and NULL behind the last. */
extern const struct fault_case *const fault_tables[];

/* End the case: failed, with what was expected; or skipped, with the reason. */
_Noreturn void case_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
_Noreturn void case_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define FAIL(...) case_fail(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(cond)                        \
	do {                               \
		if (!(cond))               \
			FAIL("%s", #cond); \
	} while (0)
#define CHECK_EQ(a, b)                                                          \
	do {                                                                    \
		long long _a = (long long)(a), _b = (long long)(b);             \
		if (_a != _b)                                                   \
			FAIL("%s is %lld, expected %s = %lld", #a, _a, #b, _b); \
	} while (0)

/* Sets a variable for this case; all are undone before the fresh run. */
void env_set(const char *name, const char *value);
void env_undo(void);

int64_t ms_now(void);
void ms_sleep(int ms);

/* Open descriptors and threads of this process. */
int count_fds(void);
int count_threads(void);
/* NICs of which the state directory says that settings have to be put back. */
int count_records(void);
/* Resident kilobytes. */
long rss_kb(void);

/*
 * A second process of the case, forked before the plugin is loaded. It runs @fn with its end of a socket pair and
 * exits 0 if that returns. peer_wait() fails the case unless the peer ends so within ERROR_MS.
 */
struct peer {
	pid_t pid;
	int fd;
};
struct peer peer_start(void (*fn)(int fd));
void peer_wait(struct peer *p);
/* SIGKILL, and waits. */
void peer_kill(struct peer *p);
void peer_put(int fd, const void *buf, size_t len);
void peer_get(int fd, void *buf, size_t len);

/*
 * Moves the process to a network namespace of its own; skips the case where that is not permitted. ns_veth() joins it
 * to that of @peer, which must be in its own: here 10.77.0.1 on ve0, there 10.77.0.2 on ve1.
 */
void ns_enter(void);
void ns_veth(pid_t peer);
/* Runs a command of iproute2 and the like; fails the case if it fails. */
void shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
