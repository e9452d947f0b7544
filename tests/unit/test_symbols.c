// SPDX-License-Identifier: BSD-3-Clause
/*
 * The library as it is shipped: it loads, needs nothing surprising, and shows its documented symbols alone.
 * DEVMEM_TEST_PLUGIN names it.
 *
 * unit-libs: devmem_base
 */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"
#include "nccl_devmem.h"
#include "nccl/net_v10.h"
#include "nccl/net_v12.h"

static const char *plugin;

static const char *const documented[] = {
	"nccl_devmem_counters_get", "ncclNetPlugin_v10",  "ncclNetPlugin_v11",
	"ncclNetPlugin_v12",	    "ncclNetPlugin_v6",	  "ncclNetPlugin_v7",
	"ncclNetPlugin_v8",	    "ncclNetPlugin_v9",	  "ncclTunerPlugin_v2",
	"ncclTunerPlugin_v3",	    "ncclTunerPlugin_v4", "ncclTunerPlugin_v5",
	"ncclTunerPlugin_v6",
};

#define N_DOCUMENTED (sizeof(documented) / sizeof(documented[0]))

/* Lines of a command's output, without the newline; returns how many. */
static size_t lines_of(const char *tool, char lines[][256], size_t max)
{
	char command[600];
	size_t n = 0;
	FILE *f;

	snprintf(command, sizeof(command), "%s '%s'", tool, plugin);
	f = popen(command, "r");
	assert_non_null(f);
	while (n < max && fgets(lines[n], 256, f)) {
		lines[n][strcspn(lines[n], "\n")] = '\0';
		n++;
	}
	assert_ok(pclose(f));
	return n;
}

static void test_exported_symbols(void **state)
{
	char lines[64][256];
	size_t n = lines_of("nm -D --defined-only --format=just-symbols", lines, 64);
	bool found[N_DOCUMENTED] = { false };

	(void)state;
	for (size_t i = 0; i < n; i++) {
		size_t d = 0;

		while (d < N_DOCUMENTED && strcmp(lines[i], documented[d]))
			d++;
		if (d < N_DOCUMENTED)
			found[d] = true;
		else
			fail_msg("%s is exported but not documented", lines[i]);
	}
	for (size_t d = 0; d < N_DOCUMENTED; d++)
		if (!found[d])
			fail_msg("%s is not exported", documented[d]);
}

static void test_needed_libraries(void **state)
{
	/* glibc's, libnl's and libdrm's; sanitizer builds bring their runtime along. */
	static const char *const allowed[] = { "libc.so.6",  "libpthread.so.0", "ld-linux",
					       "libnl-3.so", "libnl-genl-3.so", "libnl-route-3.so",
					       "libdrm.so",  "libasan.so",	"libubsan.so",
					       "libtsan.so", "libclang_rt" };
	char lines[64][256];
	size_t n = lines_of("readelf -dW", lines, 64);
	int needed = 0;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		const char *name = strchr(lines[i], '[');
		bool ok = false;

		assert_null(strstr(lines[i], "RPATH"));
		assert_null(strstr(lines[i], "RUNPATH"));
		assert_null(strstr(lines[i], "TEXTREL"));
		if (!strstr(lines[i], "(NEEDED)") || !name)
			continue;
		needed++;
		for (size_t a = 0; a < sizeof(allowed) / sizeof(allowed[0]); a++)
			ok |= !strncmp(name + 1, allowed[a], strlen(allowed[a]));
		if (!ok)
			fail_msg("the library needs %s", name);
	}
	assert_true(needed >= 3);
}

static bool loaded(void)
{
	void *h = dlopen(plugin, RTLD_NOW | RTLD_NOLOAD);

	if (h)
		dlclose(h);
	return h;
}

/* As NCCL does, and more than once: it unloads the library when the last communicator is gone. */
static void test_load_and_unload(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		size_t (*counters_get)(struct nccl_devmem_counters *, size_t);
		struct nccl_devmem_counters c;
		const ncclNet_v12_t *net;
		void *h = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);

		if (!h) {
			fail_msg("%s", dlerror());
			return;
		}
		net = dlsym(h, "ncclNetPlugin_v12");
		assert_non_null(net);
		assert_string_equal(net->name, "Devmem");
		*(void **)&counters_get = dlsym(h, "nccl_devmem_counters_get");
		assert_non_null(counters_get);
		memset(&c, 0xee, sizeof(c));
		assert_int_equal(counters_get(&c, sizeof(c)), sizeof(c));
		assert_int_equal(c.msgs_sent, 0);
		assert_null(dlsym(h, "log_write"));
		assert_ok(dlclose(h));
		/* Nothing (NODELETE, a thread-local destructor) may hold it. */
		assert_false(loaded());
	}
}

static void quiet(ncclDebugLogLevel level, unsigned long flags, const char *file, int line,
		  const char *fmt, ...)
{
	(void)level;
	(void)flags;
	(void)file;
	(void)line;
	(void)fmt;
}

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int threads(void)
{
	DIR *d = opendir("/proc/self/task");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Used and unloaded: no descriptor, no thread, and the code is gone. @by_comm: versions from 11 on finalize. */
static void use_and_unload(bool by_comm)
{
	void *h = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
	const ncclNet_v10_t *v10 = dlsym(h, "ncclNetPlugin_v10");
	const ncclNet_v12_t *v12 = dlsym(h, "ncclNetPlugin_v12");
	char handle[NCCL_NET_HANDLE_MAXSIZE];
	void *a = NULL, *b = NULL, *listen = NULL;
	int n = 0;

	if (by_comm) {
		assert_int_equal(v12->init(&a, 1, NULL, quiet, NULL), ncclSuccess);
		assert_int_equal(v12->init(&b, 2, NULL, quiet, NULL), ncclSuccess);
	} else {
		assert_int_equal(v10->init(quiet, NULL), ncclSuccess);
	}
	assert_int_equal(v12->devices(&n), ncclSuccess);
	assert_true(n > 0);
	/* NCCL does not close what an abort interrupted. */
	assert_int_equal(v12->listen(a, 0, handle, &listen), ncclSuccess);
	assert_non_null(listen);
	if (by_comm) {
		assert_int_equal(v12->finalize(a), ncclSuccess);
		assert_int_equal(v12->finalize(b), ncclSuccess);
	}
	assert_ok(dlclose(h));
	assert_false(loaded());
}

static void test_nothing_is_left_behind(void **state)
{
	int fds, n_threads;

	(void)state;
	use_and_unload(true); /* libraries may open what they keep */
	fds = open_fds();
	n_threads = threads();
	for (int i = 0; i < 4; i++) {
		use_and_unload(i & 1);
		assert_int_equal(open_fds(), fds);
		assert_int_equal(threads(), n_threads);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exported_symbols),
		cmocka_unit_test(test_needed_libraries),
		cmocka_unit_test(test_load_and_unload),
		cmocka_unit_test(test_nothing_is_left_behind),
	};

	plugin = getenv("DEVMEM_TEST_PLUGIN");
	if (!plugin || access(plugin, R_OK)) {
		fprintf(stderr, "DEVMEM_TEST_PLUGIN does not name the library\n");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
