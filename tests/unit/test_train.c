// SPDX-License-Identifier: BSD-3-Clause
/*
 * unit-libs: train_core
 *
 * The training job's parts: the gradient is the loss' derivative, sums do not depend on how the
 * data is split, shards are a partition, and files that are not the data are refused.
 */
#include "unit.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "digits.h"
#include "mlp.h"
#include "random.h"
#include "trainer.h"

#define HIDDEN	 12
#define PICTURES 103

static char data_path[] = "/tmp/test_train.XXXXXX";

/* A small data set, as a plain CSV file: noise, and some pixels that tell the digit. */
static int make_data(void **state)
{
	uint64_t seed = 7;
	FILE *f;
	int fd;

	(void)state;
	fd = mkstemp(data_path);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f)
		return -1;
	for (int i = 0; i < PICTURES; i++) {
		/* Not in step with the pictures kept for testing, each fifth. */
		int label = (i + i / 10) % DIGITS_CLASSES;

		for (int p = 0; p < DIGITS_PIXELS; p++)
			fprintf(f, "%d,",
				(int)(random_next(&seed) % 9) +
					(p % DIGITS_CLASSES == label ? 8 : 0));
		fprintf(f, "%d\n", label);
	}
	return fclose(f);
}

static int remove_data(void **state)
{
	(void)state;
	return unlink(data_path);
}

static double loss_of(struct mlp *m, const struct digit *d, int64_t *sums)
{
	memset(sums, 0, (m->nparams + 1) * sizeof(*sums));
	mlp_gradient_add(m, d, sums);
	return mlp_fixed_to_double(sums[m->nparams]);
}

/*
 * Central differences, for every parameter of a small network. Where a hidden unit's sign changes
 * within the step the loss has a bend, so a few parameters may disagree.
 */
static void test_gradient(void **state)
{
	const float h = 1.0f / 256;
	struct digits data;
	int64_t *sums, *other;
	double slope, gradient, scale = 0;
	struct mlp m;
	size_t off = 0;

	(void)state;
	assert_ok(digits_load(data_path, 0, 1, &data));
	assert_ok(mlp_init(&m, HIDDEN, 3));
	sums = calloc(m.nparams + 1, sizeof(*sums));
	other = calloc(m.nparams + 1, sizeof(*other));
	for (size_t s = 0; s < 5; s++) {
		loss_of(&m, &data.train[s], sums);
		for (size_t i = 0; i < m.nparams; i++) {
			float w = m.weights[i];

			m.weights[i] = w + h;
			slope = loss_of(&m, &data.train[s], other);
			m.weights[i] = w - h;
			slope = (slope - loss_of(&m, &data.train[s], other)) / (2 * (double)h);
			m.weights[i] = w;
			gradient = mlp_fixed_to_double(sums[i]);
			scale = fmax(scale, fabs(gradient));
			off += fabs(slope - gradient) > 2e-3 + 2e-2 * fabs(gradient);
		}
	}
	/* There is something to compare, and it agrees. */
	assert_true(scale > 0.1);
	assert_true(off <= 5 * m.nparams / 100);
	free(sums);
	free(other);
	mlp_free(&m);
	digits_free(&data);
}

static void test_sums_do_not_depend_on_the_split(void **state)
{
	int64_t *whole, *parts;
	struct digits data;
	struct mlp m;

	(void)state;
	assert_ok(mlp_init(&m, HIDDEN, 3));
	whole = calloc(m.nparams + 1, sizeof(*whole));
	assert_ok(digits_load(data_path, 0, 1, &data));
	for (size_t i = 0; i < data.ntrain; i++)
		mlp_gradient_add(&m, &data.train[i], whole);
	digits_free(&data);
	for (int n = 2; n <= 7; n++) {
		parts = calloc(m.nparams + 1, sizeof(*parts));
		for (int r = n - 1; r >= 0; r--) {
			assert_ok(digits_load(data_path, r, n, &data));
			for (size_t i = data.ntrain; i-- > 0;)
				mlp_gradient_add(&m, &data.train[i], parts);
			digits_free(&data);
		}
		assert_memory_equal(whole, parts, (m.nparams + 1) * sizeof(*whole));
		free(parts);
	}
	free(whole);
	mlp_free(&m);
}

static void test_shards_are_a_partition(void **state)
{
	char seen[PICTURES];
	struct digits data;
	size_t train, test;

	(void)state;
	for (int n = 1; n <= 5; n++) {
		memset(seen, 0, sizeof(seen));
		train = test = 0;
		for (int r = 0; r < n; r++) {
			assert_ok(digits_load(data_path, r, n, &data));
			assert_int_equal(data.train_total + data.test_total, PICTURES);
			assert_int_equal(data.test_total, 21);
			for (size_t i = 0; i < data.ntrain; i++) {
				assert_int_equal(seen[data.train[i].index], 0);
				seen[data.train[i].index] = 1;
			}
			train += data.ntrain;
			test += data.ntest;
			digits_free(&data);
		}
		assert_int_equal(train, PICTURES - 21);
		assert_int_equal(test, 21);
	}
}

static void test_training(void **state)
{
	const struct train_settings s = { .hidden = HIDDEN,
					  .batch = 16,
					  .epochs = 40,
					  .rate = 0.1f,
					  .momentum = 0.9f,
					  .seed = 1 };
	static struct train_result a, b;
	const struct train_hooks hooks = { 0 };
	struct train_settings other = s;
	struct digits data;
	int64_t *sums;

	(void)state;
	assert_ok(digits_load(data_path, 0, 1, &data));
	sums = calloc(trainer_sums(&s), sizeof(*sums));
	assert_ok(trainer_run(&s, &data, sums, &hooks, &a));
	assert_ok(trainer_run(&s, &data, sums, &hooks, &b));
	/* Learns what can be learnt, and comes out the same twice. */
	assert_true(a.epochs[39].loss < a.epochs[0].loss / 2);
	assert_true(a.epochs[39].accuracy > 0.9);
	assert_true(a.epochs[39].accuracy > a.epochs[0].accuracy);
	assert_int_equal(a.hash, b.hash);
	assert_int_equal(a.steps, 40 * ((PICTURES - 21 + 15) / 16));
	/* Any other start gives other weights. */
	other.seed = 2;
	assert_ok(trainer_run(&other, &data, sums, &hooks, &b));
	assert_int_not_equal(a.hash, b.hash);
	free(sums);
	digits_free(&data);
}

static int sum_fails(void *arg, int64_t *sums, size_t count)
{
	int *calls = arg;

	(void)sums;
	(void)count;
	return ++*calls == 3 ? -ECONNRESET : 0;
}

static void test_failed_sum_ends_training(void **state)
{
	const struct train_settings s = { .hidden = HIDDEN, .batch = 16, .epochs = 2 };
	static struct train_result result;
	struct digits data;
	int64_t *sums;
	int calls = 0;

	(void)state;
	assert_ok(digits_load(data_path, 0, 1, &data));
	sums = calloc(trainer_sums(&s), sizeof(*sums));
	assert_int_equal(trainer_run(&s, &data, sums,
				     &(struct train_hooks){ .arg = &calls, .sum = sum_fails },
				     &result),
			 -ECONNRESET);
	assert_int_equal(calls, 3);
	free(sums);
	digits_free(&data);
}

static int load_text(const char *text)
{
	char path[] = "/tmp/test_train.XXXXXX";
	struct digits data = { 0 };
	int fd = mkstemp(path);
	int err;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	err = digits_load(path, 0, 1, &data);
	unlink(path);
	assert_null(data.train);
	return err;
}

static void test_bad_files(void **state)
{
	struct digits data;
	char line[512] = "";

	(void)state;
	assert_int_equal(digits_load("/nonexistent/digits.csv.gz", 0, 1, &data), -ENOENT);
	assert_int_equal(load_text(""), -EINVAL);
	assert_int_equal(load_text("hello\n"), -EINVAL);
	for (int i = 0; i < DIGITS_PIXELS; i++)
		memcpy(line + 2 * i, "1,", 3);
	assert_int_equal(load_text(line), -EINVAL);
	memcpy(line + strlen(line), "10\n", 4);
	assert_int_equal(load_text(line), -EINVAL);
	line[0] = '-';
	assert_int_equal(load_text(line), -EINVAL);
	/* A gzip file that was cut. */
	assert_int_equal(load_text("\x1f\x8b\x08"), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gradient),
		cmocka_unit_test(test_sums_do_not_depend_on_the_split),
		cmocka_unit_test(test_shards_are_a_partition),
		cmocka_unit_test(test_training),
		cmocka_unit_test(test_failed_sum_ends_training),
		cmocka_unit_test(test_bad_files),
	};

	return cmocka_run_group_tests(tests, make_data, remove_data);
}
