/* The integer grids: each rule worked by hand, then what holds for all of them. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/quant/flat.h"
#include "tests/support/close.h"
#include "tests/support/random_block.h"

enum { COUNT = 96 };

static struct bs_flat grid(enum bs_grid name, int bits, bool symmetric)
{
    return (struct bs_flat){.bits = bits, .grid = name, .symmetric = symmetric};
}

/* A value, the code it gets, and what that decodes to. */
struct row {
    float x;
    int code;
    float value;
};

/* Fits the rows' own values and compares scale, zero point and every row. */
static void assert_grid(const struct bs_flat *format, float scale, int zero_point,
                        const struct row *rows, size_t count)
{
    float x[16] = {0};
    assert_in_range(count, 1, 16);
    for (size_t i = 0; i < count; i++)
        x[i] = rows[i].x;
    struct bs_params params = bs_format_fit(format, x, count);
    assert_true(params.scale == scale);
    assert_int_equal(params.zero_point, zero_point);
    bs_format_round(format, params, x, count);
    for (size_t i = 0; i < count; i++) {
        int code = bs_format_encode(format, params, rows[i].x);
        assert_int_equal(code, rows[i].code);
        assert_true(bs_format_decode(params, code) == rows[i].value);
        assert_true(x[i] == rows[i].value);
    }
}

#define ASSERT_GRID(format, scale, zero_point, ...)                                                \
    assert_grid(&(format), scale, zero_point, (struct row[]){__VA_ARGS__},                         \
                sizeof((struct row[]){__VA_ARGS__}) / sizeof(struct row))

/* Ranges below are chosen so that scales come out as powers of two. */

static void gptq_asymmetric(void **state)
{
    (void)state;
    struct bs_flat four = grid(BS_GRID_GPTQ, 4, false);
    /* (5 + 2.5) / 15 = 0.5; z = 5; halves of a step go to the even level */
    ASSERT_GRID(four, 0.5f, 5, {-2.5f, 0, -2.5f}, {5, 15, 5}, {0, 5, 0}, {0.25f, 5, 0},
                {0.75f, 7, 1}, {1.25f, 7, 1}, {-0.25f, 5, 0}, {-0.75f, 3, -1}, {-1.25f, 3, -1},
                {1.26f, 8, 1.5f});
    /* z itself is a tie: 1.25 / 0.5 = 2.5 goes to 2, and the far ends clip: 6.25 / .5 = 12.5 -> 12
     */
    ASSERT_GRID(four, 0.5f, 2, {-1.25f, 0, -1}, {6.25f, 14, 6}, {6, 14, 6});
    /* 1.75 / 0.5 = 3.5 goes to 4, which leaves 11 levels above: 5.75 / 0.5 = 11.5 would be 12 */
    ASSERT_GRID(four, 0.5f, 4, {-1.75f, 0, -2}, {5.75f, 15, 5.5f});
    struct bs_flat two = grid(BS_GRID_GPTQ, 2, false);
    ASSERT_GRID(two, 1.0f, 1, {-1, 0, -1}, {2, 3, 2}, {0.5f, 1, 0}, {1.5f, 3, 2});
}

static void gptq_range_contains_zero(void **state)
{
    (void)state;
    struct bs_flat four = grid(BS_GRID_GPTQ, 4, false);
    ASSERT_GRID(four, 0.5f, 0, {5, 10, 5}, {7.5f, 15, 7.5f});
    ASSERT_GRID(four, 0.5f, 15, {-5, 5, -5}, {-7.5f, 0, -7.5f});
}

static void gptq_symmetric_extremes_are_ties(void **state)
{
    (void)state;
    struct bs_flat four = grid(BS_GRID_GPTQ, 4, true);
    /* scale 15 / 15: +7.5 goes to 8, which is clipped to 7; -7.5 goes to -8, which there is */
    ASSERT_GRID(four, 1.0f, 8, {-7.5f, 0, -8}, {7.5f, 15, 7}, {6.5f, 14, 6}, {-6.5f, 2, -6},
                {0, 8, 0}, {5.5f, 14, 6});
    /* only one side is as large; the other side gets the same range */
    ASSERT_GRID(four, 1.0f, 8, {-1, 7, -1}, {7.5f, 15, 7});
    ASSERT_GRID(four, 1.0f, 8, {1, 9, 1}, {-7.5f, 0, -8});
    ASSERT_GRID(four, 1.0f, 8, {-1, 7, -1}, {-7.5f, 0, -8});
}

static void gptq_symmetric_scale_is_made_in_float(void **state)
{
    (void)state;
    /* The extremes sit on a tie only where float division says so: 2 * absmax / 15 rounds up or
     * down, and -absmax becomes -8 or -7 steps. Both happen; a scale in double would give one. */
    struct bs_flat four = grid(BS_GRID_GPTQ, 4, true);
    int eight = 0, seven = 0;
    for (int i = 0; i < 1000; i++) {
        float absmax = 1 + (float)i / 1024;
        struct bs_params params = bs_format_fit(&four, (float[]){-absmax, absmax / 3}, 2);
        volatile float width = absmax + absmax, scale = width / 15, ratio = absmax / scale;
        assert_true(params.scale == scale);
        int code = bs_format_encode(&four, params, -absmax);
        assert_int_equal(code, 8 - (int)rintf(ratio));
        eight += code == 0;
        seven += code == 1;
    }
    assert_int_equal(eight + seven, 1000);
    assert_in_range(seven, 50, 200); /* 10.6 % over all mantissas */
}

static void gptq_symmetric_without_negatives_wastes_half(void **state)
{
    (void)state;
    struct bs_flat four = grid(BS_GRID_GPTQ, 4, true);
    /* the range stays [0, 15] but the middle code stands for 0: above 7 steps all is clipped */
    ASSERT_GRID(four, 1.0f, 8, {0, 8, 0}, {3, 11, 3}, {7, 15, 7}, {15, 15, 7});
    ASSERT_GRID(four, 1.0f, 8, {1, 9, 1}, {15, 15, 7});
}

static void gptq_group_of_zeros(void **state)
{
    (void)state;
    struct bs_flat asymmetric = grid(BS_GRID_GPTQ, 4, false);
    struct bs_flat symmetric = grid(BS_GRID_GPTQ, 4, true);
    ASSERT_GRID(symmetric, 2.0f / 15, 8, {0, 8, 0}, {-0.0f, 8, 0});
    /* 1 / (2 / 15) is a tie, but 2 / 15 in float is a little more: 7, not 8 */
    ASSERT_GRID(asymmetric, 2.0f / 15, 7, {0, 7, 0}, {-0.0f, 7, 0});
}

static void gptq_group_of_subnormals_has_a_scale(void **state)
{
    (void)state;
    /* (high - low) / maxq is nearest to 0 here: without a floor a division by zero. */
    const float tiny = FLT_TRUE_MIN;
    for (int bits = 2; bits <= 8; bits++)
        for (int symmetric = 0; symmetric < 2; symmetric++)
            for (int width = 1; width <= 400; width++) {
                struct bs_flat format = grid(BS_GRID_GPTQ, bits, symmetric);
                float x[] = {-(float)width * tiny, 0, 0};
                struct bs_params params = bs_format_fit(&format, x, 3);
                assert_true(params.scale > 0);
                assert_in_range(params.zero_point, 0, (1 << bits) - 1);
                bs_format_round(&format, params, x, 3);
                assert_true(x[0] <= 0 && x[0] >= -2 * (float)width * tiny && x[1] == 0);
            }
}

static void awq_asymmetric_range_need_not_contain_zero(void **state)
{
    (void)state;
    struct bs_flat four = grid(BS_GRID_AWQ, 4, false);
    /* as gptq where it does */
    ASSERT_GRID(four, 0.5f, 5, {-2.5f, 0, -2.5f}, {5, 15, 5}, {0.25f, 5, 0}, {0.75f, 7, 1});
    /* all positive: scale (11.5 - 4) / 15, but z is clipped to 0, so the top is 15 steps = 7.5 */
    ASSERT_GRID(four, 0.5f, 0, {4, 8, 4}, {11.5f, 15, 7.5f}, {7.5f, 15, 7.5f});
    /* all negative likewise: z is clipped to 15 */
    ASSERT_GRID(four, 0.5f, 15, {-4, 7, -4}, {-11.5f, 0, -7.5f});
    /* z = -rte(low / scale) of a tie: -rte(-2.5) = 2 */
    ASSERT_GRID(four, 0.5f, 2, {-1.25f, 0, -1}, {6.25f, 14, 6});
}

static void awq_range_has_a_floor(void **state)
{
    (void)state;
    struct bs_flat asymmetric = grid(BS_GRID_AWQ, 4, false);
    struct bs_flat symmetric = grid(BS_GRID_AWQ, 4, true);
    ASSERT_GRID(asymmetric, 1e-5f / 15, 0, {0, 0, 0});
    ASSERT_GRID(asymmetric, 1e-5f / 15, 0, {3, 15, 15 * (1e-5f / 15)}, {3, 15, 15 * (1e-5f / 15)});
    ASSERT_GRID(asymmetric, 1e-5f / 15, 15, {-3, 0, -15 * (1e-5f / 15)});
    ASSERT_GRID(symmetric, 1e-5f / 7, 8, {0, 8, 0});
    ASSERT_GRID(symmetric, 1e-5f / 7, 8, {1e-9f, 8, 0}, {-1e-5f, 1, -7 * (1e-5f / 7)});
    ASSERT_GRID(symmetric, 2e-5f / 7, 8, {-2e-5f, 1, -7 * (2e-5f / 7)}); /* above it: no floor */
}

static void awq_symmetric(void **state)
{
    (void)state;
    struct bs_flat four = grid(BS_GRID_AWQ, 4, true);
    ASSERT_GRID(four, 1.0f, 8, {-7, 1, -7}, {7, 15, 7}, {3.5f, 12, 4}, {2.5f, 10, 2},
                {-2.5f, 6, -2});
    ASSERT_GRID(four, 1.0f, 8, {7, 15, 7}, {1, 9, 1});    /* no negatives: nothing is wasted */
    ASSERT_GRID(four, 1.0f, 8, {-7, 1, -7}, {-1, 7, -1}); /* code 0 is never reached */
    struct bs_flat two = grid(BS_GRID_AWQ, 2, true);
    ASSERT_GRID(two, 3.0f, 2, {3, 3, 3}, {-3, 1, -3}, {1.5f, 2, 0}, {1.75f, 3, 3});
}

static void smoothquant(void **state)
{
    (void)state;
    struct bs_flat eight = grid(BS_GRID_SMOOTHQUANT, 8, true);
    ASSERT_GRID(eight, 1.0f, 128, {-127, 1, -127}, {127, 255, 127}, {126.5f, 254, 126},
                {0.5f, 128, 0}, {1.5f, 130, 2});
    ASSERT_GRID(eight, 1e-5f / 127, 128, {0, 128, 0});
    /* A static scale can be exceeded: codes then end at -128 and 127. */
    struct bs_params params = bs_format_fit_range(&eight, -100, 127);
    assert_true(params.scale == 1 && params.zero_point == 128);
    assert_int_equal(bs_format_encode(&eight, params, 1e6f), 255);
    assert_int_equal(bs_format_encode(&eight, params, -1e6f), 0);
    assert_true(bs_format_decode(params, 0) == -128);
}

static void a_range_is_fitted_like_values_that_span_it(void **state)
{
    (void)state;
    for (int g = BS_GRID_GPTQ; g < BS_GRID_AUTO; g++)
        for (int symmetric = g == BS_GRID_SMOOTHQUANT; symmetric < 2; symmetric++) {
            struct bs_flat format = grid((enum bs_grid)g, 5, symmetric);
            static const float ranges[][2] = {
                {-1.25f, 3.5f}, {-4, 2}, {0.25f, 3}, {-2, -1}, {0, 0}};
            for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
                struct bs_params one = bs_format_fit(&format, ranges[i], 2);
                struct bs_params two = bs_format_fit_range(&format, ranges[i][0], ranges[i][1]);
                assert_true(one.scale == two.scale && one.zero_point == two.zero_point);
            }
        }
}

/* Groups of many shapes: spread, shifted, with an outlier, one-sided, constant, tiny, huge. */
static void awkward_group(float *x, int kind, uint64_t seed)
{
    random_fill(x, COUNT, 1, seed);
    for (int i = 0; i < COUNT; i++) {
        if (kind == 1)
            x[i] += 5;
        else if (kind == 2)
            x[i] = fabsf(x[i]);
        else if (kind == 3)
            x[i] = -fabsf(x[i]) - 2;
        else if (kind == 4)
            x[i] = 0.7f;
        else if (kind == 5)
            x[i] *= 1e-7f;
        else if (kind == 6)
            x[i] *= 1e30f;
    }
    if (kind == 7)
        x[COUNT / 2] = 40;
}

/* What any grid must do with any group. */
static void assert_sound(const struct bs_flat *format, const float *x)
{
    int levels = 1 << format->bits, used = 0;
    bool seen[256] = {false};
    struct bs_params params = bs_format_fit(format, x, COUNT);
    assert_true(params.scale > 0 && isfinite(params.scale));
    assert_in_range(params.zero_point, 0, levels - 1);
    float rounded[COUNT];
    memcpy(rounded, x, sizeof rounded);
    bs_format_round(format, params, rounded, COUNT);
    for (int i = 0; i < COUNT; i++) {
        int code = bs_format_encode(format, params, x[i]);
        assert_in_range(code, 0, levels - 1);
        float value = bs_format_decode(params, code);
        assert_true(value == rounded[i]);
        assert_int_equal(bs_format_encode(format, params, value), code);
        used += !seen[code];
        seen[code] = true;
        /* no other code is nearer, but for the rounding of the quotient */
        double distance = fabs((double)value - (double)x[i]);
        for (int other = 0; other < levels; other++) {
            double apart = fabs((double)bs_format_decode(params, other) - (double)x[i]);
            assert_true(distance <= apart + 1e-4 * (double)params.scale);
        }
    }
    assert_true(used <= levels);
}

static void every_grid_rounds_to_its_nearest_code(void **state)
{
    (void)state;
    for (int g = BS_GRID_GPTQ; g < BS_GRID_AUTO; g++)
        for (int bits = 2; bits <= 8; bits++)
            for (int symmetric = g == BS_GRID_SMOOTHQUANT; symmetric < 2; symmetric++)
                for (int kind = 0; kind < 8; kind++) {
                    struct bs_flat format = grid((enum bs_grid)g, bits, symmetric);
                    float x[COUNT];
                    awkward_group(x, kind, (uint64_t)(100 * g + 10 * bits + kind));
                    assert_sound(&format, x);
                }
}

/* encode_all of count values of x against one value at a time. */
static void assert_encoded(const struct bs_flat *format, struct bs_params params, const float *x,
                           size_t count, const float *next)
{
    enum { BEHIND = 0xa5 };
    uint8_t codes[COUNT + 1];
    uint32_t sum = 0;
    float low = next[0], high = next[0];
    memset(codes, BEHIND, sizeof codes);
    struct bs_encoded got = bs_format_encode_all(format, params, x, count, next, codes);
    bool finite = true;
    for (size_t i = 0; i < count; i++) {
        finite = finite && isfinite(x[i]);
        if (!isnan(x[i]))
            assert_int_equal(codes[i], bs_format_encode(format, params, x[i]));
        sum += codes[i];
        low = fminf(low, next[i]);
        high = fmaxf(high, next[i]);
    }
    assert_int_equal(codes[count], BEHIND);
    assert_int_equal(got.sum, sum);
    assert_int_equal(got.finite, finite);
    assert_true(got.next_low == low && got.next_high == high);
}

static void encoding_all_equals_encoding_each(void **state)
{
    (void)state;
    float next[COUNT];
    for (int g = BS_GRID_GPTQ; g < BS_GRID_AUTO; g++)
        for (int bits = 2; bits <= 8; bits += 3)
            for (int symmetric = g == BS_GRID_SMOOTHQUANT; symmetric < 2; symmetric++)
                for (int kind = 0; kind < 8; kind++)
                    for (size_t count = 1; count <= COUNT; count++) {
                        struct bs_flat format = grid((enum bs_grid)g, bits, symmetric);
                        float x[COUNT];
                        awkward_group(x, kind, 100 * count + (uint64_t)bits);
                        awkward_group(next, 7 - kind, count);
                        struct bs_params params = bs_format_fit(&format, x, count);
                        assert_encoded(&format, params, x, count, next);
                        params.scale *= 0.3f; /* codes end at both ends */
                        assert_encoded(&format, params, x, count, x);
                    }
}

static void encoding_all_takes_ties_to_the_even_level(void **state)
{
    (void)state;
    struct bs_flat eight = grid(BS_GRID_AWQ, 8, false);
    for (int zero_point = 0; zero_point <= 255; zero_point += 51) {
        struct bs_params params = {.scale = 0.5f, .zero_point = zero_point};
        for (int first = -300; first < 300; first += COUNT) {
            float x[COUNT];
            uint8_t codes[COUNT];
            for (int i = 0; i < COUNT; i++)
                x[i] = 0.5f * ((float)(first + i) + 0.5f);
            bs_format_encode_all(&eight, params, x, COUNT, x, codes);
            for (int i = 0; i < COUNT; i++) {
                int below = first + i, even = below + (below & 1), code = even + zero_point;
                assert_int_equal(codes[i], code < 0 ? 0 : code > 255 ? 255 : code);
            }
        }
    }
}

static void encoding_all_sees_what_is_not_finite(void **state)
{
    (void)state;
    static const float strange[] = {NAN, INFINITY, -INFINITY};
    struct bs_flat eight = grid(BS_GRID_SMOOTHQUANT, 8, true);
    struct bs_params params = {.scale = 0.01f, .zero_point = 128};
    float x[COUNT], next[COUNT];
    random_fill(next, COUNT, 1, 2);
    for (size_t count = 1; count <= COUNT; count += 19)
        for (size_t at = 0; at < count; at++)
            for (int s = 0; s < 3; s++) {
                random_fill(x, COUNT, 1, 1);
                x[at] = strange[s];
                assert_encoded(&eight, params, x, count, next);
                if (at + 1 < count) /* two that would cancel each other */
                    x[at + 1] = -strange[s];
                assert_encoded(&eight, params, x, count, next);
            }
    x[0] = FLT_MAX; /* the quotient is not finite, the value is */
    x[1] = -FLT_MAX;
    assert_encoded(&eight, params, x, 2, next);
    /* the extremes of what comes next pass over a NaN, but for the first, as bs_min_max's do */
    uint8_t codes[COUNT];
    x[0] = 1;
    x[COUNT - 1] = NAN;
    for (size_t i = 1; i + 1 < COUNT; i++)
        x[i] = -3;
    struct bs_encoded got = bs_format_encode_all(&eight, params, next, COUNT, x, codes);
    assert_true(got.finite && got.next_low == -3 && got.next_high == 1);
    x[0] = NAN;
    got = bs_format_encode_all(&eight, params, next, COUNT, x, codes);
    assert_true(got.finite && isnan(got.next_low) && isnan(got.next_high));
}

static double norm_of_error(const struct bs_flat *format, struct bs_params params, const float *x,
                            double norm)
{
    double sum = 0;
    for (int i = 0; i < COUNT; i++) {
        float value = bs_format_decode(params, bs_format_encode(format, params, x[i]));
        sum += pow(fabs((double)value - (double)x[i]), norm);
    }
    return sum;
}

static void mse_range_is_the_best_of_the_shrunk_ones(void **state)
{
    (void)state;
    int better = 0;
    for (int bits = 2; bits <= 5; bits++)
        for (int symmetric = 0; symmetric < 2; symmetric++)
            for (int kind = 0; kind < 8; kind += 7) { /* plain, and with an outlier */
                struct bs_flat minmax = grid(BS_GRID_GPTQ, bits, symmetric), mse = minmax;
                mse.range = BS_RANGE_MSE;
                mse.range_norm = 2.4;
                mse.range_grid = 50;
                mse.range_maxshrink = 0.5;
                float x[COUNT], low = 0, high = 0;
                awkward_group(x, kind, (uint64_t)(bits + 10 * kind));
                for (int i = 0; i < COUNT; i++) {
                    low = fminf(low, x[i]);
                    high = fmaxf(high, x[i]);
                }
                double got = norm_of_error(&mse, bs_format_fit(&mse, x, COUNT), x, 2.4);
                for (int i = 0; i < 25; i++) {
                    /* both extremes times 1 - i / 50, up to half */
                    float p = (float)(1 - i / 50.0);
                    struct bs_params tried = bs_format_fit_range(&minmax, p * low, p * high);
                    assert_true(got <= norm_of_error(&minmax, tried, x, 2.4) * (1 + 1e-5));
                }
                double full = norm_of_error(&minmax, bs_format_fit(&minmax, x, COUNT), x, 2.4);
                assert_true(got <= full * (1 + 1e-6));
                better += got < 0.99 * full;
            }
    assert_true(better >= 8);
}

static void mse_range_minimises_its_own_norm(void **state)
{
    (void)state;
    /* A high power looks at the largest error, a low one at all of them: the chosen ranges differ.
     */
    float x[COUNT];
    awkward_group(x, 7, 5);
    struct bs_flat low = grid(BS_GRID_GPTQ, 3, false);
    low.range = BS_RANGE_MSE;
    low.range_grid = 100;
    low.range_maxshrink = 0.95;
    low.range_norm = 0.5;
    struct bs_flat high = low;
    high.range_norm = 6;
    struct bs_params few = bs_format_fit(&low, x, COUNT), most = bs_format_fit(&high, x, COUNT);
    assert_true(few.scale < most.scale);
    assert_true(norm_of_error(&low, few, x, 0.5) < norm_of_error(&low, most, x, 0.5));
    assert_true(norm_of_error(&low, most, x, 6) < norm_of_error(&low, few, x, 6));
    low.range_maxshrink = 0; /* nothing tried: minmax */
    struct bs_flat minmax = grid(BS_GRID_GPTQ, 3, false);
    assert_true(bs_format_fit(&low, x, COUNT).scale == bs_format_fit(&minmax, x, COUNT).scale);
}

static void a_matrix_is_rounded_group_by_group(void **state)
{
    (void)state;
    enum { ROWS = 3, COLUMNS = 10 };
    static const int sizes[] = {BS_GROUP_CHANNEL, BS_GROUP_TENSOR, 4, 5, 1, 10, 64};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct bs_flat format = grid(BS_GRID_AWQ, 3, false);
        format.group_size = sizes[k];
        int columns = sizes[k] > 0 && sizes[k] < COLUMNS ? sizes[k] : COLUMNS;
        float x[ROWS * COLUMNS], want[ROWS * COLUMNS];
        random_fill(x, ROWS * COLUMNS, 1, k);
        memcpy(want, x, sizeof want);
        if (sizes[k] == BS_GROUP_TENSOR) {
            bs_format_round(&format, bs_format_fit(&format, want, ROWS * COLUMNS), want,
                            ROWS * COLUMNS);
        } else {
            for (int i = 0; i < ROWS; i++)
                for (int j = 0; j < COLUMNS; j += columns) {
                    size_t n = (size_t)(COLUMNS - j < columns ? COLUMNS - j : columns);
                    float *group = want + i * COLUMNS + j;
                    bs_format_round(&format, bs_format_fit(&format, group, n), group, n);
                }
        }
        bs_format_round_matrix(&format, x, ROWS, COLUMNS);
        assert_memory_equal(x, want, sizeof x);
    }
}

static void auto_settings_become_the_authors(void **state)
{
    (void)state;
    struct bs_error err;
    static const struct {
        enum bs_grid preferred, grid;
        int symmetric;
    } cases[] = {{BS_GRID_GPTQ, BS_GRID_GPTQ, 0},
                 {BS_GRID_AWQ, BS_GRID_AWQ, 0},
                 {BS_GRID_SMOOTHQUANT, BS_GRID_SMOOTHQUANT, 1},
                 {BS_GRID_AUTO, BS_GRID_GPTQ, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bs_flat format = {.bits = 4, .grid = BS_GRID_AUTO, .symmetric = BS_SYMMETRIC_AUTO};
        assert_int_equal(bs_format_resolve(&format, cases[i].preferred, &err), BS_OK);
        assert_int_equal(format.grid, cases[i].grid);
        assert_int_equal(format.symmetric, cases[i].symmetric);
    }
    struct bs_flat chosen = grid(BS_GRID_AWQ, 4, true);
    assert_int_equal(bs_format_resolve(&chosen, BS_GRID_SMOOTHQUANT, &err), BS_OK);
    assert_true(chosen.grid == BS_GRID_AWQ && chosen.symmetric == BS_SYMMETRIC);
}

static void formats_that_do_not_exist_are_refused(void **state)
{
    (void)state;
    struct bs_error err;
    const struct bs_plugin *format = bs_registry_find(&bs_format_registry, "int");
    for (int bits = 0; bits <= 32; bits++) {
        struct bs_int values;
        char text[16];
        snprintf(text, sizeof text, "%d", bits);
        assert_int_equal(
            bs_option_parse(bs_option_find(format->options, "bits"), text, &values, &err),
            (bits >= 2 && bits <= 8) || bits == 16 ? BS_OK : BS_ECONFIG);
    }
    struct bs_flat asymmetric = grid(BS_GRID_SMOOTHQUANT, 8, false);
    assert_int_equal(bs_format_resolve(&asymmetric, BS_GRID_AUTO, &err), BS_ECONFIG);
    assert_non_null(strstr(err.message, "smoothquant"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gptq_asymmetric),
        cmocka_unit_test(gptq_range_contains_zero),
        cmocka_unit_test(gptq_symmetric_extremes_are_ties),
        cmocka_unit_test(gptq_symmetric_scale_is_made_in_float),
        cmocka_unit_test(gptq_symmetric_without_negatives_wastes_half),
        cmocka_unit_test(gptq_group_of_zeros),
        cmocka_unit_test(gptq_group_of_subnormals_has_a_scale),
        cmocka_unit_test(awq_asymmetric_range_need_not_contain_zero),
        cmocka_unit_test(awq_range_has_a_floor),
        cmocka_unit_test(awq_symmetric),
        cmocka_unit_test(smoothquant),
        cmocka_unit_test(a_range_is_fitted_like_values_that_span_it),
        cmocka_unit_test(every_grid_rounds_to_its_nearest_code),
        cmocka_unit_test(encoding_all_equals_encoding_each),
        cmocka_unit_test(encoding_all_takes_ties_to_the_even_level),
        cmocka_unit_test(encoding_all_sees_what_is_not_finite),
        cmocka_unit_test(mse_range_is_the_best_of_the_shrunk_ones),
        cmocka_unit_test(mse_range_minimises_its_own_norm),
        cmocka_unit_test(a_matrix_is_rounded_group_by_group),
        cmocka_unit_test(auto_settings_become_the_authors),
        cmocka_unit_test(formats_that_do_not_exist_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
