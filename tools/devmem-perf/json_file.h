/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef JSON_FILE_H
#define JSON_FILE_H

#include <jansson.h>

#include "host_facts.h"

/* A string; texts that others made may not be UTF-8, and then it says so. */
json_t *json_file_text(const char *text);

/* Puts first in @root: the program, its version, the date, and the machine. */
void json_file_head(json_t *root, const char *program, const struct host_facts *host);

/* Writes @root, which it takes over, to the file @path, or to stdout if that is NULL. 0, or -errno, said. */
int json_file_write(json_t *root, const char *path);

#endif
