// SPDX-License-Identifier: BSD-3-Clause
/*
 * NCCL: is it there, does it find the plugin, and will its environment let it be used?
 */
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/param.h"
#include "exam.h"

static const char nccl[] = "NCCL";
static const char plugin[] = "libnccl-net-devmem.so";

/* The environment of this process, which is what a job started here would see. Not the plugin's own variables. */
static const char *env(const char *name)
{
	const char *v = getenv(name);

	return v ? v : "";
}

static bool env_is(const char *name, const char *value)
{
	return !strcasecmp(env(name), value);
}

/* The oldest table that the plugin has is v6, which NCCL asks for since 2.13; device unpack came with v7 and 2.19 (docs/nccl.md). */
static void check_library(struct exam *x)
{
	static const char *const names[] = { "libnccl.so.2", "librccl.so.1" };
	int (*version)(int *) = NULL;
	void *lib = NULL;
	struct finding *f;
	int v = 0;

	for (unsigned int i = 0; i < 2 && !lib; i++)
		lib = dlopen(names[i], RTLD_LAZY | RTLD_LOCAL);
	if (lib)
		*(void **)&version = dlsym(lib, "ncclGetVersion");
	if (!version || version(&v)) {
		f = findings_add(
			&x->findings, "nccl", nccl, FINDING_NOTE,
			"no libnccl.so.2 on the library path; a framework may bring its own");
		finding_fix(
			f,
			"python3 -c 'import torch; print(torch.cuda.nccl.version())' tells which");
		return;
	}
	/* 2.x.y is 2xxyy since 2.9, 2xyy before (nccl.h, NCCL_VERSION). */
	if (v < 21300) {
		f = findings_add(&x->findings, "nccl", nccl, FINDING_FAIL,
				 "version code %d: its net plugin interface is older than v6", v);
		finding_fix(f, "use NCCL 2.13 or newer");
		return;
	}
	if (v < 21900 && param_choice(PARAM_PLACE) == PLACE_UNPACK) {
		f = findings_add(&x->findings, "nccl", nccl, FINDING_FAIL,
				 "version code %d has no device unpack, and %s=unpack", v,
				 param_env_name(PARAM_PLACE));
		finding_fix(f, "use NCCL 2.19 or newer, or unset %s", param_env_name(PARAM_PLACE));
		return;
	}
	findings_add(&x->findings, "nccl", nccl, FINDING_OK, "version %d.%d.%d", v / 10000,
		     v / 100 % 100, v % 100);
	/* Not closed: libraries of this size are not made for it, and this process is short. */
}

static void check_plugin(struct exam *x)
{
	void *lib = dlopen(plugin, RTLD_LAZY | RTLD_LOCAL);
	struct link_map *map = NULL;
	char text[200];
	struct finding *f;

	if (lib && !dlinfo(lib, RTLD_DI_LINKMAP, &map) && map) {
		findings_add(&x->findings, "plugin", nccl, FINDING_OK, "the plugin is %s",
			     map->l_name);
		return;
	}
	snprintf(text, sizeof(text), "%s", dlerror());
	/* "no such file" is told shortly; that something is missing in it, in the loader's words. */
	if (strstr(text, "No such file"))
		f = findings_add(&x->findings, "plugin", nccl, FINDING_FAIL,
				 "%s is not on the library path", plugin);
	else
		f = findings_add(&x->findings, "plugin", nccl, FINDING_FAIL, "%s", text);
	finding_fix(f, "export LD_LIBRARY_PATH=<directory of %s>, or install it (cmake --install)",
		    plugin);
}

static void check_choice(struct exam *x)
{
	const char *list = env("NCCL_NET_PLUGIN");
	const char *net = env("NCCL_NET");
	struct finding *f;

	if (!list[0]) {
		f = findings_add(&x->findings, "nccl-net-plugin", nccl, FINDING_WARN,
				 "NCCL_NET_PLUGIN is not set here: NCCL will not load the plugin");
		finding_fix(f, "export NCCL_NET_PLUGIN=devmem");
	} else if (!strstr(list, "devmem")) {
		f = findings_add(&x->findings, "nccl-net-plugin", nccl, FINDING_FAIL,
				 "NCCL_NET_PLUGIN=%s names other plugins only", list);
		finding_fix(f, "export NCCL_NET_PLUGIN=devmem");
	} else {
		findings_add(&x->findings, "nccl-net-plugin", nccl, FINDING_OK,
			     "NCCL_NET_PLUGIN=%s", list);
	}
	if (net[0] && strcasecmp(net, "Devmem") != 0) {
		f = findings_add(&x->findings, "nccl-net", nccl, FINDING_FAIL,
				 "NCCL_NET=%s: NCCL takes no other network", net);
		finding_fix(f, "export NCCL_NET=Devmem, or unset NCCL_NET");
	}
}

static void check_switches(struct exam *x)
{
	const char *level = env("NCCL_NET_GDR_LEVEL");
	const char *proto = env("NCCL_PROTO");
	struct finding *f;

	if (env_is("NCCL_DMABUF_ENABLE", "0")) {
		f = findings_add(
			&x->findings, "nccl-dmabuf", nccl, FINDING_WARN,
			"NCCL_DMABUF_ENABLE=0: buffers in GPU memory are not handed over as "
			"dmabufs");
		finding_fix(f, "unset NCCL_DMABUF_ENABLE");
	}
	if (!strcasecmp(level, "LOC") || !strcmp(level, "0")) {
		f = findings_add(
			&x->findings, "nccl-gdr", nccl, FINDING_WARN,
			"NCCL_NET_GDR_LEVEL=%s: NCCL brings everything through host memory", level);
		finding_fix(f, "unset NCCL_NET_GDR_LEVEL");
	}
	if (param_choice(PARAM_PLACE) == PLACE_UNPACK && proto[0] &&
	    strcasecmp(proto, "Simple") != 0) {
		f = findings_add(&x->findings, "nccl-proto", nccl, FINDING_FAIL,
				 "NCCL_PROTO=%s, but device unpack works with Simple alone", proto);
		finding_fix(f, "unset NCCL_PROTO, or NCCL_DEVMEM_PLACE=gather");
	}
}

void check_nccl(struct exam *x)
{
	check_library(x);
	check_plugin(x);
	check_choice(x);
	check_switches(x);
}
