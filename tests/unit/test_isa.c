/* Levels of instructions: which there are, and that every loop gives the same bits at each. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/isa.h"
#include "eval/checkpoint/tensor.h"
#include "eval/linalg/hadamard.h"
#include "eval/linalg/nonlinearity.h"
#include "eval/linalg/vector.h"
#include "eval/quant/cell.h"
#include "tests/support/random_block.h"

enum { LONG = 3001, WIDTH = 7 };

static float x[LONG], y[LONG]; /* positive and negative, some huge, some tiny */
static float positive[LONG];
static double doubles[LONG];

/* What a loop makes of the first count values. */
struct made {
    float floats[LONG];
    double doubles[LONG];
    double sums[6];
};

static int fill(void **state)
{
    (void)state;
    random_fill(x, LONG, 3, 1);
    random_fill(y, LONG, 3, 2);
    for (size_t i = 0; i < LONG; i++) {
        x[i] *= i % 37 == 5 ? 1e6f : i % 41 == 6 ? 1e-12f : 1;
        positive[i] = fabsf(y[i]);
        doubles[i] = 1 / (1.0 + (double)i);
    }
    return 0;
}

static void made_extremes(size_t count, struct made *made)
{
    float low = 0, high = 0;
    if (count)
        bs_min_max(x, count, &low, &high);
    made->sums[0] = (double)low;
    made->sums[1] = (double)high;
    made->sums[2] = count ? (double)bs_max(x, count) : 0;
    made->sums[3] = (double)bs_abs_max(x, count);
}

static void made_sums(size_t count, struct made *made)
{
    made->sums[0] = bs_sum_squares(x, count);
    made->sums[1] = bs_dot(x, y, count);
    made->sums[2] = bs_sum_squared_difference(x, y, count);
    made->sums[3] = bs_weighted_difference(doubles, x, y, count);
}

static void made_first_not_finite(size_t count, struct made *made)
{
    made->sums[0] = (double)bs_first_not_finite(x, count);
}

static void made_add(size_t count, struct made *made) { bs_add(x, made->floats, count); }

static void made_rms_norm(size_t count, struct made *made)
{
    bs_rms_norm(x, positive, 1e-5f, (int)(count / WIDTH), WIDTH, made->floats);
    if (count)
        bs_rms_norm(x, positive, 1e-5f, 1, (int)count, made->floats);
}

static void made_layer_norm(size_t count, struct made *made)
{
    bs_layer_norm(x, positive, y, 1e-5f, (int)(count / WIDTH), WIDTH, made->floats);
    if (count)
        bs_layer_norm(x, positive, y, 1e-5f, 1, (int)count, made->floats);
}

static void made_exponentials(size_t count, struct made *made)
{
    static float some[LONG];
    for (size_t i = 0; i < LONG; i++)
        some[i] = i % 7 == 2 ? x[i] : y[i]; /* of which some are far out of range */
    made->sums[0] = bs_sum_exp(some, count, 1.5);
    made->sums[1] = bs_exp_to_double(some, count, 1.5, made->doubles);
    memcpy(made->floats, some, sizeof some);
    made->sums[2] = (double)bs_exp_shifted(made->floats, count, 1.5f);
}

static void made_powers(size_t count, struct made *made)
{
    made->sums[0] = (double)bs_sum_power_difference(x, y, count, 2.4f);
    bs_power(positive, count, 0.35f, made->floats);
}

static void made_soft_cap(size_t count, struct made *made)
{
    bs_soft_cap(made->floats, count, 2.5f);
}

static void made_nonlinearities(size_t count, struct made *made)
{
    static float some[LONG];
    for (int f = 0; f < BS_NUM_NONLINEARITIES; f++) {
        memcpy(some, x, sizeof some);
        bs_nonlinearity_apply((enum bs_nonlinearity)f, some, count);
        for (size_t i = 0; i < LONG; i++) /* every bit of each counts */
            made->doubles[i] = 3 * made->doubles[i] + (isnan(some[i]) ? 7 : (double)some[i]);
        bs_nonlinearity_times((enum bs_nonlinearity)f, made->floats, y, count);
    }
}

static void made_elementwise(size_t count, struct made *made)
{
    bs_scale(made->floats, count, 0.37f);
    bs_clip(made->floats, count, 1.5f, made->floats);
    if (count)
        bs_turn(made->floats, made->floats + count / 2, x, positive, count / 2);
}

static void made_hadamard(size_t count, struct made *made)
{
    int n = 1;
    while (2 * n <= (int)count)
        n *= 2;
    bs_hadamard(made->floats, n, 1);
    bs_hadamard(made->floats, n, (int)(LONG / n));
}

static void made_roundings(size_t count, struct made *made)
{
    static const float values[] = {-1, -0.5f, -0.1f, 0, 0.2f, 0.7f, 1};
    const struct bs_levels whole = {.count = 16}, table = {.count = 7, .values = values};
    struct bs_cell cell = {.levels = &whole, .first = -8, .scale = 0.43f};
    struct bs_rounder rounder = {.mode = BS_NEAREST};
    uint8_t codes[LONG] = {0};
    if (count) {
        struct bs_encoded encoded = bs_cell_encode_bytes(&cell, x, count, y, codes);
        made->sums[0] = encoded.sum;
        made->sums[1] = encoded.finite;
        made->sums[2] = (double)encoded.next_low;
        made->sums[3] = (double)encoded.next_high;
    }
    bs_cell_round(&cell, rounder, 0, made->floats, count / 2);
    cell.levels = &table;
    cell.shift = 0.01f;
    bs_cell_round(&cell, rounder, 0, made->floats + count / 2, count - count / 2);
    float ladder[BS_MOST_INDEXED];
    for (int k = 0; k < BS_MOST_INDEXED; k++)
        ladder[k] = (float)(k * k - 9000) / 7e3f;
    for (int levels = 20; levels <= BS_MOST_INDEXED; levels += 59) { /* 20, 79, 138, 197, 256 */
        const struct bs_levels long_table = {.count = levels, .values = ladder};
        cell.levels = &long_table;
        bs_cell_round(&cell, rounder, 0, made->floats + levels % (int)LONG, count / 8);
    }
    for (size_t i = 0; i < LONG; i++)
        made->doubles[i] = codes[i];
}

static void made_elements(size_t count, struct made *made)
{
    static const enum bs_dtype types[] = {BS_F16, BS_BF16, BS_F8_E4M3, BS_F8_E5M2, BS_F64};
    const unsigned char *data = (const unsigned char *)doubles;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        int64_t shape = (int64_t)count;
        struct bs_tensor tensor = {.dtype = types[t], .rank = 1, .data = data, .count = count};
        tensor.shape[0] = shape;
        bs_tensor_read(&tensor, 0, count, made->floats);
        made->sums[t] = bs_any_special(types[t], data, count);
        for (size_t i = 0; i < LONG; i++)
            made->doubles[i] += isfinite(made->floats[i]) ? (double)made->floats[i] : 1;
    }
}

static const struct {
    const char *name;
    void (*make)(size_t count, struct made *made);
} loops[] = {
    {"extremes", made_extremes},
    {"sums", made_sums},
    {"first not finite", made_first_not_finite},
    {"add", made_add},
    {"RMS norm", made_rms_norm},
    {"layer norm", made_layer_norm},
    {"exponentials", made_exponentials},
    {"powers", made_powers},
    {"soft cap", made_soft_cap},
    {"nonlinearities", made_nonlinearities},
    {"elementwise", made_elementwise},
    {"Hadamard", made_hadamard},
    {"roundings", made_roundings},
    {"elements of tensors", made_elements},
};

static void make(size_t loop, size_t count, struct made *made)
{
    memset(made, 0, sizeof *made);
    memcpy(made->floats, y, sizeof y);
    loops[loop].make(count, made);
}

static void every_loop_has_the_same_bits_at_every_level(void **state)
{
    (void)state;
    static const size_t counts[] = {0,  1,  2,  3,  5,  7,   15,   16,  17,
                                    31, 33, 63, 64, 65, 127, 1024, LONG};
    static struct made want, got;
    enum bs_isa used = bs_isa();
    for (size_t l = 0; l < sizeof loops / sizeof *loops; l++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            assert_true(bs_isa_use(BS_ISA_BASE));
            make(l, counts[c], &want);
            for (int level = 1; level < BS_NUM_ISA; level++) {
                if (!bs_isa_use((enum bs_isa)level))
                    continue;
                make(l, counts[c], &got);
                if (memcmp(&want, &got, sizeof got))
                    fail_msg("%s of %zu values has other bits at level %s", loops[l].name,
                             counts[c], bs_isa_name((enum bs_isa)level));
            }
        }
    assert_true(bs_isa_use(used));
}

static void levels_have_names_and_end_where_the_processor_does(void **state)
{
    (void)state;
    static const char *const names[] = {"base", "fma", "v3", "v4"};
    enum bs_isa used = bs_isa();
    bool had = true;
    for (int level = 0; level < BS_NUM_ISA; level++) {
        enum bs_isa before = bs_isa();
        bool has = bs_isa_use((enum bs_isa)level);
        assert_true(had || !has); /* who lacks a level lacks those above it */
        assert_int_equal(bs_isa(), has ? (enum bs_isa)level : before);
        assert_string_equal(bs_isa_name((enum bs_isa)level), names[level]);
        had = has;
    }
    assert_false(bs_isa_use(BS_NUM_ISA));
    assert_true(bs_isa_use(used));
}

static void the_variable_is_checked(void **state)
{
    (void)state;
    static const char *const wrong[] = {"avx2", "V3", "v3 ", "4"};
    struct bs_error err = {0};
    setenv("BITSWEEP_ISA", "", 1);
    assert_int_equal(bs_isa_check(&err), BS_OK);
    setenv("BITSWEEP_ISA", "base", 1);
    assert_int_equal(bs_isa_check(&err), BS_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        setenv("BITSWEEP_ISA", wrong[i], 1);
        assert_int_equal(bs_isa_check(&err), BS_EUNSUPPORTED);
        assert_non_null(strstr(err.message, wrong[i]));
        assert_non_null(strstr(err.message, "base, fma, v3 or v4"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_loop_has_the_same_bits_at_every_level),
        cmocka_unit_test(levels_have_names_and_end_where_the_processor_does),
        cmocka_unit_test(the_variable_is_checked),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
