/* Who shares a scale at a site, against the same values rounded one sharer at a time. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/quant/values.h"
#include "tests/support/close.h"
#include "tests/support/random_block.h"
#include "tests/support/settings.h"

enum { TOKENS = 21, HEADS = 3, DIM = 16, WIDTH = HEADS * DIM, STRIDE = WIDTH + 5 };

static struct bs_scratch *scratch;
static float x[TOKENS * STRIDE];

static int setup(void **state)
{
    (void)state;
    scratch = bs_scratch_create(1, bs_values_floats(TOKENS, WIDTH));
    return scratch ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    bs_scratch_free(scratch, 1);
    return 0;
}

static void fill(void)
{
    random_fill(x, TOKENS * STRIDE, 1, 11);
    for (int i = 0; i < TOKENS * STRIDE; i++)
        x[i] *= (float)(1 + i / STRIDE % 4) * (1 + 0.3f * (float)(i % STRIDE % 7));
}

static void round_site(const char *settings)
{
    const struct bs_setting *setting = activations_setting(settings);
    struct bs_error err;
    assert_int_equal(bs_values_check(setting, WIDTH, HEADS, &err), BS_OK);
    bs_values_round(setting, NULL, bs_rounder_of(setting, 3),
                    &(struct bs_values){x, TOKENS, WIDTH, STRIDE, HEADS}, scratch);
    assert_int_equal(scratch->used, 0);
}

/* The same of one row of its own, which shares by token. */
static void round_alone(const char *settings, float *row, int count)
{
    const struct bs_setting *setting = activations_setting(settings);
    bs_values_round(setting, NULL, bs_rounder_of(setting, 3),
                    &(struct bs_values){row, 1, count, count, 1}, scratch);
}

static const char *const formats[] = {"bits=4",
                                      "bits=3 symmetric=false grid=awq",
                                      "bits=2 grid=kivi group_size=8",
                                      "bits=3 grid=kvquant keep=0.2",
                                      "bits=4 range=mse",
                                      "format=fp8_e4m3"};
enum { FORMATS = sizeof formats / sizeof *formats };

static const char *with(const char *format, const char *sharing)
{
    static char text[160];
    snprintf(text, sizeof text, "%s sharing=%s", format, sharing);
    return text;
}

static void heads_have_scales_of_their_own(void **state)
{
    (void)state;
    for (int f = 0; f < FORMATS; f++) {
        float want[TOKENS * STRIDE];
        fill();
        memcpy(want, x, sizeof want);
        round_site(with(formats[f], "head"));
        for (int t = 0; t < TOKENS; t++)
            for (int h = 0; h < HEADS; h++)
                round_alone(formats[f], want + t * STRIDE + h * DIM, DIM);
        assert_memory_equal(x, want, sizeof want);
    }
}

static void channels_have_scales_along_the_tokens(void **state)
{
    (void)state;
    for (int f = 0; f < FORMATS; f++) {
        float was[TOKENS * STRIDE], column[TOKENS];
        fill();
        memcpy(was, x, sizeof was);
        round_site(with(formats[f], "channel"));
        for (int c = 0; c < WIDTH; c++) {
            for (int t = 0; t < TOKENS; t++)
                column[t] = was[t * STRIDE + c];
            round_alone(formats[f], column, TOKENS);
            for (int t = 0; t < TOKENS; t++)
                assert_true(x[t * STRIDE + c] == column[t]);
        }
        for (int t = 0; t < TOKENS; t++) /* what stands beside it is not touched */
            assert_memory_equal(x + t * STRIDE + WIDTH, was + t * STRIDE + WIDTH,
                                (STRIDE - WIDTH) * sizeof *x);
    }
}

/* By parameters of their own, whatever passes: a head's rows, or a channel's, by these alone. */
static void fixed_parts_are_rounded_by_their_own(void **state)
{
    (void)state;
    static const char *const kinds[] = {"static_head", "static_channel"};
    for (int k = 0; k < 2; k++) {
        const struct bs_setting *setting = activations_setting(with("bits=4", kinds[k]));
        const struct bs_setting *alone = activations_setting("bits=4 sharing=static");
        struct bs_fixed fixed[WIDTH];
        float want[TOKENS * STRIDE];
        int parts = bs_values_parts(setting, WIDTH, HEADS), per = WIDTH / parts;
        assert_int_equal(parts, k ? WIDTH : HEADS);
        for (int i = 0; i < parts; i++)
            bs_values_fix(setting, per, -0.3f * (float)(i + 1), 0.2f * (float)(i + 1), &fixed[i]);
        fill();
        memcpy(want, x, sizeof want);
        bs_values_round(setting, fixed, bs_rounder_of(setting, 3),
                        &(struct bs_values){x, TOKENS, WIDTH, STRIDE, HEADS}, scratch);
        for (int i = 0; i < parts; i++)
            bs_values_round(alone, &fixed[i], bs_rounder_of(alone, 3),
                            &(struct bs_values){want + i * per, TOKENS, per, STRIDE, 1}, scratch);
        assert_memory_equal(x, want, sizeof want);
    }
}

/* By hand: levels -1, 0, 1, 2 between the extremes; what is beyond them stays, they do not. */
static void values_beyond_fixed_extremes_stay(void **state)
{
    (void)state;
    const struct bs_setting *setting =
        activations_setting("bits=2 grid=kvquant keep=0.1 sharing=static_channel");
    float rows[] = {-1.01f, -1, -0.4f, 0.6f, 2, 2.01f};
    const float want[] = {-1.01f, -1, 0, 1, 2, 2.01f};
    struct bs_fixed fixed;
    bs_values_fix(setting, 1, -1, 2, &fixed);
    bs_values_round(setting, &fixed, bs_rounder_of(setting, 0),
                    &(struct bs_values){rows, 6, 1, 1, 1}, scratch);
    for (int i = 0; i < 6; i++)
        assert_close((double)rows[i], (double)want[i], 1e-6, 0);
}

/* By hand: of 1 .. 5 and 100 the quantiles at 0.1 and 0.9 are 1.5 and 52.5, so 1 and 100 stay, and
 * the others lie between 2 and 5, of whose range a third is 1. */
static void outermost_values_stay(void **state)
{
    (void)state;
    float row[] = {3, 100, 2.4f, 5, 1, 2}, want[] = {3, 100, 2, 5, 1, 2};
    round_alone("bits=2 grid=kvquant keep=0.2", row, 6);
    for (int i = 0; i < 6; i++)
        assert_close((double)row[i], (double)want[i], 1e-6, 0);
}

static void columns_with_outliers_stay(void **state)
{
    (void)state;
    float rows[] = {1, 7, 0.26f, -1, 0.3f, 0.52f};
    const struct bs_setting *setting = activations_setting("bits=2 grid=bitsandbytes threshold=6");
    bs_values_round(setting, NULL, bs_rounder_of(setting, 0), &(struct bs_values){rows, 2, 3, 3, 1},
                    scratch);
    const float want[] = {1, 7, 0, -1, 0.30004883f, 1}; /* the column in float16 */
    for (int i = 0; i < 6; i++)
        assert_close((double)rows[i], (double)want[i], 1e-7, 0);
}

static void what_does_not_go_together_is_refused(void **state)
{
    (void)state;
    static const char *const refused[][3] = {
        {"format=mxfp4", "sharing", "channel"},
        {"bits=8 threshold=6", "sharing", "window"},
        {"bits=8 threshold=6", "keep", "0.1"},
        {"bits=8 keep=0.1", "sharing", "static"},
        {"bits=8 keep=0.1", "sharing", "static_head"},
        {"bits=8 range=percentile", "sharing", "static_channel"},
        {"bits=8 range=mse", "sharing", "static_head"},
        {"format=mxfp4", "sharing", "static_channel"},
        {"bits=8 group_size=16", "sharing", "window"},
        {"bits=4 grid=kivi", "zero_point", "integer"}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct bs_setting setting;
        struct bs_error err;
        char text[64], *save = NULL;
        bs_setting_init(&setting);
        snprintf(text, sizeof text, "%s", refused[i][0]);
        for (char *key = strtok_r(text, " ", &save); key; key = strtok_r(NULL, " ", &save)) {
            char *value = strchr(key, '=');
            *value++ = '\0';
            assert_int_equal(bs_setting_set(&setting, BS_FOR_ACTIVATIONS, key, value, &err), BS_OK);
        }
        assert_int_equal(
            bs_setting_set(&setting, BS_FOR_ACTIVATIONS, refused[i][1], refused[i][2], &err),
            BS_OK);
        assert_int_equal(bs_setting_resolve(&setting, BS_FOR_ACTIVATIONS, &err), BS_ECONFIG);
        assert_non_null(strstr(err.message, "expected"));
        bs_setting_release(&setting);
    }
}

/* What is not a number stays one, wherever it stands. */
static void nan_comes_through(void **state)
{
    (void)state;
    static const char *const settings[] = {"bits=4 sharing=head", "bits=4 sharing=channel",
                                           "bits=4 grid=kvquant keep=0.1",
                                           "bits=8 grid=bitsandbytes threshold=2"};
    for (int s = 0; s < 4; s++) {
        fill();
        x[7 * STRIDE + 20] = NAN;
        round_site(settings[s]);
        assert_true(isnan(x[7 * STRIDE + 20]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_have_scales_of_their_own),
        cmocka_unit_test(channels_have_scales_along_the_tokens),
        cmocka_unit_test(fixed_parts_are_rounded_by_their_own),
        cmocka_unit_test(values_beyond_fixed_extremes_stay),
        cmocka_unit_test(outermost_values_stay),
        cmocka_unit_test(columns_with_outliers_stay),
        cmocka_unit_test(what_does_not_go_together_is_refused),
        cmocka_unit_test(nan_comes_through),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
