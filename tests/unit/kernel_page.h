/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KERNEL_PAGE_H
#define KERNEL_PAGE_H

#include "unit.h"

#include <stdlib.h>

/* The first page of [vvar], which the kernel shares with every process: readable, but VM_PFNMAP as memory of devices is. NULL without one. */
static inline void *kernel_page(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	void *ret = NULL;
	char line[512];

	assert_non_null(f);
	while (!ret && fgets(line, sizeof(line), f))
		if (strstr(line, "[vvar]"))
			ret = (void *)strtoul(line, NULL, 16);
	fclose(f);
	return ret;
}

#endif
