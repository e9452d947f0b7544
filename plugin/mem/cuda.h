/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The CUDA driver, opened at run time. For plugin/mem alone; who wants a GPU uses mem/gpu.h.
 */
#ifndef DEVMEM_CUDA_H
#define DEVMEM_CUDA_H

#include <stdbool.h>

#include "base/verdict.h"
#include "cuda/driver.h"

/* The driver's functions under their own names. Those that CUDA_FUNCTIONS marks MAY can be NULL. */
struct cuda_api {
#define F(need, name, symbol, version, params) cu_result(*name) params;
	CUDA_FUNCTIONS(F)
#undef F
};

/*
 * Opens the library and initialises the driver, both at the first call; that makes no context. What came of it, good or bad, holds until
 * cuda_close(). NULL with @why: no library, too old, no GPU, or a child of the process that opened it. Any thread.
 */
const struct cuda_api *cuda_open(struct verdict *why);

/*
 * Forgets what was found, and closes the library if somebody else has had it open before us: then it stays loaded. A driver that we
 * were the first to load and that has been initialised is not unloaded, which it is not made for.
 */
void cuda_close(void);

/* Is this a child of the process that opened the driver? In it no driver call is of use. */
bool cuda_is_forked(void);

/* For people; never NULL. The driver's own storage. */
const char *cuda_error_text(const struct cuda_api *cu, cu_result err);
/* -ENOMEM, -ENOTSUP, -EINVAL, else -EIO. */
int cuda_errno(cu_result err);

#endif
