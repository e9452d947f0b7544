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

static bool nic_choose_default(const struct nic_filter *f, const struct nic_candidate *c)
{
	if (!c->usable || c->is_loopback)
		return false;
	if (f->exclude)
		return nic_filter_match(f, c->name) < 0;
	return c->is_ethernet && strncmp(c->name, "docker", 6) != 0;
}

unsigned int nic_filter_choose(const struct nic_filter *f, const struct nic_candidate *c,
			       unsigned int n, unsigned int *ret_order)
{
	unsigned int chosen = 0;

	if (f->n && !f->exclude)
		return nic_choose_named(f, c, n, ret_order);

	for (unsigned int i = 0; i < n; i++)
		if (nic_choose_default(f, &c[i]))
			ret_order[chosen++] = i;
	if (chosen)
		return chosen;
	for (unsigned int i = 0; i < n; i++)
		if (c[i].usable && c[i].is_loopback &&
		    !(f->exclude && nic_filter_match(f, c[i].name) >= 0))
			ret_order[chosen++] = i;
	return chosen;
}
