// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wordexp.h>

#include <linux/ethtool_netlink.h>
#include <net/if.h>

#include "nic/nic_ethtool.h"
#include "report.h"

/* Commands that begin with this are this program's own, which need not be on the PATH. */
static const char own_name[] = "devmem-doctor";

/* Splits the command as a shell does, but without one. Its exit status, or -errno. */
static int fix_run(const char *command, int out)
{
	posix_spawn_file_actions_t files;
	int status, err;
	wordexp_t w;
	pid_t pid;

	if (wordexp(command, &w, WRDE_NOCMD | WRDE_UNDEF))
		return -EINVAL;
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	err = posix_spawnp(&pid, strcmp(w.we_wordv[0], own_name) ? w.we_wordv[0] : "/proc/self/exe",
			   &files, NULL, w.we_wordv, environ);
	posix_spawn_file_actions_destroy(&files);
	wordfree(&w);
	if (err)
		return -err;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool is_repeated(const struct findings *f, unsigned int i)
{
	for (unsigned int j = 0; j < i; j++)
		if (f->v[j].safe && f->v[j].state != FINDING_OK &&
		    !strcmp(f->v[j].fix, f->v[i].fix))
			return true;
	return false;
}

unsigned int fixes_apply(const struct exam *x, bool quiet_stdout)
{
	const struct findings *f = &x->findings;
	int out = quiet_stdout ? STDERR_FILENO : STDOUT_FILENO;
	FILE *to = quiet_stdout ? stderr : stdout;
	unsigned int failed = 0;
	int r;

	for (unsigned int i = 0; i < f->n; i++) {
		if (!f->v[i].safe || f->v[i].state == FINDING_OK || is_repeated(f, i))
			continue;
		fprintf(to, "# %s\n", f->v[i].fix);
		fflush(to);
		r = fix_run(f->v[i].fix, out);
		if (!r)
			continue;
		failed++;
		if (r < 0)
			fprintf(stderr, "devmem-doctor: %s: %s\n", f->v[i].fix, strerror(-r));
		else
			fprintf(stderr, "devmem-doctor: %s: exit status %d\n", f->v[i].fix, r);
	}
	return failed;
}

int split_set(const char *ifname)
{
	struct nic_rings now = { 0 };
	unsigned int ifindex = if_nametoindex(ifname);
	char ext[160] = "";
	int err = ifindex ? 0 : -ENODEV;

	if (!err)
		err = nic_rings_get((int)ifindex, &now);
	if (!err && !now.has_split)
		err = -EOPNOTSUPP;
	if (!err) {
		now.split = ETHTOOL_TCP_DATA_SPLIT_ENABLED;
		now.thresh = 0;
		err = nic_rings_set((int)ifindex, &now, ext, sizeof(ext));
	}
	if (err)
		fprintf(stderr, "%s: %s: header split: %s%s%s\n", own_name, ifname, strerror(-err),
			ext[0] ? ": " : "", ext);
	return err;
}
