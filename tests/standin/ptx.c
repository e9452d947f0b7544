// SPDX-License-Identifier: BSD-3-Clause
/* Reads the parameter list of an entry in PTX text; see "Kernel Function Parameters" of NVIDIA's PTX ISA. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

static const char *space_skip(const char *at)
{
	for (;;) {
		while (isspace((unsigned char)*at))
			at++;
		if (at[0] == '/' && at[1] == '/')
			while (*at && *at != '\n')
				at++;
		else if (at[0] == '/' && at[1] == '*' && strstr(at, "*/"))
			at = strstr(at, "*/") + 2;
		else
			return at;
	}
}

static bool word_is(const char *at, const char *word)
{
	size_t n = strlen(word);

	return !strncmp(at, word, n) && !isalnum((unsigned char)at[n]) && at[n] != '_' &&
	       at[n] != '$';
}

static const char *word_end(const char *at)
{
	while (isalnum((unsigned char)*at) || *at == '_' || *at == '$' || *at == '%' || *at == '.')
		at++;
	return at;
}

/* Bytes of .u64, .b8, .f32... */
static size_t type_size(const char *at)
{
	long bits;

	if (*at != '.' || !strchr("busf", at[1]))
		return 0;
	bits = strtol(at + 2, NULL, 10);
	return bits == 8 || bits == 16 || bits == 32 || bits == 64 ? (size_t)bits / 8 : 0;
}

/* One ".param ..." at @at; NULL when it cannot be read. */
static const char *param_read(const char *at, struct param *param, size_t *offset)
{
	size_t size = 0, align = 0, count = 1;

	if (!word_is(at, ".param"))
		return NULL;
	at = space_skip(at + strlen(".param"));
	while (*at == '.') {
		if (word_is(at, ".align")) {
			char *end;

			align = (size_t)strtoul(space_skip(at + strlen(".align")), &end, 10);
			at = space_skip(end);
		} else {
			/* .ptr .global and such say nothing of the layout. */
			if (!size)
				size = type_size(at);
			at = space_skip(word_end(at));
		}
	}
	at = space_skip(word_end(at)); /* its name */
	if (*at == '[') {
		char *end;

		count = (size_t)strtoul(at + 1, &end, 10);
		at = space_skip(end);
		if (*at++ != ']')
			return NULL;
		at = space_skip(at);
	}
	if (!size || !count)
		return NULL;
	if (align < size)
		align = size;
	*offset = (*offset + align - 1) / align * align;
	*param = (struct param){ .offset = *offset, .size = size * count };
	*offset += param->size;
	return at;
}

int ptx_entry(const char *text, const char *name, struct CUfunc_st *function)
{
	const char *at = text;
	size_t offset = 0;
	int n = 0;

	for (;;) {
		at = strstr(at, ".entry");
		if (!at)
			return -ENOENT;
		at = space_skip(at + strlen(".entry"));
		if (word_is(at, name))
			break;
	}
	at = space_skip(at + strlen(name));
	if (*at == '(') {
		at = space_skip(at + 1);
		while (*at != ')') {
			if (n == PARAMS_MAX)
				return -EINVAL;
			at = param_read(at, &function->param[n], &offset);
			if (!at)
				return -EINVAL;
			n++;
			if (*at == ',')
				at = space_skip(at + 1);
			else if (*at != ')')
				return -EINVAL;
		}
	}
	function->n_params = n;
	function->args_size = offset;
	return 0;
}
