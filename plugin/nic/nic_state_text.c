// SPDX-License-Identifier: BSD-3-Clause
/*
 * The text form of a NIC's record: one item a line, "end" last, so that a cut-off file is noticed.
 *
 *   nccl-devmem-nic 1
 *   boot <boot id>			nothing that was set survives a reboot
 *   interface <ifindex> <name>
 *   split <n> | thresh <n> | ntuple <n>	former settings, if touched
 *   rss | rss-set | rss-next <n> <queue>...	RSS tables, see struct nic_former
 *   owner <pid> <start> <pidns> <tag> <dmabuf> <n> <queue>...
 *   user <uid>					whom a broker made it for, the owner above it
 *   rule <family> <src> <sport> <dst> <dport> <queue>	of the owner above it
 *   end
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nic/nic_state.h"

#define NIC_STATE_MAGIC "nccl-devmem-nic 1"
#define NIC_OWNERS_MAX	4096
#define NIC_RULES_MAX	65536
#define NIC_PARSE_BAD	(-EBADMSG)

void nic_state_init(struct nic_state *st, int ifindex, const char *ifname)
{
	memset(st, 0, sizeof(*st));
	st->ifindex = ifindex;
	snprintf(st->ifname, sizeof(st->ifname), "%s", ifname);
	st->former.split = -1;
	st->former.thresh = -1;
	st->former.ntuple = -1;
	st->dir_fd = -1;
	st->lock_fd = -1;
}

void nic_state_clear(struct nic_state *st)
{
	for (unsigned int i = 0; i < st->n_owners; i++)
		free(st->owners[i].rules);
	free(st->owners);
	st->owners = NULL;
	st->n_owners = 0;
	nic_rss_drop(&st->former.rss);
	nic_rss_drop(&st->former.rss_set);
	nic_rss_drop(&st->former.rss_next);
	st->former.split = -1;
	st->former.thresh = -1;
	st->former.ntuple = -1;
}

static void rss_format(FILE *f, const char *word, const struct nic_rss *rss)
{
	if (!rss->n)
		return;
	fprintf(f, "%s %u", word, rss->n);
	for (unsigned int i = 0; i < rss->n; i++)
		fprintf(f, " %" PRIu32, rss->entry[i]);
	fputc('\n', f);
}

static void owner_format(FILE *f, const struct nic_owner *o)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];

	fprintf(f, "owner %d %" PRIu64 " %" PRIu64 " %" PRIu32 " %" PRIu32 " %u", (int)o->pid,
		o->start, o->pidns, o->tag, o->dmabuf, o->n_queues);
	for (unsigned int i = 0; i < o->n_queues; i++)
		fprintf(f, " %u", o->queues[i]);
	fputc('\n', f);
	if (o->user != NIC_OWNER_SELF)
		fprintf(f, "user %u\n", o->user);
	for (unsigned int i = 0; i < o->n_rules; i++) {
		const struct nic_flow *fl = &o->rules[i].flow;

		if (!inet_ntop(fl->family, fl->src, src, sizeof(src)) ||
		    !inet_ntop(fl->family, fl->dst, dst, sizeof(dst)))
			continue;
		fprintf(f, "rule %d %s %u %s %u %u\n", fl->family == AF_INET6 ? 6 : 4, src,
			ntohs(fl->sport), dst, ntohs(fl->dport), o->rules[i].queue);
	}
}

char *nic_state_format(const struct nic_state *st, const char *boot_id)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	bool bad;

	if (!f)
		return NULL;
	fprintf(f, NIC_STATE_MAGIC "\nboot %s\ninterface %d %s\n", boot_id, st->ifindex,
		st->ifname);
	if (st->former.split >= 0)
		fprintf(f, "split %d\n", st->former.split);
	if (st->former.thresh >= 0)
		fprintf(f, "thresh %" PRId64 "\n", st->former.thresh);
	if (st->former.ntuple >= 0)
		fprintf(f, "ntuple %d\n", st->former.ntuple);
	rss_format(f, "rss", &st->former.rss);
	rss_format(f, "rss-set", &st->former.rss_set);
	rss_format(f, "rss-next", &st->former.rss_next);
	for (unsigned int i = 0; i < st->n_owners; i++)
		owner_format(f, &st->owners[i]);
	fputs("end\n", f);
	bad = ferror(f);
	if (fclose(f) || bad) {
		free(text);
		return NULL;
	}
	return text;
}

/* The next word of a line as a number of at most @max. */
static int word_number(char **save, uint64_t max, uint64_t *ret)
{
	const char *w = strtok_r(NULL, " ", save);
	unsigned long long n;
	char *end;

	if (!w || *w < '0' || *w > '9')
		return NIC_PARSE_BAD;
	errno = 0;
	n = strtoull(w, &end, 10);
	if (errno || *end || n > max)
		return NIC_PARSE_BAD;
	*ret = n;
	return 0;
}

static int rss_parse(struct nic_rss *rss, char **save)
{
	uint64_t n, q;

	if (word_number(save, NIC_RSS_MAX, &n) || !n || rss->n)
		return NIC_PARSE_BAD;
	rss->entry = calloc(n, sizeof(*rss->entry));
	if (!rss->entry)
		return -ENOMEM;
	rss->n = (unsigned int)n;
	for (unsigned int i = 0; i < rss->n; i++) {
		if (word_number(save, UINT32_MAX, &q))
			return NIC_PARSE_BAD;
		rss->entry[i] = (uint32_t)q;
	}
	return 0;
}

static int owner_parse(struct nic_state *st, char **save)
{
	struct nic_owner o = { .user = NIC_OWNER_SELF }, *owners;
	uint64_t pid, tag, dmabuf, n, q;

	if (word_number(save, INT32_MAX, &pid) || !pid || word_number(save, UINT64_MAX, &o.start) ||
	    word_number(save, UINT64_MAX, &o.pidns) || word_number(save, UINT32_MAX, &tag) ||
	    word_number(save, UINT32_MAX, &dmabuf) || word_number(save, NIC_OWNER_QUEUES_MAX, &n) ||
	    st->n_owners == NIC_OWNERS_MAX)
		return NIC_PARSE_BAD;
	o.pid = (pid_t)pid;
	o.tag = (uint32_t)tag;
	o.dmabuf = (uint32_t)dmabuf;
	o.n_queues = (unsigned int)n;
	for (unsigned int i = 0; i < o.n_queues; i++) {
		if (word_number(save, UINT32_MAX, &q))
			return NIC_PARSE_BAD;
		o.queues[i] = (unsigned int)q;
	}
	owners = realloc(st->owners, (st->n_owners + 1) * sizeof(*owners));
	if (!owners)
		return -ENOMEM;
	st->owners = owners;
	owners[st->n_owners++] = o;
	return 0;
}

static int user_parse(struct nic_state *st, char **save)
{
	uint64_t uid;

	if (!st->n_owners || word_number(save, NIC_OWNER_SELF - 1, &uid))
		return NIC_PARSE_BAD;
	st->owners[st->n_owners - 1].user = (uid_t)uid;
	return 0;
}

static int rule_parse(struct nic_state *st, char **save)
{
	struct nic_flow flow = { 0 };
	uint64_t family, sport, dport, queue;
	const char *src, *dst;

	if (!st->n_owners || st->owners[st->n_owners - 1].n_rules == NIC_RULES_MAX ||
	    word_number(save, 6, &family))
		return NIC_PARSE_BAD;
	flow.family = family == 6 ? AF_INET6 : AF_INET;
	src = strtok_r(NULL, " ", save);
	if (!src || inet_pton(flow.family, src, flow.src) != 1 ||
	    word_number(save, UINT16_MAX, &sport))
		return NIC_PARSE_BAD;
	dst = strtok_r(NULL, " ", save);
	if (!dst || inet_pton(flow.family, dst, flow.dst) != 1 ||
	    word_number(save, UINT16_MAX, &dport) || word_number(save, UINT32_MAX, &queue))
		return NIC_PARSE_BAD;
	flow.sport = htons((uint16_t)sport);
	flow.dport = htons((uint16_t)dport);
	return nic_owner_rule_add(&st->owners[st->n_owners - 1], &flow, (unsigned int)queue);
}

static int line_parse(struct nic_state *st, const char *word, char **save)
{
	uint64_t n;

	if (!strcmp(word, "split")) {
		if (word_number(save, 2, &n))
			return NIC_PARSE_BAD;
		st->former.split = (int)n;
		return 0;
	}
	if (!strcmp(word, "thresh")) {
		if (word_number(save, UINT32_MAX, &n))
			return NIC_PARSE_BAD;
		st->former.thresh = (int64_t)n;
		return 0;
	}
	if (!strcmp(word, "ntuple")) {
		if (word_number(save, 1, &n))
			return NIC_PARSE_BAD;
		st->former.ntuple = (int)n;
		return 0;
	}
	if (!strcmp(word, "rss"))
		return rss_parse(&st->former.rss, save);
	if (!strcmp(word, "rss-set"))
		return rss_parse(&st->former.rss_set, save);
	if (!strcmp(word, "rss-next"))
		return rss_parse(&st->former.rss_next, save);
	if (!strcmp(word, "owner"))
		return owner_parse(st, save);
	if (!strcmp(word, "user"))
		return user_parse(st, save);
	if (!strcmp(word, "rule"))
		return rule_parse(st, save);
	return NIC_PARSE_BAD;
}

static int text_parse(struct nic_state *st, char *text, const char *boot_id)
{
	char *lines = NULL, *words;
	const char *line, *word;
	bool other_boot;
	char *l;
	int err;

	line = strtok_r(text, "\n", &lines);
	if (!line || strcmp(line, NIC_STATE_MAGIC) != 0)
		return NIC_PARSE_BAD;
	line = strtok_r(NULL, "\n", &lines);
	if (!line || strncmp(line, "boot ", 5) != 0)
		return NIC_PARSE_BAD;
	other_boot = strcmp(line + 5, boot_id) != 0;
	line = strtok_r(NULL, "\n", &lines);
	if (!line || strncmp(line, "interface ", 10) != 0)
		return NIC_PARSE_BAD;

	while ((l = strtok_r(NULL, "\n", &lines))) {
		words = NULL;
		word = strtok_r(l, " ", &words);
		if (!word)
			return NIC_PARSE_BAD;
		if (!strcmp(word, "end"))
			break;
		err = line_parse(st, word, &words);
		if (!err && strtok_r(NULL, " ", &words))
			err = NIC_PARSE_BAD;
		if (err)
			return err;
	}
	if (!l || strtok_r(NULL, "\n", &lines))
		return NIC_PARSE_BAD;
	return other_boot ? -ESTALE : 0;
}

int nic_state_parse(struct nic_state *st, const char *text, const char *boot_id)
{
	char *copy = strdup(text);
	int err;

	if (!copy)
		return -ENOMEM;
	err = text_parse(st, copy, boot_id);
	free(copy);
	if (err)
		nic_state_clear(st);
	/* A record of an earlier boot says nothing about this one. */
	return err == -ESTALE ? 0 : err;
}
