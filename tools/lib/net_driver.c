// SPDX-License-Identifier: BSD-3-Clause
#include "net_driver.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "net_logger.h"
#include "report.h"

#define PLUGIN_FILE "libnccl-net-devmem.so"

static const struct {
	int api;
	const char *(*fill)(const void *table, struct net_calls *calls);
} net_versions[] = {
	{ 12, net_calls_fill_v12 }, { 11, net_calls_fill_v11 }, { 10, net_calls_fill_v10 },
	{ 9, net_calls_fill_v9 },   { 8, net_calls_fill_v8 },	{ 7, net_calls_fill_v7 },
	{ 6, net_calls_fill_v6 },
};

void net_device_names(struct net_device *ret, const char *name, const char *pci_path)
{
	ret->has_name = name;
	ret->has_pci_path = pci_path;
	snprintf(ret->name, sizeof(ret->name), "%s", name ? name : "");
	snprintf(ret->pci_path, sizeof(ret->pci_path), "%s", pci_path ? pci_path : "");
}

const char *net_calls_fill(int api, const void *table, struct net_calls *calls)
{
	for (size_t i = 0; i < sizeof(net_versions) / sizeof(net_versions[0]); i++)
		if (net_versions[i].api == api)
			return net_versions[i].fill(table, calls);
	return NULL;
}

const char *net_result_name(ncclResult_t res)
{
	static const char *const names[] = {
		"ncclSuccess",	     "ncclUnhandledCudaError", "ncclSystemError",
		"ncclInternalError", "ncclInvalidArgument",    "ncclInvalidUsage",
		"ncclRemoteError",   "ncclInProgress",
	};

	if ((unsigned int)res >= sizeof(names) / sizeof(names[0]))
		return "an unknown result";
	return names[res];
}

int net_driver_check(const struct net_driver *drv, ncclResult_t res, const char *what, int peer)
{
	char whom[32] = "";

	if (res == ncclSuccess)
		return 0;
	if (peer >= 0)
		snprintf(whom, sizeof(whom), " (peer: rank %d)", peer);
	report_err("%s: %s%s failed: %s%s", drv->name, what, whom, net_result_name(res),
		   net_logger_enabled(NCCL_LOG_WARN) ? "" : "; NCCL_DEBUG=WARN shows the cause");
	switch (res) {
	case ncclInvalidArgument:
	case ncclInvalidUsage:
		return -EINVAL;
	case ncclRemoteError:
		return -ECONNRESET;
	default:
		return -EIO;
	}
}

/* The build tree's library first, so that a developer tests what was just built. */
static void *plugin_load_default(void)
{
	static const char *const dirs[] = {
		".", "..", "../..", "../plugin", "../../plugin", DEVMEM_LIBDIR_FROM_BIN,
	};
	char exe[PATH_MAX], path[PATH_MAX + 64];
	char *slash;
	ssize_t n;

	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	slash = strrchr(exe, '/');
	for (size_t i = 0; slash && i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		*slash = '\0';
		snprintf(path, sizeof(path), "%s/%s/" PLUGIN_FILE, exe, dirs[i]);
		if (access(path, R_OK) == 0)
			return dlopen(path, RTLD_NOW | RTLD_LOCAL);
	}
	return dlopen(PLUGIN_FILE, RTLD_NOW | RTLD_LOCAL);
}

static int driver_find_table(struct net_driver *drv, int api, const char *path)
{
	char symbol[32];

	for (size_t i = 0; i < sizeof(net_versions) / sizeof(net_versions[0]); i++) {
		if (api && net_versions[i].api != api)
			continue;
		snprintf(symbol, sizeof(symbol), "ncclNetPlugin_v%d", net_versions[i].api);
		drv->table = dlsym(drv->library, symbol);
		if (!drv->table)
			continue;
		drv->api = net_versions[i].api;
		drv->name = net_versions[i].fill(drv->table, &drv->calls);
		return 0;
	}
	if (api)
		report_err(
			"%s: no table ncclNetPlugin_v%d in it; leave --api out to take the highest",
			path, api);
	else
		report_err("%s: no table ncclNetPlugin_v%d to v%d in it: not a net plugin?", path,
			   NET_API_MIN, NET_API_MAX);
	return -ENOENT;
}

static int driver_find_device(struct net_driver *drv, const char *name)
{
	struct net_device device;
	char found[256] = "";
	size_t used = 0;
	int ndev = 0, err;

	err = net_driver_check(drv, drv->calls.devices(&ndev), "devices", -1);
	if (err)
		return err;
	if (ndev <= 0) {
		report_err("%s: the plugin found no network device it can use", drv->name);
		return -ENODEV;
	}
	for (int i = 0; i < ndev; i++) {
		memset(&device, 0, sizeof(device));
		err = net_driver_check(drv, drv->calls.get_properties(drv->table, i, &device),
				       "getProperties", -1);
		if (err)
			return err;
		if (!name || !strcmp(name, device.name)) {
			drv->dev = i;
			drv->device = device;
			return 0;
		}
		used += (size_t)snprintf(found + used, sizeof(found) - used, " %s", device.name);
		if (used >= sizeof(found))
			used = sizeof(found) - 1;
	}
	report_err("%s: no device called %s; it has:%s", drv->name, name, found);
	return -ENODEV;
}

int net_driver_open(const char *path, int api, const char *device, struct net_driver **ret)
{
	const char *shown = path ? path : PLUGIN_FILE;
	struct net_driver *drv;
	uint64_t comm_id = 0;
	int err;

	drv = calloc(1, sizeof(*drv));
	if (!drv)
		return -ENOMEM;
	drv->library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : plugin_load_default();
	if (!drv->library) {
		report_err("cannot load the plugin: %s; name it with --plugin PATH", dlerror());
		err = -ENOENT;
		goto free_driver;
	}
	err = driver_find_table(drv, api, shown);
	if (err)
		goto unload;
	/* Any number that differs between communicators will do. */
	if (getrandom(&comm_id, sizeof(comm_id), 0) < 0)
		comm_id = (uint64_t)getpid();
	err = net_driver_check(
		drv, drv->calls.init(drv->table, &drv->ctx, comm_id, net_logger_write), "init", -1);
	if (err)
		goto unload;
	err = driver_find_device(drv, device);
	if (err)
		goto finalize;
	if (drv->device.device_type != NCCL_NET_DEVICE_HOST) {
		report_err("%s: %s wants a GPU to unpack its receives, and there is none here",
			   drv->name, drv->device.name);
		err = -ENOTSUP;
		goto finalize;
	}
	*ret = drv;
	return 0;

finalize:
	net_driver_finalize(drv);
unload:
	dlclose(drv->library);
free_driver:
	free(drv);
	return err;
}

void net_driver_finalize(struct net_driver *drv)
{
	if (drv->calls.finalize)
		net_driver_check(drv, drv->calls.finalize(drv->ctx), "finalize", -1);
	drv->ctx = NULL;
}

void net_driver_close(struct net_driver *drv)
{
	if (!drv)
		return;
	if (drv->library)
		dlclose(drv->library);
	free(drv);
}

bool net_driver_counters(const struct net_driver *drv, struct nccl_devmem_counters *ret)
{
	size_t (*get)(struct nccl_devmem_counters * out, size_t size);
	void *symbol;

	memset(ret, 0, sizeof(*ret));
	if (!drv->library)
		return false;
	symbol = dlsym(drv->library, "nccl_devmem_counters_get");
	if (!symbol)
		return false;
	/* ISO C has no cast from data to function pointers; POSIX dlsym() wants it so. */
	memcpy(&get, &symbol, sizeof(get));
	get(ret, sizeof(*ret));
	return true;
}
