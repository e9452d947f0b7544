/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why a rung of the ladder can or cannot be used, in words for a person.
 */
#ifndef DEVMEM_VERDICT_H
#define DEVMEM_VERDICT_H

/*
 * @err:    0 when the thing works, else the negative errno that stopped it.
 * @reason: what was found ("eth0: header split is off").
 * @remedy: what to do about it ("ethtool -G eth0 tcp-data-split on"), may be empty.
 *
 * A verdict is a plain value: copy it freely, nothing to free.
 */
struct verdict {
	int err;
	char reason[224];
	char remedy[192];
};

/* Fills @v and returns @err, so that callers can `return verdict_set(...)`. @remedy may be NULL. */
int verdict_set(struct verdict *v, int err, const char *remedy, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
