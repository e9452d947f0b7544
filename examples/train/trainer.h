/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Training, by one rank of many or alone: the same code, but for where the sums come from.
 */
#ifndef TRAIN_TRAINER_H
#define TRAIN_TRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "digits.h"

#define TRAIN_MAX_EPOCHS 1000

struct train_settings {
	size_t hidden, batch;
	int epochs;
	float rate, momentum;
	uint64_t seed;
};

struct epoch_result {
	double loss;	 /* mean over the training pictures, while they were learnt */
	double accuracy; /* share of the test pictures that are told right */
};

struct train_result {
	struct epoch_result epochs[TRAIN_MAX_EPOCHS];
	int nepochs;
	uint64_t hash, steps;
	double seconds;
};

/*
 * How a trainer works with others. @sum: replaces @count numbers, which are in the memory given as @sums to
 * trainer_run(), by their sums over all ranks; negative errno. @progress, @epoch: for show; may
 * be NULL.
 */
struct train_hooks {
	void *arg;
	int (*sum)(void *arg, int64_t *sums, size_t count);
	void (*progress)(void *arg, int epoch, size_t step, size_t steps);
	void (*epoch)(void *arg, int epoch, const struct epoch_result *r);
};

/* Numbers that trainer_run() wants room for in its @sums. */
size_t trainer_sums(const struct train_settings *s);

/*
 * Trains on @data, a shard that @hooks->sum makes whole. @sums is the gradients' memory. Negative
 * errno: -ENOMEM or @hooks->sum's.
 */
int trainer_run(const struct train_settings *s, const struct digits *data, int64_t *sums,
		const struct train_hooks *hooks, struct train_result *ret);

#endif
