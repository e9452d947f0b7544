// SPDX-License-Identifier: BSD-3-Clause
#include "nccl_lib.h"

#include <dlfcn.h>
#include <errno.h>

#include "report.h"

static const char *const symbols[] = { "ncclGetErrorString", "ncclGetLastError",
#define X(member, symbol, parameters) symbol,
				       NCCL_LIB_CALLS(X)
#undef X
};

int nccl_lib_open(const char *path, struct nccl_lib *ret)
{
	struct nccl_lib nccl = { 0 };
	void **const calls[] = { (void **)&nccl.error_string, (void **)&nccl.last_error,
#define X(member, symbol, parameters) (void **)&nccl.member,
				 NCCL_LIB_CALLS(X)
#undef X
	};
	int err;

	if (!path)
		path = "libnccl.so.2";
	nccl.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!nccl.handle) {
		report_err("no NCCL: %s", dlerror());
		return -ENOENT;
	}
	err = -ENOSYS;
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		*calls[i] = dlsym(nccl.handle, symbols[i]);
		if (!*calls[i]) {
			report_err("%s has no %s: NCCL 2.19 or later is needed", path, symbols[i]);
			goto close_library;
		}
	}
	if (nccl.get_version(&nccl.version))
		goto close_library;
	*ret = nccl;
	return 0;

close_library:
	dlclose(nccl.handle);
	return err;
}

int nccl_lib_check(const struct nccl_lib *nccl, int result, const char *what)
{
	if (!result)
		return 0;
	report_err("%s: %s (%d): %s", what, nccl->error_string(result), result,
		   nccl->last_error(NULL));
	return -EIO;
}
