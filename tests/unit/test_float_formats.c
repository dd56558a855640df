/* Floating-point, microscaling and NVFP4 formats beside their levels: who shares a scale at weights
 * and at activations, blocks of two dimensions, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "tests/support/close.h"
#include "tests/support/random_block.h"
#include "tests/support/settings.h"

enum { ROWS = 5, WIDTH = 64 };

/* x [rows][WIDTH] by the format of a matrix that these rows are. */
static void as_matrix(const char *settings, float *x, int rows)
{
    round_matrix(weights_setting(settings), x, rows, WIDTH);
}

/* Rows whose sizes differ, so that it shows who shares a scale. */
static void fill(float *x)
{
    random_fill(x, ROWS * WIDTH, 1, 5);
    for (int i = 0; i < ROWS * WIDTH; i++)
        x[i] *= ldexpf(1.3f, i / WIDTH);
}

static bool same(const float *a, const float *b)
{
    bool same = true;
    for (int i = 0; i < ROWS * WIDTH; i++)
        same &= a[i] == b[i];
    return same;
}

static void round_activations(const char *settings, const struct bs_fixed *fixed, float *x)
{
    const struct bs_setting *setting = activations_setting(settings);
    struct bs_error err;
    assert_int_equal(bs_values_check(setting, WIDTH, 1, &err), BS_OK);
    struct bs_scratch *scratch = bs_scratch_create(1, bs_values_floats(ROWS, WIDTH));
    bs_values_round(setting, fixed, bs_rounder_of(setting, 0),
                    &(struct bs_values){x, ROWS, WIDTH, WIDTH, 1}, scratch);
    bs_scratch_free(scratch, 1);
}

/* The scale above the blocks' is that of a token, of a window, or what the calibration saw. */
static void activations_share_what_a_tensor_shares(void **state)
{
    (void)state;
    static float x[ROWS * WIDTH], want[ROWS * WIDTH], got[ROWS * WIDTH];
    fill(x);
    memcpy(want, x, sizeof x);
    memcpy(got, x, sizeof x);
    for (int t = 0; t < ROWS; t++)
        as_matrix("format=nvfp4", want + t * WIDTH, 1);
    round_activations("format=nvfp4 sharing=token", NULL, got);
    assert_true(same(got, want));

    float apart[ROWS * WIDTH];
    memcpy(apart, got, sizeof got);
    memcpy(want, x, sizeof x);
    memcpy(got, x, sizeof x);
    as_matrix("format=nvfp4", want, ROWS);
    round_activations("format=nvfp4 sharing=window", NULL, got);
    assert_true(same(got, want));
    assert_false(same(got, apart));

    float low = 0, high = 0;
    struct bs_fixed fixed;
    const struct bs_setting *setting = activations_setting("format=nvfp4 sharing=static");
    for (int i = 0; i < ROWS * WIDTH; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
    }
    bs_values_fix(setting, WIDTH, low, high, &fixed);
    memcpy(got, x, sizeof x);
    round_activations("format=nvfp4 sharing=static", &fixed, got);
    assert_true(same(got, want));
    bs_values_fix(setting, WIDTH, 3 * low, high, &fixed);
    memcpy(got, x, sizeof x);
    round_activations("format=nvfp4 sharing=static", &fixed, got);
    assert_false(same(got, want));
}

/* Without it blocks stand alone, whatever is in the same matrix. */
static void activations_in_groups_have_scales_of_their_own(void **state)
{
    (void)state;
    static const char *const settings[] = {"format=nvfp4 tensor_scale=false",
                                           "format=mxfp4",
                                           "format=mxint8",
                                           "format=fp8_e4m3 group_size=16",
                                           "format=fp8_e5m2",
                                           "format=bf16",
                                           "format=float exponent_bits=3 mantissa_bits=1"};
    static float x[ROWS * WIDTH], want[ROWS * WIDTH], got[ROWS * WIDTH];
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        fill(x);
        memcpy(want, x, sizeof x);
        memcpy(got, x, sizeof x);
        as_matrix(settings[s], want, ROWS);
        round_activations(settings[s], NULL, got);
        assert_true(same(got, want));
    }
}

/* Blocks of 128 x 128 have the scale of their largest value; those at the edges are smaller. */
static void blocks_share_a_scale(void **state)
{
    (void)state;
    enum { OUT = 150, IN = 300 };
    struct bs_error err;
    struct bs_codes codes;
    float *x = bs_alloc((size_t)OUT * IN, sizeof *x);
    assert_non_null(x);
    random_fill(x, OUT * IN, 1, 8);
    const struct bs_setting *setting = weights_setting("format=fp8_e4m3 group_size=block");
    assert_int_equal(bs_codes_init(&codes, setting, 0, OUT, IN, &err), BS_OK);
    assert_int_equal(bs_codes_round(&codes, x, NULL, &err), BS_OK);
    assert_true(bs_codes_bits(&codes) == OUT * IN * 8 + 2 * 3 * 32);
    for (int i = 0; i < OUT; i++)
        for (int g = 0; g < codes.groups; g++) {
            float most = 0;
            for (int r = i / 128 * 128; r < OUT && r < i / 128 * 128 + 128; r++)
                for (int j = g * 128; j < IN && j < g * 128 + 128; j++)
                    most = fmaxf(most, fabsf(x[r * IN + j]));
            assert_true(bs_codes_cell(&codes, i, g).scale == most / 448);
        }
    bs_codes_release(&codes);
    bs_free(x);
}

/* Scales are what a file holds. */
static void scales_are_computed_as_they_are_stored(void **state)
{
    (void)state;
    static const char *const settings[] = {"format=fp8_e4m3 scales=float32",
                                           "format=fp8_e4m3 scales=float16",
                                           "format=fp8_e4m3 scales=bfloat16"};
    float x[WIDTH];
    random_fill(x, WIDTH, 1, 3);
    float whole = cell_of_values(weights_setting(settings[0]), x, WIDTH).scale;
    for (int k = 1; k < 3; k++) {
        float scale = cell_of_values(weights_setting(settings[k]), x, WIDTH).scale;
        uint32_t bits;
        memcpy(&bits, &scale, sizeof bits);
        assert_int_equal(bits & (k == 1 ? 0x1fff : 0xffff), 0);
        assert_true(scale != whole);
        assert_close(scale, whole, 0, k == 1 ? 0x1p-11 : 0x1p-8);
    }
}

static enum bs_status resolved(const char *key, const char *value, const char *format,
                               enum bs_use use, struct bs_error *err)
{
    struct bs_setting setting;
    bs_setting_init(&setting);
    assert_int_equal(bs_setting_set(&setting, use, "format", format, err), BS_OK);
    enum bs_status status = bs_setting_set(&setting, use, key, value, err);
    if (!status)
        status = bs_setting_resolve(&setting, use, err);
    bs_setting_release(&setting);
    return status;
}

static void what_does_not_fit_together_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *format, *key, *value, *says;
        enum bs_use use;
    } refused[] = {
        {"float", "mantissa_bits", "11", "mantissa_bits", BS_FOR_WEIGHTS},
        {"float", "overflow", "infinity", "ieee", BS_FOR_WEIGHTS},
        {"float", "exponent_bits", "8", "ieee", BS_FOR_WEIGHTS},
        {"mxfp4", "scale_rule", "modelopt", "rceil", BS_FOR_WEIGHTS},
        {"nvfp4", "scale_rule", "floor", "torchao", BS_FOR_WEIGHTS},
        {"mxfp4", "sharing", "window", "token", BS_FOR_ACTIVATIONS},
        {"nvfp4", "tensor_scale", "2", "true or false", BS_FOR_ACTIVATIONS},
        {"fp8_e4m3", "group_size", "block", "window or static", BS_FOR_ACTIVATIONS},
        {"fp8_e4m3", "group_size", "tensor", "window or static", BS_FOR_ACTIVATIONS},
    };
    struct bs_error err;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(
            resolved(refused[i].key, refused[i].value, refused[i].format, refused[i].use, &err),
            BS_ECONFIG);
        if (!strstr(err.message, refused[i].says))
            fail_msg("'%s' does not say '%s'", err.message, refused[i].says);
    }
    assert_int_equal(resolved("mantissa_bits", "10", "float", BS_FOR_WEIGHTS, &err), BS_OK);
}

static void widths_that_are_no_whole_blocks_are_refused(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_code_layout layout;
    assert_int_equal(bs_setting_lay(weights_setting("format=mxfp4"), 4, 48, &layout, &err),
                     BS_ECONFIG);
    assert_non_null(strstr(err.message, "blocks of 32 values do not fit in rows of 48"));
    assert_int_equal(bs_setting_lay(weights_setting("format=nvfp4"), 4, 48, &layout, &err), BS_OK);
    assert_int_equal(bs_setting_lay(weights_setting("format=nvfp4"), 4, 40, &layout, &err),
                     BS_ECONFIG);
    assert_non_null(strstr(err.message, "blocks of 16 values do not fit in rows of 40"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_share_what_a_tensor_shares),
        cmocka_unit_test(activations_in_groups_have_scales_of_their_own),
        cmocka_unit_test(blocks_share_a_scale),
        cmocka_unit_test(scales_are_computed_as_they_are_stored),
        cmocka_unit_test(what_does_not_fit_together_is_refused),
        cmocka_unit_test(widths_that_are_no_whole_blocks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
