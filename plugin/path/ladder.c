// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/param.h"
#include "base/stats.h"
#include "base/trace.h"
#include "path/ladder.h"

/* Distinct messages remembered. When it is full a message may repeat, but none is lost. */
#define SAID_MAX 128

static pthread_mutex_t said_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t said[SAID_MAX];
static unsigned int n_said;

const char *rung_name(enum rung r)
{
	static const char *const names[] = { "copy", "zerocopy", "devmem" };

	return names[r];
}

static const char *direction_name(enum direction dir)
{
	return dir == DIR_SEND ? "send" : "receive";
}

/* FNV-1a; a collision would only swallow a log line. */
#define HASH_START 0xcbf29ce484222325ULL

static uint64_t hash_text(uint64_t h, const char *s)
{
	while (*s)
		h = (h ^ (unsigned char)*s++) * 0x100000001b3ULL;
	return h;
}

static uint64_t hash_message(const char *nic_name, unsigned int kind, const char *text)
{
	uint64_t h = hash_text(HASH_START + kind, nic_name);

	return hash_text(h ^ 0xff, text);
}

static bool say_once(uint64_t key)
{
	bool first = true;
	unsigned int i;

	pthread_mutex_lock(&said_lock);
	for (i = 0; i < n_said && first; i++)
		first = said[i] != key;
	if (first && n_said < SAID_MAX)
		said[n_said++] = key;
	pthread_mutex_unlock(&said_lock);
	return first;
}

/* Receiving has no zerocopy rung between devmem and copy: there REQUIRE=zerocopy asks for nothing. */
static bool rung_is_allowed(enum direction dir, enum rung r)
{
	switch (param_choice(PARAM_REQUIRE)) {
	case REQUIRE_DEVMEM:
		return r >= RUNG_DEVMEM;
	case REQUIRE_ZEROCOPY:
		return r >= RUNG_ZEROCOPY || dir == DIR_RECV;
	default:
		return true;
	}
}

int ladder_step_down(const char *nic_name, enum direction dir, enum rung from, enum rung to,
		     const struct verdict *why)
{
	const char *remedy = why->remedy[0] ? "; remedy: " : "";
	bool allowed = rung_is_allowed(dir, to);
	unsigned int kind = 1 + dir + 2 * (unsigned int)from + 8 * (unsigned int)to +
			    32 * (unsigned int)!allowed;

	if (say_once(hash_message(nic_name, kind, why->reason))) {
		counter_inc(steps_down);
		TRACE5(step_down, nic_name, dir, from, to, why->reason);
		stats_step_note((uint32_t)hash_text(HASH_START, why->reason), nic_name,
				dir == DIR_SEND, (int)from, (int)to, why);
		if (allowed)
			log_warn("%s: %s path %s instead of %s: %s%s%s", nic_name,
				 direction_name(dir), rung_name(to), rung_name(from), why->reason,
				 remedy, why->remedy);
		else
			log_err("%s: %s path would be %s, but %s=%s forbids it: %s%s%s", nic_name,
				direction_name(dir), rung_name(to), param_env_name(PARAM_REQUIRE),
				param_text(PARAM_REQUIRE), why->reason, remedy, why->remedy);
	}
	if (allowed)
		return 0;
	return why->err < 0 ? why->err : -ENOTSUP;
}

void ladder_chosen(const char *nic_name, enum direction dir, enum rung rung, const char *detail)
{
	unsigned int kind = 1000 + dir + 2 * (unsigned int)rung;

	if (say_once(hash_message(nic_name, kind, "")))
		log_info("%s: %s path %s%s%s", nic_name, direction_name(dir), rung_name(rung),
			 detail[0] ? ", " : "", detail);
}

void ladder_reset(void)
{
	pthread_mutex_lock(&said_lock);
	n_said = 0;
	pthread_mutex_unlock(&said_lock);
}
