/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ways to show readings. @before may be NULL where rates are not wanted.
 */
#ifndef SHOW_H
#define SHOW_H

#include <stdio.h>

#include "table.h"

/* @dir: what is read. @rows, @columns: of the screen; 0 rows: all. @steps: the list of steps down in place of the table. */
struct show {
	const char *dir;
	enum table_group group;
	enum table_sort sort;
	bool steps;
	bool color;
	unsigned int rows;
	unsigned int columns;
	double interval;
};

/* Each 0 or -errno. */
int show_text(FILE *out, const struct show *how, const struct reading *now,
	      const struct reading *before);
int show_json(FILE *out, const struct show *how, const struct reading *now,
	      const struct reading *before);
/* Prometheus' text format, version 0.0.4. */
int show_prometheus(FILE *out, const struct reading *now);
/* The same to the file @path, which is there whole or not at all; said when it fails. */
int write_prometheus(const char *path, const struct reading *now);

/* Answers http requests for it on "ADDRESS:PORT" until *stop; 0 or -errno, said. */
int serve(const char *address, const char *dir, const volatile int *stop);

/* The terminal until the user leaves; 0 or -errno, said. */
int screen_run(struct show *how, const volatile int *stop);

#endif
