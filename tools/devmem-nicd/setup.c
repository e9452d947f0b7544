// SPDX-License-Identifier: BSD-3-Clause
/*
 * What was changed is recorded in the directory of the plugin's own records before it is changed: a line "interface ifindex knob
 * former ours" for each setting. A setting that is neither former nor ours by the time it is to go back was changed by somebody else,
 * and stays.
 */
#include "setup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/param.h"
#include "conf.h"
#include "knob.h"
#include "nic/nic_state.h"

#define CHANGES_MAX (CONF_INTERFACES_MAX * KNOB_COUNT)

struct change {
	char ifname[IF_NAMESIZE];
	unsigned int ifindex;
	enum knob knob;
	long former;
	long ours;
};

static struct setup {
	int dir_fd;
	char file[64];
	struct change made[CHANGES_MAX];
	unsigned int n_made;
	bool dry_run;
} s = { .dir_fd = -1 };

/* One at a time, in a directory that nobody else can write. */
static int dir_take(void)
{
	uint64_t cookie = 0;
	int lock, err;

	s.dir_fd = nic_state_dir_open(true);
	if (s.dir_fd < 0)
		return s.dir_fd;
	err = nic_netns_cookie(-1, &cookie);
	if (err)
		return err;
	snprintf(s.file, sizeof(s.file), "setup-%" PRIu64, cookie);
	/* Held until the process ends. */
	lock = openat(s.dir_fd, "setup.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	/* Of one that was killed while it wrote. */
	unlinkat(s.dir_fd, "setup.tmp", 0);
	return 0;
}

static bool change_parse(char *line, struct change *ret)
{
	char *word[5], *save = NULL, *end;

	for (unsigned int i = 0; i < 5; i++) {
		word[i] = strtok_r(i ? NULL : line, " \n", &save);
		if (!word[i])
			return false;
	}
	if (strlen(word[0]) >= sizeof(ret->ifname))
		return false;
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->ifname, word[0], strlen(word[0]));
	ret->ifindex = (unsigned int)strtoul(word[1], NULL, 10);
	ret->former = strtol(word[3], NULL, 10);
	ret->ours = strtol(word[4], &end, 10);
	if (*end)
		return false;
	for (ret->knob = 0; ret->knob < KNOB_COUNT; ret->knob++)
		if (!strcmp(knobs[ret->knob].name, word[2]))
			return true;
	return false;
}

/* As interfaces are called now. False: it is gone, and its settings went with it. */
static bool change_is_of_now(struct change *c)
{
	char name[IF_NAMESIZE];

	if (!if_indextoname(c->ifindex, name)) {
		log_info("%s is gone, and %s of it with it", c->ifname, knobs[c->knob].name);
		return false;
	}
	memcpy(c->ifname, name, sizeof(c->ifname));
	return true;
}

static int record_read(void)
{
	int fd = openat(s.dir_fd, s.file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char line[128];
	struct change c;
	int err = 0;
	FILE *f;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	f = fdopen(fd, "re");
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	while (!err && fgets(line, sizeof(line), f)) {
		if (s.n_made == CHANGES_MAX || !change_parse(line, &c))
			err = -EBADMSG;
		else if (change_is_of_now(&c))
			s.made[s.n_made++] = c;
	}
	fclose(f);
	return err;
}

static int record_write(void)
{
	FILE *f;
	int fd;

	if (s.dry_run)
		return 0;
	if (!s.n_made)
		return unlinkat(s.dir_fd, s.file, 0) < 0 && errno != ENOENT ? -errno : 0;
	fd = openat(s.dir_fd, "setup.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
		    0600);
	f = fd < 0 ? NULL : fdopen(fd, "we");
	if (!f)
		return -errno;
	for (unsigned int i = 0; i < s.n_made; i++)
		fprintf(f, "%s %u %s %ld %ld\n", s.made[i].ifname, s.made[i].ifindex,
			knobs[s.made[i].knob].name, s.made[i].former, s.made[i].ours);
	if (fclose(f) || renameat(s.dir_fd, "setup.tmp", s.dir_fd, s.file) < 0)
		return -errno;
	return 0;
}

static struct change *change_find(const char *ifname, enum knob k)
{
	for (unsigned int i = 0; i < s.n_made; i++)
		if (!strcmp(s.made[i].ifname, ifname) && s.made[i].knob == k)
			return &s.made[i];
	return NULL;
}

static void change_drop(struct change *c)
{
	memmove(c, c + 1, (size_t)(&s.made[--s.n_made] - c) * sizeof(*c));
}

/* Is it a wish that the NIC can fulfil? Nothing is changed before all are known to be. */
static int check(const char *path, const struct conf_nic *n, enum knob k)
{
	const long want = n->want[k];
	long now, max = 0, queues = 0;
	int err = knobs[k].get(n->name, &now, &max);

	if (err) {
		log_err("%s:%u: %s: %s: %s", path, n->line[k], n->name, knobs[k].name,
			knob_error(err));
		return err;
	}
	if (k == KNOB_RESERVED) {
		queues = n->want[KNOB_QUEUES];
		max = queues >= 0 ? queues - 1 : max;
	}
	if (max && want > max) {
		log_err("%s:%u: %s: %s = %ld: it has %ld at most%s", path, n->line[k], n->name,
			knobs[k].name, want, max,
			k == KNOB_RESERVED ? ", since one queue stays for other traffic" : "");
		return -ERANGE;
	}
	return 0;
}

static int check_all(const char *path, const struct conf *conf)
{
	int err = 0, r;

	for (unsigned int i = 0; i < conf->n_nics; i++) {
		const struct conf_nic *n = &conf->nics[i];

		if (!if_nametoindex(n->name)) {
			log_err("%s:%u: there is no interface %s", path, n->section_line, n->name);
			err = -ENODEV;
			continue;
		}
		for (enum knob k = 0; k < KNOB_COUNT; k++) {
			r = n->want[k] < 0 ? 0 : check(path, n, k);
			err = r ? r : err;
		}
	}
	return err;
}

/* Puts one back; it leaves the record unless that fails. */
static int undo(struct change *c)
{
	long now, max;
	int err;

	err = knobs[c->knob].get(c->ifname, &now, &max);
	if (!err && now != c->ours && now != c->former) {
		log_info("%s: %s was changed to %ld by somebody else and stays so", c->ifname,
			 knobs[c->knob].name, now);
	} else if (!err && now != c->former) {
		log_info("%s: %s %ld -> %ld%s", c->ifname, knobs[c->knob].name, now, c->former,
			 s.dry_run ? " (not done: --dry-run)" : "");
		err = s.dry_run ? 0 : knobs[c->knob].set(c->ifname, c->former);
	}
	if (err) {
		log_err("%s: %s cannot be put back to %ld: %s", c->ifname, knobs[c->knob].name,
			c->former, knob_error(err));
		return err;
	}
	change_drop(c);
	return 0;
}

/* Those that @conf (NULL: nothing) does not ask for any more, last made first. */
static int undo_others(const struct conf *conf)
{
	int err = 0, r;

	for (unsigned int i = s.n_made; i-- > 0;) {
		const struct conf_nic *n = conf ? conf_nic_find(conf, s.made[i].ifname) : NULL;

		if (n && n->want[s.made[i].knob] >= 0)
			continue;
		r = undo(&s.made[i]);
		err = r ? r : err;
	}
	r = record_write();
	return err ? err : r;
}

/* *ret_changed: now set by this run, and recorded by it or before. */
static int make(const struct conf_nic *n, enum knob k, bool *ret_changed, long *ret_now)
{
	struct change *c = change_find(n->name, k);
	long now, max;
	int err;

	*ret_changed = false;
	err = knobs[k].get(n->name, &now, &max);
	if (err || now == n->want[k])
		return err;
	*ret_now = now;
	log_info("%s: %s %ld -> %ld%s", n->name, knobs[k].name, now, n->want[k],
		 s.dry_run ? " (not done: --dry-run)" : "");
	if (s.dry_run)
		return 0;
	if (!c) {
		if (s.n_made == CHANGES_MAX)
			return -E2BIG;
		c = &s.made[s.n_made++];
		memcpy(c->ifname, n->name, sizeof(c->ifname));
		c->ifindex = if_nametoindex(n->name);
		c->knob = k;
		c->former = now;
	}
	c->ours = n->want[k];
	*ret_changed = true;
	err = record_write();
	return err ? err : knobs[k].set(n->name, n->want[k]);
}

struct step {
	const struct conf_nic *nic;
	enum knob knob;
	long before;
};

/* This run's changes alone, last first; what an earlier run made stays. */
static void roll_back(struct step *done, unsigned int n)
{
	while (n-- > 0) {
		struct change *c = change_find(done[n].nic->name, done[n].knob);
		long now, max;
		int err = knobs[done[n].knob].get(done[n].nic->name, &now, &max);

		if (!err && now != done[n].before)
			err = knobs[done[n].knob].set(done[n].nic->name, done[n].before);
		if (err) {
			log_err("%s: %s cannot be put back to %ld: %s", done[n].nic->name,
				knobs[done[n].knob].name, done[n].before, strerror(-err));
			continue;
		}
		if (c && c->former == done[n].before)
			change_drop(c);
		else if (c)
			c->ours = done[n].before;
	}
	record_write();
}

static int make_all(const struct conf *conf)
{
	static struct step done[CHANGES_MAX];
	unsigned int n_done = 0;

	for (unsigned int i = 0; i < conf->n_nics; i++) {
		for (enum knob k = 0; k < KNOB_COUNT; k++) {
			const struct conf_nic *n = &conf->nics[i];
			struct step st = { .nic = n, .knob = k };
			bool changed;
			int err;

			if (n->want[k] < 0)
				continue;
			err = make(n, k, &changed, &st.before);
			if (changed)
				done[n_done++] = st;
			if (!err)
				continue;
			log_err("%s: %s = %ld: %s; everything stays as it was", n->name,
				knobs[k].name, n->want[k], knob_error(err));
			roll_back(done, n_done);
			return err;
		}
	}
	return 0;
}

int setup_run(const struct setup_options *o)
{
	static struct conf conf;
	int err;

	s.dry_run = o->dry_run;
	err = o->restore ? 0 : conf_load(o->conf_path, &conf);
	if (!err && !o->restore)
		err = check_all(o->conf_path, &conf);
	if (err)
		return err;
	err = dir_take();
	if (err) {
		log_err("%s: %s", param_str(PARAM_STATE_DIR),
			err == -EBUSY ? "another devmem-nicd setup is at work" : strerror(-err));
		return err;
	}
	err = record_read();
	if (err) {
		log_err("%s/%s: the record of former settings is damaged; put it aside, and check "
			"the interfaces by hand",
			param_str(PARAM_STATE_DIR), s.file);
		return err;
	}
	err = undo_others(o->restore ? NULL : &conf);
	return err || o->restore ? err : make_all(&conf);
}
