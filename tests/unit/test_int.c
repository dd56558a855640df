/* The integer format: each grid worked by hand, then what holds for all of them. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/quant/codes.h"
#include "tests/support/close.h"
#include "tests/support/groups.h"
#include "tests/support/random_block.h"
#include "tests/support/settings.h"

static const struct bs_rounder nearest = {.mode = BS_NEAREST};

static const char *const grids[] = {"gptq", "awq", "smoothquant"};
enum { SMOOTHQUANT = 2, GRIDS };

/* A value, the code it gets, and what that decodes to. */
struct row {
    float x;
    int code;
    float value;
};

/* Fits the rows' own values and compares scale, zero point and every row. */
static void assert_grid(const struct bs_setting *format, float scale, int zero_point,
                        const struct row *rows, size_t count)
{
    float x[16] = {0};
    assert_in_range(count, 1, 16);
    for (size_t i = 0; i < count; i++)
        x[i] = rows[i].x;
    struct bs_cell cell = cell_of_values(format, x, count);
    assert_true(cell.scale == scale);
    assert_int_equal(-cell.first, zero_point);
    bs_cell_round(&cell, nearest, 0, x, count);
    for (size_t i = 0; i < count; i++) {
        int code = bs_cell_nearest(&cell, rows[i].x);
        assert_int_equal(code, rows[i].code);
        assert_true(bs_cell_decode(&cell, code) == rows[i].value);
        assert_true(x[i] == rows[i].value);
    }
}

#define ASSERT_GRID(format, scale, zero_point, ...)                                                \
    assert_grid(format, scale, zero_point, (struct row[]){__VA_ARGS__},                            \
                sizeof((struct row[]){__VA_ARGS__}) / sizeof(struct row))

/* Ranges below are chosen so that scales come out as powers of two. */

static void gptq_asymmetric(void **state)
{
    (void)state;
    const struct bs_setting *four = grid("gptq", 4, false);
    /* (5 + 2.5) / 15 = 0.5; z = 5; halves of a step go to the even level */
    ASSERT_GRID(four, 0.5f, 5, {-2.5f, 0, -2.5f}, {5, 15, 5}, {0, 5, 0}, {0.25f, 5, 0},
                {0.75f, 7, 1}, {1.25f, 7, 1}, {-0.25f, 5, 0}, {-0.75f, 3, -1}, {-1.25f, 3, -1},
                {1.26f, 8, 1.5f});
    /* z itself is a tie: 1.25 / 0.5 = 2.5 goes to 2, and the far ends clip: 6.25 / .5 = 12.5 -> 12
     */
    ASSERT_GRID(four, 0.5f, 2, {-1.25f, 0, -1}, {6.25f, 14, 6}, {6, 14, 6});
    /* 1.75 / 0.5 = 3.5 goes to 4, which leaves 11 levels above: 5.75 / 0.5 = 11.5 would be 12 */
    ASSERT_GRID(four, 0.5f, 4, {-1.75f, 0, -2}, {5.75f, 15, 5.5f});
    const struct bs_setting *two = grid("gptq", 2, false);
    ASSERT_GRID(two, 1.0f, 1, {-1, 0, -1}, {2, 3, 2}, {0.5f, 1, 0}, {1.5f, 3, 2});
}

static void gptq_range_contains_zero(void **state)
{
    (void)state;
    const struct bs_setting *four = grid("gptq", 4, false);
    ASSERT_GRID(four, 0.5f, 0, {5, 10, 5}, {7.5f, 15, 7.5f});
    ASSERT_GRID(four, 0.5f, 15, {-5, 5, -5}, {-7.5f, 0, -7.5f});
}

static void gptq_symmetric_extremes_are_ties(void **state)
{
    (void)state;
    const struct bs_setting *four = grid("gptq", 4, true);
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
    const struct bs_setting *four = grid("gptq", 4, true);
    int eight = 0, seven = 0;
    for (int i = 0; i < 1000; i++) {
        float absmax = 1 + (float)i / 1024;
        struct bs_cell cell = cell_of_values(four, (float[]){-absmax, absmax / 3}, 2);
        volatile float width = absmax + absmax, scale = width / 15, ratio = absmax / scale;
        assert_true(cell.scale == scale);
        int code = bs_cell_nearest(&cell, -absmax);
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
    const struct bs_setting *four = grid("gptq", 4, true);
    /* the range stays [0, 15] but the middle code stands for 0: above 7 steps all is clipped */
    ASSERT_GRID(four, 1.0f, 8, {0, 8, 0}, {3, 11, 3}, {7, 15, 7}, {15, 15, 7});
    ASSERT_GRID(four, 1.0f, 8, {1, 9, 1}, {15, 15, 7});
}

static void gptq_group_of_zeros(void **state)
{
    (void)state;
    const struct bs_setting *asymmetric = grid("gptq", 4, false);
    const struct bs_setting *symmetric = grid("gptq", 4, true);
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
                const struct bs_setting *format = grid("gptq", bits, symmetric);
                float x[] = {-(float)width * tiny, 0, 0};
                struct bs_cell cell = cell_of_values(format, x, 3);
                assert_true(cell.scale > 0);
                assert_in_range(-cell.first, 0, (1 << bits) - 1);
                bs_cell_round(&cell, nearest, 0, x, 3);
                assert_true(x[0] <= 0 && x[0] >= -2 * (float)width * tiny && x[1] == 0);
            }
}

static void awq_asymmetric_range_need_not_contain_zero(void **state)
{
    (void)state;
    const struct bs_setting *four = grid("awq", 4, false);
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
    const struct bs_setting *asymmetric = grid("awq", 4, false);
    const struct bs_setting *symmetric = grid("awq", 4, true);
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
    const struct bs_setting *four = grid("awq", 4, true);
    ASSERT_GRID(four, 1.0f, 8, {-7, 1, -7}, {7, 15, 7}, {3.5f, 12, 4}, {2.5f, 10, 2},
                {-2.5f, 6, -2});
    ASSERT_GRID(four, 1.0f, 8, {7, 15, 7}, {1, 9, 1});    /* no negatives: nothing is wasted */
    ASSERT_GRID(four, 1.0f, 8, {-7, 1, -7}, {-1, 7, -1}); /* code 0 is never reached */
    const struct bs_setting *two = grid("awq", 2, true);
    ASSERT_GRID(two, 3.0f, 2, {3, 3, 3}, {-3, 1, -3}, {1.5f, 2, 0}, {1.75f, 3, 3});
}

static void smoothquant(void **state)
{
    (void)state;
    const struct bs_setting *eight = grid("smoothquant", 8, true);
    ASSERT_GRID(eight, 1.0f, 128, {-127, 1, -127}, {127, 255, 127}, {126.5f, 254, 126},
                {0.5f, 128, 0}, {1.5f, 130, 2});
    ASSERT_GRID(eight, 1e-5f / 127, 128, {0, 128, 0});
    /* A static scale can be exceeded: codes then end at -128 and 127. */
    struct bs_cell cell = cell_between(eight, -100, 127);
    assert_true(cell.scale == 1 && -cell.first == 128);
    assert_int_equal(bs_cell_nearest(&cell, 1e6f), 255);
    assert_int_equal(bs_cell_nearest(&cell, -1e6f), 0);
    assert_true(bs_cell_decode(&cell, 0) == -128);
}

static void a_range_is_fitted_like_values_that_span_it(void **state)
{
    (void)state;
    for (int g = 0; g < GRIDS; g++)
        for (int symmetric = g == SMOOTHQUANT; symmetric < 2; symmetric++) {
            const struct bs_setting *format = grid(grids[g], 5, symmetric);
            static const float ranges[][2] = {
                {-1.25f, 3.5f}, {-4, 2}, {0.25f, 3}, {-2, -1}, {0, 0}};
            for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
                struct bs_cell one = cell_of_values(format, ranges[i], 2);
                struct bs_cell two = cell_between(format, ranges[i][0], ranges[i][1]);
                assert_true(one.scale == two.scale && one.first == two.first);
            }
        }
}

/* What any grid must do with any group. */
static void assert_sound(const struct bs_setting *format, const float *x)
{
    int levels = 1 << bs_setting_layout(format).code_bits, used = 0;
    bool seen[256] = {false};
    struct bs_cell cell = cell_of_values(format, x, COUNT);
    assert_true(cell.scale > 0 && isfinite(cell.scale));
    assert_in_range(-cell.first, 0, levels - 1);
    float rounded[COUNT];
    memcpy(rounded, x, sizeof rounded);
    bs_cell_round(&cell, nearest, 0, rounded, COUNT);
    for (int i = 0; i < COUNT; i++) {
        int code = bs_cell_nearest(&cell, x[i]);
        assert_in_range(code, 0, levels - 1);
        float value = bs_cell_decode(&cell, code);
        assert_true(value == rounded[i]);
        assert_int_equal(bs_cell_nearest(&cell, value), code);
        used += !seen[code];
        seen[code] = true;
        /* no other code is nearer, but for the rounding of the quotient */
        double distance = fabs((double)value - (double)x[i]);
        for (int other = 0; other < levels; other++) {
            double apart = fabs((double)bs_cell_decode(&cell, other) - (double)x[i]);
            assert_true(distance <= apart + 1e-4 * (double)cell.scale);
        }
    }
    assert_true(used <= levels);
}

static void every_grid_rounds_to_its_nearest_code(void **state)
{
    (void)state;
    for (int g = 0; g < GRIDS; g++)
        for (int bits = 2; bits <= 8; bits++)
            for (int symmetric = g == SMOOTHQUANT; symmetric < 2; symmetric++)
                for (int kind = 0; kind < 8; kind++) {
                    const struct bs_setting *format = grid(grids[g], bits, symmetric);
                    float x[COUNT];
                    awkward_group(x, kind, (uint64_t)(100 * g + 10 * bits + kind));
                    assert_sound(format, x);
                }
}

/* encode_all of count values of x against one value at a time. */
static void assert_encoded(struct bs_cell cell, const float *x, size_t count, const float *next)
{
    enum { BEYOND = 0xa5 };
    uint8_t codes[COUNT + 1];
    uint32_t sum = 0;
    float low = next[0], high = next[0];
    memset(codes, BEYOND, sizeof codes);
    struct bs_encoded got = bs_cell_encode_bytes(&cell, x, count, next, codes);
    bool finite = true;
    for (size_t i = 0; i < count; i++) {
        finite = finite && isfinite(x[i]);
        if (!isnan(x[i]))
            assert_int_equal(codes[i], bs_cell_nearest(&cell, x[i]));
        sum += codes[i];
        low = fminf(low, next[i]);
        high = fmaxf(high, next[i]);
    }
    assert_int_equal(codes[count], BEYOND);
    assert_int_equal(got.sum, sum);
    assert_int_equal(got.finite, finite);
    assert_true(got.next_low == low && got.next_high == high);
}

static void encoding_all_equals_encoding_each(void **state)
{
    (void)state;
    float next[COUNT];
    for (int g = 0; g < GRIDS; g++)
        for (int bits = 2; bits <= 8; bits += 3)
            for (int symmetric = g == SMOOTHQUANT; symmetric < 2; symmetric++)
                for (int kind = 0; kind < 8; kind++)
                    for (size_t count = 1; count <= COUNT; count++) {
                        const struct bs_setting *format = grid(grids[g], bits, symmetric);
                        float x[COUNT];
                        awkward_group(x, kind, 100 * count + (uint64_t)bits);
                        awkward_group(next, 7 - kind, count);
                        struct bs_cell cell = cell_of_values(format, x, count);
                        assert_encoded(cell, x, count, next);
                        cell.scale *= 0.3f; /* codes end at both ends */
                        assert_encoded(cell, x, count, x);
                    }
}

static void encoding_all_takes_ties_to_the_even_level(void **state)
{
    (void)state;
    const struct bs_setting *eight = grid("awq", 8, false);
    for (int zero_point = 0; zero_point <= 255; zero_point += 51) {
        struct bs_cell cell = cell_of_values(eight, (const float[]){0, 1}, 2);
        cell.scale = 0.5f;
        cell.first = -zero_point;
        for (int first = -300; first < 300; first += COUNT) {
            float x[COUNT];
            uint8_t codes[COUNT];
            for (int i = 0; i < COUNT; i++)
                x[i] = 0.5f * ((float)(first + i) + 0.5f);
            bs_cell_encode_bytes(&cell, x, COUNT, x, codes);
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
    const struct bs_setting *eight = grid("smoothquant", 8, true);
    struct bs_cell cell = cell_between(eight, -1.27f, 1.27f);
    float x[COUNT], next[COUNT];
    random_fill(next, COUNT, 1, 2);
    for (size_t count = 1; count <= COUNT; count += 19)
        for (size_t at = 0; at < count; at++)
            for (int s = 0; s < 3; s++) {
                random_fill(x, COUNT, 1, 1);
                x[at] = strange[s];
                assert_encoded(cell, x, count, next);
                if (at + 1 < count) /* two that would cancel each other */
                    x[at + 1] = -strange[s];
                assert_encoded(cell, x, count, next);
            }
    x[0] = FLT_MAX; /* the quotient is not finite, the value is */
    x[1] = -FLT_MAX;
    assert_encoded(cell, x, 2, next);
    /* the extremes of what comes next pass over a NaN, but for the first, as bs_min_max's do */
    uint8_t codes[COUNT];
    x[0] = 1;
    x[COUNT - 1] = NAN;
    for (size_t i = 1; i + 1 < COUNT; i++)
        x[i] = -3;
    struct bs_encoded got = bs_cell_encode_bytes(&cell, next, COUNT, x, codes);
    assert_true(got.finite && got.next_low == -3 && got.next_high == 1);
    x[0] = NAN;
    got = bs_cell_encode_bytes(&cell, next, COUNT, x, codes);
    assert_true(got.finite && isnan(got.next_low) && isnan(got.next_high));
}

static void auto_settings_become_the_authors(void **state)
{
    (void)state;
    static const struct bs_preference authors[] = {
        {"nothing like it", "grid", "gptq"}, {"int", "grid", "awq"}, {.format = NULL}};
    static const struct bs_preference others[] = {{"int", "grid", "smoothquant"}, {.format = NULL}};
    static const struct {
        const char *grid, *symmetric, *got_grid, *got_symmetric;
    } cases[] = {{"auto", "auto", "awq", "false"},
                 {"auto", "true", "awq", "true"},
                 {"gptq", "auto", "gptq", "false"},
                 {"smoothquant", "auto", "smoothquant", "true"}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct bs_setting setting;
        struct bs_error err;
        char text[16];
        bs_setting_init(&setting);
        bs_setting_set(&setting, BS_FOR_WEIGHTS, "bits", "4", &err);
        bs_setting_set(&setting, BS_FOR_WEIGHTS, "grid", cases[k].grid, &err);
        bs_setting_set(&setting, BS_FOR_WEIGHTS, "symmetric", cases[k].symmetric, &err);
        bs_setting_prefer(&setting, authors);
        bs_setting_prefer(&setting, others); /* nothing is left for them */
        assert_int_equal(bs_setting_resolve(&setting, BS_FOR_WEIGHTS, &err), BS_OK);
        bs_setting_text(&setting, "grid", text, sizeof text);
        assert_string_equal(text, cases[k].got_grid);
        bs_setting_text(&setting, "symmetric", text, sizeof text);
        assert_string_equal(text, cases[k].got_symmetric);
        bs_setting_release(&setting);
    }
}

static enum bs_status try_resolve(enum bs_use use, const char *key, const char *value,
                                  const char *other, const char *other_value, struct bs_error *err)
{
    struct bs_setting setting;
    bs_setting_init(&setting);
    enum bs_status status = bs_setting_set(&setting, use, "bits", "8", err);
    if (!status)
        status = bs_setting_set(&setting, use, key, value, err);
    if (!status)
        status = bs_setting_set(&setting, use, other, other_value, err);
    if (!status)
        status = bs_setting_resolve(&setting, use, err);
    bs_setting_release(&setting);
    return status;
}

/* Mean size and sign; 0 is +. */
static void a_code_of_one_bit_is_a_sign(void **state)
{
    (void)state;
    static const float x[] = {1, -3, 0, 0.5f, -0.5f, 1};
    struct bs_cell cell = cell_of_values(weights_setting("bits=1"), x, 6);
    for (int j = 0; j < 6; j++)
        assert_true(bs_cell_decode(&cell, bs_cell_nearest(&cell, x[j])) == (x[j] < 0 ? -1.0f : 1));
    static const float nothing[3] = {0};
    cell = cell_of_values(weights_setting("bits=1"), nothing, 3);
    assert_true(cell.scale > 0 && fabsf(bs_cell_decode(&cell, 1)) < 1e-30f);
}

/* What a file stores is what is computed with. */
static void scales_are_those_of_the_file(void **state)
{
    (void)state;
    static const float x[] = {-0.3f, 0.1f, 0.777f};
    struct bs_cell exact = cell_of_values(weights_setting("bits=4"), x, 3);
    struct bs_cell half = cell_of_values(weights_setting("bits=4 scales=float16"), x, 3);
    struct bs_cell brain = cell_of_values(weights_setting("bits=4 scales=bfloat16"), x, 3);
    assert_true(half.scale == bs_half_value(bs_half_of(exact.scale)) && half.scale != exact.scale);
    assert_true(brain.scale == ldexpf(rintf(ldexpf(exact.scale, 11)), -11));
    struct bs_cell any = cell_of_values(weights_setting("bits=4 zero_point=float"), x, 3);
    assert_true(any.first == 0 && any.zero == 0.3f / exact.scale);
    assert_true(any.scale == exact.scale);
}

static void formats_that_do_not_exist_are_refused(void **state)
{
    (void)state;
    struct bs_error err;
    for (int bits = 0; bits <= 32; bits++) {
        char text[16];
        snprintf(text, sizeof text, "%d", bits);
        assert_int_equal(try_resolve(BS_FOR_WEIGHTS, "bits", text, "group_size", "8", &err),
                         (bits >= 1 && bits <= 8) || bits == 16 ? BS_OK : BS_ECONFIG);
    }
    static const struct {
        enum bs_use use;
        const char *key, *value, *other, *other_value, *message;
    } refused[] = {
        {BS_FOR_WEIGHTS, "grid", "smoothquant", "symmetric", "false", "smoothquant"},
        {BS_FOR_ACTIVATIONS, "symmetric", "false", "sharing", "token", "smoothquant"},
        {BS_FOR_ACTIVATIONS, "group_size", "tensor", "sharing", "token", "tensor"},
        {BS_FOR_ACTIVATIONS, "group_size", "16", "sharing", "window", "groups"},
        {BS_FOR_ACTIVATIONS, "group_size", "16", "sharing", "static", "groups"},
        {BS_FOR_ACTIVATIONS, "range", "mse", "sharing", "static", "mse"},
        {BS_FOR_WEIGHTS, "format", "intt", "bits", "4", "int"},
        {BS_FOR_WEIGHTS, "range", "maxmin", "bits", "4", "minmax"},
        {BS_FOR_WEIGHTS, "rounding", "up", "bits", "4", "nearest"},
        {BS_FOR_WEIGHTS, "colour", "red", "bits", "4", "colour"},
    };
    for (size_t k = 0; k < sizeof refused / sizeof *refused; k++) {
        if (try_resolve(refused[k].use, refused[k].key, refused[k].value, refused[k].other,
                        refused[k].other_value, &err) != BS_ECONFIG)
            fail_msg("%s=%s is taken", refused[k].key, refused[k].value);
        assert_non_null(strstr(err.message, refused[k].message));
    }
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
        cmocka_unit_test(auto_settings_become_the_authors),
        cmocka_unit_test(a_code_of_one_bit_is_a_sign),
        cmocka_unit_test(scales_are_those_of_the_file),
        cmocka_unit_test(formats_that_do_not_exist_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
