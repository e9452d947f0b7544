// SPDX-License-Identifier: BSD-3-Clause
/*
 * NCCL's net and tuner tables, as include/nccl declares them, lie in memory as NCCL's own do: offset, size
 * and type of every member. Checked by the compiler; a mistake does not build. The program itself
 * only makes sure that rows were checked at all.
 */
#include <stddef.h>
#include <stdio.h>

#include "nccl/net_v6.h"
#include "nccl/net_v7.h"
#include "nccl/net_v8.h"
#include "nccl/net_v9.h"
#include "nccl/net_v10.h"
#include "nccl/net_v11.h"
#include "nccl/net_v12.h"
#include "nccl/tuner_v2.h"
#include "nccl/tuner_v3.h"
#include "nccl/tuner_v4.h"
#include "nccl/tuner_v5.h"
#include "nccl/tuner_v6.h"

/* The type comes last and variadic, because a function type has commas of its own. */
#define ABI_MEMBER(s, member, offset, size, ...)                                                \
	_Static_assert(offsetof(s, member) == (offset), #s "." #member ": offset");             \
	_Static_assert(sizeof(((s *)0)->member) == (size), #s "." #member ": size");            \
	_Static_assert(__builtin_types_compatible_p(__typeof__(((s *)0)->member), __VA_ARGS__), \
		       #s "." #member ": type");
#define ABI_TOTAL(s, size) _Static_assert(sizeof(s) == (size), #s ": total size");

#include "abi_asserts_net.h"
enum { NET_ROWS = ABI_ROWS };
#undef ABI_ROWS

#include "abi_asserts_tuner.h"
enum { TUNER_ROWS = ABI_ROWS };

int main(void)
{
	printf("%d and %d rows of the layout tables hold\n", NET_ROWS, TUNER_ROWS);
	/* 7 tables, each with at least 15 calls; 5 tables, each with 3. */
	return NET_ROWS >= 7 * 15 && TUNER_ROWS >= 5 * 4 ? 0 : 1;
}
