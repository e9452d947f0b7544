// SPDX-License-Identifier: BSD-3-Clause
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "nic/nic_text.h"

/* The smallest number in @v that is at least @from. */
static bool next_number(const uint32_t *v, unsigned int n, uint64_t from, uint32_t *ret)
{
	bool found = false;

	for (unsigned int i = 0; i < n; i++) {
		if (v[i] < from || (found && v[i] >= *ret))
			continue;
		*ret = v[i];
		found = true;
	}
	return found;
}

const char *nic_ranges_text(const uint32_t *v, unsigned int n, char *buf, size_t len)
{
	uint32_t first = 0, last, next = 0;
	uint64_t from = 0;
	size_t used = 0;

	snprintf(buf, len, "none");
	while (next_number(v, n, from, &first)) {
		last = first;
		while (next_number(v, n, (uint64_t)last + 1, &next) && next == last + 1)
			last = next;
		used += (size_t)snprintf(buf + used, len - used, first == last ? "%s%u" : "%s%u-%u",
					 used ? "," : "", first, last);
		if (used >= len) {
			if (len > 3)
				memcpy(buf + len - 4, "...", 4);
			break;
		}
		from = (uint64_t)last + 1;
	}
	return buf;
}
