// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/log.h"
#include "base/param.h"

#define PARAM_PREFIX   "NCCL_DEVMEM_"
#define PARAM_TEXT_MAX 1024

enum param_kind { KIND_INT, KIND_SIZE, KIND_BOOL, KIND_CHOICE, KIND_STR };

struct param_row {
	const char *env;
	enum param_kind kind;
	int64_t def;
	int64_t min;
	int64_t max;
	const char *def_text; /* CHOICE, STR */
	const char *choices;  /* CHOICE */
};

/* @num: INT, SIZE, BOOL, and the index of a CHOICE. @text: STR, and the word of a CHOICE. */
struct param_value {
	bool set;
	int64_t num;
	char text[PARAM_TEXT_MAX];
};

static const struct param_row rows[PARAM_COUNT] = {
#define ROW(id, ...) [PARAM_##id] = { .env = PARAM_PREFIX #id, __VA_ARGS__ },
#define PARAM_INT(id, d, lo, hi, help) \
	ROW(id, .kind = KIND_INT, .def = (d), .min = (lo), .max = (hi))
#define PARAM_SIZE(id, d, lo, hi, help) \
	ROW(id, .kind = KIND_SIZE, .def = (d), .min = (lo), .max = (hi))
#define PARAM_BOOL(id, d, help)	     ROW(id, .kind = KIND_BOOL, .def = (d), .max = 1)
#define PARAM_CHOICE(id, d, c, help) ROW(id, .kind = KIND_CHOICE, .def_text = (d), .choices = (c))
#define PARAM_STR(id, d, help)	     ROW(id, .kind = KIND_STR, .def_text = (d))
#include "base/param_table.h"
#undef PARAM_INT
#undef PARAM_SIZE
#undef PARAM_BOOL
#undef PARAM_CHOICE
#undef PARAM_STR
#undef ROW
};

/* NCCL's own variables that stand in for a row's when that is not set. */
static const char *const fallbacks[PARAM_COUNT] = {
#define PARAM_FALLBACK(id, variable) [PARAM_##id] = (variable),
#define PARAM_INT(...)
#define PARAM_SIZE(...)
#define PARAM_BOOL(...)
#define PARAM_CHOICE(...)
#define PARAM_STR(...)
#include "base/param_table.h"
#undef PARAM_INT
#undef PARAM_SIZE
#undef PARAM_BOOL
#undef PARAM_CHOICE
#undef PARAM_STR
};

static struct param_value values[PARAM_COUNT];

/* Index of @word in the '|'-separated @list, or -1. */
static int choice_find(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (int i = 0;; i++) {
		size_t n = strcspn(list, "|");

		if (n == len && !memcmp(list, word, n))
			return i;
		if (!list[n])
			return -1;
		list += n + 1;
	}
}

static int parse_number(const char *s, int64_t *ret)
{
	char *end;
	long long n;

	/* strtoll() also takes leading blanks and "+"; here they are more likely a mistake. */
	if (*s != '-' && (*s < '0' || *s > '9'))
		return -EINVAL;
	errno = 0;
	n = strtoll(s, &end, 10);
	if (errno)
		return -ERANGE;
	if (end == s || *end)
		return -EINVAL;
	*ret = n;
	return 0;
}

static int parse_size(const char *s, int64_t *ret)
{
	static const char suffixes[] = "kmg";
	size_t digits = strspn(s, "0123456789");
	char number[24];
	const char *unit;
	int shift = 0;
	int64_t n;
	int err;

	if (!digits || strlen(s + digits) > 1)
		return -EINVAL;
	if (digits >= sizeof(number))
		return -ERANGE;
	if (s[digits]) {
		unit = strchr(suffixes, s[digits] | 0x20);
		if (!unit)
			return -EINVAL;
		shift = 10 * (int)(unit - suffixes + 1);
	}
	memcpy(number, s, digits);
	number[digits] = '\0';
	err = parse_number(number, &n);
	if (err)
		return err;
	if (n > INT64_MAX >> shift)
		return -ERANGE;
	*ret = n << shift;
	return 0;
}

static int parse_bool(const char *s, int64_t *ret)
{
	static const char *const words[] = { "0", "1", "no", "yes", "off", "on", "false", "true" };

	for (unsigned int i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcasecmp(s, words[i])) {
			*ret = i & 1;
			return 0;
		}
	}
	return -EINVAL;
}

static int param_parse(const struct param_row *row, const char *s, int64_t *ret)
{
	int64_t n = 0;
	int err = 0;

	switch (row->kind) {
	case KIND_INT:
		err = parse_number(s, &n);
		break;
	case KIND_SIZE:
		err = parse_size(s, &n);
		break;
	case KIND_BOOL:
		err = parse_bool(s, &n);
		break;
	case KIND_CHOICE:
		n = choice_find(row->choices, s);
		err = n < 0 || strchr(s, '|') ? -EINVAL : 0;
		break;
	case KIND_STR:
		err = strlen(s) >= PARAM_TEXT_MAX ? -ERANGE : 0;
		break;
	}
	if (err)
		return err;
	if ((row->kind == KIND_INT || row->kind == KIND_SIZE) && (n < row->min || n > row->max))
		return -ERANGE;
	*ret = n;
	return 0;
}

/* "64M", where that is exact. */
static const char *size_text(int64_t n, char *buf, size_t len)
{
	static const char suffixes[] = "\0KMG";
	int unit = 0;

	while (unit < 3 && n && !(n & 1023)) {
		n >>= 10;
		unit++;
	}
	snprintf(buf, len, "%" PRId64 "%.1s", n, &suffixes[unit]);
	return buf;
}

static void param_warn(const struct param_row *row, const char *s)
{
	char lo[32], hi[32], def[32];

	switch (row->kind) {
	case KIND_INT:
		log_warn("%s=\"%.80s\" is not an integer from %" PRId64 " to %" PRId64
			 "; the default %" PRId64 " stays",
			 row->env, s, row->min, row->max, row->def);
		break;
	case KIND_SIZE:
		log_warn("%s=\"%.80s\" is not a size from %s to %s (digits, then K, M, G or "
			 "nothing); the default %s stays",
			 row->env, s, size_text(row->min, lo, sizeof(lo)),
			 size_text(row->max, hi, sizeof(hi)),
			 size_text(row->def, def, sizeof(def)));
		break;
	case KIND_BOOL:
		log_warn("%s=\"%.80s\" is none of 0, 1, no, yes, off, on, false, true; the default "
			 "%d stays",
			 row->env, s, (int)row->def);
		break;
	case KIND_CHOICE:
		log_warn("%s=\"%.80s\" is none of %s; the default %s stays", row->env, s,
			 row->choices, row->def_text);
		break;
	case KIND_STR:
		log_warn("%s=\"%.80s...\" is longer than %d characters; the default \"%s\" stays",
			 row->env, s, PARAM_TEXT_MAX - 1, row->def_text);
		break;
	}
}

static void param_load_one(enum param_id id)
{
	const struct param_row *row = &rows[id];
	struct param_value *v = &values[id];
	const char *s = getenv(row->env);

	v->set = false;
	if (!s && fallbacks[id])
		s = getenv(fallbacks[id]);
	if (!s)
		return;
	if (param_parse(row, s, &v->num)) {
		param_warn(row, s);
		return;
	}
	if (row->kind == KIND_STR || row->kind == KIND_CHOICE)
		snprintf(v->text, sizeof(v->text), "%s", s);
	v->set = true;
}

/* Levenshtein distance; @b is at most 63 characters long. */
static unsigned int edit_distance(const char *a, size_t alen, const char *b)
{
	unsigned int row[64];
	size_t blen = strlen(b);

	if (blen >= sizeof(row) / sizeof(row[0]))
		return UINT32_MAX;
	for (size_t j = 0; j <= blen; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; i <= alen; i++) {
		unsigned int diagonal = row[0];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= blen; j++) {
			unsigned int best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[blen];
}

/* @name of @len characters is no row's. Three wrong letters are still taken for a slip. */
static void param_warn_unknown(const char *name, size_t len)
{
	unsigned int best = 4;
	const char *nearest = NULL;

	for (int id = 0; id < PARAM_COUNT; id++) {
		unsigned int d = edit_distance(name, len, rows[id].env);

		if (d < best) {
			best = d;
			nearest = rows[id].env;
		}
	}
	if (nearest)
		log_warn(
			"%.*s is not a variable of this plugin and has no effect; did you mean %s?",
			(int)len, name, nearest);
	else
		log_warn("%.*s is not a variable of this plugin and has no effect; "
			 "docs/environment.md lists them",
			 (int)len, name);
}

static bool param_known(const char *name, size_t len)
{
	for (int id = 0; id < PARAM_COUNT; id++)
		if (strlen(rows[id].env) == len && !memcmp(rows[id].env, name, len))
			return true;
	return false;
}

void param_load(void)
{
	/* First the level, for it decides about the warnings of the others. */
	param_load_one(PARAM_LOG);
	log_level_set((enum log_level)param_choice(PARAM_LOG));
	for (int id = 0; id < PARAM_COUNT; id++)
		if (id != PARAM_LOG)
			param_load_one((enum param_id)id);

	for (char **e = environ; e && *e; e++) {
		size_t len = strcspn(*e, "=");

		if (strncmp(*e, PARAM_PREFIX, strlen(PARAM_PREFIX)) || param_known(*e, len))
			continue;
		param_warn_unknown(*e, len < 64 ? len : 64);
	}
}

int64_t param_int(enum param_id id)
{
	return values[id].set ? values[id].num : rows[id].def;
}

bool param_bool(enum param_id id)
{
	return param_int(id) != 0;
}

int param_choice(enum param_id id)
{
	if (values[id].set)
		return (int)values[id].num;
	return choice_find(rows[id].choices, rows[id].def_text);
}

const char *param_str(enum param_id id)
{
	return values[id].set ? values[id].text : rows[id].def_text;
}

const char *param_text(enum param_id id)
{
	return param_str(id);
}

bool param_is_set(enum param_id id)
{
	return values[id].set;
}

const char *param_env_name(enum param_id id)
{
	return rows[id].env;
}
