// SPDX-License-Identifier: BSD-3-Clause
#include "traffic.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

/* NCCL's buffers for the Simple protocol: 4 MiB in NCCL_STEPS (8) slots. */
#define RING_SLOT ((size_t)512 << 10)

static uint64_t word_at(size_t i, unsigned int number)
{
	/* Knuth's multiplier: neighbouring words differ in most bytes. */
	return ((uint64_t)number + 1) * 6364136223846793005u + i * 1442695040888963407u;
}

struct traffic_shape traffic_shape_of(const struct compare_cell *cell, unsigned int nslots)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t size = cell->kind == CELL_RING ? RING_SLOT : cell->size;

	return (struct traffic_shape){
		.nslots = nslots,
		.slot_size = (size + page - 1) / page * page,
	};
}

void traffic_fill(void *slot, size_t size, unsigned int number)
{
	uint64_t word;

	for (size_t at = 0; at < size; at += sizeof(word)) {
		word = word_at(at / sizeof(word), number);
		memcpy((uint8_t *)slot + at, &word,
		       size - at < sizeof(word) ? size - at : sizeof(word));
	}
}

int traffic_check(const void *slot, size_t size, unsigned int number)
{
	uint64_t word;

	for (size_t at = 0; at < size; at += sizeof(word)) {
		word = word_at(at / sizeof(word), number);
		if (!memcmp((const uint8_t *)slot + at, &word,
			    size - at < sizeof(word) ? size - at : sizeof(word)))
			continue;
		report_err("byte %zu of a message of %zu bytes is not what was sent", at, size);
		return -EBADMSG;
	}
	return 0;
}
