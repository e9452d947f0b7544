// SPDX-License-Identifier: BSD-3-Clause
/*
 * A net plugin that is another one (NCCL_FLIP_PLUGIN) but for one bit: in message number NCCL_FLIP_MESSAGE with at
 * least 4 bytes, counted from 1 in each process. A test that passes with it tests nothing.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "nccl/net_v8.h"

extern ncclNet_v8_t ncclNetPlugin_v8;

static const ncclNet_v8_t *real;
static unsigned long messages, flip_at;

/* The buffer is NCCL's, and the GPU's memory where it is in a dmabuf: the stand-in's can be written. */
static ncclResult_t flip_isend(void *comm, void *data, int size, int tag, void *mhandle,
			       void **request)
{
	unsigned char *bytes = data;
	ncclResult_t result;

	if (size >= 4 && messages + 1 == flip_at)
		bytes[size / 8 * 4] ^= 0x10;
	result = real->isend(comm, data, size, tag, mhandle, request);
	if (size < 4)
		return result;
	if (result == ncclSuccess && *request) {
		messages++;
		if (messages == flip_at)
			fprintf(stderr, "flipped a bit in message %lu of %d bytes\n", messages,
				size);
	} else if (messages + 1 == flip_at) {
		/* Not taken, and will come again. */
		bytes[size / 8 * 4] ^= 0x10;
	}
	return result;
}

__attribute__((constructor)) static void flip_open(void)
{
	const char *path = getenv("NCCL_FLIP_PLUGIN"), *at = getenv("NCCL_FLIP_MESSAGE");
	void *plugin = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;

	if (plugin)
		real = dlsym(plugin, "ncclNetPlugin_v8");
	if (!real || !at) {
		fprintf(stderr,
			"flip: NCCL_FLIP_PLUGIN has to name a net plugin of version 8, and NCCL_FLIP_MESSAGE a message\n");
		return;
	}
	flip_at = strtoul(at, NULL, 10);
	ncclNetPlugin_v8 = *real;
	ncclNetPlugin_v8.isend = flip_isend;
}

__attribute__((visibility("default"))) ncclNet_v8_t ncclNetPlugin_v8;
