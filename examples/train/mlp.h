/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A classifier: 64 pixels, one hidden layer of rectified units, softmax over 10 digits, trained by
 * gradient descent with momentum.
 *
 * Why N processes end with the very bits that one process computes
 * ----------------------------------------------------------------
 * Floating-point addition is not associative: a sum over samples depends on how they are split
 * among ranks and on the ring's order. So gradients are never added in floating point. The gradient
 * of *one sample* depends on the weights and the sample alone; each of its components is rounded
 * to a multiple of 2^-30 and added as a 64-bit integer. Integer sums have no order: over any split and
 * any ring the total is the same, and so is everything computed from it, on every rank. (Between
 * hosts the C library's expf() and logf() must be the same, too.)
 *
 * A component is cut at +-2^16, so that the sum of a batch of 2^17 samples cannot overflow.
 */
#ifndef TRAIN_MLP_H
#define TRAIN_MLP_H

#include <stddef.h>
#include <stdint.h>

#include "digits.h"

#define MLP_MAX_HIDDEN 1024

/* @weights and @velocity: hidden layer's weights and biases, then the output layer's. */
struct mlp {
	size_t hidden, nparams;
	float *weights, *velocity;
	float *activation, *backward; /* of the hidden layer, for the sample in work */
};

/* Weights depend on @hidden and @seed alone. -ENOMEM. */
int mlp_init(struct mlp *m, size_t hidden, uint64_t seed);

void mlp_free(struct mlp *m);

/*
 * Adds the sample's gradient, in fixed point, to @sums[0..nparams), and its loss to
 * @sums[nparams].
 */
void mlp_gradient_add(struct mlp *m, const struct digit *d, int64_t *sums);

/* One step of @rate against the mean of @sums over @samples. */
void mlp_update(struct mlp *m, const int64_t *sums, size_t samples, float rate, float momentum);

/* The most likely digit. */
int mlp_classify(struct mlp *m, const struct digit *d);

/* FNV-1a over the bits of all weights. */
uint64_t mlp_hash(const struct mlp *m);

/* A sum of mlp_gradient_add() as a number. */
double mlp_fixed_to_double(int64_t sum);

#endif
