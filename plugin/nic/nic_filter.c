// SPDX-License-Identifier: BSD-3-Clause
#include <string.h>

#include "nic/nic_filter.h"

unsigned int nic_filter_parse(struct nic_filter *f, const char *text)
{
	unsigned int dropped = 0;

	memset(f, 0, sizeof(*f));
	if (!text)
		return 0;
	if (*text == '^') {
		f->exclude = true;
		text++;
	}
	if (*text == '=') {
		f->exact = true;
		text++;
	}
	for (; *text; text += *text == ',') {
		size_t len = strcspn(text, ",");
		size_t name_len = strcspn(text, ",:");

		if (name_len >= IF_NAMESIZE || (name_len && f->n == NIC_FILTER_MAX)) {
			dropped++;
		} else if (name_len) {
			memcpy(f->name[f->n], text, name_len);
			f->n++;
		}
		text += len;
	}
	return dropped;
}

int nic_filter_match(const struct nic_filter *f, const char *ifname)
{
	for (unsigned int i = 0; i < f->n; i++) {
		bool hit = f->exact ? !strcmp(ifname, f->name[i])
				    : !strncmp(ifname, f->name[i], strlen(f->name[i]));

		if (hit)
			return (int)i;
	}
	return -1;
}

static unsigned int nic_choose_named(const struct nic_filter *f, const struct nic_candidate *c,
				     unsigned int n, unsigned int *ret_order)
{
	unsigned int chosen = 0;

	for (unsigned int want = 0; want < f->n; want++)
		for (unsigned int i = 0; i < n; i++)
			if (c[i].usable && nic_filter_match(f, c[i].name) == (int)want)
				ret_order[chosen++] = i;
	return chosen;
}

/* From what a machine was set up with to what it always has. */
enum nic_tier { TIER_SET_UP, TIER_LINK_LOCAL, TIER_LOOPBACK, TIERS };

static enum nic_tier nic_tier_of(const struct nic_candidate *c)
{
	if (c->is_loopback)
		return TIER_LOOPBACK;
	return c->only_link_local ? TIER_LINK_LOCAL : TIER_SET_UP;
}

static bool nic_choose_default(const struct nic_filter *f, const struct nic_candidate *c,
			       enum nic_tier tier)
{
	if (!c->usable || nic_tier_of(c) != tier)
		return false;
	if (f->exclude)
		return nic_filter_match(f, c->name) < 0;
	return tier == TIER_LOOPBACK || (c->is_ethernet && strncmp(c->name, "docker", 6) != 0);
}

unsigned int nic_filter_choose(const struct nic_filter *f, const struct nic_candidate *c,
			       unsigned int n, unsigned int *ret_order)
{
	unsigned int chosen = 0;

	if (f->n && !f->exclude)
		return nic_choose_named(f, c, n, ret_order);

	for (int tier = 0; tier < TIERS && !chosen; tier++)
		for (unsigned int i = 0; i < n; i++)
			if (nic_choose_default(f, &c[i], (enum nic_tier)tier))
				ret_order[chosen++] = i;
	return chosen;
}
