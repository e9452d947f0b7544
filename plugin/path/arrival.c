// SPDX-License-Identifier: BSD-3-Clause
/*
 * What arrivals lie in, and how it goes back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "path/place.h"

/* @range to @ds' ledger, which is emptied into the kernel first where it has no room. */
static int ledger_enter(struct data_sock *ds, const struct token_range *range)
{
	int r;

	if (token_ledger_add_range(ds->ledger, range->start, range->count) == 0)
		return 0;
	r = token_ledger_release(ds->ledger, ds->fd);
	/* Where the kernel takes none back, the socket's end does. */
	return token_ledger_add_range(ds->ledger, range->start, range->count) ? -ENOSPC : r;
}

int arrival_return(struct data_sock *ds, struct arrival *a)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < a->n_tokens; i++) {
		int r = ledger_enter(ds, &a->tokens[i]);

		if (r < 0 && err == 0)
			err = r;
	}
	a->n_tokens = 0;
	if (a->block)
		stage_give(a->block);
	a->block = NULL;
	return err;
}

/* Up to @len bytes of the piece at @cut. */
static void cut_piece(const struct arrival *a, struct arrival_cut *cut, size_t len,
		      struct arrival *part)
{
	struct gather_piece piece = a->pieces[cut->at];

	piece.len -= cut->offset;
	if (!piece.linear)
		piece.offset += cut->offset;
	if (piece.len > len) {
		piece.len = (uint32_t)len;
		cut->offset += piece.len;
	} else {
		cut->offset = 0;
		cut->at++;
	}
	part->pieces[part->n++] = piece;
	part->total += piece.len;
	part->linear += piece.linear ? piece.len : 0;
}

void arrival_cut(struct arrival *a, struct arrival_cut *cut, size_t len, struct arrival *part)
{
	if (len > a->total - cut->done)
		len = a->total - cut->done;
	arrival_clear(part);
	part->host = a->host + cut->linear;
	while (part->total < len)
		cut_piece(a, cut, len - part->total, part);
	cut->done += part->total;
	cut->linear += part->linear;
	if (cut->done < a->total)
		return;
	part->n_tokens = a->n_tokens;
	memcpy(part->tokens, a->tokens, a->n_tokens * sizeof(a->tokens[0]));
	part->block = a->block;
	a->n_tokens = 0;
	a->block = NULL;
}

static int loan_list_grow(struct loan_list *l, unsigned int more)
{
	unsigned int room = l->room ? l->room : 16;
	struct loan *loans;

	while (room - l->n < more)
		room *= 2;
	if (l->loans && room == l->room)
		return 0;
	loans = realloc(l->loans, room * sizeof(*loans));
	if (!loans)
		return -ENOMEM;
	l->loans = loans;
	l->room = room;
	return 0;
}

/* Do @range's tokens go on from @loan's? */
static bool loan_continues(const struct loan *loan, const struct data_sock *ds,
			   const struct token_range *range)
{
	return loan->ds == ds && (uint64_t)loan->tokens.start + loan->tokens.count == range->start;
}

/* Joins the last loan where the tokens go on from it: a long message then has few. */
static void loan_list_enter(struct loan_list *l, struct data_sock *ds,
			    const struct token_range *range)
{
	ds->lent += range->count;
	if (l->n && loan_continues(&l->loans[l->n - 1], ds, range))
		l->loans[l->n - 1].tokens.count += range->count;
	else
		l->loans[l->n++] = (struct loan){ .ds = ds, .tokens = *range };
}

int loan_list_add(struct loan_list *l, struct data_sock *ds, const struct arrival *a)
{
	unsigned int i;

	if (loan_list_grow(l, a->n_tokens + 1) < 0)
		return -ENOMEM;
	for (i = 0; i < a->n_tokens; i++)
		loan_list_enter(l, ds, &a->tokens[i]);
	if (a->block)
		l->loans[l->n++] = (struct loan){ .block = a->block };
	return 0;
}

int loan_list_add_block(struct loan_list *l, struct stage_block *block)
{
	if (loan_list_grow(l, 1) < 0)
		return -ENOMEM;
	l->loans[l->n++] = (struct loan){ .block = block };
	return 0;
}

int loan_list_return(struct loan_list *l)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < l->n; i++) {
		struct loan *loan = &l->loans[i];
		int r = 0;

		if (loan->block) {
			stage_give(loan->block);
		} else {
			loan->ds->lent -= loan->tokens.count;
			r = ledger_enter(loan->ds, &loan->tokens);
		}
		if (r < 0 && err == 0)
			err = r;
	}
	l->n = 0;
	return err;
}

void loan_list_free(struct loan_list *l)
{
	free(l->loans);
	*l = (struct loan_list){ 0 };
}
