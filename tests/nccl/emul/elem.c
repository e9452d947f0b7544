// SPDX-License-Identifier: BSD-3-Clause
#include <math.h>
#include <string.h>

#include "elem.h"
#include "wait.h"

/* Elements anywhere in memory. */
typedef uint8_t u8;
typedef uint32_t u32 __attribute__((aligned(1), may_alias));
typedef uint64_t u64 __attribute__((aligned(1), may_alias));
typedef uint16_t u16 __attribute__((aligned(1), may_alias));
typedef float f32 __attribute__((aligned(1), may_alias));
typedef double f64 __attribute__((aligned(1), may_alias));

size_t elem_size(enum elem_type type)
{
	static const uint8_t sizes[ELEM_TYPES] = { 1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1 };

	if ((unsigned int)type >= ELEM_TYPES)
		emul_die("data type %d is not known", (int)type);
	return sizes[type];
}

static float bits_float(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static uint32_t float_bits(float f)
{
	uint32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

float elem_from_bf16(uint16_t bf16)
{
	return bits_float((uint32_t)bf16 << 16);
}

uint16_t elem_to_bf16(float f)
{
	uint32_t bits = float_bits(f);

	if (isnan(f))
		return 0x7fff;
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float elem_from_half(uint16_t half)
{
	uint32_t sign = (uint32_t)(half & 0x8000) << 16;
	uint32_t exp = half >> 10 & 0x1f;
	uint32_t frac = half & 0x3ff;

	if (exp == 0x1f)
		return bits_float(sign | 0x7f800000 | frac << 13);
	if (!exp)
		return (sign ? -1.0f : 1.0f) * (float)frac * 0x1p-24f;
	return bits_float(sign | (exp + 112) << 23 | frac << 13);
}

uint16_t elem_to_half(float f)
{
	uint16_t sign = (uint16_t)(float_bits(f) >> 16 & 0x8000);
	float a = fabsf(f);
	uint32_t bits = float_bits(a);

	if (isnan(f))
		return 0x7fff;
	if (a >= 65520.0f) /* half way from the largest to what would be the next */
		return sign | 0x7c00;
	if (a < 0x1p-14f) /* subnormal: the float addition rounds to a multiple of 2^-24 */
		return sign | (uint16_t)(float_bits(a + 0.5f) - float_bits(0.5f));
	bits += 0xfff + (bits >> 13 & 1);
	return sign | (uint16_t)((bits - (112u << 23)) >> 13);
}

uint64_t elem_arg_load(const struct elem_op *op, const void *ptr)
{
	uint64_t arg = 0;

	memcpy(&arg, ptr, op->kind == ELEM_SUM_POST_DIV ? sizeof(arg) : elem_size(op->type));
	return arg;
}

static void __attribute__((noreturn)) no_arithmetic(const struct elem_op *op)
{
	static const char *const ops[] = { "sum", "prod", "min/max", "premulsum", "avg" };

	emul_die("%s of %s is not emulated",
		 (unsigned int)op->kind < ELEM_OPS ? ops[op->kind] : "an unknown operator",
		 op->type == ELEM_FLOAT8_E4M3	? "fp8 (e4m3)"
		 : op->type == ELEM_FLOAT8_E5M2 ? "fp8 (e5m2)"
						: "this type");
}

/* acc[i] = EXPR of a and b, which are LOAD(acc[i]) and LOAD(src[i]). */
#define REDUCE(type, load, store, expr)             \
	do {                                        \
		const type *s = src;                \
		type *d = acc;                      \
                                                    \
		for (size_t i = 0; i < n; i++) {    \
			__auto_type a = load(d[i]); \
			__auto_type b = load(s[i]); \
			d[i] = store(expr);         \
		}                                   \
	} while (0)

#define REDUCE_INT(type)                                                                          \
	static void reduce_##type(const struct elem_op *op, void *acc, const void *src, size_t n) \
	{                                                                                         \
		const type mask = (type)op->arg;                                                  \
                                                                                                  \
		switch (op->kind) {                                                               \
		case ELEM_PROD:                                                                   \
			REDUCE(type, (type), (type), a *b);                                       \
			break;                                                                    \
		case ELEM_MIN_MAX:                                                                \
			REDUCE(type, (type), (type), (a ^ mask) < (b ^ mask) ? a : b);            \
			break;                                                                    \
		default:                                                                          \
			REDUCE(type, (type), (type), a + b);                                      \
		}                                                                                 \
	}

#define REDUCE_FLOAT(name, type, load, store, lesser, greater)                                    \
	static void reduce_##name(const struct elem_op *op, void *acc, const void *src, size_t n) \
	{                                                                                         \
		switch (op->kind) {                                                               \
		case ELEM_PROD:                                                                   \
			REDUCE(type, load, store, a *b);                                          \
			break;                                                                    \
		case ELEM_MIN_MAX:                                                                \
			if (op->arg & 1)                                                          \
				REDUCE(type, load, store, greater(a, b));                         \
			else                                                                      \
				REDUCE(type, load, store, lesser(a, b));                          \
			break;                                                                    \
		default:                                                                          \
			REDUCE(type, load, store, a + b);                                         \
		}                                                                                 \
	}

REDUCE_INT(u8)
REDUCE_INT(u32)
REDUCE_INT(u64)
REDUCE_FLOAT(half, u16, elem_from_half, elem_to_half, fminf, fmaxf)
REDUCE_FLOAT(bf16, u16, elem_from_bf16, elem_to_bf16, fminf, fmaxf)
REDUCE_FLOAT(f32, f32, (float), (float), fminf, fmaxf)
REDUCE_FLOAT(f64, f64, (double), (double), fmin, fmax)

void elem_reduce(const struct elem_op *op, void *acc, const void *src, size_t n)
{
	switch (op->type) {
	case ELEM_INT8:
	case ELEM_UINT8:
		reduce_u8(op, acc, src, n);
		return;
	case ELEM_INT32:
	case ELEM_UINT32:
		reduce_u32(op, acc, src, n);
		return;
	case ELEM_INT64:
	case ELEM_UINT64:
		reduce_u64(op, acc, src, n);
		return;
	case ELEM_FLOAT16:
		reduce_half(op, acc, src, n);
		return;
	case ELEM_BFLOAT16:
		reduce_bf16(op, acc, src, n);
		return;
	case ELEM_FLOAT32:
		reduce_f32(op, acc, src, n);
		return;
	case ELEM_FLOAT64:
		reduce_f64(op, acc, src, n);
		return;
	default:
		no_arithmetic(op);
	}
}

/* acc[i] *= arg */
#define SCALE(type, load, store)                                 \
	do {                                                     \
		type scalar;                                     \
		type *d = acc;                                   \
                                                                 \
		memcpy(&scalar, &op->arg, sizeof(scalar));       \
		for (size_t i = 0; i < n; i++)                   \
			d[i] = store(load(d[i]) * load(scalar)); \
	} while (0)

void elem_pre(const struct elem_op *op, void *dst, const void *src, size_t n)
{
	void *acc = dst;

	if (dst != src)
		memcpy(dst, src, n * elem_size(op->type));
	if (op->kind != ELEM_PRE_MUL_SUM)
		return;
	switch (op->type) {
	case ELEM_INT8:
	case ELEM_UINT8:
		SCALE(u8, (u8), (u8));
		return;
	case ELEM_INT32:
	case ELEM_UINT32:
		SCALE(u32, (u32), (u32));
		return;
	case ELEM_INT64:
	case ELEM_UINT64:
		SCALE(u64, (u64), (u64));
		return;
	case ELEM_FLOAT16:
		SCALE(u16, elem_from_half, elem_to_half);
		return;
	case ELEM_BFLOAT16:
		SCALE(u16, elem_from_bf16, elem_to_bf16);
		return;
	case ELEM_FLOAT32:
		SCALE(f32, (float), (float));
		return;
	case ELEM_FLOAT64:
		SCALE(f64, (double), (double));
		return;
	default:
		no_arithmetic(op);
	}
}

/* acc[i] /= divisor, towards zero; as two's complement if the type is signed. */
#define DIVIDE(type, stype)                                                     \
	do {                                                                    \
		type *d = acc;                                                  \
                                                                                \
		for (size_t i = 0; i < n; i++)                                  \
			d[i] = is_signed ? (type)((stype)d[i] / (stype)divisor) \
					 : (type)(d[i] / divisor);              \
	} while (0)

void elem_post(const struct elem_op *op, void *acc, size_t n)
{
	const int is_signed = op->arg & 1;
	const uint64_t divisor = op->arg >> 1 & 0x7fffffff;

	if (op->kind != ELEM_SUM_POST_DIV)
		return;
	if (!divisor)
		emul_die("avg over 0 ranks");
	switch (elem_size(op->type)) {
	case 1:
		/* In int: the divisor may be more than an int8 holds. */
		for (size_t i = 0; i < n; i++) {
			u8 *d = acc;

			d[i] = is_signed ? (u8)((int8_t)d[i] / (int)divisor) : (u8)(d[i] / divisor);
		}
		return;
	case 4:
		DIVIDE(u32, int32_t);
		return;
	case 8:
		DIVIDE(u64, int64_t);
		return;
	default:
		no_arithmetic(op);
	}
}
