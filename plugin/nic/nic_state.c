// SPDX-License-Identifier: BSD-3-Clause
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/param.h"
#include "nic/nic_state.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Linux 5.14, include/uapi/asm-generic/socket.h */
#endif

#define NIC_STATE_FILE_MAX  (4u << 20)
#define NIC_STATE_NAME_MAX  64
#define NIC_LOCK_TIMEOUT_MS 10000
#define NIC_LOCK_POLL_MS    20

/* Records of this process where no directory is usable. */
struct nic_state_mem {
	struct nic_state_mem *next;
	uint64_t netns;
	int ifindex;
	char *text;
};
static struct nic_state_mem *mem_records;

int nic_netns_cookie(int sock, uint64_t *ret)
{
	_cleanup_close_ int own = -1;
	socklen_t len = sizeof(*ret);

	if (sock < 0) {
		own = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		sock = own;
	}
	if (sock < 0 || getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, ret, &len) < 0)
		return -errno;
	return 0;
}

static void boot_id_get(char id[40])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!f || fscanf(f, "%39s", id) != 1)
		snprintf(id, 40, "unknown");
	if (f)
		fclose(f);
}

static void file_name(const struct nic_state *st, const char *suffix, char name[NIC_STATE_NAME_MAX])
{
	snprintf(name, NIC_STATE_NAME_MAX, "%" PRIu64 "-%d%s", st->netns, st->ifindex, suffix);
}

int nic_state_dir_open(bool create)
{
	const char *dir = param_str(PARAM_STATE_DIR);
	struct stat sb;
	int fd;

	if (create && mkdir(dir, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &sb) < 0 || (sb.st_uid != geteuid() && sb.st_uid != 0) ||
	    (sb.st_mode & 022)) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

/* A stopped process may hold the lock for good, so nobody waits for it without end. */
static int lock_take(int dir_fd)
{
	const struct timespec pause = { .tv_nsec = NIC_LOCK_POLL_MS * 1000000L };
	int fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += NIC_LOCK_POLL_MS) {
		int err = errno == EWOULDBLOCK ? EBUSY : errno;

		if (err != EBUSY || waited >= NIC_LOCK_TIMEOUT_MS) {
			close(fd);
			return -err;
		}
		nanosleep(&pause, NULL);
	}
	return fd;
}

static void warn_no_dir(int err)
{
	static char warned[256];
	const char *dir = param_str(PARAM_STATE_DIR);

	if (!strncmp(warned, dir, sizeof(warned) - 1))
		return;
	snprintf(warned, sizeof(warned), "%s", dir);
	log_warn("%s=%s cannot be used (%s%s): what is changed on a NIC is put back at the end, "
		 "but not after a crash, nor where several processes share the NIC; make it a "
		 "directory that only this user can write",
		 param_env_name(PARAM_STATE_DIR), dir, strerror(-err),
		 err == -EPERM ? ", or others may write it" : "");
}

/* @len bytes, or fewer at the end of the file; returns how many, or -errno. */
static ssize_t read_full(int fd, char *buf, size_t len)
{
	size_t used = 0;

	while (used < len) {
		ssize_t n = read(fd, buf + used, len - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

static int file_read(int dir_fd, const char *name, char **ret)
{
	_cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat sb;
	char *text;
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &sb) < 0)
		return -errno;
	if (!S_ISREG(sb.st_mode) || sb.st_size > NIC_STATE_FILE_MAX)
		return -EBADMSG;
	text = malloc((size_t)sb.st_size + 1);
	if (!text)
		return -ENOMEM;
	n = read_full(fd, text, (size_t)sb.st_size);
	if (n < 0) {
		free(text);
		return (int)n;
	}
	text[n] = '\0';
	*ret = text;
	return 0;
}

static int file_write(int dir_fd, const char *name, const char *tmp, const char *text)
{
	size_t len = strlen(text), used = 0;
	int fd, err = 0;

	fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	while (used < len) {
		ssize_t n = write(fd, text + used, len - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err = -errno;
			break;
		}
		used += (size_t)n;
	}
	/* No fsync(): the record outlives the process, and need not outlive the machine. */
	if (close(fd) < 0 && !err)
		err = -errno;
	if (!err && renameat(dir_fd, tmp, dir_fd, name) < 0)
		err = -errno;
	if (err)
		unlinkat(dir_fd, tmp, 0);
	return err;
}

static struct nic_state_mem *mem_find(const struct nic_state *st)
{
	for (struct nic_state_mem *m = mem_records; m; m = m->next)
		if (m->netns == st->netns && m->ifindex == st->ifindex)
			return m;
	return NULL;
}

static int mem_write(const struct nic_state *st, char *text)
{
	struct nic_state_mem *m = mem_find(st);

	if (!m) {
		m = calloc(1, sizeof(*m));
		if (!m) {
			free(text);
			return -ENOMEM;
		}
		m->netns = st->netns;
		m->ifindex = st->ifindex;
		m->next = mem_records;
		mem_records = m;
	}
	free(m->text);
	m->text = text;
	return 0;
}

static void record_set_aside(struct nic_state *st, const char *name)
{
	char bad[NIC_STATE_NAME_MAX];

	file_name(st, ".bad", bad);
	log_warn("%s/%s, the record of %s's former settings, is damaged: kept as %s and ignored; "
		 "check header split, RSS and flow rules with ethtool -g, -x and -n %s",
		 param_str(PARAM_STATE_DIR), name, st->ifname, bad, st->ifname);
	renameat(st->dir_fd, name, st->dir_fd, bad);
}

static int record_read(struct nic_state *st)
{
	char *text = NULL;
	char name[NIC_STATE_NAME_MAX], tmp[NIC_STATE_NAME_MAX], boot[40];
	const struct nic_state_mem *m;
	int err;

	boot_id_get(boot);
	if (st->dir_fd < 0) {
		m = mem_find(st);
		return m && m->text ? nic_state_parse(st, m->text, boot) : 0;
	}
	/* Under the lock a temporary file is that of a process killed while it wrote. */
	file_name(st, ".tmp", tmp);
	unlinkat(st->dir_fd, tmp, 0);
	file_name(st, "", name);
	err = file_read(st->dir_fd, name, &text);
	if (err == -ENOENT)
		return 0;
	if (!err)
		err = nic_state_parse(st, text, boot);
	free(text);
	if (err == -EBADMSG || err == -ELOOP) {
		record_set_aside(st, name);
		err = 0;
	}
	return err;
}

int nic_state_open(struct nic_state *st, int ifindex, const char *ifname, bool create,
		   struct verdict *why)
{
	const char *dir = param_str(PARAM_STATE_DIR);
	int err;

	nic_state_init(st, ifindex, ifname);
	err = nic_netns_cookie(-1, &st->netns);
	if (err)
		return verdict_set(why, err, NULL, "SO_NETNS_COOKIE: %s", strerror(-err));

	st->dir_fd = nic_state_dir_open(create);
	if (st->dir_fd >= 0)
		st->lock_fd = lock_take(st->dir_fd);
	if (st->lock_fd == -EBUSY) {
		close(st->dir_fd);
		return verdict_set(why, -EBUSY, "find its holder with: fuser -v <directory>/lock",
				   "another process has held %s/lock for more than %d s", dir,
				   NIC_LOCK_TIMEOUT_MS / 1000);
	}
	if (st->lock_fd < 0) {
		err = st->dir_fd < 0 ? st->dir_fd : st->lock_fd;
		if (st->dir_fd >= 0)
			close(st->dir_fd);
		st->dir_fd = -1;
		st->lock_fd = -1;
		if (!create && !mem_find(st))
			return verdict_set(why, -ENOENT, NULL, "%s: %s", dir, strerror(-err));
		warn_no_dir(err);
	}

	err = record_read(st);
	if (err) {
		nic_state_close(st);
		return verdict_set(why, err, NULL, "reading the record of %s in %s: %s", ifname,
				   dir, strerror(-err));
	}
	return 0;
}

static bool record_empty(const struct nic_state *st)
{
	return !st->n_owners && st->former.split < 0 && st->former.thresh < 0 &&
	       st->former.ntuple < 0 && !st->former.rss.n;
}

int nic_state_save(struct nic_state *st)
{
	char name[NIC_STATE_NAME_MAX], tmp[NIC_STATE_NAME_MAX], boot[40];
	char *text = NULL;
	int err;

	file_name(st, "", name);
	file_name(st, ".tmp", tmp);
	if (record_empty(st)) {
		if (st->dir_fd < 0)
			return mem_find(st) ? mem_write(st, NULL) : 0;
		return unlinkat(st->dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
	}
	boot_id_get(boot);
	text = nic_state_format(st, boot);
	if (!text)
		return -ENOMEM;
	if (st->dir_fd < 0)
		return mem_write(st, text);
	err = file_write(st->dir_fd, name, tmp, text);
	free(text);
	return err;
}

void nic_state_close(struct nic_state *st)
{
	int saved = errno;

	/* A child forked meanwhile shares the open file: closing alone would leave it locked. */
	if (st->lock_fd >= 0) {
		flock(st->lock_fd, LOCK_UN);
		close(st->lock_fd);
	}
	if (st->dir_fd >= 0)
		close(st->dir_fd);
	st->lock_fd = -1;
	st->dir_fd = -1;
	nic_state_clear(st);
	errno = saved;
}

static int int_cmp(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return x < y ? -1 : x > y;
}

/* "<netns>-<ifindex>", also of a temporary file, which then gets removed; not of a damaged one. */
static int name_parse(const char *name, uint64_t netns)
{
	char prefix[NIC_STATE_NAME_MAX];
	size_t len;
	long n;
	char *end;

	len = (size_t)snprintf(prefix, sizeof(prefix), "%" PRIu64 "-", netns);
	if (strncmp(name, prefix, len) != 0 || name[len] < '1' || name[len] > '9')
		return 0;
	n = strtol(name + len, &end, 10);
	if ((*end && strcmp(end, ".tmp") != 0) || n > INT32_MAX)
		return 0;
	return (int)n;
}

static int dir_ifindexes(DIR *d, uint64_t netns, int **ret, unsigned int *ret_n)
{
	unsigned int n = 0;
	struct dirent *de;
	int *list = NULL;

	while ((de = readdir(d))) {
		int ifindex = name_parse(de->d_name, netns);
		int *v;

		if (!ifindex)
			continue;
		v = realloc(list, (n + 1) * sizeof(*v));
		if (!v) {
			free(list);
			return -ENOMEM;
		}
		list = v;
		list[n++] = ifindex;
	}
	if (n)
		qsort(list, n, sizeof(*list), int_cmp);
	*ret = list;
	*ret_n = n;
	return 0;
}

int nic_state_ifindexes(int **ret, unsigned int *ret_n)
{
	uint64_t netns = 0;
	int fd, err;
	DIR *d;

	*ret = NULL;
	*ret_n = 0;
	err = nic_netns_cookie(-1, &netns);
	if (err)
		return err;
	fd = nic_state_dir_open(false);
	if (fd < 0)
		return 0;
	d = fdopendir(fd);
	if (!d) {
		err = -errno;
		close(fd);
		return err;
	}
	err = dir_ifindexes(d, netns, ret, ret_n);
	closedir(d);
	return err;
}
