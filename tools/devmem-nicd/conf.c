// SPDX-License-Identifier: BSD-3-Clause
#include "conf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "nic/nic_state.h"

#define CONF_SIZE_MAX (64 << 10)
/* More than any NIC has. */
#define CONF_USER_QUEUES_MAX 65536

enum section { SECTION_NONE, SECTION_BROKER, SECTION_INTERFACE, SECTION_WRONG };

/* @seen: a bit for each key that the section had already. */
struct parser {
	const char *path;
	unsigned int line;
	enum section section;
	unsigned int seen;
	unsigned int errors;
	struct conf conf;
};

__attribute__((format(printf, 2, 3))) static void wrong(struct parser *p, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_err("%s:%u: %s", p->path, p->line, text);
	p->errors++;
}

/* The text without blanks around it. */
static char *trim(char *s)
{
	size_t len;

	while (isspace((unsigned char)*s))
		s++;
	len = strlen(s);
	while (len && isspace((unsigned char)s[len - 1]))
		s[--len] = '\0';
	return s;
}

static bool take_number(const char *text, unsigned long max, unsigned long *ret)
{
	unsigned long v;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || *end || v > max)
		return false;
	*ret = v;
	return true;
}

static void take_user(struct parser *p, const char *word)
{
	struct conf_broker *b = &p->conf.broker;
	const struct passwd *pw;
	unsigned long id;

	if (!strcmp(word, "*")) {
		b->any_user = true;
		return;
	}
	if (!take_number(word, UINT32_MAX - 1, &id)) {
		pw = getpwnam(word);
		if (!pw) {
			wrong(p, "there is no user %s", word);
			return;
		}
		id = pw->pw_uid;
	}
	if (b->n_uids == CONF_IDS_MAX)
		wrong(p, "more than %d users; list a group of them", CONF_IDS_MAX);
	else
		b->uids[b->n_uids++] = (uid_t)id;
}

static void take_group(struct parser *p, const char *word)
{
	struct conf_broker *b = &p->conf.broker;
	const struct group *gr;
	unsigned long id;

	if (!take_number(word, UINT32_MAX - 1, &id)) {
		gr = getgrnam(word);
		if (!gr) {
			wrong(p, "there is no group %s", word);
			return;
		}
		id = gr->gr_gid;
	}
	if (b->n_gids == CONF_IDS_MAX)
		wrong(p, "more than %d groups", CONF_IDS_MAX);
	else
		b->gids[b->n_gids++] = (gid_t)id;
}

/* It need not be there now: containers and drivers come and go. */
static void take_interface(struct parser *p, const char *word)
{
	struct conf_broker *b = &p->conf.broker;

	if (strlen(word) >= IF_NAMESIZE || strchr(word, '/'))
		wrong(p, "%s cannot be the name of an interface", word);
	else if (b->n_interfaces == CONF_INTERFACES_MAX)
		wrong(p, "more than %d interfaces", CONF_INTERFACES_MAX);
	else
		memcpy(b->interfaces[b->n_interfaces++], word, strlen(word) + 1);
}

static void take_list(struct parser *p, char *value,
		      void (*take)(struct parser *p, const char *word))
{
	char *save = NULL;

	for (char *w = strtok_r(value, " \t,", &save); w; w = strtok_r(NULL, " \t,", &save))
		take(p, w);
}

static void take_users(struct parser *p, char *value)
{
	take_list(p, value, take_user);
}

static void take_groups(struct parser *p, char *value)
{
	take_list(p, value, take_group);
}

static void take_interfaces(struct parser *p, char *value)
{
	take_list(p, value, take_interface);
}

static void take_limit(struct parser *p, const char *key, const char *value, unsigned int max,
		       unsigned int *ret)
{
	unsigned long n;

	if (!take_number(value, max, &n) || !n)
		wrong(p, "%s = %s: a number from 1 to %u is wanted", key, value, max);
	else
		*ret = (unsigned int)n;
}

static void take_queues(struct parser *p, char *value)
{
	take_limit(p, "queues", value, NIC_OWNER_QUEUES_MAX, &p->conf.broker.queues);
}

static void take_user_queues(struct parser *p, char *value)
{
	take_limit(p, "user-queues", value, CONF_USER_QUEUES_MAX, &p->conf.broker.user_queues);
}

static void take_knob(struct parser *p, enum knob k, const char *value)
{
	struct conf_nic *n = &p->conf.nics[p->conf.n_nics - 1];
	unsigned long v;

	if (k == KNOB_SPLIT) {
		if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0) {
			wrong(p, "%s = %s: on or off is wanted", knobs[k].name, value);
			return;
		}
		v = !strcmp(value, "on");
	} else if (!take_number(value, 1 << 20, &v) || (!v && k != KNOB_RESERVED)) {
		wrong(p, "%s = %s: a number%s is wanted", knobs[k].name, value,
		      k == KNOB_RESERVED ? "" : " above 0");
		return;
	}
	n->want[k] = (long)v;
	n->line[k] = p->line;
}

static const struct key {
	enum section section;
	const char *name;
	void (*take)(struct parser *p, char *value);
} keys[] = {
	{ SECTION_BROKER, "users", take_users },
	{ SECTION_BROKER, "groups", take_groups },
	{ SECTION_BROKER, "interfaces", take_interfaces },
	{ SECTION_BROKER, "queues", take_queues },
	{ SECTION_BROKER, "user-queues", take_user_queues },
};
#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

static void take_nic(struct parser *p, const char *name)
{
	struct conf_nic *n = &p->conf.nics[p->conf.n_nics];

	if (!*name || strlen(name) >= IF_NAMESIZE || strpbrk(name, "/ \t")) {
		wrong(p, "%s cannot be the name of an interface", name);
	} else if (conf_nic_find(&p->conf, name)) {
		wrong(p, "[interface %s] stands twice", name);
	} else if (p->conf.n_nics == CONF_INTERFACES_MAX) {
		wrong(p, "more than %d interfaces", CONF_INTERFACES_MAX);
	} else {
		memcpy(n->name, name, strlen(name) + 1);
		n->section_line = p->line;
		for (enum knob k = 0; k < KNOB_COUNT; k++)
			n->want[k] = -1;
		p->conf.n_nics++;
		p->section = SECTION_INTERFACE;
	}
}

static void take_section(struct parser *p, char *name)
{
	p->seen = 0;
	p->section = SECTION_WRONG;
	if (!strcmp(name, "broker"))
		p->section = SECTION_BROKER;
	else if (!strncmp(name, "interface", 9) && isspace((unsigned char)name[9]))
		take_nic(p, trim(name + 9));
	else
		wrong(p, "there is no section [%s]; there are [broker] and [interface NAME]", name);
}

static void take_key(struct parser *p, const char *name, char *value)
{
	if (p->section == SECTION_NONE) {
		wrong(p, "%s stands before the first section; [broker] is missing", name);
		return;
	}
	for (unsigned int i = 0; i < N_KEYS; i++) {
		if (p->section != keys[i].section || strcmp(name, keys[i].name) != 0)
			continue;
		if (p->seen & 1u << i)
			wrong(p, "%s stands twice in this section", name);
		p->seen |= 1u << i;
		if (!*value)
			wrong(p, "%s has no value", name);
		else
			keys[i].take(p, value);
		return;
	}
	for (enum knob k = 0; p->section == SECTION_INTERFACE && k < KNOB_COUNT; k++) {
		if (strcmp(name, knobs[k].name) != 0)
			continue;
		if (p->conf.nics[p->conf.n_nics - 1].line[k])
			wrong(p, "%s stands twice in this section", name);
		take_knob(p, k, value);
		return;
	}
	/* What stands in a section that is wrong as a whole was told of there. */
	if (p->section != SECTION_WRONG)
		wrong(p, "there is no setting %s in this section", name);
}

static void take_line(struct parser *p, char *line)
{
	char *text, *value;
	size_t len;

	line[strcspn(line, "#")] = '\0';
	text = trim(line);
	len = strlen(text);
	if (!len)
		return;
	if (*text == '[') {
		if (text[len - 1] != ']') {
			p->section = SECTION_WRONG;
			wrong(p, "%s: the closing bracket is missing", text);
			return;
		}
		text[len - 1] = '\0';
		take_section(p, trim(text + 1));
		return;
	}
	value = strchr(text, '=');
	if (!value) {
		wrong(p, "%s: neither [section] nor key = value", text);
		return;
	}
	*value = '\0';
	take_key(p, trim(text), trim(value + 1));
}

/* It decides who may change NICs, so that nobody else may have written it. */
static int file_open(const char *path, FILE **ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	FILE *f;

	if (fd < 0 || fstat(fd, &st) < 0) {
		int err = -errno;

		log_err("%s: %s", path, strerror(-err));
		return err;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > CONF_SIZE_MAX) {
		log_err("%s: no file, or one of more than %d bytes", path, CONF_SIZE_MAX);
		return -EINVAL;
	}
	if ((st.st_uid && st.st_uid != geteuid()) || (st.st_mode & 022)) {
		log_err("%s: others than root can write it, so that it is not trusted: chown "
			"root:root %s && chmod 644 %s",
			path, path, path);
		return -EPERM;
	}
	f = fdopen(fd, "re");
	if (!f)
		return -errno;
	(void)TAKE_FD(fd);
	*ret = f;
	return 0;
}

int conf_load(const char *path, struct conf *ret)
{
	static const struct conf defaults = { .broker.queues = NIC_OWNER_QUEUES_MAX,
					      .broker.user_queues = CONF_USER_QUEUES_MAX };
	static struct parser p;
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	FILE *f = NULL;
	ssize_t n;
	int err;

	err = file_open(path, &f);
	if (err)
		return err;
	memset(&p, 0, sizeof(p));
	p.path = path;
	p.conf = defaults;
	while ((n = getline(&line, &size, f)) >= 0) {
		p.line++;
		if (strlen(line) != (size_t)n)
			wrong(&p, "this is no text file");
		else
			take_line(&p, line);
	}
	fclose(f);
	if (p.errors)
		return -EINVAL;
	*ret = p.conf;
	return 0;
}

const struct conf_nic *conf_nic_find(const struct conf *conf, const char *ifname)
{
	for (unsigned int i = 0; i < conf->n_nics; i++)
		if (!strcmp(conf->nics[i].name, ifname))
			return &conf->nics[i];
	return NULL;
}

bool conf_broker_has_user(const struct conf_broker *b, uid_t uid, const gid_t *gids,
			  unsigned int n_gids)
{
	if (b->any_user)
		return true;
	for (unsigned int i = 0; i < b->n_uids; i++)
		if (b->uids[i] == uid)
			return true;
	for (unsigned int i = 0; i < b->n_gids; i++)
		for (unsigned int k = 0; k < n_gids; k++)
			if (b->gids[i] == gids[k])
				return true;
	return false;
}

bool conf_broker_has_interface(const struct conf_broker *b, const char *ifname)
{
	for (unsigned int i = 0; i < b->n_interfaces; i++)
		if (!strcmp(b->interfaces[i], ifname))
			return true;
	return false;
}
