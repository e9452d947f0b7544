/* SPDX-License-Identifier: BSD-3-Clause */
/* What test_gpu.c and test_gpu_faults.c share: a case is a process, because the driver reads its environment once. */
#ifndef GPU_CASE_H
#define GPU_CASE_H

#include <unistd.h>

#include "standin_app.h"
#include "base/param.h"
#include "mem/gpu.h"

#define MIB (1UL << 20)

static struct verdict why;

static struct gpu *current(void)
{
	struct gpu *gpu = NULL;

	assert_ok(gpu_current(&gpu, &why));
	return gpu;
}

static struct gpu_queue *queue_of(struct gpu *gpu)
{
	struct gpu_queue *q = NULL;

	assert_ok(gpu_queue_create(gpu, &q, &why));
	return q;
}

static void wait_ticket(struct gpu_queue *q, uint64_t ticket)
{
	uint64_t done = 0;
	int i;

	for (i = 0; i < 600000 && done < ticket; i++) {
		assert_ok(gpu_queue_done(q, &done));
		usleep(100);
	}
	assert_true(done >= ticket);
}

static uint8_t *filled(size_t size)
{
	uint8_t *p = malloc(size);
	size_t i;

	for (i = 0; i < size; i++)
		p[i] = (uint8_t)(i * 2654435761U >> 9);
	return p;
}

/* Pieces from all over a source to a row, by calls of many sizes; returns the marks that were needed. */
static void gather_and_compare(struct gpu *gpu, struct gpu_queue *q)
{
	size_t at = 3, size = 4 * MIB;
	uint8_t *data = filled(size), *want = calloc(1, size), *is = malloc(size);
	struct gpu_move moves[64];
	uint64_t src, dst, ticket;
	unsigned int i, k, n;

	assert_ok(gpu_alloc(gpu, size, &src, &why));
	assert_ok(gpu_alloc(gpu, size, &dst, &why));
	assert_ok(gpu_copy_sync(gpu, src, (uintptr_t)data, size));
	assert_ok(gpu_copy_sync(gpu, dst, (uintptr_t)want, size));
	for (i = 0; i < 100; i++) {
		n = 1 + i % 64;
		for (k = 0; k < n; k++) {
			size_t len = 1 + (i * 131 + k * 977) % 1448;
			size_t from = (i * 70001UL + k * 9001UL) % (size - 2048);

			moves[k] =
				(struct gpu_move){ .src = src + from, .dst = dst + at, .len = len };
			memcpy(want + at, data + from, len);
			at += len;
		}
		for (k = 0; k < 1000000 && gpu_queue_move(q, moves, n) == -EAGAIN; k++)
			usleep(50);
		assert_true(k < 1000000);
		if (i % 10 == 9)
			assert_true(gpu_queue_mark(q, &ticket) == 0 || ticket > 0);
	}
	assert_true(at < size);
	while (gpu_queue_mark(q, &ticket) == -EAGAIN)
		;
	wait_ticket(q, ticket);
	assert_ok(gpu_copy_sync(gpu, (uintptr_t)is, dst, size));
	assert_memory_equal(is, want, size);
	free(data);
	free(want);
	free(is);
}

struct gpu_case {
	const char *name;
	void (*run)(void);
};

#define CASE(name)                 \
	{                          \
#name, case_##name \
	}

static const struct gpu_case *chosen;

static void run_case(void **state)
{
	(void)state;
	unit_log_clear();
	param_load();
	chosen->run();
}

/* main()'s: runs the case that is named. @needs_none: the one that does without the stand-in. */
static int gpu_case_main(int argc, char **argv, const struct gpu_case *cases, size_t n,
			 const char *needs_none)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(run_case) };
	size_t i;

	for (i = 0; argc > 1 && i < n; i++)
		if (!strcmp(argv[1], cases[i].name))
			chosen = &cases[i];
	if (!chosen) {
		fprintf(stderr, "usage: %s CASE\n", argv[0]);
		return 1;
	}
	if (strcmp(argv[1], needs_none) && !app_has_standin())
		return UNIT_SKIP;
	return cmocka_run_group_tests_name(argv[1], tests, NULL, NULL);
}

#endif
