// SPDX-License-Identifier: BSD-3-Clause
/* Until GPU memory is there. */
#include <errno.h>

#include "mem/gpu.h"
#include "mem/mr.h"
#include "mem/stage.h"

#define WEAK __attribute__((weak))
WEAK int gpu_driver(struct verdict *why)
{
	return verdict_set(why, -ENODEV, NULL, "no GPU support in this build");
}
WEAK int gpu_current(struct gpu **ret, struct verdict *why)
{
	(void)ret;
	return gpu_driver(why);
}
WEAK const char *gpu_name(const struct gpu *gpu)
{
	(void)gpu;
	return "";
}
WEAK void gpu_reset(void)
{
}
WEAK void stage_give(struct stage_block *b)
{
	(void)b;
}
WEAK int mr_register_cuda(void *base, size_t size, struct mr **ret)
{
	(void)base;
	(void)size;
	(void)ret;
	return -ENOTSUP;
}
