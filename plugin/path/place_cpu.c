// SPDX-License-Identifier: BSD-3-Clause
/*
 * Placing by the CPU: readable bytes are received where they belong, and pieces of the pool are copied there at once, so nothing
 * is ever pending and nothing stays lent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "path/place.h"

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

static int place_cpu_put(struct place *pl, struct place_req *req, const struct mr *mr, uint8_t *p,
			 struct data_sock *ds, struct arrival *a)
{
	(void)req;
	(void)mr;
	(void)p;
	/* Readable bytes alone are where they belong already: window() had them received there. */
	if (a->linear != a->total)
		gather_cpu(a->host, a->total, a->linear, pl->pool->block.cpu, a->pieces, a->n);
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
	free(pl);
}

static const struct place_ops place_cpu_ops = {
	.name = "cpu",
	.post = place_cpu_post,
	.window = place_cpu_window,
	.put = place_cpu_put,
	.put_host = place_cpu_put_host,
	.consumed = place_cpu_consumed,
	.destroy = place_cpu_destroy,
};

int place_cpu_create(struct pool *pool, struct place **ret)
{
	struct place *pl = calloc(1, sizeof(*pl));

	if (!pl)
		return -ENOMEM;
	pl->ops = &place_cpu_ops;
	pl->pool = pool;
	*ret = pl;
	return 0;
}
