// SPDX-License-Identifier: BSD-3-Clause
/* 16-bit floats over all their values, and rounding, against the definition of the formats. */
#include <math.h>
#include <stdbool.h>

#include "elem.h"
#include "unit.h"

/* What the bits stand for, by the formula of IEEE 754 interchange formats. */
static double value(uint16_t bits, int frac_bits, int bias)
{
	const int exp = (bits & 0x7fff) >> frac_bits;
	const int frac = bits & ((1 << frac_bits) - 1);
	const int exp_max = (1 << (15 - frac_bits)) - 1;
	const double sign = bits & 0x8000 ? -1 : 1;

	if (exp == exp_max)
		return frac ? NAN : sign * INFINITY;
	if (!exp)
		return sign * ldexp(frac, 1 - bias - frac_bits);
	return sign * ldexp(frac | 1 << frac_bits, exp - bias - frac_bits);
}

static void test_all_values(void **state)
{
	(void)state;
	for (unsigned int bits = 0; bits < 0x10000; bits++) {
		double half = value((uint16_t)bits, 10, 15), bf16 = value((uint16_t)bits, 7, 127);

		if (isnan(half)) {
			assert_true(isnan(elem_from_half((uint16_t)bits)));
		} else {
			assert_true(elem_from_half((uint16_t)bits) == half);
			assert_int_equal(elem_to_half((float)half), bits);
		}
		if (isnan(bf16)) {
			assert_true(isnan(elem_from_bf16((uint16_t)bits)));
		} else {
			assert_true(elem_from_bf16((uint16_t)bits) == bf16);
			assert_int_equal(elem_to_bf16((float)bf16), bits);
		}
	}
	assert_true(isnan(elem_from_half(elem_to_half(NAN))));
	assert_true(isnan(elem_from_bf16(elem_to_bf16(NAN))));
}

/* Between two neighbours: to the nearer, from the middle to the even one. */
static void test_rounding(void **state)
{
	(void)state;
	for (uint16_t bits = 0; bits < 0x7bff; bits++) {
		double low = value(bits, 10, 15), high = value(bits + 1, 10, 15),
		       mid = (low + high) / 2;

		assert_int_equal(elem_to_half((float)mid), bits % 2 ? bits + 1 : bits);
		assert_int_equal(elem_to_half(nextafterf((float)mid, 0)), bits);
		assert_int_equal(elem_to_half(nextafterf((float)mid, INFINITY)), bits + 1);
		assert_int_equal(elem_to_half((float)-mid), 0x8000 | (bits % 2 ? bits + 1 : bits));
	}
	for (uint16_t bits = 0x80; bits < 0x7f7f; bits++) {
		double low = value(bits, 7, 127), high = value(bits + 1, 7, 127),
		       mid = (low + high) / 2;

		assert_int_equal(elem_to_bf16((float)mid), bits % 2 ? bits + 1 : bits);
		assert_int_equal(elem_to_bf16(nextafterf((float)mid, 0)), bits);
		assert_int_equal(elem_to_bf16(nextafterf((float)mid, INFINITY)), bits + 1);
	}
	assert_int_equal(elem_to_half(65519), 0x7bff);
	assert_int_equal(elem_to_half(65520), 0x7c00);
	assert_int_equal(elem_to_half(-1e30f), 0xfc00);
}

/* Arrays that begin anywhere. */
static void test_unaligned(void **state)
{
	const struct elem_op op = { ELEM_SUM, ELEM_FLOAT64, 0 };
	uint8_t acc[64], src[64];
	double one = 1.5, two = 2.25, sum;

	(void)state;
	memcpy(acc + 3, &one, 8);
	memcpy(src + 5, &two, 8);
	elem_reduce(&op, acc + 3, src + 5, 1);
	memcpy(&sum, acc + 3, 8);
	assert_true(sum == 3.75);
}

/* An int8 sum over more ranks than an int8 can count. */
static void test_post_div(void **state)
{
	const struct elem_op i8 = { ELEM_SUM_POST_DIV, ELEM_INT8, 200 << 1 | 1 };
	const struct elem_op u8 = { ELEM_SUM_POST_DIV, ELEM_UINT8, 100 << 1 };
	int8_t a[] = { -128, 127, 0 };
	uint8_t b[] = { 255, 99, 100 };

	(void)state;
	elem_post(&i8, a, 3);
	assert_int_equal(a[0], 0);
	assert_int_equal(a[1], 0);
	elem_post(&u8, b, 3);
	assert_int_equal(b[0], 2);
	assert_int_equal(b[1], 0);
	assert_int_equal(b[2], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_values),
		cmocka_unit_test(test_rounding),
		cmocka_unit_test(test_unaligned),
		cmocka_unit_test(test_post_div),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
