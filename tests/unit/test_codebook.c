/* Levels of one's own: any table, sorted or not, of any size, rounds to the nearest level of a
 * scale that reaches the values, and takes the bits that it says. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "tests/support/fixed_numbers.h"
#include "tests/support/settings.h"

enum { ROWS = 4, COLUMNS = 96, COUNT = ROWS * COLUMNS };

/* By hand: the least error of every level. */
static float nearest(const float *levels, int count, float scale, float x)
{
    float best = scale * levels[0];
    for (int k = 1; k < count; k++)
        if (fabsf(scale * levels[k] - x) < fabsf(best - x))
            best = scale * levels[k];
    return best;
}

static void values_take_the_nearest_level(void **state)
{
    (void)state;
    static const float levels[] = {-1, -0.3f, 0.05f, 0.7f, 2};
    const struct bs_setting *setting =
        weights_setting("format=codebook levels=[2,-0.3,0.05,-1,0.7] group_size=32");
    float x[COUNT], rounded[COUNT];
    fixed_uniform(x, COUNT);
    memcpy(rounded, x, sizeof x);
    round_matrix(setting, rounded, ROWS, COLUMNS);
    for (int at = 0; at < COUNT; at += 32) {
        float low = 0, high = 0;
        for (int j = at; j < at + 32; j++) {
            low = fminf(low, x[j]);
            high = fmaxf(high, x[j]);
        }
        float scale = bs_half_value(bs_half_of(fmaxf(-low, high / 2)));
        for (int j = at; j < at + 32; j++)
            assert_true(rounded[j] == nearest(levels, 5, scale, x[j]));
    }
}

/* Whole numbers as levels are the grid that rounds to them. */
static void whole_numbers_are_int(void **state)
{
    (void)state;
    float x[COUNT], other[COUNT];
    fixed_uniform(x, COUNT);
    memcpy(other, x, sizeof x);
    round_matrix(weights_setting("format=codebook levels=[-3,-2,-1,0,1,2,3] group_size=32"), x,
                 ROWS, COLUMNS);
    round_matrix(weights_setting("bits=3 grid=awq symmetric=true scales=float16 group_size=32"),
                 other, ROWS, COLUMNS);
    for (int j = 0; j < COUNT; j++)
        assert_true(x[j] == other[j]);
}

static void bits_are_those_of_places(void **state)
{
    (void)state;
    static const struct {
        const char *levels;
        int bits;
    } cases[] = {{"[-1,1]", 1}, {"[-1,0,1]", 2}, {"[1,2,3,4]", 2}, {"[1,2,3,4,5]", 3}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char text[120];
        struct bs_error err;
        struct bs_code_layout layout;
        snprintf(text, sizeof text, "format=codebook group_size=32 levels=%s", cases[k].levels);
        assert_int_equal(bs_setting_lay(weights_setting(text), ROWS, COLUMNS, &layout, &err),
                         BS_OK);
        assert_true(layout.bits == COUNT * cases[k].bits + COUNT / 32 * 16);
    }
}

/* A setting's table is its own: it outlives the one that it was copied from. */
static void a_copy_has_its_own_table(void **state)
{
    (void)state;
    struct bs_setting first, copy;
    struct bs_error err;
    float x[COUNT], other[COUNT];
    bs_setting_init(&first);
    assert_int_equal(bs_setting_set(&first, BS_FOR_WEIGHTS, "format", "codebook", &err), BS_OK);
    assert_int_equal(bs_setting_set(&first, BS_FOR_WEIGHTS, "levels", "[-1, 0.25, 1]", &err),
                     BS_OK);
    assert_int_equal(bs_setting_resolve(&first, BS_FOR_WEIGHTS, &err), BS_OK);
    assert_int_equal(bs_setting_copy(&copy, &first, &err), BS_OK);
    assert_true(bs_setting_equal(&copy, &first));
    fixed_uniform(x, COUNT);
    memcpy(other, x, sizeof x);
    round_matrix(&first, x, ROWS, COLUMNS);
    bs_setting_release(&first);
    round_matrix(&copy, other, ROWS, COLUMNS);
    bs_setting_release(&copy);
    assert_memory_equal(x, other, sizeof x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_take_the_nearest_level),
        cmocka_unit_test(whole_numbers_are_int),
        cmocka_unit_test(bits_are_those_of_places),
        cmocka_unit_test(a_copy_has_its_own_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
