// SPDX-License-Identifier: BSD-3-Clause
#include "competitor.h"

#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net_driver.h"
#include "report.h"

static bool ends_with(const char *text, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len > n && !strncmp(text + len - n, end, n);
}

/* "/usr/lib/libnccl-net-x.so" is called x. */
static void label_from_path(struct competitor *c)
{
	const char *name = strrchr(c->path, '/');
	size_t len;

	name = name ? name + 1 : c->path;
	len = strlen(name);
	if (ends_with(name, len, ".so"))
		len -= 3;
	if (len > 12 && !strncmp(name, "libnccl-net-", 12)) {
		name += 12;
		len -= 12;
	}
	snprintf(c->label, sizeof(c->label), "%.*s", (int)len, name);
}

int competitor_parse(const char *word, struct competitor *ret)
{
	const char *equals = strchr(word, '='), *slash = strchr(word, '/');
	struct competitor c = { 0 };
	const char *what = word;

	if (equals && (!slash || equals < slash)) {
		size_t len = (size_t)(equals - word);

		if (!len || len >= sizeof(c.label) || strcspn(word, ":,\" ") < len) {
			report_err("%s: a label is 1 to %zu characters, no colon, comma, quote or "
				   "space among them",
				   word, sizeof(c.label) - 1);
			return -EINVAL;
		}
		memcpy(c.label, word, len);
		what = equals + 1;
	}
	if (!*what) {
		report_err("%s: the path of a net plugin is wanted, devmem, raw or raw2", word);
		return -EINVAL;
	}
	if (!strcmp(what, "raw"))
		c.streams = 1;
	else if (!strcmp(what, "raw2"))
		c.streams = 2;
	else if (strcmp(what, "devmem") != 0)
		c.path = what;
	if (!c.label[0]) {
		if (c.path)
			label_from_path(&c);
		else
			snprintf(c.label, sizeof(c.label), "%s", what);
	}
	*ret = c;
	return 0;
}

static int raw_check(const struct competitor *c)
{
	int fd, err = 0;

	if (!c->congestion)
		return 0;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, c->congestion,
				 (socklen_t)strlen(c->congestion)) < 0) {
		err = -errno;
		report_err("%s: congestion control %s: %s; 'sysctl "
			   "net.ipv4.tcp_available_congestion_control' lists what there is, "
			   "'modprobe tcp_%s' may add it",
			   c->label, c->congestion, strerror(-err), c->congestion);
	}
	if (fd >= 0)
		close(fd);
	return err;
}

static int plugin_check(const struct competitor *c)
{
	char symbol[32];
	void *library;

	/* As in a run: what a library does when it is loaded may hang on it. */
	for (size_t i = 0; i < c->nenv; i++)
		putenv((char *)c->env[i]);
	library = dlopen(c->path, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		report_err("%s: cannot load the plugin: %s", c->label, dlerror());
		return -ENOENT;
	}
	for (int api = NET_API_MAX; api >= NET_API_MIN; api--) {
		snprintf(symbol, sizeof(symbol), "ncclNetPlugin_v%d", api);
		if (dlsym(library, symbol))
			return 0;
	}
	report_err("%s: %s has no table ncclNetPlugin_v%d to v%d: not a net plugin, or for another "
		   "NCCL",
		   c->label, c->path, NET_API_MIN, NET_API_MAX);
	return -ENOENT;
}

int competitor_check(const struct competitor *c)
{
	int status;
	pid_t pid;

	if (c->streams)
		return raw_check(c);
	/* Ours by default is looked for when it is opened, in more places than the loader knows. */
	if (!c->path)
		return 0;
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(plugin_check(c) ? 1 : 0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	if (WIFSIGNALED(status))
		report_err("%s: loading %s ended with signal %d (%s)", c->label, c->path,
			   WTERMSIG(status), strsignal(WTERMSIG(status)));
	return status ? -ENOENT : 0;
}
