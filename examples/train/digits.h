/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The handwritten digits that come with scikit-learn (the test set of UCI's "Optical Recognition of
 * Handwritten Digits"): 1797 pictures of 8 by 8 pixels, 0 to 16, with the digit they show.
 * Debian: package python3-sklearn, DIGITS_DEFAULT_PATH.
 */
#ifndef TRAIN_DIGITS_H
#define TRAIN_DIGITS_H

#include <stdbool.h>
#include <stddef.h>

#define DIGITS_DEFAULT_PATH "/usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz"
#define DIGITS_PIXELS	    64
#define DIGITS_CLASSES	    10
#define DIGITS_TEST_EVERY   5 /* every fifth picture is kept for testing: 360 of 1797 */

struct digit {
	float pixels[DIGITS_PIXELS]; /* 0 to 1 */
	int label;
	size_t index; /* among all pictures of its half (training or test), on all ranks */
};

/* A shard: one rank's part of the training and of the test pictures. */
struct digits {
	struct digit *train, *test;
	size_t ntrain, ntest;		/* here */
	size_t train_total, test_total; /* on all ranks */
};

/*
 * Reads @path (gzip or plain CSV) and keeps what belongs to @shard of @nshards: pictures whose index
 * is @shard modulo @nshards. Reports, with the remedy; -ENOENT no such file, -EINVAL not this data.
 */
int digits_load(const char *path, int shard, int nshards, struct digits *ret);

/* Frees and clears. */
void digits_free(struct digits *d);

#endif
