/* What the bytes of an element type stand for: every pattern of 16 and of 8 bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/checkpoint/tensor.h"

/* float16 by its definition. */
static double half_value(unsigned bits)
{
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double value;
    if (exponent == 31)
        value = mantissa ? (double)NAN : (double)INFINITY;
    else if (exponent == 0)
        value = ldexp(mantissa, -24);
    else
        value = ldexp(1024 + mantissa, exponent - 25);
    return bits & 0x8000 ? -value : value;
}

static void test_conversion(void **state)
{
    (void)state;
    /* Every 16-bit pattern, at an odd address. */
    enum { COUNT = 1 << 16 };
    unsigned char *bytes = bs_alloc(COUNT * 2 + 1, 1);
    float *out = bs_alloc(COUNT, sizeof *out);
    for (unsigned i = 0; i < COUNT; i++) {
        bytes[2 * i + 1] = (unsigned char)i;
        bytes[2 * i + 2] = (unsigned char)(i >> 8);
    }
    struct bs_tensor tensor = {.dtype = BS_F16, .rank = 1, .shape = {COUNT}, .count = COUNT};
    tensor.data = bytes + 1;
    bs_tensor_read(&tensor, 0, COUNT, out);
    for (unsigned i = 0; i < COUNT; i++) {
        double want = half_value(i), got = (double)out[i];
        assert_true(isnan(want) ? isnan(got) : got == want && !signbit(got) == !signbit(want));
    }
    tensor.dtype = BS_BF16;
    bs_tensor_read(&tensor, 1, COUNT - 1, out + 1);
    for (unsigned i = 1; i < COUNT; i++) {
        uint32_t bits;
        memcpy(&bits, out + i, 4);
        assert_int_equal(bits, i << 16);
    }
    bs_free(bytes);
    bs_free(out);
}

/* 8-bit floats by their definition: `mantissa` bits after the exponent, which is biased. */
static double small_value(unsigned bits, int mantissa, int bias, bool has_infinity)
{
    int exponent = (int)(bits & 0x7f) >> mantissa, largest = 0x7f >> mantissa;
    int fraction = (int)bits & ((1 << mantissa) - 1);
    double value;
    if (has_infinity && exponent == largest)
        value = fraction ? (double)NAN : (double)INFINITY;
    else if (!has_infinity && (bits & 0x7f) == 0x7f)
        value = (double)NAN;
    else if (exponent == 0)
        value = ldexp(fraction, 1 - bias - mantissa);
    else
        value = ldexp((1 << mantissa) + fraction, exponent - bias - mantissa);
    return bits & 0x80 ? -value : value;
}

static void test_conversion8(void **state)
{
    (void)state;
    unsigned char bytes[256];
    float out[256];
    for (unsigned i = 0; i < 256; i++)
        bytes[i] = (unsigned char)i;
    struct bs_tensor tensor = {.rank = 1, .shape = {256}, .count = 256, .data = bytes};
    for (int kind = 0; kind < 2; kind++) {
        tensor.dtype = kind ? BS_F8_E5M2 : BS_F8_E4M3;
        bs_tensor_read(&tensor, 0, 256, out);
        for (unsigned i = 0; i < 256; i++) {
            double got = (double)out[i];
            double want = kind ? small_value(i, 2, 15, true) : small_value(i, 3, 7, false);
            assert_true(isnan(want) ? isnan(got) : got == want && !signbit(got) == !signbit(want));
            assert_int_equal(bs_any_special(tensor.dtype, bytes + i, 1), !isfinite(want));
        }
    }
    assert_true(out[0x7b] == 57344); /* the largest ones, as the formats' paper gives them */
    tensor.dtype = BS_F8_E4M3;
    bs_tensor_read(&tensor, 0x7e, 1, out);
    assert_true(out[0] == 448);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversion),
        cmocka_unit_test(test_conversion8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
