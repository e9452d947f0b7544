// SPDX-License-Identifier: BSD-3-Clause
#include "trainer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mlp.h"
#include "monotime.h"
#include "random.h"

/* @where: for each training picture of all ranks, its place in our shard, or SIZE_MAX. */
struct trainer {
	const struct train_settings *settings;
	const struct digits *data;
	const struct train_hooks *hooks;
	int64_t *sums;
	struct mlp mlp;
	size_t *order, *where;
	uint64_t shuffle_state;
};

size_t trainer_sums(const struct train_settings *s)
{
	/* Parameters, and the loss; see mlp.c for the layout. */
	return s->hidden * DIGITS_PIXELS + s->hidden + DIGITS_CLASSES * s->hidden + DIGITS_CLASSES +
	       1;
}

static int trainer_sum(struct trainer *t, size_t count)
{
	return t->hooks->sum ? t->hooks->sum(t->hooks->arg, t->sums, count) : 0;
}

/* The pictures of the batch that are in our shard; the others are added by the other ranks. */
static int trainer_batch(struct trainer *t, size_t first, size_t n, double *loss)
{
	size_t count = t->mlp.nparams + 1;
	size_t place;
	int err;

	memset(t->sums, 0, count * sizeof(*t->sums));
	for (size_t i = first; i < first + n; i++) {
		place = t->where[t->order[i]];
		if (place != SIZE_MAX)
			mlp_gradient_add(&t->mlp, &t->data->train[place], t->sums);
	}
	err = trainer_sum(t, count);
	if (err)
		return err;
	mlp_update(&t->mlp, t->sums, n, t->settings->rate, t->settings->momentum);
	*loss += mlp_fixed_to_double(t->sums[t->mlp.nparams]);
	return 0;
}

static int trainer_test(struct trainer *t, double *ret_accuracy)
{
	int64_t right = 0;
	int err;

	for (size_t i = 0; i < t->data->ntest; i++)
		right += mlp_classify(&t->mlp, &t->data->test[i]) == t->data->test[i].label;
	t->sums[0] = right;
	err = trainer_sum(t, 1);
	if (!err)
		*ret_accuracy = (double)t->sums[0] / (double)t->data->test_total;
	return err;
}

static int trainer_epoch(struct trainer *t, int epoch, struct epoch_result *ret)
{
	size_t total = t->data->train_total, batch = t->settings->batch;
	size_t steps = (total + batch - 1) / batch;
	double loss = 0;
	size_t first;
	int err;

	/* The same order on every rank: it follows from the seed alone. */
	random_shuffle(&t->shuffle_state, t->order, total);
	for (size_t step = 0; step < steps; step++) {
		if (t->hooks->progress)
			t->hooks->progress(t->hooks->arg, epoch, step, steps);
		first = step * batch;
		err = trainer_batch(t, first, total - first < batch ? total - first : batch, &loss);
		if (err)
			return err;
	}
	ret->loss = loss / (double)total;
	return trainer_test(t, &ret->accuracy);
}

static int trainer_init(struct trainer *t)
{
	size_t total = t->data->train_total;
	int err;

	err = mlp_init(&t->mlp, t->settings->hidden, t->settings->seed);
	if (err)
		return err;
	t->order = calloc(total, sizeof(*t->order));
	t->where = malloc(total * sizeof(*t->where));
	if (!t->order || !t->where)
		return -ENOMEM;
	for (size_t i = 0; i < total; i++)
		t->where[i] = SIZE_MAX;
	for (size_t i = 0; i < t->data->ntrain; i++)
		t->where[t->data->train[i].index] = i;
	t->shuffle_state = ~t->settings->seed;
	return 0;
}

int trainer_run(const struct train_settings *s, const struct digits *data, int64_t *sums,
		const struct train_hooks *hooks, struct train_result *ret)
{
	struct trainer t = { .settings = s, .data = data, .hooks = hooks, .sums = sums };
	int64_t start = monotime_ns();
	int err;

	memset(ret, 0, sizeof(*ret));
	err = trainer_init(&t);
	for (int epoch = 0; epoch < s->epochs && !err; epoch++) {
		err = trainer_epoch(&t, epoch, &ret->epochs[epoch]);
		if (err)
			break;
		ret->nepochs++;
		ret->steps += (data->train_total + s->batch - 1) / s->batch;
		if (hooks->epoch)
			hooks->epoch(hooks->arg, epoch, &ret->epochs[epoch]);
	}
	if (!err)
		ret->hash = mlp_hash(&t.mlp);
	ret->seconds = (double)(monotime_ns() - start) / 1e9;
	free(t.order);
	free(t.where);
	mlp_free(&t.mlp);
	return err;
}
