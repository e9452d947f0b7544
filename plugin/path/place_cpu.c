// SPDX-License-Identifier: BSD-3-Clause
/*
 * Placing by the CPU: readable bytes are received where they belong, and pieces of the pool are copied there at once, so nothing
 * is ever pending and nothing stays lent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "path/place.h"

/* Most bytes that one call brings for several receives. */
#define SPAN_BYTES (2U << 20)

/* @scratch: SPAN_BYTES for the readable bytes of such a call. They are rare: pages that are never written take no memory. */
struct place_cpu {
	struct place base;
	uint8_t *scratch;
};

static struct place_cpu *to_cpu(struct place *pl)
{
	return (struct place_cpu *)pl;
}

static int place_cpu_post(struct place *pl, struct place_req *req)
{
	(void)pl;
	(void)req;
	return 0;
}

static int place_cpu_window(struct place *pl, struct place_req *req, const struct mr *mr,
			    uint8_t *p, size_t *len, uint8_t **ret_host)
{
	(void)pl;
	(void)req;
	(void)len;
	*ret_host = mr_cpu(mr, p);
	return 0;
}

static void place_cpu_span(struct place *pl, size_t *len, uint8_t **ret_host)
{
	if (*len > SPAN_BYTES)
		*len = SPAN_BYTES;
	*ret_host = to_cpu(pl)->scratch;
}

static int place_cpu_put(struct place *pl, struct place_req *req, const struct mr *mr, uint8_t *p,
			 struct data_sock *ds, struct arrival *a)
{
	uint8_t *dst = mr_cpu(mr, p);

	(void)req;
	/* Where window() had them received, readable bytes lie packed at @dst already, which is where gather_cpu() wants them. */
	if (a->linear && a->host != dst)
		memcpy(dst, a->host, a->linear);
	if (a->linear != a->total)
		gather_cpu(dst, a->total, a->linear, pl->pool->block.cpu, a->pieces, a->n);
	return arrival_return(ds, a);
}

static int place_cpu_put_host(struct place *pl, struct place_req *req, const struct mr *mr,
			      uint8_t *p, const uint8_t *src, size_t len)
{
	(void)pl;
	(void)req;
	memcpy(mr_cpu(mr, p), src, len);
	return 0;
}

static int place_cpu_consumed(struct place *pl, struct place_req *req)
{
	(void)pl;
	(void)req;
	return 0;
}

static void place_cpu_destroy(struct place *pl)
{
	free(to_cpu(pl)->scratch);
	free(to_cpu(pl));
}

static const struct place_ops place_cpu_ops = {
	.name = "cpu",
	.post = place_cpu_post,
	.window = place_cpu_window,
	.span = place_cpu_span,
	.put = place_cpu_put,
	.put_host = place_cpu_put_host,
	.consumed = place_cpu_consumed,
	.destroy = place_cpu_destroy,
};

int place_cpu_create(struct pool *pool, struct place **ret)
{
	struct place_cpu *pc = calloc(1, sizeof(*pc));

	if (!pc)
		return -ENOMEM;
	pc->scratch = malloc(SPAN_BYTES);
	if (!pc->scratch) {
		free(pc);
		return -ENOMEM;
	}
	pc->base.ops = &place_cpu_ops;
	pc->base.pool = pool;
	*ret = &pc->base;
	return 0;
}
