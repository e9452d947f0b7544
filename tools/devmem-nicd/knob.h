/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Settings of an interface that the configuration can name, each a number.
 */
#ifndef NICD_KNOB_H
#define NICD_KNOB_H

/*
 * In the order in which they are made; undone the other way round.
 * RESERVED: the highest queues, to which RSS leads nothing. SPLIT: 0 for off, else on with a threshold of one less.
 */
enum knob { KNOB_QUEUES, KNOB_RX_RING, KNOB_MTU, KNOB_SPLIT, KNOB_RESERVED, KNOB_COUNT };

/* @name: in the configuration and in the record. */
struct knob_ops {
	const char *name;
	/* Both 0 or -errno, -EOPNOTSUPP where the driver has no such setting. *ret_max: the most that it takes, 0 for unknown. */
	int (*get)(const char *ifname, long *ret, long *ret_max);
	int (*set)(const char *ifname, long value);
};
/* What -errno of theirs means, for people. */
const char *knob_error(int err);
extern const struct knob_ops knobs[KNOB_COUNT];

#endif
