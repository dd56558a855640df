/* Numbers of few bits: levels, the nearest of them by each rule of ties, and the loop over many at
 * every level of instructions. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/isa.h"
#include "eval/quant/bits.h"
#include "eval/quant/cell.h"

enum { MOST = 4096 };

/* The variants of a number: all codes finite, the largest none, those of the largest exponent
 * none, and of these the first infinity. */
enum { FINITE, FN, IEEE, INFINITE, VARIANTS };

static struct bs_minifloat number(int exponent, int mantissa, int variant, enum bs_ties ties)
{
    int codes = 1 << (exponent + mantissa);
    int lost = variant == FINITE ? 1 : variant == FN ? 2 : (1 << mantissa) + (variant == IEEE);
    return (struct bs_minifloat){.exponent_bits = exponent,
                                 .mantissa_bits = mantissa,
                                 .top = codes - lost,
                                 .infinite = variant == INFINITE,
                                 .ties = ties};
}

/* By the definition: subnormal numbers, and those with a hidden bit. */
static double value_of(const struct bs_minifloat *f, int magnitude)
{
    int mantissa = magnitude & ((1 << f->mantissa_bits) - 1), field = magnitude >> f->mantissa_bits;
    int bias = (1 << (f->exponent_bits - 1)) - 1;
    double fraction = ldexp(mantissa, -f->mantissa_bits) + (field > 0);
    return ldexp(fraction, (field > 1 ? field : 1) - bias);
}

/* Values on all levels, in the middles of them, and right beside both, of both signs; and others
 * that are huge, tiny or no numbers. */
static int fill(const struct bs_minifloat *f, float *x)
{
    int count = 0;
    for (int k = 0; k <= f->top && count < MOST - 80; k += 1 + f->top / 300) {
        double here = value_of(f, k), next = value_of(f, k + 1);
        const float at[] = {(float)here, (float)(here + (next - here) / 2)};
        for (int v = 0; v < 2; v++)
            for (int side = -1; side <= 1; side++)
                for (int sign = -1; sign <= 1; sign += 2)
                    x[count++] =
                        (float)sign *
                        (side ? nextafterf(at[v], side > 0 ? INFINITY : -INFINITY) : at[v]);
    }
    const float others[] = {0.0f,         -0.0f,         1e30f,    -1e30f, FLT_MAX,
                            FLT_TRUE_MIN, -FLT_TRUE_MIN, INFINITY, NAN,    -INFINITY};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        x[count++] = others[i];
    return count;
}

/* The nearest magnitude of |u| by trying those on both sides. */
static int naive(const struct bs_minifloat *f, double u)
{
    int low = 0, high = f->top;
    while (low < high) { /* the largest that is not above u */
        int middle = (low + high + 1) / 2;
        if (value_of(f, middle) <= u)
            low = middle;
        else
            high = middle - 1;
    }
    if (low == f->top)
        return low;
    double down = u - value_of(f, low), up = value_of(f, low + 1) - u;
    bool tie = f->ties == BS_TIES_EVEN ? low % 2 : f->ties == BS_TIES_OUTWARD;
    return low + (up < down || (up == down && tie));
}

static void assert_number(const struct bs_minifloat *f)
{
    static float x[MOST], rounded[MOST];
    int count = fill(f, x);
    for (int k = 0; k <= f->top; k += 1 + f->top / 5000) {
        double want = f->infinite && k == f->top ? (double)INFINITY : value_of(f, k);
        assert_true((double)bs_minifloat_value(f, (uint32_t)k) == want);
    }
    for (int i = 0; i < count; i++) {
        int code = bs_minifloat_encode(f, x[i]), sign = x[i] < 0 ? -1 : 1;
        int want = isnan(x[i]) ? 0 : f->top + sign * naive(f, fabs((double)x[i]));
        if (code != want)
            fail_msg("e%dm%d to %d, ties %d: %g has code %d, expected %d", f->exponent_bits,
                     f->mantissa_bits, f->top, (int)f->ties, (double)x[i], code, want);
        assert_int_equal(bs_minifloat_code(f, bs_minifloat_bits(f, code)), code);
    }
    for (int scaled = 0; scaled < 2; scaled++) {
        float inverse = scaled ? 4 : 0;
        for (int i = 0; i < count; i++)
            rounded[i] = x[i] / 4;
        bs_minifloat_round(f, 0.25f, inverse, rounded, (size_t)count);
        for (int i = 0; i < count; i++) {
            float u = x[i] / 4 * 4;
            float want = 0.25f * bs_minifloat_nearest(f, u);
            assert_true(isnan(x[i]) ? isnan(rounded[i]) : rounded[i] == want);
        }
    }
}

static void values_go_to_the_nearest_number(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 0}, {1, 3}, {2, 0}, {2, 1}, {2, 3}, {3, 0},
                                   {3, 2}, {4, 3}, {5, 0}, {5, 2}, {5, 6}, {6, 9},
                                   {7, 8}, {8, 0}, {8, 3}, {8, 7}, {5, 10}};
    enum bs_isa used = bs_isa();
    for (int level = 0; level < BS_NUM_ISA; level++) {
        if (!bs_isa_use((enum bs_isa)level))
            continue;
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int variant = 0; variant < VARIANTS; variant++)
                for (int ties = BS_TIES_EVEN; ties <= BS_TIES_OUTWARD; ties++) {
                    struct bs_minifloat f =
                        number(sizes[s][0], sizes[s][1], variant, (enum bs_ties)ties);
                    bool fits = f.exponent_bits < 8 || variant >= IEEE;
                    if (fits && f.top > f.infinite)
                        assert_number(&f);
                }
    }
    assert_true(bs_isa_use(used));
}

/* Every half-precision number, and what lies between two. */
static void half_precision_is_one_of_them(void **state)
{
    (void)state;
    const struct bs_minifloat half = number(5, 10, INFINITE, BS_TIES_EVEN);
    for (uint32_t bits = 0; bits <= 0x7c00; bits++) {
        float value = bs_half_value((uint16_t)bits);
        assert_true(bs_minifloat_value(&half, bits) == value);
        float beside = value * (1 + 0x1.8p-12f);
        assert_int_equal(bs_minifloat_encode(&half, beside) - half.top, bs_half_of(beside));
    }
}

/* Cells over them round in every mode as over a table of the same levels, but for ties. */
static void cells_round_as_by_a_table(void **state)
{
    (void)state;
    static const float values[] = {-6, -4, -3, -2, -1.5f, -1, -0.5f, 0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    const struct bs_levels table = {.count = 15, .values = values};
    const struct bs_levels numbers = {.count = 15, .minifloat = number(2, 1, FINITE, BS_TIES_EVEN)};
    const struct bs_cell a = {.levels = &table, .scale = 0.7f};
    const struct bs_cell b = {.levels = &numbers, .scale = 0.7f};
    for (int mode = BS_NEAREST; mode <= BS_STOCHASTIC; mode++)
        for (int i = -1000; i <= 1000; i++) {
            const struct bs_rounder rounder = {.mode = (enum bs_rounding)mode, .key = 5};
            float x = 0.7f * (float)i * 0.00713f;
            assert_int_equal(bs_cell_encode(&a, rounder, (uint64_t)i, x),
                             bs_cell_encode(&b, rounder, (uint64_t)i, x));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_go_to_the_nearest_number),
        cmocka_unit_test(half_precision_is_one_of_them),
        cmocka_unit_test(cells_round_as_by_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
