// SPDX-License-Identifier: BSD-3-Clause
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/stats_name.h"
#include "owner.h"
#include "reading.h"

/* More than any writer has; a file beyond is not one of ours. */
#define FILE_MAX    (16L << 20)
#define ENTRIES_MAX 4096

/* Only what a terminal and a label can show. */
static void make_printable(char *text, size_t size)
{
	size_t i;

	text[size - 1] = '\0';
	for (i = 0; text[i]; i++)
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '?';
}

#define PRINTABLE(field) make_printable(field, sizeof(field))

/* The file in memory of its own, *ret_size bytes; NULL when it cannot be had. Read, not mapped: its owner may truncate it at any time. */
static char *slurp(int fd, size_t *ret_size)
{
	struct stat st;
	size_t done = 0;
	char *buf;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX ||
	    st.st_size < (off_t)sizeof(struct nccl_devmem_stats))
		return NULL;
	buf = malloc((size_t)st.st_size);
	while (buf && done < (size_t)st.st_size) {
		ssize_t n = pread(fd, buf + done, (size_t)st.st_size - done, (off_t)done);

		if (n <= 0) {
			free(buf);
			return NULL;
		}
		done += (size_t)n;
	}
	*ret_size = done;
	return buf;
}

static bool section_fits(const struct nccl_devmem_stats_section *s, size_t file_size)
{
	return s->count <= ENTRIES_MAX && s->size >= sizeof(uint64_t) && s->size <= file_size &&
	       s->offset <= file_size && (uint64_t)s->size * s->count <= file_size - s->offset;
}

/*
 * The entries of @s that @in_use likes, in this program's size: longer ones are cut, shorter ones filled with 0. NULL with *ret_n 0
 * when there are none; -ENOMEM.
 */
static int take_entries(const char *buf, const struct nccl_devmem_stats_section *s, size_t size,
			bool (*in_use)(const void *), void *ret, size_t *ret_n)
{
	size_t n = s->size < size ? s->size : size;
	char *all = calloc(s->count ? s->count : 1, size);
	size_t used = 0;
	uint32_t i;

	if (!all)
		return -ENOMEM;
	for (i = 0; i < s->count; i++) {
		char *e = all + used * size;

		memset(e, 0, size);
		memcpy(e, buf + s->offset + (size_t)i * s->size, n);
		if (in_use(e))
			used++;
	}
	*(void **)ret = all;
	*ret_n = used;
	return 0;
}

static bool nic_in_use(const void *e)
{
	return ((const struct nccl_devmem_stats_nic *)e)->ifindex != 0;
}

static bool pool_in_use(const void *e)
{
	return ((const struct nccl_devmem_stats_pool *)e)->size != 0;
}

static bool step_in_use(const void *e)
{
	return ((const struct nccl_devmem_stats_step *)e)->id != 0;
}

static bool conn_in_use(const void *e)
{
	return ((const struct nccl_devmem_stats_conn *)e)->id != 0;
}

static void clean_texts(struct proc *p)
{
	size_t i;

	PRINTABLE(p->head.host);
	PRINTABLE(p->head.program);
	PRINTABLE(p->head.plugin);
	for (i = 0; i < p->n_nics; i++) {
		PRINTABLE(p->nics[i].name);
		PRINTABLE(p->nics[i].pci);
		PRINTABLE(p->nics[i].gpu);
	}
	for (i = 0; i < p->n_pools; i++) {
		PRINTABLE(p->pools[i].nic);
		PRINTABLE(p->pools[i].memory);
		PRINTABLE(p->pools[i].queues);
		PRINTABLE(p->pools[i].gpu);
	}
	for (i = 0; i < p->n_steps; i++) {
		PRINTABLE(p->steps[i].nic);
		PRINTABLE(p->steps[i].reason);
		PRINTABLE(p->steps[i].remedy);
	}
	for (i = 0; i < p->n_conns; i++) {
		PRINTABLE(p->conns[i].nic);
		PRINTABLE(p->conns[i].peer);
	}
}

static void proc_drop(struct proc *p)
{
	free(p->nics);
	free(p->pools);
	free(p->steps);
	free(p->conns);
}

/* A connection whose entry was given to another while it was read is half of each. */
static void drop_torn(struct proc *p, int fd, const char *buf)
{
	const struct nccl_devmem_stats_section *s = &p->head.conns;
	size_t kept = 0;
	uint32_t i, at = 0;

	for (i = 0; i < s->count && at < p->n_conns; i++) {
		off_t offset = (off_t)(s->offset + (size_t)i * s->size);
		uint64_t id = 0;

		if (!conn_in_use(buf + offset))
			continue;
		if (pread(fd, &id, sizeof(id), offset) == sizeof(id) && id == p->conns[at].id)
			p->conns[kept++] = p->conns[at];
		at++;
	}
	p->n_conns = kept;
}

/* 0; -EBADMSG: not a file of this version; -ENOMEM. */
static int parse(struct proc *p, int fd, const char *buf, size_t size)
{
	struct nccl_devmem_stats *h = &p->head;
	size_t n;
	int err;

	memcpy(h, buf, sizeof(*h));
	if (h->magic != NCCL_DEVMEM_STATS_MAGIC || h->version != NCCL_DEVMEM_STATS_VERSION ||
	    h->size > size || (pid_t)h->pid != p->id.pid || h->start != p->id.start ||
	    !section_fits(&h->counters, size) || !h->counters.count ||
	    !section_fits(&h->nics, size) || !section_fits(&h->pools, size) ||
	    !section_fits(&h->steps, size) || !section_fits(&h->conns, size))
		return -EBADMSG;
	n = h->counters.size < sizeof(p->counters) ? h->counters.size : sizeof(p->counters);
	memcpy(&p->counters, buf + h->counters.offset, n);
	err = take_entries(buf, &h->nics, sizeof(*p->nics), nic_in_use, &p->nics, &p->n_nics);
	if (!err)
		err = take_entries(buf, &h->pools, sizeof(*p->pools), pool_in_use, &p->pools,
				   &p->n_pools);
	if (!err)
		err = take_entries(buf, &h->steps, sizeof(*p->steps), step_in_use, &p->steps,
				   &p->n_steps);
	if (!err)
		err = take_entries(buf, &h->conns, sizeof(*p->conns), conn_in_use, &p->conns,
				   &p->n_conns);
	if (!err)
		drop_torn(p, fd, buf);
	return err;
}

/* 1 *ret is filled, 0 nothing to show, -EBADMSG a strange file, -ENOMEM. */
static int read_one(int dir_fd, const char *name, const struct process_id *id, struct proc *ret)
{
	enum process_life life = process_life(id);
	struct proc p = { .id = *id, .unsure = life == PROCESS_UNKNOWN };
	char *buf = NULL;
	struct stat st;
	size_t size;
	int fd, err;

	if (life == PROCESS_DEAD) {
		unlinkat(dir_fd, name, 0);
		return 0;
	}
	fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -EBADMSG;
	/* Anybody can claim to be any process. */
	err = -EBADMSG;
	if (!fstat(fd, &st) && (p.unsure || owner_is(id->pid, st.st_uid)))
		buf = slurp(fd, &size);
	if (buf)
		err = parse(&p, fd, buf, size);
	free(buf);
	close(fd);
	if (err) {
		proc_drop(&p);
		return err;
	}
	clean_texts(&p);
	owner_describe(id->pid, p.unsure, &p.rank, p.job, sizeof(p.job));
	PRINTABLE(p.job);
	*ret = p;
	return 1;
}

static int compare_procs(const void *a, const void *b)
{
	const struct proc *x = a, *y = b;
	int r = strcmp(x->job, y->job);

	if (!r)
		r = (x->rank > y->rank) - (x->rank < y->rank);
	return r ? r : (x->id.pid > y->id.pid) - (x->id.pid < y->id.pid);
}

static int read_entry(int dir_fd, const char *name, struct reading *r)
{
	struct process_id id;
	struct proc p = { 0 }, *more;
	int err;

	if (!stats_name_parse(name, &id))
		return 0;
	err = read_one(dir_fd, name, &id, &p);
	if (err == -EBADMSG)
		r->strange++;
	if (err <= 0)
		return err == -ENOMEM ? err : 0;
	more = realloc(r->procs, (r->n_procs + 1) * sizeof(*more));
	if (!more) {
		proc_drop(&p);
		return -ENOMEM;
	}
	r->procs = more;
	r->procs[r->n_procs++] = p;
	return 0;
}

int reading_take(const char *dir, struct reading *ret)
{
	struct reading r = { 0 };
	struct timespec now;
	struct dirent *e;
	int err = 0;
	DIR *d;

	d = opendir(dir);
	if (!d)
		return -errno;
	clock_gettime(CLOCK_MONOTONIC, &now);
	r.ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	while (!err && (e = readdir(d)))
		err = read_entry(dirfd(d), e->d_name, &r);
	closedir(d);
	if (err) {
		reading_drop(&r);
		return err;
	}
	if (r.n_procs)
		qsort(r.procs, r.n_procs, sizeof(*r.procs), compare_procs);
	*ret = r;
	return 0;
}

void reading_drop(struct reading *r)
{
	size_t i;

	for (i = 0; i < r->n_procs; i++)
		proc_drop(&r->procs[i]);
	free(r->procs);
	*r = (struct reading){ 0 };
}

const struct proc *reading_find(const struct reading *r, const struct proc *of)
{
	size_t i;

	for (i = 0; r && i < r->n_procs; i++) {
		const struct proc *p = &r->procs[i];

		if (p->id.pid == of->id.pid && p->id.start == of->id.start &&
		    p->id.pidns == of->id.pidns && p->head.opened_ns == of->head.opened_ns)
			return p;
	}
	return NULL;
}

const struct nccl_devmem_stats_conn *proc_find_conn(const struct proc *p, uint64_t id)
{
	size_t i;

	for (i = 0; p && i < p->n_conns; i++)
		if (p->conns[i].id == id)
			return &p->conns[i];
	return NULL;
}

uint64_t proc_bytes(const struct proc *p, bool sends)
{
	const struct nccl_devmem_counters *c = &p->counters;

	return sends ? c->sent_inline + c->sent_copy + c->sent_zerocopy + c->sent_devmem +
			       c->sent_staged
		     : c->recv_inline + c->recv_copy + c->recv_devmem + c->recv_linear +
			       c->recv_staged;
}
