/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef JSON_FILE_H
#define JSON_FILE_H

#include <jansson.h>

/* Writes @root, which it takes over, to the file @path, or to stdout if that is NULL. 0, or -errno, said. */
int json_file_write(json_t *root, const char *path);

#endif
