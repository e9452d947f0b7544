// SPDX-License-Identifier: BSD-3-Clause
#include "mlp.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

#define FIXED_ONE     ((double)(1 << 30))
#define FIXED_LARGEST 65536.0

/* Where each layer's part of the parameters begins. */
static size_t hidden_bias(const struct mlp *m)
{
	return m->hidden * DIGITS_PIXELS;
}

static size_t output_weights(const struct mlp *m)
{
	return hidden_bias(m) + m->hidden;
}

static size_t output_bias(const struct mlp *m)
{
	return output_weights(m) + DIGITS_CLASSES * m->hidden;
}

int mlp_init(struct mlp *m, size_t hidden, uint64_t seed)
{
	/* He's initialisation, uniform: variance 2 / inputs. */
	const float first = sqrtf(6.0f / DIGITS_PIXELS);
	const float second = sqrtf(6.0f / (float)hidden);

	memset(m, 0, sizeof(*m));
	m->hidden = hidden;
	m->nparams = output_bias(m) + DIGITS_CLASSES;
	m->weights = calloc(m->nparams, sizeof(float));
	m->velocity = calloc(m->nparams, sizeof(float));
	m->activation = calloc(hidden, sizeof(float));
	m->backward = calloc(hidden, sizeof(float));
	if (!m->weights || !m->velocity || !m->activation || !m->backward) {
		mlp_free(m);
		return -ENOMEM;
	}
	for (size_t i = 0; i < hidden_bias(m); i++)
		m->weights[i] = first * random_signed(&seed);
	for (size_t i = output_weights(m); i < output_bias(m); i++)
		m->weights[i] = second * random_signed(&seed);
	return 0;
}

void mlp_free(struct mlp *m)
{
	free(m->weights);
	free(m->velocity);
	free(m->activation);
	free(m->backward);
	memset(m, 0, sizeof(*m));
}

/* Fills ->activation and @scores. */
static void mlp_forward(struct mlp *m, const struct digit *d, float scores[DIGITS_CLASSES])
{
	const float *w = m->weights, *b = m->weights + hidden_bias(m);
	float sum;

	for (size_t h = 0; h < m->hidden; h++, w += DIGITS_PIXELS) {
		sum = b[h];
		for (size_t p = 0; p < DIGITS_PIXELS; p++)
			sum += w[p] * d->pixels[p];
		m->activation[h] = sum > 0 ? sum : 0;
	}
	w = m->weights + output_weights(m);
	b = m->weights + output_bias(m);
	for (size_t c = 0; c < DIGITS_CLASSES; c++, w += m->hidden) {
		sum = b[c];
		for (size_t h = 0; h < m->hidden; h++)
			sum += w[h] * m->activation[h];
		scores[c] = sum;
	}
}

/* In place; returns the loss, -log of the probability of @label. */
static float softmax(float scores[DIGITS_CLASSES], int label)
{
	float most = scores[0], sum = 0, own;

	for (int c = 1; c < DIGITS_CLASSES; c++)
		most = scores[c] > most ? scores[c] : most;
	own = scores[label] - most;
	for (int c = 0; c < DIGITS_CLASSES; c++) {
		scores[c] = expf(scores[c] - most);
		sum += scores[c];
	}
	for (int c = 0; c < DIGITS_CLASSES; c++)
		scores[c] /= sum;
	return logf(sum) - own;
}

/* Also takes what is no number to a defined value: 0. */
static int64_t to_fixed(float v)
{
	if (v > -FIXED_LARGEST && v < FIXED_LARGEST)
		return llrint((double)v * FIXED_ONE);
	return v > 0   ? (int64_t)(FIXED_LARGEST * FIXED_ONE)
	       : v < 0 ? -(int64_t)(FIXED_LARGEST * FIXED_ONE)
		       : 0;
}

double mlp_fixed_to_double(int64_t sum)
{
	return (double)sum / FIXED_ONE;
}

void mlp_gradient_add(struct mlp *m, const struct digit *d, int64_t *sums)
{
	float delta[DIGITS_CLASSES];
	const float *w;
	int64_t *g;

	mlp_forward(m, d, delta);
	sums[m->nparams] += to_fixed(softmax(delta, d->label));
	/* Derivative of the loss by the scores: probability, less 1 for the right digit. */
	delta[d->label] -= 1;

	memset(m->backward, 0, m->hidden * sizeof(float));
	w = m->weights + output_weights(m);
	g = sums + output_weights(m);
	for (size_t c = 0; c < DIGITS_CLASSES; c++, w += m->hidden, g += m->hidden) {
		sums[output_bias(m) + c] += to_fixed(delta[c]);
		for (size_t h = 0; h < m->hidden; h++) {
			g[h] += to_fixed(delta[c] * m->activation[h]);
			m->backward[h] += delta[c] * w[h];
		}
	}
	g = sums;
	for (size_t h = 0; h < m->hidden; h++, g += DIGITS_PIXELS) {
		if (m->activation[h] <= 0)
			continue;
		sums[hidden_bias(m) + h] += to_fixed(m->backward[h]);
		for (size_t p = 0; p < DIGITS_PIXELS; p++)
			g[p] += to_fixed(m->backward[h] * d->pixels[p]);
	}
}

void mlp_update(struct mlp *m, const int64_t *sums, size_t samples, float rate, float momentum)
{
	float gradient;

	for (size_t i = 0; i < m->nparams; i++) {
		gradient = (float)(mlp_fixed_to_double(sums[i]) / (double)samples);
		m->velocity[i] = momentum * m->velocity[i] + gradient;
		m->weights[i] -= rate * m->velocity[i];
	}
}

int mlp_classify(struct mlp *m, const struct digit *d)
{
	float scores[DIGITS_CLASSES];
	int best = 0;

	mlp_forward(m, d, scores);
	for (int c = 1; c < DIGITS_CLASSES; c++)
		if (scores[c] > scores[best])
			best = c;
	return best;
}

uint64_t mlp_hash(const struct mlp *m)
{
	const uint8_t *p = (const uint8_t *)m->weights;
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < m->nparams * sizeof(float); i++)
		hash = (hash ^ p[i]) * 0x100000001b3ULL;
	return hash;
}
