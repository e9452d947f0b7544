// SPDX-License-Identifier: BSD-3-Clause
#include "compare_cell.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collective.h"
#include "job_options.h"
#include "report.h"

#define MAX_MESSAGE ((size_t)64 << 20)
#define MAX_RING    ((size_t)1 << 30)

static const struct {
	const char *name;
	enum cell_kind kind;
	int nranks;
	size_t max;
	const char *sizes; /* the usual ones */
} kinds[] = {
	{ "uni", CELL_UNI, 2, MAX_MESSAGE, "8K,64K,128K,1M,8M" },
	{ "bidir", CELL_BIDIR, 2, MAX_MESSAGE, "128K,1M,8M" },
	{ "ring2", CELL_RING, 2, MAX_RING, "16M,128M" },
	{ "ring4", CELL_RING, 4, MAX_RING, "16M,128M" },
	{ "latency", CELL_LATENCY, 2, MAX_MESSAGE, "8" },
};

#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

static size_t kind_index(const char *name, size_t len)
{
	size_t k;

	for (k = 0; k < NKINDS; k++)
		if (strlen(kinds[k].name) == len && !strncmp(kinds[k].name, name, len))
			break;
	return k;
}

static int cells_add(struct compare_cell *cells, size_t *n, size_t k, const char *size, size_t len)
{
	struct compare_cell c = { .kind = kinds[k].kind, .nranks = kinds[k].nranks };
	char word[12];

	if (*n == COMPARE_MAX_CELLS) {
		report_err("--cells: more than %d", COMPARE_MAX_CELLS);
		return -EINVAL;
	}
	if (len >= sizeof(word))
		len = sizeof(word) - 1;
	memcpy(word, size, len);
	word[len] = '\0';
	if (parse_size(word, 1, kinds[k].max, &c.size)) {
		report_err("--cells %s:%s: a size from 1 to %zuM is wanted", kinds[k].name, word,
			   kinds[k].max >> 20);
		return -EINVAL;
	}
	snprintf(c.spec, sizeof(c.spec), "%s:%s", kinds[k].name, word);
	for (size_t i = 0; i < *n; i++)
		if (!strcmp(cells[i].spec, c.spec))
			return 0;
	cells[(*n)++] = c;
	return 0;
}

static int cells_add_usual(struct compare_cell *cells, size_t *n, size_t k)
{
	const char *size = kinds[k].sizes;
	size_t len;
	int err;

	for (;; size += len + 1) {
		len = strcspn(size, ",");
		err = cells_add(cells, n, k, size, len);
		if (err || !size[len])
			return err;
	}
}

static int cells_add_word(struct compare_cell *cells, size_t *n, const char *word, size_t len)
{
	const char *colon = memchr(word, ':', len);
	size_t k = kind_index(word, colon ? (size_t)(colon - word) : len);
	int err = 0;

	if (len == 3 && !strncmp(word, "all", 3)) {
		for (k = 0; k < NKINDS && !err; k++)
			err = cells_add_usual(cells, n, k);
		return err;
	}
	if (k == NKINDS) {
		report_err("--cells %.*s: uni, bidir, ring2, ring4 or latency, with :SIZE or "
			   "without, is wanted; or all",
			   (int)len, word);
		return -EINVAL;
	}
	if (!colon)
		return cells_add_usual(cells, n, k);
	return cells_add(cells, n, k, colon + 1, len - (size_t)(colon + 1 - word));
}

int compare_cells_parse(const char *list, struct compare_cell *ret, size_t *ret_n)
{
	size_t n = 0, len;
	int err;

	for (;; list += len + 1) {
		len = strcspn(list, ",");
		err = cells_add_word(ret, &n, list, len);
		if (err)
			return err;
		if (!list[len])
			break;
	}
	*ret_n = n;
	return 0;
}

const char *compare_cell_kind(const struct compare_cell *cell)
{
	for (size_t k = 0; k < NKINDS; k++)
		if (kinds[k].kind == cell->kind && kinds[k].nranks == cell->nranks)
			return kinds[k].name;
	return "?";
}

const char *compare_cell_size(const struct compare_cell *cell)
{
	return strchr(cell->spec, ':') + 1;
}

double compare_cell_bytes(const struct compare_cell *cell)
{
	switch (cell->kind) {
	case CELL_UNI:
		return (double)cell->size;
	case CELL_RING:
		/* Every rank sends 2 (n - 1) parts of size / n. */
		return (double)cell->size * 2 * (cell->nranks - 1);
	default:
		return (double)cell->size * 2;
	}
}

double compare_cell_rate(const struct compare_cell *cell, double seconds)
{
	double bytes = compare_cell_bytes(cell);

	if (cell->kind == CELL_RING)
		bytes = (double)cell->size * collective_bus_factor(COLL_ALL_REDUCE, cell->nranks);
	return bytes / seconds / 1e9;
}
