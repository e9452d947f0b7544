// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/param.h"
#include "base/stats.h"
#include "base/stats_name.h"

/* Files of one process, of so many copies of the plugin. */
#define COPIES_MAX 4

/* The file: the head and small tables, the counters on pages of their own, the connections. */
struct stats_head {
	struct nccl_devmem_stats stats;
	struct nccl_devmem_stats_nic nics[NCCL_DEVMEM_STATS_NICS];
	struct nccl_devmem_stats_pool pools[NCCL_DEVMEM_STATS_POOLS];
	struct nccl_devmem_stats_step steps[NCCL_DEVMEM_STATS_STEPS];
};

#define PAGES(n) (((n) + COUNTER_PAGE - 1) / COUNTER_PAGE * COUNTER_PAGE)

struct stats_file {
	struct stats_head head;
	char head_pad[PAGES(sizeof(struct stats_head)) - sizeof(struct stats_head)];
	union counter_page counters;
	struct nccl_devmem_stats_conn conns[NCCL_DEVMEM_STATS_CONNS];
};

_Static_assert(offsetof(struct stats_file, counters) % COUNTER_PAGE == 0, "mapped by itself");
_Static_assert(sizeof(struct nccl_devmem_stats_conn) % 64 == 0,
	       "whole cache lines: one writer each");

/*
 * @lock: which entries are in use. @file: NULL while nothing is published. @dir, @name: where it is. @ids: the last connection's id; it goes
 * on over stats_close().
 */
static pthread_mutex_t stats_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stats_file *file;
static char file_dir[PATH_MAX];
static char file_name[STATS_NAME_MAX];
static uint64_t ids;

void stats_text(char *dst, size_t size, const char *src)
{
	size_t n = strnlen(src, size - 1);

	memcpy(dst, src, n);
	dst[n] = '\0';
}

static struct nccl_devmem_stats_section section(size_t offset, size_t size, uint32_t count)
{
	return (struct nccl_devmem_stats_section){ .offset = (uint32_t)offset,
						   .size = (uint32_t)size,
						   .count = count };
}

#define SECTION(member, type, n) section(offsetof(struct stats_file, member), sizeof(type), n)

static void fill_head(struct nccl_devmem_stats *s, const struct process_id *self)
{
	struct timespec now;
	struct utsname u;

	clock_gettime(CLOCK_REALTIME, &now);
	s->version = NCCL_DEVMEM_STATS_VERSION;
	s->size = sizeof(struct stats_file);
	s->pidns = self->pidns;
	s->start = self->start;
	s->pid = (uint32_t)self->pid;
	s->opened_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	if (!uname(&u))
		stats_text(s->host, sizeof(s->host), u.nodename);
	prctl(PR_GET_NAME, s->program);
	stats_text(s->plugin, sizeof(s->plugin), DEVMEM_VERSION);
	s->counters = SECTION(counters, struct nccl_devmem_counters, 1);
	s->nics = SECTION(head.nics, struct nccl_devmem_stats_nic, NCCL_DEVMEM_STATS_NICS);
	s->pools = SECTION(head.pools, struct nccl_devmem_stats_pool, NCCL_DEVMEM_STATS_POOLS);
	s->steps = SECTION(head.steps, struct nccl_devmem_stats_step, NCCL_DEVMEM_STATS_STEPS);
	s->conns = SECTION(conns, struct nccl_devmem_stats_conn, NCCL_DEVMEM_STATS_CONNS);
	/* Last: what a reader finds before is no file of ours yet. */
	__atomic_store_n(&s->magic, NCCL_DEVMEM_STATS_MAGIC, __ATOMIC_RELEASE);
}

/* A new file in @dir_fd, named in @name. Descriptor or -errno. */
static int make_file(int dir_fd, const struct process_id *self, char name[STATS_NAME_MAX])
{
	unsigned int copy;
	int fd = -1;

	for (copy = 0; copy < COPIES_MAX; copy++) {
		stats_name(self, copy, name);
		fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
		if (fd >= 0 || errno != EEXIST)
			break;
	}
	return fd < 0 ? -errno : fd;
}

/* Gives @fd its pages now: a full file system must show here, not as SIGBUS at some count. Maps it and the counters. 0 or -errno. */
static int map_file(int fd, struct stats_file **ret)
{
	struct stats_file *f;
	ssize_t n;
	int err = posix_fallocate(fd, 0, sizeof(*f));

	if (err)
		return -err;
	n = pwrite(fd, &counter_page, sizeof(counter_page), offsetof(struct stats_file, counters));
	if (n != sizeof(counter_page))
		return n < 0 ? -errno : -ENOSPC;
	f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (f == MAP_FAILED)
		return -errno;
	/* The counters keep their address: counting costs what it did. Nobody counts now, and an access at any moment finds a page. */
	if (mmap(&counter_page, sizeof(counter_page), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, fd, offsetof(struct stats_file, counters)) == MAP_FAILED) {
		err = -errno;
		munmap(f, sizeof(*f));
		return err;
	}
	*ret = f;
	return 0;
}

static void say_unpublished(const char *dir, const char *what, int err)
{
	log_warn(
		"devmem-top will not see this process: %s in %s: %s; remedy: free or writable space for %zu KiB there, another directory "
		"in %s, or %s=off",
		what, dir, strerror(-err), sizeof(struct stats_file) >> 10,
		param_env_name(PARAM_STATS_DIR), param_env_name(PARAM_STATS_DIR));
}

static void publish(const char *dir, int dir_fd)
{
	struct process_id self = process_self();
	struct stats_file *f = NULL;
	int fd, err;

	stats_sweep(dir_fd);
	fd = make_file(dir_fd, &self, file_name);
	if (fd < 0) {
		say_unpublished(dir, "making a file", fd);
		return;
	}
	err = map_file(fd, &f);
	close(fd);
	if (err || !f) {
		unlinkat(dir_fd, file_name, 0);
		say_unpublished(dir, "room for a file", err);
		return;
	}
	fill_head(&f->head.stats, &self);
	stats_text(file_dir, sizeof(file_dir), dir);
	file = f;
}

void stats_open(void)
{
	const char *dir = param_str(PARAM_STATS_DIR);
	long page = sysconf(_SC_PAGESIZE);
	int dir_fd;

	if (!strcmp(dir, "off") || file)
		return;
	if (page < 1 || COUNTER_PAGE % page) {
		log_warn("devmem-top will not see this process: pages of %ld bytes", page);
		return;
	}
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0) {
		say_unpublished(dir, "opening the directory", -errno);
		return;
	}
	publish(dir, dir_fd);
	close(dir_fd);
}

/* A private page with the counters' values takes the place of the shared one, in one step: others may be reading them. */
static void counters_bring_home(void)
{
	void *page = mmap(NULL, sizeof(counter_page), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return; /* They stay in the file's page, which lives on without a name. */
	memcpy(page, &counter_page, sizeof(counter_page));
	if (mremap(page, sizeof(counter_page), sizeof(counter_page), MREMAP_MAYMOVE | MREMAP_FIXED,
		   &counter_page) == MAP_FAILED)
		munmap(page, sizeof(counter_page));
}

void stats_close(void)
{
	int dir_fd;

	if (!file)
		return;
	dir_fd = open(file_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd >= 0) {
		unlinkat(dir_fd, file_name, 0);
		close(dir_fd);
	}
	counters_bring_home();
	munmap(file, sizeof(*file));
	file = NULL;
}

/* The first entry of @table whose @key is 0; NULL: none is, or nothing is published. Locked. */
#define FREE_ENTRY(table, key)                                                                  \
	({                                                                                      \
		__typeof__(&file->table[0]) _free = NULL;                                       \
                                                                                                \
		for (size_t _i = 0;                                                             \
		     file && _i < sizeof(file->table) / sizeof(file->table[0]) && !_free; _i++) \
			if (!file->table[_i].key)                                               \
				_free = &file->table[_i];                                       \
		_free;                                                                          \
	})

struct nccl_devmem_stats_conn *stats_conn_take(void)
{
	struct nccl_devmem_stats_conn *c;

	pthread_mutex_lock(&stats_lock);
	c = FREE_ENTRY(conns, id);
	if (c) {
		memset(c, 0, sizeof(*c));
		__atomic_store_n(&c->id, ++ids, __ATOMIC_RELEASE);
	} else if (file) {
		stats_add(&file->head.stats.conns_left_out, 1);
	}
	pthread_mutex_unlock(&stats_lock);
	return c;
}

void stats_conn_give(struct nccl_devmem_stats_conn *conn)
{
	pthread_mutex_lock(&stats_lock);
	if (file && conn)
		__atomic_store_n(&conn->id, 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&stats_lock);
}

struct nccl_devmem_stats_pool *stats_pool_take(uint64_t size)
{
	struct nccl_devmem_stats_pool *p;

	pthread_mutex_lock(&stats_lock);
	p = FREE_ENTRY(head.pools, size);
	if (p) {
		memset(p, 0, sizeof(*p));
		stats_set(&p->size, size);
	}
	pthread_mutex_unlock(&stats_lock);
	return p;
}

void stats_pool_give(struct nccl_devmem_stats_pool *pool)
{
	pthread_mutex_lock(&stats_lock);
	if (file && pool)
		stats_set(&pool->size, 0);
	pthread_mutex_unlock(&stats_lock);
}

void stats_nic_note(const char *name, int ifindex, int speed_mbps, const char *pci)
{
	struct nccl_devmem_stats_nic *n;

	pthread_mutex_lock(&stats_lock);
	n = FREE_ENTRY(head.nics, ifindex);
	if (n) {
		stats_text(n->name, sizeof(n->name), name);
		if (pci)
			stats_text(n->pci, sizeof(n->pci), pci);
		n->speed_mbps = speed_mbps > 0 ? (uint32_t)speed_mbps : 0;
		stats_set(&n->ifindex, (uint32_t)ifindex);
	}
	pthread_mutex_unlock(&stats_lock);
}

void stats_step_note(uint32_t id, const char *nic, int sends, int from, int to,
		     const struct verdict *why)
{
	struct nccl_devmem_stats_step *s;

	pthread_mutex_lock(&stats_lock);
	s = FREE_ENTRY(head.steps, id);
	if (s) {
		stats_text(s->nic, sizeof(s->nic), nic);
		stats_text(s->reason, sizeof(s->reason), why->reason);
		stats_text(s->remedy, sizeof(s->remedy), why->remedy);
		s->sends = (uint8_t)sends;
		s->from = (uint8_t)from;
		s->to = (uint8_t)to;
		stats_set(&s->id, id ? id : 1);
	}
	pthread_mutex_unlock(&stats_lock);
}
