// SPDX-License-Identifier: BSD-3-Clause
/* NCCL's kernels for the stand-in driver: whatever the name says, what to do is in the arguments. */
#include "emul.h"
#include "standin/standin.h"

static void kernel_run(const struct standin_launch *launch)
{
	emul_block_run(launch->args, launch->args_size, launch->block_linear);
}

static __attribute__((constructor)) void kernel_register(void)
{
	if (standin_kernel_register("*ncclDevKernel_*", kernel_run))
		standin_die("no memory to register NCCL's kernels");
}
