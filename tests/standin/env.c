// SPDX-License-Identifier: BSD-3-Clause
/* The environment's words, and what they mean for a call. standin.h lists them. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "state.h"

#define WORDS_MAX 64

struct word {
	char name[48];
	unsigned long nth; /* 0: each */
	long value;
};

static struct word fails[WORDS_MAX], missing[WORDS_MAX], attributes[WORDS_MAX];
static int n_fails, n_missing, n_attributes;

void name_plain(const char *name, char *out, size_t size)
{
	size_t n = strlen(name);

	if (n > 3 && name[n - 3] == '_' && name[n - 2] == 'v' &&
	    isdigit((unsigned char)name[n - 1]))
		n -= 3;
	if (n >= size)
		n = size - 1;
	memcpy(out, name, n);
	out[n] = '\0';
}

static long number(const char *variable, const char *text)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 0);
	if (errno || end == text || *end)
		standin_die("%s: '%s' is not a number", variable, text);
	return value;
}

static long env_number(const char *variable, long otherwise)
{
	const char *text = getenv(variable);

	return text && *text ? number(variable, text) : otherwise;
}

/* NAME[:NTH][=VALUE],... */
static int words_read(const char *variable, struct word *words, bool has_value)
{
	const char *text = getenv(variable);
	char *copy, *one, *save = NULL;
	int n = 0;

	if (!text || !*text)
		return 0;
	copy = strdup(text);
	for (one = strtok_r(copy, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		char *value = strchr(one, '='), *nth;

		if (n == WORDS_MAX)
			standin_die("%s: more than %d words", variable, WORDS_MAX);
		if (!value != !has_value)
			standin_die("%s: '%s' should %shave a value", variable, one,
				    has_value ? "" : "not ");
		if (value)
			*value++ = '\0';
		nth = strchr(one, ':');
		if (nth)
			*nth++ = '\0';
		words[n] = (struct word){ .nth = nth ? (unsigned long)number(variable, nth) : 0,
					  .value = value ? number(variable, value) : 0 };
		name_plain(one, words[n].name, sizeof(words[n].name));
		n++;
	}
	free(copy);
	return n;
}

static enum way dmabuf_read(void)
{
	const char *way = getenv("STANDIN_DMABUF");

	if (!way || !*way)
		return access("/dev/udmabuf", R_OK | W_OK) == 0 ? DMABUF_UDMABUF : DMABUF_OFF;
	if (!strcmp(way, "udmabuf"))
		return DMABUF_UDMABUF;
	if (!strcmp(way, "memfd"))
		return DMABUF_MEMFD;
	if (strcmp(way, "off"))
		standin_die("STANDIN_DMABUF=%s: udmabuf, memfd or off", way);
	return DMABUF_OFF;
}

void env_read(void)
{
	size_t memory = (size_t)env_number("STANDIN_MEMORY_MIB", 16384) << 20;
	long gpus = env_number("STANDIN_GPUS", 1);
	int i;

	if (gpus < 0 || gpus > STANDIN_MAX_GPUS)
		standin_die("STANDIN_GPUS=%ld: 0 to %d", gpus, STANDIN_MAX_GPUS);
	standin.n_devices = (int)gpus;
	standin.version = (int)env_number("STANDIN_DRIVER_VERSION", CUDA_VERSION);
	standin.delay_us = (unsigned int)env_number("STANDIN_DELAY_US", 0);
	standin.trace = env_number("STANDIN_TRACE", 0) != 0;
	standin.dmabuf = dmabuf_read();
	for (i = 0; i < standin.n_devices; i++) {
		standin.device[i].ordinal = i;
		standin.device[i].memory = memory;
	}
	n_fails = words_read("STANDIN_FAIL", fails, true);
	n_missing = words_read("STANDIN_MISSING", missing, false);
	n_attributes = words_read("STANDIN_ATTR", attributes, true);
}

bool env_missing(const char *function)
{
	int i;

	for (i = 0; i < n_missing; i++)
		if (!strcmp(missing[i].name, function))
			return true;
	return false;
}

bool env_attribute(int attribute, int *ret)
{
	int i;

	for (i = 0; i < n_attributes; i++)
		if (number("STANDIN_ATTR", attributes[i].name) == attribute) {
			*ret = (int)attributes[i].value;
			return true;
		}
	return false;
}

CUresult env_fail(const char *function, unsigned long nth)
{
	int i;

	for (i = 0; i < n_fails; i++)
		if (!strcmp(fails[i].name, function) && (!fails[i].nth || fails[i].nth == nth))
			return (CUresult)fails[i].value;
	return CUDA_SUCCESS;
}
